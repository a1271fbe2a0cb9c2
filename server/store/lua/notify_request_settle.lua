-- with: clock notify_request_rows
-- notify_request_settle: a worker has done a request, or could not.
-- keys   rows, due, waiting, parked, faults, reasons of what was given up, lately of the recipient
-- args   id; the claim's token; done | failed
--        of done: seconds in which the same opt-out is not kept again, 0 of a sign-up
--        of failed: why; seconds until the next try; seconds after which a request is parked; seconds that this is remembered
-- gives  settled | parked | lost (another worker has claimed it since)
-- keeps  what is done or parked leaves no content; a parked id and a reason stay for people, for a while.

local rows, due, waiting, parked, faults, given_up, lately = unpack(KEYS)
local id, claim, how = ARGV[1], ARGV[2], ARGV[3]
local text = redis.call('HGET', rows, id)
local row = text and read_request(text)
if not row or row.claim ~= claim then
  return 'lost'
end
local seconds = now / 1000000
local function remove()
  redis.call('HDEL', rows, id)
  redis.call('ZREM', due, id)
  redis.call('ZREM', waiting, id)
end

if how == 'done' then
  remove()
  redis.call('HDEL', faults, row.about)
  if tonumber(ARGV[4]) > 0 then
    redis.call('SET', lately, '1', 'EX', ARGV[4])
  end
  return 'settled'
end
local reason, wait, most, remembered = ARGV[4], tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7])
if tonumber(row.asked_at) + most > seconds then
  redis.call('HSET', faults, row.about, reason)
  redis.call('EXPIRE', faults, remembered)
  row.tries, row.claim = row.tries + 1, '-'
  redis.call('HSET', rows, id, request_text(row))
  redis.call('ZADD', due, string.format('%.6f', seconds + wait), id)
  return 'settled'
end
remove()
redis.call('HDEL', faults, row.about)
redis.call('HSET', given_up, row.about, reason)
redis.call('EXPIRE', given_up, remembered)
redis.call('ZADD', parked, string.format('%.6f', seconds), id)
redis.call('ZREMRANGEBYSCORE', parked, '-inf', string.format('%.6f', seconds - remembered))
redis.call('EXPIRE', parked, remembered)
return 'parked'
