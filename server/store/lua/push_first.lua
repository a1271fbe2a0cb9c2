-- push_first: claim push subscriptions whose first push is due, for one worker.
-- keys   subscriptions, first
-- args   the seconds that a claim lasts, how many at most
-- gives  ids and records, in turn
-- keeps  one whose claim ends without a result is due again
local now = tonumber(redis.call('TIME')[1])
local found = {}
for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', now, 'LIMIT', 0, ARGV[2])) do
  local record = redis.call('HGET', KEYS[1], id)
  if record then
    redis.call('ZADD', KEYS[2], now + ARGV[1], id)
    found[#found + 1] = id
    found[#found + 1] = record
  else
    redis.call('ZREM', KEYS[2], id)
  end
end
return found
