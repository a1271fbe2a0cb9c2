-- with: clock
-- sync_pay: take one request out of a target's budget.
-- keys   budget: when the last request paid for may be sent, in microseconds
-- args   requests a minute
-- gives  microseconds to wait before the request is sent
-- keeps  a fifth of a minute's requests may be sent at once; after that they are spread evenly, so that no minute sees more than
--        six fifths of them. The order of payment is the order of sending. A clock that was set back stops it for a minute at most.

local budget, rate = KEYS[1], tonumber(ARGV[1])
local gap = 60000000 / rate
local burst = 12000000
local at = math.min(tonumber(redis.call('GET', budget) or 0), now + 60000000)
at = math.max(at + gap, now - burst)
redis.call('SET', budget, int(at), 'PX', 120000)
return int(math.max(0, at - now))
