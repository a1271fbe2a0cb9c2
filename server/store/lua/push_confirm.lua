-- with: push_drop
-- push_confirm: the token of a first push came back, so its subscription counts.
-- keys   subscriptions, unconfirmed, first, senders, asked, confirmed, the event's
-- args   its id, and since when it is there, as the token says
-- gives  1 = it counts, 0 = there is none of this id and time
local ASKED, CONFIRMED, EVENT = KEYS[5], KEYS[6], KEYS[7]
local id, at = ARGV[1], tonumber(ARGV[2])

local text = redis.call('HGET', SUBSCRIPTIONS, id)
local kept = text and read_record(text)
if not kept or kept.at ~= at then
  return 0
end
if not kept.confirmed then
  leave_unconfirmed(id, kept.sender)
  redis.call('ZADD', ASKED, now, id .. ' ' .. kept.proof)
  kept.sender, kept.proof, kept.confirmed = '-', '-', true
  redis.call('ZADD', CONFIRMED, now, id)
  redis.call('ZADD', EVENT, 0, id)
  redis.call('HSET', SUBSCRIPTIONS, id, record_text(kept))
end
return 1
