-- with: clock
-- stored_events: what is stored of events, and which of them are to be read before their tickets are shown.
-- keys   site, then the snapshot of each event
-- args   microseconds after which a read is too old
-- gives  per event: 1 if it is to be read first, else 0; 1 if it was ever read, else 0; its facts ('' = Wix told nothing)
-- keeps  an event is to be read first if it never was, or too long ago, or before the site got its rules: meanwhile no worker
--        may have read events.

local site = KEYS[1]
local since = now - tonumber(ARGV[1])
local rules_at = tonumber(redis.call('HGET', site, 'rules_at') or 0)
-- Not if the clock was set back.
if rules_at <= now then
  since = math.max(since, rules_at)
end
local out = {}
for k = 2, #KEYS do
  local found = redis.call('HMGET', KEYS[k], 'version', 'facts', 'read_at')
  local old = not found[1] or tonumber(found[3]) < since
  out[#out + 1] = { old and 1 or 0, found[1] and 1 or 0, found[2] or '' }
end
return out
