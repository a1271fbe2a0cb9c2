-- sync_remember: remember what became of a ticket at a target, or forget it.
-- keys   record, states
-- args   ticket, its state and event; then the fields and values of its record (none = forget it)
-- gives  nothing
-- keeps  both in one step: a ticket without a state would be missing in all that counts tickets.

local record, states = KEYS[1], KEYS[2]
if #ARGV == 2 then
  redis.call('DEL', record)
  redis.call('HDEL', states, ARGV[1])
else
  redis.call('HSET', record, unpack(ARGV, 3))
  redis.call('HSET', states, ARGV[1], ARGV[2])
end
