-- with: clock pause
-- settle: a read has ended; set when each of its tickets, or events, is due next.
-- keys   site, due, hinted, watched, reads, holds; for events their own due, hinted and watched
-- args   version of the read, its lease end (0 = nothing was claimed: only tickets that have no due time and
--        are tracked get one),
--        outcome: good | fault | none (the answer says nothing about Wix's health) | events (a good answer, of events:
--        it says nothing about lots of tickets);
--        of a fault: Retry-After in microseconds (-1 = none given), a random number in [0, 1);
--        microseconds: watch every, watch slowly every, reconcile, again, the three settle times;
--        Wix calls a second that watching may use; most microseconds of a pause; what was wrong, for people;
--        then four a ticket: id, pace (live | slow | dead | never | again), sale start, sale end ('' = none)
-- gives  microseconds for which the site is paused; 0 for an unknown site (nothing was written)
-- keeps  a ticket that is due now was marked meanwhile: its due time stays. A version, which is when the read began, may be
--        in the future after a clock was set back; due times are counted from now then. Wix's read model may lag its
--        webhooks, so a hint, a hold's end and a sale's start or end are followed by reads until the last settle time has
--        passed. A fault pauses the site (pause.lua), never a ticket: its tickets are due now, the pause delays them, and the
--        next lots are small (claim).

local site, due, hinted, watched, reads, holds = unpack(KEYS)
if redis.call('EXISTS', site) == 0 then
  return 0
end
local began, lease, outcome = math.min(tonumber(ARGV[1]), now), tonumber(ARGV[2]), ARGV[3]
local every, slow, reconcile, again = tonumber(ARGV[6]), tonumber(ARGV[7]), tonumber(ARGV[8]), tonumber(ARGV[9])
local steps = { tonumber(ARGV[10]), tonumber(ARGV[11]), tonumber(ARGV[12]) }
local calls, longest = tonumber(ARGV[13]), tonumber(ARGV[14])
local FIXED = 15

local all = redis.call('HGET', site, 'all') == '1'
local any_holds = redis.call('EXISTS', holds) == 1
every = math.max(every, redis.call('ZCOUNT', watched, int(now), '+inf') / (100 * calls) * 1000000)

local function next_due(ticket, pace, start, stop)
  local at = nil
  local function at_least(t)
    if not at or t < at then
      at = t
    end
  end
  local function steps_after(base)
    for _, step in ipairs(steps) do
      -- Only a read that began after a step completes it.
      if base + step > began then
        at_least(base + step)
        return true
      end
    end
    return false
  end

  local hint = redis.call('ZSCORE', hinted, ticket)
  if hint and tonumber(hint) > now then
    hint = now
    redis.call('ZADD', hinted, int(hint), ticket)
  end
  if hint and not steps_after(tonumber(hint)) then
    redis.call('ZREM', hinted, ticket)
  end
  if any_holds then
    -- Members are `ticket:end`, all with one score, and so sorted by their ends.
    local first, moment = '[' .. ticket .. ':', #ticket + 2
    local passed = redis.call('ZREVRANGEBYLEX', holds, first .. int(began), first, 'LIMIT', 0, 1)[1]
    if passed then
      local steps_left = steps_after(tonumber(string.sub(passed, moment)))
      redis.call('ZREMRANGEBYLEX', holds, first, (steps_left and '(' or '[') .. passed)
    end
    local coming = redis.call('ZRANGEBYLEX', holds, '(' .. ticket .. ':' .. int(began), '(' .. ticket .. ';', 'LIMIT', 0, 1)[1]
    if coming then
      at_least(tonumber(string.sub(coming, moment)))
    end
  end
  if pace == 'again' then
    at_least(began + again)
    return at
  end
  for _, text in ipairs({ start, stop }) do
    local moment = tonumber(text)
    if moment and moment > began then
      at_least(moment)
    elseif moment then
      steps_after(moment)
    end
  end
  if pace ~= 'never' then
    local until_ = redis.call('ZSCORE', watched, ticket)
    if until_ and tonumber(until_) > now then
      at_least(began + (pace == 'live' and every or slow))
    end
    if all and pace ~= 'dead' then
      at_least(began + reconcile)
    end
  end
  return at
end

for i = FIXED + 1, #ARGV, 4 do
  local ticket = ARGV[i]
  local score = redis.call('ZSCORE', due, ticket)
  local wanted = lease == 0 and not score and (all or redis.call('ZSCORE', watched, ticket))
  score = tonumber(score or 0)
  -- First watched after it was claimed: watch has lowered its due time, and it may have to be read sooner still.
  local watched_since = now < score and score < lease
  if wanted or watched_since or (lease > 0 and score == lease) then
    local at = now
    if outcome ~= 'fault' then
      at = next_due(ticket, ARGV[i + 1], ARGV[i + 2], ARGV[i + 3])
    end
    if watched_since then
      redis.call('ZADD', due, 'LT', int(at or score), ticket)
    elseif at then
      redis.call('ZADD', due, int(at), ticket)
    else
      redis.call('ZREM', due, ticket)
    end
  end
end
redis.call('ZREMRANGEBYSCORE', watched, '-inf', int(now - 86400000000))
if redis.call('HEXISTS', reads, 'lot:' .. ARGV[1]) == 1 then
  redis.call('HSET', reads, 'lot:' .. ARGV[1], int(now))
end

if lease > 0 then
  local small = tonumber(redis.call('HGET', reads, 'small') or 0)
  if outcome == 'good' and small > 0 then
    redis.call('HSET', reads, 'small', small - 1)
  elseif outcome == 'fault' then
    redis.call('HSET', reads, 'small', math.min(4, small + 1))
  end
end
-- Whatever the outcome, the next call may try: the result of a call without one will never be known.
redis.call('HSET', reads, 'probe', 0)
if outcome == 'good' or outcome == 'events' then
  redis.call('HSET', reads, 'faults', 0)
elseif outcome == 'fault' then
  return pause(reads, tonumber(ARGV[4]), tonumber(ARGV[5]), longest, ARGV[15])
end
return 0
