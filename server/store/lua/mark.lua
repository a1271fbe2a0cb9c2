-- with: clock
-- mark: make tickets due by a hint.
-- keys   site, due, hinted, watched, heard, holds, event, events_due, events_hinted, events_watched
-- args   type of the webhook ('' = none), how the tickets are named (tickets | lines | event),
--        microseconds for which a watched ticket stays tracked, when a hold on the tickets ends (microseconds,
--        0 = no hold), the channel that wakes workers, the event if it is to be read itself ('' = it is not), tickets…
-- gives  tickets marked (-1 = unknown site, nothing was written), and how many of them, the event with them, were not due
--        before
-- keeps  only tracked tickets are marked: every ticket where the site is `all`, else those watched within that time.
--        Invoice lines have the ids of tickets only by custom, so a line counts only if it is a ticket of the event. A hint
--        that names no tracked ticket marks those of its event. A due time is only ever lowered: a thousand orders are
--        one member, and an order that comes during a read makes the ticket due again after it. A webhook's time is stored
--        whatever it names, for silence.lua. The end of a hold is stored, since its tickets come back then, perhaps without
--        a webhook: rounded up to 5 s, so that many holds are few reads, each of many tickets; and for the next hour only.

local HOLD_STEP, LONGEST_HOLD = 5000000, 3600000000
local FIXED = 6
local site, due, hinted, watched, heard, holds, event, events_due, events_hinted, events_watched = unpack(KEYS)
if redis.call('EXISTS', site) == 0 then
  return { -1, 0 }
end
if ARGV[1] ~= '' then
  redis.call('HSET', heard, ARGV[1] .. ':at', int(now), 'at', int(now))
  redis.call('HINCRBY', heard, ARGV[1] .. ':count', 1)
end

local all = redis.call('HGET', site, 'all') == '1'
local since = now - tonumber(ARGV[3])
local hold_ends, wake = tonumber(ARGV[4]), ARGV[5]
local marked, new = 0, 0

local function mark(ticket)
  if not all then
    local until_ = redis.call('ZSCORE', watched, ticket)
    if not until_ or tonumber(until_) < since then
      return
    end
  end
  marked = marked + 1
  redis.call('ZADD', hinted, int(now), ticket)
  if hold_ends > now and hold_ends <= now + LONGEST_HOLD then
    redis.call('ZADD', holds, 0, ticket .. ':' .. int(math.ceil(hold_ends / HOLD_STEP) * HOLD_STEP))
  end
  new = new + redis.call('ZADD', due, 'LT', 'CH', int(now), ticket)
end

for i = FIXED + 1, #ARGV do
  if ARGV[2] ~= 'lines' or redis.call('SISMEMBER', event, ARGV[i]) == 1 then
    mark(ARGV[i])
  end
end
if marked == 0 then
  for _, ticket in ipairs(redis.call('SMEMBERS', event)) do
    mark(ticket)
  end
end
if ARGV[6] ~= '' then
  -- An event of which no ticket is known is of no use.
  local until_ = redis.call('ZSCORE', events_watched, ARGV[6])
  if redis.call('EXISTS', event) == 1 and (all or (until_ and tonumber(until_) >= since)) then
    redis.call('ZADD', events_hinted, int(now), ARGV[6])
    new = new + redis.call('ZADD', events_due, 'LT', 'CH', int(now), ARGV[6])
  end
end
if new > 0 then
  redis.call('PUBLISH', wake, string.match(site, '{(.-)}'))
end
return { marked, new }
