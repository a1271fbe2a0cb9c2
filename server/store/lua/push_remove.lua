-- with: push_drop
-- push_remove: delete a push subscription, whatever its state.
-- keys   subscriptions, unconfirmed, first, senders, confirmed, the event's
-- args   its id
-- gives  1 = it was there
local CONFIRMED, EVENT = KEYS[5], KEYS[6]
local id = ARGV[1]

local there = redis.call('HEXISTS', SUBSCRIPTIONS, id)
drop(id)
redis.call('ZREM', CONFIRMED, id)
redis.call('ZREM', EVENT, id)
return there
