-- with: clock notify_request_rows
-- notify_request_claim: give the request that is longest due to one worker.
-- keys   rows, due
-- args   the claim's token; seconds that the claim lasts
-- gives  id and row, or nothing where none is due
-- keeps  a claim ends by itself: the request of a worker that died is due again.

local rows, due = KEYS[1], KEYS[2]
local seconds = now / 1000000
while true do
  local id = redis.call('ZRANGEBYSCORE', due, '-inf', string.format('%.6f', seconds), 'LIMIT', 0, 1)[1]
  if not id then
    return false
  end
  local text = redis.call('HGET', rows, id)
  if text then
    local row = read_request(text)
    row.claim = ARGV[1]
    text = request_text(row)
    redis.call('HSET', rows, id, text)
    redis.call('ZADD', due, string.format('%.6f', seconds + tonumber(ARGV[2])), id)
    return { id, text }
  end
  redis.call('ZREM', due, id)
end
