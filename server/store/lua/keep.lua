-- with: clock silence shown
-- keep: store the results of a read, and announce what they changed: together or not at all.
-- keys   site, changes, history, heard, watched, then three a ticket: its hash, its event's set, its channel
-- args   version of the read (when it was claimed, µs), rules of the worker, PUBLISH or SPUBLISH,
--        milliseconds that changes are kept, and history; seconds that an untracked ticket is kept, and one that
--        Wix does not know; microseconds that a webhook may be ahead of what a read sees, and after which a number is
--        withdrawn: of a watched ticket, and of any other; what caused the read (hint | viewers | clock | listing); what the
--        names of channels of events begin with; then eight a ticket: id, pace (live | slow | dead | never), unsold and held
--        as read ('' = none), counter without its v, facts ('' = none), event ('' = unknown), place in the event's list
--        ('' = not in it; draft)
-- gives  a number a ticket: 0 refused, 1 kept, + 2 counter announced, + 4 change of facts appended, + 16 its stock fell
--        and no webhook reported it; 8 refused because the site has other rules
-- keeps  a read that began later wins, whatever the order of answers: a version at or below the stored one changes
--        nothing, and neither does a worker with other rules than the site. That a ticket was never there is refused where a
--        snapshot is stored: another worker found it meanwhile. `v` is the version of the read that last changed the counter:
--        where the counter is the same, its bytes and its `v` stay, and nothing is published. After a clock was set back
--        versions are in the future; the time of a read never is.

local FIXED, ALL, EACH = 5, 12, 8
local site, changes, history, heard, watched = unpack(KEYS, 1, FIXED)
local version, rules, publish = tonumber(ARGV[1]), ARGV[2], ARGV[3]
local read_at = int(math.min(version, now))
local now_ms = math.floor(now / 1000)
local changes_from, history_from = int(now_ms - tonumber(ARGV[4])), int(now_ms - tonumber(ARGV[5]))
local expire, never_there_expires, late = ARGV[6], ARGV[7], tonumber(ARGV[8])
local withdrawn_after, withdrawn_unwatched, cause = tonumber(ARGV[9]), tonumber(ARGV[10]), ARGV[11]
local channels = ARGV[12]
local prefix = string.gsub(site, 'site$', '')

local site_has = redis.call('HMGET', site, 'rules', 'all')
local all = site_has[2] == '1'
-- The events of what is kept: true where a ticket has another place than before.
local moved = {}
local out = {}
local n = 0
for k = FIXED + 1, #KEYS, 3 do
  local hash, event_set, channel = KEYS[k], KEYS[k + 1], KEYS[k + 2]
  local a = ALL + n * EACH
  local ticket, pace, unsold, held, body, facts, event, place = unpack(ARGV, a + 1, a + EACH)
  n = n + 1
  local was = redis.call('HMGET', hash, 'version', 'v', 'counter', 'facts', 'unsold', 'read_at', 'pace', 'held', 'place')
  if site_has[1] ~= rules then
    out[n] = site_has[1] and 8 or 0
  elseif was[1] and tonumber(was[1]) >= version then
    out[n] = 0
  elseif pace == 'never' and was[7] and was[7] ~= 'never' then
    out[n] = 0
  else
    local done = 1
    local v = was[2]
    local counter = was[3]
    local changed = not (v and counter == '{"v":' .. v .. ',' .. body)
    if changed then
      v = int(version)
      counter = '{"v":' .. v .. ',' .. body
    end
    redis.call('HSET', hash, 'version', int(version), 'v', v, 'counter', counter, 'facts', facts, 'unsold', unsold,
      'held', held, 'read_at', read_at, 'rules', rules, 'event', event, 'pace', pace, 'place', place)
    redis.call('HDEL', hash, 'missing')
    if changed then
      redis.call(publish, channel, counter)
      done = done + 2
    end
    -- Without a read for so long the number was withdrawn meanwhile, so this one is news even if it is the same.
    local was_withdrawn = false
    if was[6] and now - tonumber(was[6]) > withdrawn_after then
      local until_ = redis.call('ZSCORE', watched, ticket)
      local was_watched = until_ and tonumber(until_) > tonumber(was[6])
      was_withdrawn = was_watched or now - tonumber(was[6]) > withdrawn_unwatched
    end
    if pace ~= 'never' and (changed or was[5] ~= unsold or (was[8] or '') ~= held or was_withdrawn) then
      local entry = { 'ticket', ticket, 'v', int(version), 'unsold', unsold, 'held', held, 'cause', cause }
      if changed then
        entry[#entry + 1] = 'counter'
        entry[#entry + 1] = counter
      end
      redis.call('XADD', history, 'MINID', '~', history_from, '*', unpack(entry))
    end
    local before = was[4] or ''
    if facts ~= before then
      local entry = { 'ticket', ticket, 'event', event, 'v', int(version) }
      if before ~= '' then
        entry[#entry + 1] = 'before'
        entry[#entry + 1] = before
      end
      if facts ~= '' then
        entry[#entry + 1] = 'after'
        entry[#entry + 1] = facts
      end
      redis.call('XADD', changes, 'MINID', '~', changes_from, '*', unpack(entry))
      done = done + 4
    end
    local number, former = tonumber(unsold), tonumber(was[5])
    if number and former and number ~= former and count_change(heard, former, number, tonumber(was[6]), late) then
      done = done + 16
    end
    if event ~= '' then
      redis.call(facts ~= '' and 'SADD' or 'SREM', event_set, ticket)
      moved[event] = moved[event] or place ~= was[9]
    end
    if all and pace ~= 'dead' and pace ~= 'never' then
      redis.call('PERSIST', hash)
    else
      redis.call('EXPIRE', hash, pace == 'never' and never_there_expires or expire)
    end
    out[n] = done
  end
end
for event, has_moved in pairs(moved) do
  -- Redis may have lost the list, or another program may have written it.
  if has_moved or cause == 'listing' or redis.call('EXISTS', prefix .. 'shown:' .. event) == 0 then
    update_shown(prefix, event, publish, channels)
  end
  for _, name in ipairs({ 'event:', 'shown:' }) do
    if all then
      redis.call('PERSIST', prefix .. name .. event)
    else
      redis.call('EXPIRE', prefix .. name .. event, expire)
    end
  end
end
return out
