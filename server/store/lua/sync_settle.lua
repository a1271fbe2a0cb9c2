-- with: clock
-- sync_settle: a claimed ticket was brought to its target, or the lease has to go on.
-- keys   sync due, sync leased
-- args   ticket, lease end of the claim; extend | done; microseconds: that the lease lasts from now, or until the ticket is due
--        next (-1 = not before it is marked)
-- gives  the new lease end of extend, 0 where another has it; of done 1, or 0 where another has it
-- keeps  a ticket that was marked meanwhile is due at the time of that mark, or before.

local due, leased = KEYS[1], KEYS[2]
local ticket, lease, how, lasts = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
local has = redis.call('ZSCORE', leased, ticket)
if not has or tonumber(has) ~= tonumber(lease) then
  return 0
elseif how == 'extend' then
  redis.call('ZADD', leased, int(now + lasts), ticket)
  return int(now + lasts)
end
redis.call('ZREM', leased, ticket)
if lasts >= 0 then
  redis.call('ZADD', due, 'LT', int(now + lasts), ticket)
end
return 1
