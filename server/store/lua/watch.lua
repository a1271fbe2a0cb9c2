-- with: clock silence
-- watch: tickets have viewers; keep them fresh, and answer what is stored of them.
-- keys   site, due, watched, heard, events_due, events_watched, one hash a ticket…
-- args   microseconds: watched for, watch every, watch slowly every; Wix calls a second that watching may use,
--        first reads a minute, microseconds of a lease, 1 = answer the counters too, the channel that wakes workers,
--        tickets… (in the order of the hashes)
-- gives  nil for an unknown site (nothing was written), else first of the site: its rules; falls of stock that no webhook
--        reported, and the microseconds from the first to the last of them; when the newest webhook came (0 = never);
--        then per ticket: v ('' = never read), age of the last read in microseconds (a day if the clock was set back since),
--        rules, counter ('' if not asked for)
-- keeps  a ticket without a snapshot takes one of the site's first reads, so clients that ask for random ids use up
--        neither Wix's budget nor memory; tickets in the negative cache take none. When the first reads are used up, a
--        listing finds those tickets that exist, at most once in a lease. A ticket that is watched already has its due time
--        from settle: a change here would cut short the lease of a read in flight.

local FIXED = 6
local DAY = 86400000000
local site, due, watched, heard, events_due, events_watched = unpack(KEYS, 1, FIXED)
if redis.call('EXISTS', site) == 0 then
  return nil
end
local watch_for, every, slow = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local calls, firsts, lease, want, wake = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6]), ARGV[7], ARGV[8]
every = math.max(every, redis.call('ZCOUNT', watched, int(now), '+inf') / (100 * calls) * 1000000)

local function may_read_first()
  -- A ring with the times of the last first reads: there are at most as many in any minute as it has places.
  local place = tonumber(redis.call('HGET', site, 'first_next') or 0) % firsts
  local used_at = tonumber(redis.call('HGET', site, 'first:' .. place) or 0)
  if used_at <= now and now - used_at < 60000000 then
    return false
  end
  redis.call('HSET', site, 'first:' .. place, int(now), 'first_next', (place + 1) % firsts)
  return true
end

-- An event is watched while a ticket of it is; its reads are scheduled as those of tickets are.
local events_watched_now = redis.call('ZCOUNT', events_watched, int(now), '+inf')
local events_every = math.max(tonumber(ARGV[2]), events_watched_now / (100 * calls) * 1000000)
local snapshot = string.gsub(site, 'site$', '') .. 'event_snapshot:'
local events = {}
local new, unread = 0, false
local function watch_event(event)
  if events[event] or event == '' then
    return
  end
  events[event] = true
  local before = redis.call('ZSCORE', events_watched, event)
  redis.call('ZADD', events_watched, int(now + watch_for), event)
  if not before or tonumber(before) < now or not redis.call('ZSCORE', events_due, event) then
    local read_at = tonumber(redis.call('HGET', snapshot .. event, 'read_at') or 0)
    local at = read_at > now and now or math.max(now, read_at + events_every)
    local lower = redis.call('ZADD', events_due, 'LT', 'CH', int(at), event)
    if at == now then
      new = new + lower
    end
  end
end

local u = unreported(heard)
local out = { { redis.call('HGET', site, 'rules') or '', u.falls, int(u.last - u.first), int(u.at) } }
for i = FIXED + 1, #KEYS do
  local ticket = ARGV[8 + i - FIXED]
  local got = redis.call('HMGET', KEYS[i], 'v', 'read_at', 'rules', 'pace', want == '1' and 'counter' or '-', 'event')
  local scheduled = redis.call('ZSCORE', due, ticket)
  if not got[2] then
    if scheduled or may_read_first() then
      redis.call('ZADD', watched, int(now + watch_for), ticket)
      -- A due time after a lease's end is left of a ticket whose hash has expired: the end of its sale, for example.
      if not scheduled or tonumber(scheduled) > now + lease then
        new = new + redis.call('ZADD', due, 'LT', 'CH', int(now), ticket)
      end
    else
      unread = true
    end
    out[#out + 1] = { '', 0, '', '' }
  else
    -- A read in the future, by a clock that was set back, verifies nothing.
    local age = now - tonumber(got[2])
    age = age < 0 and DAY or age
    if got[4] ~= 'never' then
      local before = redis.call('ZSCORE', watched, ticket)
      redis.call('ZADD', watched, int(now + watch_for), ticket)
      watch_event(got[6] or '')
      if not scheduled or not before or tonumber(before) < now or age == DAY then
        local at = math.max(now, now - age + (got[4] == 'live' and every or slow))
        local lower = redis.call('ZADD', due, 'LT', 'CH', int(at), ticket)
        if at == now then
          new = new + lower
        end
      end
    end
    out[#out + 1] = { got[1] or '', age, got[3] or '', got[5] or '' }
  end
end
if unread then
  local listed = tonumber(redis.call('HGET', site, 'listed') or 0)
  local at = listed > now and now or math.max(now, listed + lease)
  local lower = redis.call('ZADD', due, 'LT', 'CH', int(at), '*')
  if at == now then
    new = new + lower
  end
end
if new > 0 then
  redis.call('PUBLISH', wake, string.match(site, '{(.-)}'))
end
return out
