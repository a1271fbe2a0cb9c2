-- tracked: whether hints count for a ticket. Needs clock.
-- gives  tracking(site, watched, shown_watched, day, event) answers a function of a ticket; the sorted sets are those of
--        their names in store/__init__.py, `day` is in microseconds, `event` is that of the tickets ('' = unknown)
-- Every ticket counts where the site is `all`; else one that was watched within a day, or whose event was, as a list of
-- tickets: a ticket that is new or shown again belongs in it.

local function tracking(site, watched, shown_watched, day, event)
  local function lately(set, member)
    local until_ = redis.call('ZSCORE', set, member)
    return until_ and tonumber(until_) >= now - day
  end
  if redis.call('HGET', site, 'all') == '1' or (event ~= '' and lately(shown_watched, event)) then
    return function()
      return true
    end
  end
  return function(ticket)
    return lately(watched, ticket)
  end
end
