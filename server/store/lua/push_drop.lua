-- push_drop: functions that read push subscriptions, and delete those that are not confirmed. Included by scripts whose first keys are:
-- keys   subscriptions, unconfirmed, first, senders
local SUBSCRIPTIONS, UNCONFIRMED, FIRST, SENDERS = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local now = tonumber(redis.call('TIME')[1])

-- A record: since when it is there, `confirmed` or `waiting`, the sender's hash and that of its keys ('-' = none), and the rest,
-- which only the store reads.
local function read_record(text)
  local at, state, sender, proof, rest = string.match(text, '^(%d+) (%a+) (%S+) (%S+) (.*)$')
  return { at = tonumber(at), confirmed = state == 'confirmed', sender = sender, proof = proof, rest = rest }
end

local function record_text(one)
  local state = one.confirmed and 'confirmed' or 'waiting'
  return string.format('%.0f %s %s %s %s', one.at, state, one.sender, one.proof, one.rest)
end

-- An unconfirmed one is counted for the address that it came from.
local function leave_unconfirmed(id, sender)
  redis.call('ZREM', FIRST, id)
  if redis.call('ZREM', UNCONFIRMED, id) == 1 and redis.call('HINCRBY', SENDERS, sender, -1) <= 0 then
    redis.call('HDEL', SENDERS, sender)
  end
end

local function drop(id)
  local text = redis.call('HGET', SUBSCRIPTIONS, id)
  leave_unconfirmed(id, text and read_record(text).sender or '-')
  redis.call('HDEL', SUBSCRIPTIONS, id)
end

-- A bounded number at a time: there is one call for each that is added.
local function drop_old(lasts)
  local old = redis.call('ZRANGEBYSCORE', UNCONFIRMED, '-inf', now - lasts, 'LIMIT', 0, 100)
  for _, id in ipairs(old) do
    drop(id)
  end
  return #old
end
