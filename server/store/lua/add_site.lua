-- with: clock
-- add_site: add a site, or change its settings.
-- keys   site, due, watched, then those that began to expire when the site was removed
-- args   rules, 1 = every ticket is tracked, watched or not; the channel that wakes workers; the contract of these rules; why it
--        is added (settings | added | installed, '' = it was known)
-- gives  1 if this made its listing due, else 0
-- keeps  the settings are stored and the listing is made due in one step: a process that dies here leaves no site that is
--        never listed. Where only watched tickets are tracked, only viewers make a listing due (watch). Events that were read
--        before are read again before their tickets are shown (rules_at): meanwhile a worker of another version may have
--        read the tickets, and no event. Counters of another contract are no longer anybody's: an older version may offer
--        tickets that this one knows cannot be bought, so its web processes show `unknown` from their next look on, and not
--        only when a worker has read each ticket. Older versions leave `contract` as it is, so it names its rules. An origin
--        replaces only a weaker one, and none only where the site is new or the origin is not `settings`: a site that stands
--        in the settings may also be an installation that an older version stored, which has to outlast them.

local site, due, watched = KEYS[1], KEYS[2], KEYS[3]
local rules, all, wake, contract, origin = unpack(ARGV)
local was = redis.call('HMGET', site, 'rules', 'all', 'contract', 'origin')
redis.call('HSET', site, 'contract', contract .. ':' .. rules)
local rank = { settings = 1, added = 2, installed = 3 }
if origin ~= '' and rank[origin] > (rank[was[4]] or (was[1] and 1 or 0)) then
  redis.call('HSET', site, 'origin', origin)
end
if origin == 'settings' then
  redis.call('HSET', site, 'in_settings_at', int(now))
end
if was[1] == rules and was[2] == all then
  return 0
end
redis.call('HSET', site, 'exists', 1, 'rules', rules, 'all', all)
for k = 4, #KEYS do
  redis.call('PERSIST', KEYS[k])
end
if was[1] ~= rules then
  redis.call('HSET', site, 'rules_at', int(now))
  if was[1] and was[3] ~= contract .. ':' .. was[1] then
    local prefix = string.gsub(site, 'site$', '') .. 'ticket:'
    for _, tickets in ipairs({ due, watched }) do
      for _, ticket in ipairs(redis.call('ZRANGE', tickets, 0, -1)) do
        redis.call('HDEL', prefix .. ticket, 'rules')
      end
    end
  end
end
if all ~= '1' then
  redis.call('ZREM', due, '*')
  return 0
end
redis.call('ZADD', due, int(now), '*')
redis.call('PUBLISH', wake, string.match(site, '{(.-)}'))
return 1
