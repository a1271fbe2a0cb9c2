-- notify_progress: how far a campaign is on one channel.
-- keys   run, rows, waiting
-- args   none
-- gives  the fields and values of the run; how many rows there are; the first that waits, and when it is tried, or nothing
-- keeps  all of the same moment, so that the numbers add up.

return {
  redis.call('HGETALL', KEYS[1]), redis.call('HLEN', KEYS[2]), redis.call('ZRANGE', KEYS[3], 0, 0, 'WITHSCORES'),
}
