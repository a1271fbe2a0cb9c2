-- budget: the site's token bucket, its pause and the order of its reads. Needs clock.
-- gives  budget(reads, due, capacity, refill, lease, longest pause)
--                                           the state of hash `reads`, with tokens refilled until now
--        no_call_for(b)                     microseconds for which no call may begin, or 0
--        no_token_for(b, priority)          microseconds until a call of this priority may take a token, or 0
--        pay(b, reads, lease)               takes a token; answers the version of the call, which may begin now
--        in_flight(lot, reads, lease)       this lot (its version, or '*' for a listing) is being read
-- Each priority leaves tokens to those above it: hinted reads may take the last token, watched ones leave 5, the rest
-- leaves 10. With capacity 20 and 3 tokens a second no minute sees more than 200 calls, and neither does Wix, where a call
-- may arrive long after it was paid for: a lot in flight, which has one call under way at most, keeps its token's place in
-- the bucket, and the place begins to fill only when the lot has ended. So calls under way, and calls that may begin at
-- once, are 20 together at any moment. Only where Redis loses the last payments (emptied, or failed over without the newest
-- writes), or its clock is set forward, the bucket seems fuller than it is: by 20 calls at most, in that one minute.
-- A clock that was set back stops a site for no longer than a fault can: times that are further ahead than any script sets
-- them are corrected, once, and the whole schedule is due. Some tickets are then read too early, which is harmless and gives
-- them a new due time; a sale that really starts later gets its old one.

local RESERVED = { hinted = 0, watched = 5, rest = 10 }

-- Microseconds: a smaller difference is no clock that was set back.
local SET_BACK = 1000000

local function budget(reads, due, capacity, refill, lease, longest)
  local got = {}
  local all = redis.call('HGETALL', reads)
  for i = 1, #all, 2 do
    got[all[i]] = all[i + 1]
  end
  local b = {
    refill = refill,
    last_call = tonumber(got.last_call or 0),
    last_lot = tonumber(got.last_lot or 0),
    paused_until = tonumber(got.paused_until or 0),
    faults = tonumber(got.faults or 0),
    version = tonumber(got.version or 0),
    probe = tonumber(got.probe or 0),
    small = tonumber(got.small or 0),
  }
  local filled_at = tonumber(got.filled_at or 0)
  local back = math.max(b.last_call, filled_at) - now
  local function at_most(name, value, most)
    if value > most then
      redis.call('HSET', reads, name, int(most))
    end
    return math.min(value, most)
  end
  b.last_call = at_most('last_call', b.last_call, now)
  b.last_lot = at_most('last_lot', b.last_lot, now)
  b.paused_until = at_most('paused_until', b.paused_until, now + longest)
  b.probe = at_most('probe', b.probe, now + lease)
  local level, at = tonumber(got.tokens or capacity), at_most('filled_at', filled_at, now)
  if back > SET_BACK then
    for _, member in ipairs(redis.call('ZRANGE', due, '(' .. int(now), '+inf', 'BYSCORE')) do
      redis.call('ZADD', due, int(now), member)
    end
  end
  -- `lot:<version>` is when the lot ended, or in the future the end of its lease: past that, its worker has died.
  local lots, ends = 0, {}
  for name, text in pairs(got) do
    if string.find(name, '^lot:') then
      lots = lots + 1
      local ended = at_most(name, tonumber(text), now + lease)
      if ended <= now then
        ends[#ends + 1] = ended
        redis.call('HDEL', reads, name)
      end
    end
  end
  table.sort(ends)
  local function fill(until_)
    level = math.min(capacity - lots, level + math.max(0, until_ - at) / 1000000 * refill)
    at = math.max(at, until_)
  end
  for _, ended in ipairs(ends) do
    fill(ended)
    lots = lots - 1
  end
  fill(now)
  if #ends > 0 then
    redis.call('HSET', reads, 'tokens', string.format('%.6f', level), 'filled_at', int(now))
  end
  b.tokens = level
  return b
end

local function no_call_for(b)
  local wait = math.max(0, b.paused_until - now)
  if b.faults > 0 then
    -- After a fault one call at a time tries whether Wix works again.
    wait = math.max(wait, b.probe - now)
  end
  return wait
end

local function no_token_for(b, priority)
  return math.max(0, (1 + RESERVED[priority] - b.tokens) / b.refill * 1000000)
end

local function pay(b, reads, lease)
  -- Given before the call begins, so a read that began later has the higher version, whatever the order of answers.
  -- The clock keeps versions rising even if Redis lost its data.
  local version = math.max(b.version + 1, now)
  redis.call('HSET', reads, 'tokens', string.format('%.6f', b.tokens - 1), 'filled_at', int(now),
    'last_call', int(now), 'version', int(version))
  if b.faults > 0 then
    redis.call('HSET', reads, 'probe', int(now + lease))
  end
  return version
end

local function in_flight(lot, reads, lease)
  redis.call('HSET', reads, 'lot:' .. lot, int(now + lease))
end
