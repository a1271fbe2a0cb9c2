-- with: clock
-- sync_claim: lease the ticket that is longest due at a target, or a certain one; extend that lease; settle.
-- keys   sync due
-- args   claim | extend | settle | look; ticket ('' = any); microseconds: of the lease, or until it is due next (-1 = not at all);
--        the lease end that the claim gave
-- gives  { ticket, lease end } of a claim, { '', microseconds until something is due } where nothing is (-1 = nothing at all);
--        1 or 0 of extend and settle: whether the lease still was this one
-- keeps  the lease is the ticket's due time, so the tickets of a process that died become due by themselves. A certain ticket is
--        claimed whenever it is due, unless another has it: then it is marked, so that the other comes to it once more.

local due = KEYS[1]
local how, ticket, lasts, lease = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
if how == 'claim' or how == 'look' then
  if ticket == '' then
    local first = redis.call('ZRANGE', due, 0, 0, 'WITHSCORES')
    if #first == 0 then
      return { '', -1 }
    elseif tonumber(first[2]) > now then
      return { '', int(tonumber(first[2]) - now) }
    end
    ticket = first[1]
  end
  if how == 'look' then
    return { ticket, 0 }
  end
  redis.call('ZADD', due, int(now + lasts), ticket)
  return { ticket, int(now + lasts) }
end
local at = redis.call('ZSCORE', due, ticket)
if not at or tonumber(at) ~= lease then
  return 0
end
if how == 'extend' then
  redis.call('ZADD', due, int(lasts), ticket)
elseif lasts < 0 then
  redis.call('ZREM', due, ticket)
else
  redis.call('ZADD', due, int(now + lasts), ticket)
end
return 1
