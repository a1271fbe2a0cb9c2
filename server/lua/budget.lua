-- budget: the site's token bucket, its pause and the order of its reads. Needs clock.
-- gives  budget(reads, due, capacity, refill, lease, longest pause)
--                                           the state of hash `reads`, tokens refilled until now
--        held(b)                            microseconds for which no call may start at all, or 0
--        short(b, class)                    microseconds until this class may take a token, or 0
--        pay(b, reads, lease)               takes a token; answers the version of the call that may start now
-- A class leaves something for those before it: hinted reads may take the last token, watched ones leave 5, the
-- rest leaves 10. With capacity 20 and 3 tokens a second no minute sees more than 200 calls.
-- A clock that was set back holds a site for no longer than a fault may: what is stored further ahead than anything
-- sets it is brought back, once, and the whole schedule is due. Some of it is then read too early, which is harmless
-- and gives it a new time; a sale start that is really to come gets its old one.

local LEAVES = { hinted = 0, watched = 5, rest = 10 }

local SET_BACK = 1000000

local function budget(reads, due, capacity, refill, lease, longest)
  local got = redis.call('HMGET', reads, 'tokens', 'filled_at', 'last_call', 'paused_until', 'faults', 'version', 'probe')
  local b = {
    refill = refill,
    last_call = tonumber(got[3] or 0),
    paused_until = tonumber(got[4] or 0),
    faults = tonumber(got[5] or 0),
    version = tonumber(got[6] or 0),
    probe = tonumber(got[7] or 0),
  }
  local filled_at = tonumber(got[2] or now)
  local back = math.max(b.last_call, filled_at) - now
  local function at_most(name, value, most)
    if value > most then
      redis.call('HSET', reads, name, int(most))
    end
    return math.min(value, most)
  end
  b.last_call = at_most('last_call', b.last_call, now)
  b.paused_until = at_most('paused_until', b.paused_until, now + longest)
  b.probe = at_most('probe', b.probe, now + lease)
  local since = (now - at_most('filled_at', filled_at, now)) / 1000000
  if back > SET_BACK then
    for _, member in ipairs(redis.call('ZRANGE', due, '(' .. int(now), '+inf', 'BYSCORE')) do
      redis.call('ZADD', due, int(now), member)
    end
  end
  b.tokens = math.min(capacity, tonumber(got[1] or capacity) + since * refill)
  return b
end

local function held(b)
  local wait = math.max(0, b.paused_until - now)
  if b.faults > 0 then
    -- After a fault one call at a time asks whether Wix is well again.
    wait = math.max(wait, b.probe - now)
  end
  return wait
end

local function short(b, class)
  return math.max(0, (1 + LEAVES[class] - b.tokens) / b.refill * 1000000)
end

local function pay(b, reads, lease)
  -- Given before the call begins, so a read that began later has the higher version, whatever the order of
  -- answers. The clock keeps it rising even if Redis lost its data.
  local version = math.max(b.version + 1, now)
  redis.call('HSET', reads, 'tokens', string.format('%.6f', b.tokens - 1), 'filled_at', int(now),
    'last_call', int(now), 'version', int(version))
  if b.faults > 0 then
    redis.call('HSET', reads, 'probe', int(now + lease))
  end
  return version
end
