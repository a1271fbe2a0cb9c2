-- with: clock
-- sync_claim: lease the ticket that is longest due at a target, or a certain one.
-- keys   sync due, sync leased
-- args   ticket ('' = the longest due); microseconds that the lease lasts; 1 = only look which ticket is due
-- gives  { 'claimed', ticket, lease end }; { 'due', ticket } of a look
--        { 'wait', microseconds until something is due } or, where nothing ever is, { 'wait', -1 }
--        { 'busy', microseconds } of a certain ticket that another has leased
-- keeps  a ticket whose lease has ended, since its process died, is claimed before those that are due. A lease that ends later
--        than one that is given now was given before the clock was set back, and counts as ended.

local due, leased = KEYS[1], KEYS[2]
local ticket, lasts, look = ARGV[1], tonumber(ARGV[2]), ARGV[3] == '1'

local leases, ended, soonest = {}, nil, nil
local found = redis.call('ZRANGE', leased, 0, -1, 'WITHSCORES')
for i = 1, #found, 2 do
  local ends = tonumber(found[i + 1])
  if ends > now and ends <= now + lasts then
    leases[found[i]] = ends
    soonest = math.min(soonest or ends, ends)
  else
    ended = ended or found[i]
  end
end

if ticket ~= '' and leases[ticket] then
  return { 'busy', int(leases[ticket] - now) }
elseif ticket == '' then
  ticket = ended
  -- Of those that are longest due as many may be leased, and marked again, as there are leases.
  local first = ticket and {} or redis.call('ZRANGE', due, 0, #found / 2, 'WITHSCORES')
  for i = 1, #first, 2 do
    if not leases[first[i]] then
      local at = tonumber(first[i + 1])
      ticket = at <= now and first[i] or nil
      soonest = math.min(soonest or at, at)
      break
    end
  end
  if not ticket then
    return { 'wait', soonest and int(soonest - now) or '-1' }
  elseif look then
    return { 'due', ticket }
  end
end
redis.call('ZREM', due, ticket)
redis.call('ZADD', leased, int(now + lasts), ticket)
return { 'claimed', ticket, int(now + lasts) }
