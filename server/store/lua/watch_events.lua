-- with: clock
-- watch_events: events have viewers who see all their tickets; answer which these are.
-- keys   site, due, shown_watched, slugs
-- args   microseconds: watched for, a lease, between two listings, a day; the channel that wakes workers; names of events:
--        their ids or slugs
-- gives  nil for an unknown site (nothing was written), else first 1 if the site was ever listed completely, else 0; then per
--        name the list of its tickets as JSON ('' = no such event, or it is not published)
-- keeps  nothing here costs a call to Wix, but where only watched tickets are tracked: there a listing finds the tickets of an
--        event. It is due once in a lease at most while an event is asked for that is not known, else as seldom as on other
--        sites.

local site, due, shown_watched, slugs = unpack(KEYS)
if redis.call('EXISTS', site) == 0 then
  return nil
end
local watch_for, lease, list_every, day, wake =
  tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4]), ARGV[5]
local prefix = string.gsub(site, 'site$', '')
local of_site = redis.call('HMGET', site, 'all', 'listed', 'complete')
local out, all_known = { of_site[3] and 1 or 0 }, true
for i = 6, #ARGV do
  local event = redis.call('HGET', slugs, ARGV[i]) or ARGV[i]
  local text = redis.call('GET', prefix .. 'shown:' .. event)
  if text then
    redis.call('ZADD', shown_watched, int(now + watch_for), event)
  else
    all_known = false
  end
  out[#out + 1] = text or ''
end
redis.call('ZREMRANGEBYSCORE', shown_watched, '-inf', int(now - day))
if of_site[1] ~= '1' then
  local listed = tonumber(of_site[2] or 0)
  local wait = all_known and of_site[3] and list_every or lease
  local at = listed > now and now or math.max(now, listed + wait)
  if redis.call('ZADD', due, 'LT', 'CH', int(at), '*') == 1 and at == now then
    redis.call('PUBLISH', wake, string.match(site, '{(.-)}'))
  end
end
return out
