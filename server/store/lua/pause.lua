-- pause: a fault of Wix pauses the site. Needs clock.
-- gives  pause(reads, retry_after, chance, longest, fault)
--                                  pauses all reads of the site; answers the microseconds from now to the end of the pause.
--                                  retry_after and longest are microseconds (retry_after -1 = Wix named no time), chance
--                                  is a random number in [0, 1), fault says what was wrong, for people
-- Without Retry-After the pause is a random part of 2, 4, then 8 s with each fault in a row (back-off with full jitter), and
-- counts from the beginning of the last call: one that timed out has waited already. A pause is never shortened.

local function pause(reads, retry_after, chance, longest, fault)
  local faults = redis.call('HINCRBY', reads, 'faults', 1)
  local was = redis.call('HMGET', reads, 'last_call', 'paused_until')
  local length = retry_after
  if length < 0 then
    local waited = now - math.min(now, tonumber(was[1] or now))
    length = math.max(0, chance * math.min(8, 2 ^ faults) * 1000000 - waited)
  end
  length = math.min(length, longest)
  local until_ = math.max(now + length, tonumber(was[2] or 0))
  until_ = math.min(until_, now + longest)
  redis.call('HSET', reads, 'paused_until', int(until_), 'fault', fault)
  return until_ - now
end
