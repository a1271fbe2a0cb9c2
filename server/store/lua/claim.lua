-- with: clock budget gap event_lot
-- claim: lease the due tickets that one Wix query can read.
-- keys   site, due, hinted, watched, reads, claimed, events_due, events_hinted, events_watched
-- args   capacity, refill a second; microseconds: lease, longest pause, read gap, gap of watched reads;
--        rules of the worker; tokens from which fresh hints need no gap
-- gives  { 'read', version, lease end, priority, tickets… } at most 100: hinted first, then watched, then the rest
--        { 'events', version, lease end, priority, events… } at most 100, which come before tickets (event_lot.lua)
--        { 'list', lease end }                              the whole site is to be listed
--        { 'wait', microseconds }                           as things stand something may be read then, and not before
--        { 'other_rules', microseconds }                    the same, because the site has other rules than the worker
-- keeps  the lease is the ticket's due time, so the tickets of a worker that dies become due by themselves. The version is
--        given here, before the call. Lots that only keep watched tickets fresh have a gap of their own: they use at most
--        half the budget, however many are watched. The pages of a listing do not count for either gap. The gaps are those
--        of gap.lua: a later read after a hint begins no lot without one, but is taken along in the lot of a fresh hint. A
--        listing is leased as a ticket is: extend keeps it from page to page. After a fault a lot is a quarter as large,
--        after a good answer four times as large again, and tickets of a failed lot come last: so one ticket that Wix cannot
--        answer for does not block the others. A worker with other rules than the site gets nothing: its read would be
--        refused, and the hint would be used up.

local site, due, hinted, watched, reads, claimed, events_due, events_hinted, events_watched = unpack(KEYS)
if redis.call('EXISTS', site) == 0 then
  return { 'wait', 1000000 }
elseif redis.call('HGET', site, 'rules') ~= ARGV[7] then
  return { 'other_rules', 1000000 }
end
local lease, longest = tonumber(ARGV[3]), tonumber(ARGV[4])
local gaps = { lot = tonumber(ARGV[5]), watched = tonumber(ARGV[6]), no_gap_from = tonumber(ARGV[8]) }
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

local event_keys = { events_due, events_hinted, events_watched, reads }
local events, events_priority, events_open = event_lot(b, event_keys, site, lease, gaps.lot, gaps.watched)
if events then
  local version = pay(b, reads, lease)
  in_flight(int(version), reads, lease)
  return { 'events', int(version), int(now + lease), events_priority, unpack(events) }
end

