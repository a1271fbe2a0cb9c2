-- with: clock notify_request_rows
-- notify_request: keep what a visitor asked of notify, until a worker has done it.
-- keys   rows, due, waiting, parked, lately of the recipient, asked by the sender
-- args   opt-out | sign-up; id; encrypted content; what it is about; how many may wait
--        of a sign-up then: how often a recipient, and how often a sender, may ask, and in how many seconds each
-- gives  kept | again (it waits, or was done lately) | crowded (this sender asked too often) | full
-- keeps  a recipient's request of one kind about one thing is there once, however often it is asked.

local rows, due, waiting, parked, lately, sender = unpack(KEYS)
local kind, id, content, about, most = ARGV[1], ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[5])
local at = string.format('%.6f', now / 1000000)

if kind == 'sign-up' then
  local each, of_sender, day, hour = tonumber(ARGV[6]), tonumber(ARGV[7]), ARGV[8], ARGV[9]
  local asked = redis.call('INCR', sender)
  if asked == 1 then
    redis.call('EXPIRE', sender, hour)
  elseif asked > of_sender then
    return 'crowded'
  end
  if redis.call('HEXISTS', rows, id) == 1 or redis.call('SISMEMBER', lately, about) == 1
    or redis.call('SCARD', lately) >= each then
    return 'again'
  elseif redis.call('ZCARD', waiting) >= most then
    return 'full'
  end
  redis.call('SADD', lately, about)
  if redis.call('TTL', lately) < 0 then
    redis.call('EXPIRE', lately, day)
  end
else
  if redis.call('HEXISTS', rows, id) == 1 or redis.call('EXISTS', lately) == 1 then
    return 'again'
  elseif redis.call('ZCARD', waiting) >= most then
    return 'full'
  end
end
redis.call('HSET', rows, id, request_text({ asked_at = at, tries = 0, claim = '-', content = content, about = about }))
redis.call('ZADD', due, at, id)
redis.call('ZADD', waiting, at, id)
redis.call('ZREM', parked, id)
return 'kept'
