-- with: clock
-- sync_claim: lease the ticket that is longest due at a target, or a certain one.
-- keys   sync due, sync leased
-- args   ticket ('' = the longest due); microseconds that the lease lasts; 1 = only look which ticket is due
-- gives  { 'claimed', ticket, lease end }; { 'due', ticket } of a look
--        { 'wait', microseconds until something is due } or, where nothing ever is, { 'wait', -1 }
--        { 'busy', microseconds } of a certain ticket that another has leased
-- keeps  the lease is the ticket's due time, so the tickets of a process that died become due by themselves.

local due, leased = KEYS[1], KEYS[2]
local ticket, lasts, look = ARGV[1], tonumber(ARGV[2]), ARGV[3] == '1'
if ticket == '' then
  local first = redis.call('ZRANGE', due, 0, 0, 'WITHSCORES')
  if #first == 0 then
    return { 'wait', '-1' }
  elseif tonumber(first[2]) > now then
    return { 'wait', int(tonumber(first[2]) - now) }
  end
  ticket = first[1]
  if look then
    return { 'due', ticket }
  end
end
local ends = tonumber(redis.call('ZSCORE', leased, ticket) or 0)
if ends > now and ends <= now + lasts then
  -- It was marked: it stays so, and is due after the lease.
  redis.call('ZADD', due, 'GT', int(ends + 1), ticket)
  return { 'busy', int(ends - now) }
end
redis.call('ZADD', due, int(now + lasts), ticket)
redis.call('ZADD', leased, int(now + lasts), ticket)
return { 'claimed', ticket, int(now + lasts) }
