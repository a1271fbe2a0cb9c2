-- notify_forget: forget whose a row is.
-- keys   rows, unknown
-- args   row; a name that is nobody's
-- gives  1 = there was such a row
-- keeps  the row itself, under that name, so that candidates = sent + failed + skipped + unknown still.

local text = redis.call('HGET', KEYS[1], ARGV[1])
if not text then
  return 0
end
redis.call('HDEL', KEYS[1], ARGV[1])
redis.call('HSET', KEYS[1], ARGV[2], text)
redis.call('SREM', KEYS[2], ARGV[1])
return 1
