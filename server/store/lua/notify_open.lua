-- with: clock notify_time
-- notify_open: open a campaign, or record one that was missed.
-- keys   campaign, campaigns, announced
-- args   its name and start; 1 = tickets that were announced before are announced again; how many tickets; the tickets; then its
--        fields and their values
-- gives  'opened', 'taken' = there is a campaign of this name, 'announced' = one of its tickets was announced before
-- keeps  a ticket is announced by one campaign, however many processes open one at the same time.

local campaign, campaigns, announced = unpack(KEYS)
local name, start, again, count = ARGV[1], ARGV[2], ARGV[3] == '1', tonumber(ARGV[4])
for i = 5, 4 + count do
  if not again and redis.call('HEXISTS', announced, ARGV[i]) == 1 then
    return 'announced'
  end
end
if redis.call('EXISTS', campaign) == 1 then
  return 'taken'
end
redis.call('HSET', campaign, 'opened_at', seconds(), unpack(ARGV, 5 + count))
for i = 5, 4 + count do
  redis.call('HSET', announced, ARGV[i], name)
end
redis.call('ZADD', campaigns, start, name)
-- What is not kept any more is not listed either; a campaign may be written to for some time after its start.
redis.call('ZREMRANGEBYSCORE', campaigns, '-inf', '(' .. seconds(now - 2 * 7776000 * 1e6))
keep(campaign)
return 'opened'
