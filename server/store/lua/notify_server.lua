-- with: clock notify_time
-- notify_server: faults of a relay or a push service, its pause, and who probes it.
-- keys   state
-- args   failed, then the reason, the cure, 1 = it is paused at once, faults in a row that pause it, seconds until the first probe
--        and at most between two; or answered; or resume; or wait, then until when; or probe, then the seconds that a probe may
--        take
-- gives  of probe 1 = this worker may try now, else 0
-- keeps  a fault of a paused server moves the next probe only where it is the probe's own: what was on its way when the pause
--        began tells nothing new. One worker probes at a time.

local state, how = KEYS[1], ARGV[1]
local known = {}
local pairs_ = redis.call('HGETALL', state)
for i = 1, #pairs_, 2 do
  known[pairs_[i]] = pairs_[i + 1]
end

local function is_over()
  redis.call('HDEL', state, 'reason', 'cure', 'paused_at', 'next_probe', 'probing_until', 'probes')
end

if how == 'failed' then
  local reason, cure, at_once = ARGV[2], ARGV[3], ARGV[4] == '1'
  local most, first, longest = tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7])
  local faults = redis.call('HINCRBY', state, 'faults', 1)
  if known.paused_at then
    redis.call('HSET', state, 'reason', reason, 'cure', cure)
    if known.probing_until then
      local probes = redis.call('HINCRBY', state, 'probes', 1)
      local after = math.min(longest, first * 2 ^ math.min(probes, 20))
      redis.call('HSET', state, 'next_probe', seconds(now + after * 1e6))
      redis.call('HDEL', state, 'probing_until')
    end
  elseif at_once or faults >= most then
    redis.call('HSET', state, 'reason', reason, 'cure', cure, 'paused_at', seconds())
    redis.call('HSET', state, 'next_probe', seconds(now + first * 1e6))
  end
elseif how == 'answered' then
  if known.faults or known.paused_at then
    redis.call('HDEL', state, 'faults')
    is_over()
  end
elseif how == 'resume' then
  redis.call('HDEL', state, 'faults', 'wait_until')
  is_over()
elseif how == 'wait' then
  redis.call('HSET', state, 'wait_until', ARGV[2])
elseif known.paused_at then
  local probing = tonumber(known.probing_until or '0') * 1e6
  if tonumber(known.next_probe) * 1e6 > now or probing > now then
    return 0
  end
  redis.call('HSET', state, 'probing_until', seconds(now + tonumber(ARGV[2]) * 1e6))
end
keep(state)
return 1
