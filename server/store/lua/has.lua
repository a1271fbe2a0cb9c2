-- has: which tickets and events a site has.
-- keys   site, slugs, one hash a ticket…
-- args   names of events: their ids or slugs
-- gives  nil for an unknown site, else 1 if the site was ever listed completely, else 0; then per ticket, and per event: 2 it has it,
--        1 it had it (a ticket that Wix deleted, an event that is not published or has no ticket that is shown), 0 it never had it
-- keeps  nothing is written: a ticket that is asked for at the wrong site is not read from Wix there. That Wix never had a ticket is
--        stored as `never`, and means that the site has none.

local site, slugs = KEYS[1], KEYS[2]
local complete = redis.call('HMGET', site, 'exists', 'complete')
if not complete[1] then
  return nil
end
local prefix = string.gsub(site, 'site$', '')
local out = { complete[2] and 1 or 0 }
for i = 3, #KEYS do
  local pace = redis.call('HGET', KEYS[i], 'pace')
  out[#out + 1] = (not pace or pace == 'never') and 0 or pace == 'dead' and 1 or 2
end
for _, name in ipairs(ARGV) do
  local event = redis.call('HGET', slugs, name) or name
  if redis.call('EXISTS', prefix .. 'shown:' .. event) == 1 then
    out[#out + 1] = 2
  else
    out[#out + 1] = redis.call('EXISTS', prefix .. 'event_snapshot:' .. event, prefix .. 'event:' .. event) > 0 and 1 or 0
  end
end
return out
