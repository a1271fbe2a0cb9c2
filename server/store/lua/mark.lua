-- with: clock tracked
-- mark: make tickets due by a hint.
-- keys   site, due, hinted, watched, heard, holds, event, events_due, events_hinted, events_watched, shown_watched
-- args   type of the webhook ('' = none), how the tickets are named (tickets | lines | event),
--        microseconds for which a watched ticket stays tracked, when a hold on the tickets ends (microseconds,
--        0 = no hold), the channel that wakes workers, the event ('' = unknown), 1 = it is to be read itself, tickets…
-- gives  tickets marked (-1 = unknown site, nothing was written); how many of them, the event with them, were not due
--        before; 1 = this is the site's first webhook
-- keeps  only tracked tickets are marked (tracked.lua): every ticket where the site is `all`, else those watched within that time.
--        Invoice lines have the ids of tickets only by custom, so a line counts only if it is a ticket of the event. A hint
--        that names no tracked ticket marks those of its event. A due time is only ever lowered: a thousand orders are
--        one member, and an order that comes during a read makes the ticket due again after it. A webhook's time is stored
--        whatever it names, for silence.lua. The end of a hold is stored, since its tickets come back then, perhaps without
--        a webhook: rounded up to 5 s, so that many holds are few reads, each of many tickets; and for the next hour only.

local HOLD_STEP, LONGEST_HOLD = 5000000, 3600000000
local FIXED = 7
local site, due, hinted, watched, heard, holds, tickets, events_due, events_hinted, events_watched, shown_watched =
  unpack(KEYS)
if redis.call('EXISTS', site) == 0 then
  return { -1, 0, 0 }
end
local first = 0
if ARGV[1] ~= '' then
  redis.call('HSET', heard, ARGV[1] .. ':at', int(now))
  first = redis.call('HSET', heard, 'at', int(now))
  redis.call('HINCRBY', heard, ARGV[1] .. ':count', 1)
end

local day, hold_ends, wake, event = tonumber(ARGV[3]), tonumber(ARGV[4]), ARGV[5], ARGV[6]
local is_tracked = tracking(site, watched, shown_watched, day, event)
local marked, new = 0, 0

local function mark(ticket)
  if not is_tracked(ticket) then
    return
  end
  marked = marked + 1
  redis.call('ZADD', hinted, int(now), ticket)
  if hold_ends > now and hold_ends <= now + LONGEST_HOLD then
    redis.call('ZADD', holds, 0, ticket .. ':' .. int(math.ceil(hold_ends / HOLD_STEP) * HOLD_STEP))
  end
  new = new + redis.call('ZADD', due, 'LT', 'CH', int(now), ticket)
end

for i = FIXED + 1, #ARGV do
  if ARGV[2] ~= 'lines' or redis.call('SISMEMBER', tickets, ARGV[i]) == 1 then
    mark(ARGV[i])
  end
end
if marked == 0 then
  for _, ticket in ipairs(redis.call('SMEMBERS', tickets)) do
    mark(ticket)
  end
end
if ARGV[7] == '1' then
  -- An event of which no ticket is known is of no use.
  if redis.call('EXISTS', tickets) == 1 and tracking(site, events_watched, shown_watched, day, event)(event) then
    redis.call('ZADD', events_hinted, int(now), event)
    new = new + redis.call('ZADD', events_due, 'LT', 'CH', int(now), event)
  end
end
if new > 0 then
  redis.call('PUBLISH', wake, string.match(site, '{(.-)}'))
end
return { marked, new, first }
