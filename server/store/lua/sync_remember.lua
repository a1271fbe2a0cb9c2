-- sync_remember: remember what became of a ticket at a target.
-- keys   record, states
-- args   ticket, its state and event; then the fields and values of its record
-- gives  nothing
-- keeps  both in one step: a ticket without a state would be missing in all that counts tickets.

redis.call('HSET', KEYS[1], unpack(ARGV, 3))
redis.call('HSET', KEYS[2], ARGV[1], ARGV[2])
