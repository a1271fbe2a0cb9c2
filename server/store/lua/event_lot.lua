-- event_lot: the due events that one Wix query can read. Needs clock, budget.
-- gives  event_lot(b, keys, site, lease, gap, watched_gap)
--                                   up to 100 events as a list (nil = none), its priority (hinted | watched | rest), and
--                                   when one may be claimed (microseconds since 1970; math.huge = never, as things stand).
--                                   keys = { due, hinted, watched, reads } of the events; lease and gaps in microseconds
-- The reads of events have gaps of their own, so that those of tickets, which are what a rush is about, never wait for them.
-- Hinted ones come first: behind a backlog of thousands they would not be among the first due. An event without tickets is
-- of no use: it is dropped, and its snapshot kept for two days. After a read that failed none is claimed for a while
-- (delay_events.lua); after one that was forbidden, only those that a webhook asks for: the permission may be there by then.

local function event_lot(b, keys, site, lease, gap, watched_gap)
  local due, hinted, watched, reads = unpack(keys)
  local next_ = redis.call('ZRANGE', due, 0, 0, 'WITHSCORES')
  if #next_ == 0 then
    return nil, nil, math.huge
  end
  local delay = redis.call('HMGET', site, 'events_not_before', 'events_faults')
  local not_before = tonumber(delay[1] or 0)
  local forbidden = not_before > now and not delay[2]
  local opens = math.max(tonumber(next_[2]), forbidden and 0 or not_before)
  if opens > now then
    return nil, nil, opens
  end
  local prefix = string.gsub(site, 'site$', '')
  local lot, seen, priority = {}, {}, 'rest'
  local function add(event, as)
    if seen[event] or #lot == 100 then
      return
    end
    seen[event] = true
    if redis.call('EXISTS', prefix .. 'event:' .. event) == 0 then
      redis.call('ZREM', due, event)
      redis.call('ZREM', hinted, event)
      redis.call('ZREM', watched, event)
      redis.call('EXPIRE', prefix .. 'event_snapshot:' .. event, 172800)
      return
    end
    lot[#lot + 1] = event
    if as == 'hinted' or priority == 'rest' then
      priority = as
    end
  end
  for _, event in ipairs(redis.call('ZRANGE', hinted, 0, 999)) do
    local at = redis.call('ZSCORE', due, event)
    if at and tonumber(at) <= now then
      add(event, 'hinted')
    end
  end
  for _, event in ipairs(forbidden and {} or redis.call('ZRANGE', due, '-inf', int(now), 'BYSCORE', 'LIMIT', 0, 100)) do
    local until_ = redis.call('ZSCORE', watched, event)
    add(event, until_ and tonumber(until_) > now and 'watched' or 'rest')
  end
  if #lot == 0 then
    return nil, nil, forbidden and not_before or now + gap
  end
  local last = tonumber(redis.call('HGET', reads, 'last_events') or 0)
  -- A clock that was set back must not stop them.
  last = math.min(last, now)
  opens = math.max(last + (priority == 'hinted' and gap or watched_gap), now + no_token_for(b, priority))
  if opens > now then
    return nil, nil, opens
  end
  redis.call('HSET', reads, 'last_events', int(now))
  for _, event in ipairs(lot) do
    redis.call('ZADD', due, int(now + lease), event)
  end
  return lot, priority, now
end
