-- with: push_drop
-- push_subscribe: keep a browser's push subscription until it is confirmed.
-- keys   subscriptions, unconfirmed, first, senders, asked, confirmed, the event's
-- args   the rest of the record, the sender's hash, the hash of its keys; seconds that unconfirmed ones, and questions, last; most
--        unconfirmed, most of a sender, most in all; its id under each key of ours, the newest first
-- gives  confirmed, waiting, asked, crowded or full
-- keeps  one that is there changes nothing, so that who knows an endpoint cannot replace its keys
local ASKED, CONFIRMED, EVENT = KEYS[5], KEYS[6], KEYS[7]
local rest, sender, proof = ARGV[1], ARGV[2], ARGV[3]
local lasts, day = tonumber(ARGV[4]), tonumber(ARGV[5])
local most_unconfirmed, most_of_sender, most = tonumber(ARGV[6]), tonumber(ARGV[7]), tonumber(ARGV[8])

drop_old(lasts)
redis.call('ZREMRANGEBYSCORE', ASKED, '-inf', now - day)

for i = 9, #ARGV do
  local text = redis.call('HGET', SUBSCRIPTIONS, ARGV[i])
  if text then
    return read_record(text).confirmed and 'confirmed' or 'waiting'
  end
end

local proven, asked = false, false
for i = 9, #ARGV do
  proven = proven or redis.call('ZSCORE', ASKED, ARGV[i] .. ' ' .. proof)
  asked = asked or redis.call('ZSCORE', ASKED, ARGV[i])
end
if asked and not proven then
  return 'asked'
end
if redis.call('HLEN', SUBSCRIPTIONS) - redis.call('ZCARD', UNCONFIRMED) >= most then
  return 'full'
end

local id, kept = ARGV[9], { at = now, confirmed = false, sender = '-', proof = '-', rest = rest }
if proven then
  -- Its first push came back today, before it left.
  kept.confirmed = true
  redis.call('ZADD', CONFIRMED, now, id)
  redis.call('ZADD', EVENT, 0, id)
else
  if tonumber(redis.call('HGET', SENDERS, sender) or 0) >= most_of_sender then
    return 'crowded'
  end
  -- The oldest makes room: a real one is confirmed within seconds.
  while redis.call('ZCARD', UNCONFIRMED) >= most_unconfirmed do
    drop(redis.call('ZRANGE', UNCONFIRMED, 0, 0)[1])
  end
  kept.sender, kept.proof = sender, proof
  redis.call('HINCRBY', SENDERS, sender, 1)
  redis.call('ZADD', UNCONFIRMED, now, id)
  redis.call('ZADD', FIRST, now, id)
end
redis.call('HSET', SUBSCRIPTIONS, id, record_text(kept))
return proven and 'confirmed' or 'waiting'
