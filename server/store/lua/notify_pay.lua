-- with: clock
-- notify_pay: take one message out of a channel's pace.
-- keys   pace
-- args   messages a second; microseconds' worth of them that may be sent at once
-- gives  microseconds to wait before the message is sent
-- keeps  the order of payment is the order of sending, whichever process pays. A clock that was set back moves what was paid for
--        back with it.

local pace, gap, burst = KEYS[1], 1e6 / tonumber(ARGV[1]), tonumber(ARGV[2])
local at_once = math.max(0, burst - gap)
local was = redis.call('HMGET', pace, 'at', 'paid_at')
local at = now - at_once
if was[1] then
  local set_back = math.max(0, tonumber(was[2]) - now)
  at = math.max(at, tonumber(was[1]) - set_back + gap)
end
redis.call('HSET', pace, 'at', int(at), 'paid_at', int(now))
-- A minute after the message is sent it is as if nothing had ever been paid for.
redis.call('PEXPIRE', pace, math.ceil(math.max(0, at - now) / 1000) + math.ceil(gap / 1000) + 60000)
return int(math.max(0, at - now))
