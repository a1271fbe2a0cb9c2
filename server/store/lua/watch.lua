-- with: clock silence
-- watch: somebody looks at these tickets; keep them fresh, and say what is known of them.
-- keys   site, due, watched, heard, one hash a ticket…
-- args   microseconds: watched for, watch every, watch slowly every; Wix calls a second that watching may use,
--        first reads a minute, microseconds of a lease, 1 = answer the counters too, the channel that wakes workers,
--        tickets… (in the order of the hashes)
-- gives  nil for an unknown site (nothing was written), else first what is known of the site:
--        its rules; falls of stock that no webhook told of, and the microseconds from the first to the last of them;
--        when the newest webhook was heard, in microseconds (0 = none ever); then per ticket:
--        v ('' = never read), age of the last read in microseconds (a day if the clock was set back since), rules,
--        counter ('' if not asked)
-- keeps  a ticket never read costs one of the site's first reads, so strangers who ask for random ids spend
--        neither Wix's budget nor memory; one that Wix does not know is not asked for again while that is cached.
--        When they have used up the first reads, a listing finds those tickets that are real: one a lease at most.
--        A ticket that is watched already has its time from settle: touching it here would cut into a read in
--        flight.

local FIXED = 4
local DAY = 86400000000
local site, due, watched, heard = unpack(KEYS, 1, FIXED)
if redis.call('EXISTS', site) == 0 then
  return nil
end
local watch_for, every, slow = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local calls, firsts, lease, want, wake = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6]), ARGV[7], ARGV[8]
every = math.max(every, redis.call('ZCOUNT', watched, int(now), '+inf') / (100 * calls) * 1000000)

local function may_read_first()
  -- A ring with the times of the last first reads: any minute sees at most as many as it has places.
  local place = tonumber(redis.call('HGET', site, 'first_next') or 0) % firsts
  local used_at = tonumber(redis.call('HGET', site, 'first:' .. place) or 0)
  if used_at <= now and now - used_at < 60000000 then
    return false
  end
  redis.call('HSET', site, 'first:' .. place, int(now), 'first_next', (place + 1) % firsts)
  return true
end

local u = untold(heard)
local out = { { redis.call('HGET', site, 'rules') or '', u.falls, int(u.last - u.first), int(u.at) } }
local fell, unread = 0, false
for i = FIXED + 1, #KEYS do
  local ticket = ARGV[8 + i - FIXED]
  local got = redis.call('HMGET', KEYS[i], 'v', 'read_at', 'rules', 'pace', want == '1' and 'counter' or '-')
  local scheduled = redis.call('ZSCORE', due, ticket)
  if not got[2] then
    if scheduled or may_read_first() then
      redis.call('ZADD', watched, int(now + watch_for), ticket)
      -- A time further ahead than a lease is what is left of a ticket whose hash has expired: its sale's end, say.
      if not scheduled or tonumber(scheduled) > now + lease then
        fell = fell + redis.call('ZADD', due, 'LT', 'CH', int(now), ticket)
      end
    else
      unread = true
    end
    out[#out + 1] = { '', 0, '', '' }
  else
    -- A read that is still to come, by a clock that was set back, vouches for nothing.
    local age = now - tonumber(got[2])
    age = age < 0 and DAY or age
    if got[4] ~= 'never' then
      local before = redis.call('ZSCORE', watched, ticket)
      redis.call('ZADD', watched, int(now + watch_for), ticket)
      if not scheduled or not before or tonumber(before) < now or age == DAY then
        local at = math.max(now, now - age + (got[4] == 'live' and every or slow))
        local lower = redis.call('ZADD', due, 'LT', 'CH', int(at), ticket)
        if at == now then
          fell = fell + lower
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
    fell = fell + lower
  end
end
if fell > 0 then
  redis.call('PUBLISH', wake, string.match(site, '{(.-)}'))
end
return out
