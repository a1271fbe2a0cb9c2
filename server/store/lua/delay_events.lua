-- with: clock
-- delay_events: Wix did not let us read events; the site's next read of events comes later.
-- keys   site
-- args   1 = through a fault of Wix, 0 = the app lacks the permission; the longest delay, in microseconds
-- gives  nothing
-- keeps  the delay after a fault is 4, 8, 16 s and so on with each in a row, longer than the pause of the site (pause.lua): so
--        an API of events that fails for hours takes no time from the tickets. A good read ends it (keep_events).

local site, fault, longest = KEYS[1], ARGV[1], tonumber(ARGV[2])
if redis.call('EXISTS', site) == 0 then
  return
end
local length = longest
if fault == '1' then
  length = math.min(longest, 2 ^ (1 + redis.call('HINCRBY', site, 'events_faults', 1)) * 1000000)
else
  redis.call('HDEL', site, 'events_faults')
end
redis.call('HSET', site, 'events_not_before', int(now + length))