local RANK = { fresh = 1, hinted = 2, watched = 3, rest = 4 }
local PRIORITY = { fresh = 'hinted', hinted = 'hinted', watched = 'watched', rest = 'rest' }
local most = math.max(1, math.floor(100 / 4 ^ b.small))
local lot, seen, kind, since = {}, {}, 'rest', math.huge
local function add(one)
  local ticket, as = one.ticket, one.kind
  if #lot < most and not seen[ticket] then
    seen[ticket] = true
    lot[#lot + 1] = ticket
    if RANK[as] < RANK[kind] then
      kind = as
    end
    if as == 'fresh' then
      since = math.min(since, one.due)
    end
  end
end

-- A mark only ever lowers a due time, so a ticket due after its last hint has been claimed for that one.
local function hinted_as(due_at, hinted_at)
  return due_at <= hinted_at and 'fresh' or 'hinted'
end

-- The due tickets that may be read as far as their own last read is concerned, and those that were claimed too lately.
local lately = claimed_lately(claimed, gaps.lot)
local ready, held = {}, {}
local at = redis.call('ZRANGE', due, '-inf', int(now), 'BYSCORE', 'LIMIT', 0, 1000, 'WITHSCORES')
if #at > 0 then
  local found = {}
  for i = 1, #at, 2 do
    found[#found + 1] = { ticket = at[i], due = tonumber(at[i + 1]) }
  end
  local names = {}
  for i, one in ipairs(found) do
    names[i] = one.ticket
  end
  local hinted_at = redis.call('ZMSCORE', hinted, unpack(names))
  local watched_until = redis.call('ZMSCORE', watched, unpack(names))
  for i, one in ipairs(found) do
    local is_watched = watched_until[i] and tonumber(watched_until[i]) > now
    one.kind = hinted_at[i] and hinted_as(one.due, tonumber(hinted_at[i])) or is_watched and 'watched' or 'rest'
    local to = lately[one.ticket] and held or ready
    to[#to + 1] = one
  end
end

if b.small > 0 then
  -- In the order in which they are due, whatever their priority: else one that fails again and again would always be first.
  for _, one in ipairs(ready) do
    add(one)
  end
else
  -- The tickets with the oldest hints are looked up separately: behind a backlog of thousands they would not be among the
  -- first due. Those due with newer hints come from `ready`: a thousand with older hints may only wait for their next steps.
  local waiting = {}
  local first = redis.call('ZRANGE', hinted, 0, 999, 'WITHSCORES')
  if #first > 0 then
    local names = {}
    for i = 1, #first, 2 do
      names[#names + 1] = first[i]
    end
    local due_at = redis.call('ZMSCORE', due, unpack(names))
    for i, ticket in ipairs(names) do
      local its = tonumber(due_at[i] or now + 1)
      if its <= now and not lately[ticket] then
        waiting[#waiting + 1] = { ticket = ticket, due = its, kind = hinted_as(its, tonumber(first[2 * i])) }
      end
    end
  end
  for _, one in ipairs(ready) do
    if PRIORITY[one.kind] == 'hinted' then
      waiting[#waiting + 1] = one
    end
  end
  -- The longest due comes first, so a ticket that is hinted at again and again keeps its place and takes no other's.
  table.sort(waiting, function(a, b)
    if a.due ~= b.due then
      return a.due < b.due
    end
    return a.ticket < b.ticket
  end)
  for _, one in ipairs(waiting) do
    add(one)
  end
  for _, as in ipairs({ 'watched', 'rest' }) do
    for _, one in ipairs(ready) do
      if one.kind == as then
        add(one)
      end
    end
  end
end

-- When a lot of this kind may be claimed, with regard to the site's last lot and the budget.
local function moment(kind)
  local after_gap = gap_end(b, kind, gaps)
  if #ready > 100 and kind ~= 'watched' then
    after_gap = now
  end
  return math.max(after_gap, now + no_token_for(b, PRIORITY[kind]))
end

local opens = #lot > 0 and moment(kind) or math.huge
if kind == 'fresh' and #ready <= 100 then
  local ends = math.huge
  for _, one in ipairs(held) do
    if one.kind == 'fresh' then
      ends = math.min(ends, lately[one.ticket] + gaps.lot)
    end
  end
  opens = joined(b, math.max(opens, now), since, ends, gaps)
end
if opens > now then
  for _, one in ipairs(held) do
    opens = math.min(opens, math.max(lately[one.ticket] + gaps.lot, moment(one.kind)))
  end
  -- What becomes due next is the listing, which waits for nothing, or a read of a ticket, which is not fresh.
  local coming = redis.call('ZRANGE', due, '(' .. int(now), '+inf', 'BYSCORE', 'LIMIT', 0, 2, 'WITHSCORES')
  for i = 1, #coming, 2 do
    local its = tonumber(coming[i + 1])
    opens = math.min(opens, coming[i] == '*' and its or math.max(its, moment('hinted')))
  end
  opens = math.min(opens, events_open)
  return { 'wait', opens < math.huge and math.max(1, math.ceil(opens - now)) or 1000000 }
end

local priority = PRIORITY[kind]
local version = pay(b, reads, lease)
in_flight(int(version), reads, lease)
redis.call('HSET', reads, 'last_lot', int(now))
claimed_now(claimed, gaps.lot, lot)
for _, ticket in ipairs(lot) do
  redis.call('ZADD', due, int(now + lease), ticket)
end
return { 'read', int(version), int(now + lease), priority, unpack(lot) }
