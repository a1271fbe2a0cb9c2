-- with: clock budget
-- claim: lease the due tickets that one Wix query can read.
-- keys   site, due, hinted, watched, reads
-- args   capacity, refill a second; microseconds: lease, longest pause, read gap, gap of watched reads;
--        rules of the worker
-- gives  { 'read', version, lease end, priority, tickets… } at most 100: hinted first, then watched, then the rest
--        { 'list', lease end }                              the whole site is to be listed
--        { 'wait', microseconds }                           nothing may be read before
--        { 'other_rules', microseconds }                    the same, because the site has other rules than the worker
-- keeps  the lease is the ticket's due time, so the tickets of a worker that dies become due by themselves. The version is
--        given here, before the call. Lots that only keep watched tickets fresh have a gap of their own: they use at most
--        half the budget, however many are watched. The pages of a listing do not count for either gap. A listing is leased
--        as a ticket is: extend keeps it from page to page. After a fault a lot is a quarter as large, after a good answer
--        four times as large again, and tickets of a failed lot come last: so one ticket that Wix cannot answer for does not
--        block the others. A worker with other rules than the site gets nothing: its read would be refused, and the hint
--        would be used up.

local site, due, hinted, watched, reads = unpack(KEYS)
if redis.call('EXISTS', site) == 0 then
  return { 'wait', 1000000 }
elseif redis.call('HGET', site, 'rules') ~= ARGV[7] then
  return { 'other_rules', 1000000 }
end
local lease, longest, gap, watched_gap = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local b = budget(reads, due, tonumber(ARGV[1]), tonumber(ARGV[2]), lease, longest)
local wait = no_call_for(b)
if wait > 0 then
  return { 'wait', math.ceil(wait) }
end

local list_at = redis.call('ZSCORE', due, '*')
if list_at and tonumber(list_at) <= now then
  redis.call('ZADD', due, int(now + lease), '*')
  redis.call('HSET', site, 'listed', int(now))
  in_flight('*', reads, lease)
  return { 'list', int(now + lease) }
end

local RANK = { hinted = 1, watched = 2, rest = 3 }
local most = math.max(1, math.floor(100 / 4 ^ b.small))
local lot, seen, priority = {}, {}, 'rest'
local function add(ticket, as)
  if #lot < most and not seen[ticket] then
    seen[ticket] = true
    lot[#lot + 1] = ticket
    if RANK[as] < RANK[priority] then
      priority = as
    end
  end
end

local ready, at = {}, redis.call('ZRANGE', due, '-inf', int(now), 'BYSCORE', 'LIMIT', 0, 1000, 'WITHSCORES')
for i = 1, #at, 2 do
  ready[#ready + 1] = at[i]
end
local priorities = {}
if #ready > 0 then
  local hinted_at = redis.call('ZMSCORE', hinted, unpack(ready))
  local watched_until = redis.call('ZMSCORE', watched, unpack(ready))
  for i = 1, #ready do
    local is_watched = watched_until[i] and tonumber(watched_until[i]) > now
    priorities[i] = hinted_at[i] and 'hinted' or is_watched and 'watched' or 'rest'
  end
end

if b.small > 0 then
  -- In the order in which they are due, whatever their priority: else one that fails again and again would always be first.
  for i, ticket in ipairs(ready) do
    add(ticket, priorities[i])
  end
else
  -- The tickets with the oldest hints are looked up separately: behind a backlog of thousands they would not be among the
  -- first due. Those due with newer hints come from `ready`: a thousand with older hints may only wait for their next steps.
  local waiting = {}
  local first = redis.call('ZRANGE', hinted, 0, 999)
  if #first > 0 then
    local due_at = redis.call('ZMSCORE', due, unpack(first))
    for i, ticket in ipairs(first) do
      if due_at[i] and tonumber(due_at[i]) <= now then
        waiting[#waiting + 1] = { tonumber(due_at[i]), ticket }
      end
    end
  end
  for i, ticket in ipairs(ready) do
    if priorities[i] == 'hinted' then
      waiting[#waiting + 1] = { tonumber(at[2 * i]), ticket }
    end
  end
  -- The longest due comes first, so a ticket that is hinted at again and again keeps its place and takes no other's.
  table.sort(waiting, function(a, b)
    if a[1] ~= b[1] then
      return a[1] < b[1]
    end
    return a[2] < b[2]
  end)
  for _, one in ipairs(waiting) do
    add(one[2], 'hinted')
  end
  for _, as in ipairs({ 'watched', 'rest' }) do
    for i, ticket in ipairs(ready) do
      if priorities[i] == as then
        add(ticket, as)
      end
    end
  end
end
if #lot == 0 then
  local next_ = redis.call('ZRANGE', due, 0, 0, 'WITHSCORES')
  return { 'wait', next_[2] and math.max(1, tonumber(next_[2]) - now) or 1000000 }
end

if priority == 'watched' then
  gap = watched_gap
elseif #ready > 100 then
  gap = 0
end
wait = math.max(b.last_lot + gap - now, no_token_for(b, priority))
if wait > 0 then
  return { 'wait', math.ceil(wait) }
end

local version = pay(b, reads, lease)
in_flight(int(version), reads, lease)
redis.call('HSET', reads, 'last_lot', int(now))
for _, ticket in ipairs(lot) do
  redis.call('ZADD', due, int(now + lease), ticket)
end
return { 'read', int(version), int(now + lease), priority, unpack(lot) }
