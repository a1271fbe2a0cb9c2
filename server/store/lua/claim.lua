-- with: clock budget
-- claim: lease the due tickets that one Wix query can read.
-- keys   site, due, hinted, watched, reads
-- args   capacity, refill a second; microseconds: lease, longest pause, read gap, gap of watched reads;
--        rules of the worker
-- gives  { 'read', version, lease end, class, tickets… }  at most 100: hinted first, then watched, then the rest
--        { 'list', lease end }                            the whole site is to be listed
--        { 'wait', microseconds }                         nothing may be read before
--        { 'other_rules', microseconds }                      the same, since the site's rules are others
-- keeps  the lease is the ticket's due time, so a worker that dies gives it back by itself. The version is given
--        here, before the call. Reads that only keep a watched ticket fresh have a gap of their own: they use at
--        most half the budget, whatever is watched. The pages of a listing are in no gap's way. A listing is leased as a
--        ticket is: extend keeps it from page to page. After a fault a lot is a quarter of what it was, after a good answer
--        four times that: if it is one ticket that Wix cannot answer for, the others get past it, as those that failed come
--        last. A worker whose rules are not the site's takes nothing: what it read would be refused, and a hint be spent on
--        it.

local site, due, hinted, watched, reads = unpack(KEYS)
if redis.call('EXISTS', site) == 0 then
  return { 'wait', 1000000 }
elseif redis.call('HGET', site, 'rules') ~= ARGV[7] then
  return { 'other_rules', 1000000 }
end
local lease, longest, gap, watched_gap = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local b = budget(reads, due, tonumber(ARGV[1]), tonumber(ARGV[2]), lease, longest)
local wait = held(b)
if wait > 0 then
  return { 'wait', math.ceil(wait) }
end

local list_at = redis.call('ZSCORE', due, '*')
if list_at and tonumber(list_at) <= now then
  redis.call('ZADD', due, int(now + lease), '*')
  redis.call('HSET', site, 'listed', int(now))
  flies('*', reads, lease)
  return { 'list', int(now + lease) }
end

local RANK = { hinted = 1, watched = 2, rest = 3 }
local most = math.max(1, math.floor(100 / 4 ^ b.small))
local lot, seen, class = {}, {}, 'rest'
local function add(ticket, as)
  if #lot < most and not seen[ticket] then
    seen[ticket] = true
    lot[#lot + 1] = ticket
    if RANK[as] < RANK[class] then
      class = as
    end
  end
end

local ready, at = {}, redis.call('ZRANGE', due, '-inf', int(now), 'BYSCORE', 'LIMIT', 0, 1000, 'WITHSCORES')
for i = 1, #at, 2 do
  ready[#ready + 1] = at[i]
end
local classes = {}
if #ready > 0 then
  local hinted_at = redis.call('ZMSCORE', hinted, unpack(ready))
  local watched_until = redis.call('ZMSCORE', watched, unpack(ready))
  for i = 1, #ready do
    local is_watched = watched_until[i] and tonumber(watched_until[i]) > now
    classes[i] = hinted_at[i] and 'hinted' or is_watched and 'watched' or 'rest'
  end
end

if b.small > 0 then
  -- Whatever they are, in the order in which they are due: one that fails again and again would else always be first.
  for i, ticket in ipairs(ready) do
    add(ticket, classes[i])
  end
else
  -- Hinted tickets are looked up by themselves too: behind a backlog of thousands they would not be among the first due.
  -- Nor would the new ones be among the first hinted, behind a thousand that are read already and wait for their next steps.
  local waiting = {}
  local first = redis.call('ZRANGE', hinted, 0, 999)
  if #first > 0 then
    local its = redis.call('ZMSCORE', due, unpack(first))
    for i, ticket in ipairs(first) do
      if its[i] and tonumber(its[i]) <= now then
        waiting[#waiting + 1] = { tonumber(its[i]), ticket }
      end
    end
  end
  for i, ticket in ipairs(ready) do
    if classes[i] == 'hinted' then
      waiting[#waiting + 1] = { tonumber(at[2 * i]), ticket }
    end
  end
  -- Who has waited longest comes first: a ticket that is hinted at again and again keeps its place, and takes no other's.
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
      if classes[i] == as then
        add(ticket, as)
      end
    end
  end
end
if #lot == 0 then
  local next_ = redis.call('ZRANGE', due, 0, 0, 'WITHSCORES')
  return { 'wait', next_[2] and math.max(1, tonumber(next_[2]) - now) or 1000000 }
end

if class == 'watched' then
  gap = watched_gap
elseif #ready > 100 then
  gap = 0
end
wait = math.max(b.last_lot + gap - now, short(b, class))
if wait > 0 then
  return { 'wait', math.ceil(wait) }
end

local version = pay(b, reads, lease)
flies(int(version), reads, lease)
redis.call('HSET', reads, 'last_lot', int(now))
for _, ticket in ipairs(lot) do
  redis.call('ZADD', due, int(now + lease), ticket)
end
return { 'read', int(version), int(now + lease), class, unpack(lot) }
