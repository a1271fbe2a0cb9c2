-- with: clock
-- mark: look at these tickets again.
-- keys   site, due, hinted, watched, heard, holds, event
-- args   type of the webhook ('' = none), how the tickets are named (tickets | lines | event),
--        microseconds for which a watched ticket stays tracked, when a hold on the tickets ends (microseconds,
--        0 = none does), the channel that wakes workers, tickets…
-- gives  tickets taken (-1 = unknown site, nothing was written), and how many of them were not due before
-- keeps  only what is tracked is taken: everything where the site is `all`, else what was watched within that time.
--        Invoice lines name tickets only by custom, so a line counts only if the event knows it. A hint that
--        names no tracked ticket marks those of its event. A due time is only ever lowered: a thousand orders are
--        one member, and an order that comes during a read makes the ticket due again after it. A webhook is heard
--        whatever it names: that it came is what silence.lua asks for. The end of a hold is remembered, since then
--        tickets come back and perhaps nobody tells: in steps of 5 s, so that a rush of holds is few reads, and of
--        many tickets at once; and for an hour ahead at most.

local APART, LONGEST = 5000000, 3600000000
local FIXED = 5
local site, due, hinted, watched, heard, holds, event = unpack(KEYS)
if redis.call('EXISTS', site) == 0 then
  return { -1, 0 }
end
if ARGV[1] ~= '' then
  redis.call('HSET', heard, ARGV[1] .. ':at', int(now), 'at', int(now))
  redis.call('HINCRBY', heard, ARGV[1] .. ':count', 1)
end

local all = redis.call('HGET', site, 'all') == '1'
local since = now - tonumber(ARGV[3])
local ends, wake = tonumber(ARGV[4]), ARGV[5]
local taken, fell = 0, 0

local function take(ticket)
  if not all then
    local until_ = redis.call('ZSCORE', watched, ticket)
    if not until_ or tonumber(until_) < since then
      return
    end
  end
  taken = taken + 1
  redis.call('ZADD', hinted, int(now), ticket)
  if ends > now and ends <= now + LONGEST then
    redis.call('ZADD', holds, 0, ticket .. ':' .. int(math.ceil(ends / APART) * APART))
  end
  fell = fell + redis.call('ZADD', due, 'LT', 'CH', int(now), ticket)
end

for i = FIXED + 1, #ARGV do
  if ARGV[2] ~= 'lines' or redis.call('SISMEMBER', event, ARGV[i]) == 1 then
    take(ARGV[i])
  end
end
if taken == 0 then
  for _, ticket in ipairs(redis.call('SMEMBERS', event)) do
    take(ticket)
  end
end
if fell > 0 then
  redis.call('PUBLISH', wake, string.match(site, '{(.-)}'))
end
return { taken, fell }
