-- with: clock
-- sync_pay: take one request out of a target's budget.
-- keys   budget
-- args   requests a minute
-- gives  microseconds to wait before the request is sent
-- keeps  a fifth of a minute's requests may be sent at once; after that they are spread evenly, so that no minute sees more than
--        six fifths of them. The order of payment is the order of sending. A clock that was set back moves what was paid for
--        back with it.

local budget, gap = KEYS[1], 60000000 / tonumber(ARGV[1])
local at_once = math.max(0, 12000000 - gap)
local was = redis.call('HMGET', budget, 'at', 'paid_at')
local at = now - at_once
if was[1] then
  local set_back = math.max(0, tonumber(was[2]) - now)
  at = math.max(at, tonumber(was[1]) - set_back + gap)
end
redis.call('HSET', budget, 'at', int(at), 'paid_at', int(now))
-- Two minutes after the request is sent it is as if nothing had ever been paid for.
redis.call('PEXPIRE', budget, math.ceil(math.max(0, at - now) / 1000) + 120000)
return int(math.max(0, at - now))
