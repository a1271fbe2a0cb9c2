-- with: clock notify_time
-- notify_join: add tickets to a campaign, while none of its messages has gone out.
-- keys   campaign, announced, and its runs
-- args   its name; tickets
-- gives  1 = the tickets are announced, by it or by another one; 0 = it takes none any more: a message of it has gone out, or may
--        have, it is over or stopped, or there is no such campaign
-- keeps  a ticket that was announced before stays with the campaign that did so; none joins a message that somebody has already.

local campaign, announced = KEYS[1], KEYS[2]
local tickets, deadline, stopped, too_late =
  unpack(redis.call('HMGET', campaign, 'tickets', 'deadline', 'stopped_at', 'too_late'))
if not tickets or stopped or too_late == '1' or now >= tonumber(deadline) * 1e6 then
  return 0
end
for i = 3, #KEYS do
  if redis.call('HEXISTS', KEYS[i], 'started_at') == 1 then
    return 0
  end
end
local added = 0
for i = 2, #ARGV do
  if redis.call('HSETNX', announced, ARGV[i], ARGV[1]) == 1 then
    tickets = tickets .. ' ' .. ARGV[i]
    added = added + 1
  end
end
if added > 0 then
  redis.call('HSET', campaign, 'tickets', tickets)
  keep(campaign)
end
return 1
