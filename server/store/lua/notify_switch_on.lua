-- with: clock notify_time
-- notify_switch_on: since when an event is announced at all.
-- keys   events
-- args   event
-- gives  when notify was first switched on for it
-- keeps  the first time for good: what went on sale before it is never announced.

redis.call('HSETNX', KEYS[1], ARGV[1], seconds())
return redis.call('HGET', KEYS[1], ARGV[1])
