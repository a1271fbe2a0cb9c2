-- with: clock
-- in_settings: a site stands in the settings of a process that runs.
-- keys   site
-- gives  rules, all, origin, in_settings_at; nil for an unknown site (nothing was written)

local known = redis.call('HMGET', KEYS[1], 'rules', 'all', 'origin')
if not known[1] then
  return nil
end
redis.call('HSET', KEYS[1], 'in_settings_at', int(now))
return { known[1], known[2], known[3], int(now) }
