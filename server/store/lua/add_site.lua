-- with: clock
-- add_site: add a site, or change its settings.
-- keys   site, due, then those that began to expire when the site was removed
-- args   rules, 1 = every ticket is tracked, watched or not; the channel that wakes workers
-- gives  1 if this made its listing due, else 0
-- keeps  the settings are stored and the listing is made due in one step: a process that dies here leaves no site that is
--        never listed. Where only watched tickets are tracked, only viewers make a listing due (watch).

local site, due = KEYS[1], KEYS[2]
local rules, all, wake = ARGV[1], ARGV[2], ARGV[3]
local was = redis.call('HMGET', site, 'rules', 'all')
if was[1] == rules and was[2] == all then
  return 0
end
redis.call('HSET', site, 'exists', 1, 'rules', rules, 'all', all)
for k = 3, #KEYS do
  redis.call('PERSIST', KEYS[k])
end
if all ~= '1' then
  redis.call('ZREM', due, '*')
  return 0
end
redis.call('ZADD', due, int(now), '*')
redis.call('PUBLISH', wake, string.match(site, '{(.-)}'))
return 1
