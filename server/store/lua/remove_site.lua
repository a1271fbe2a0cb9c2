-- remove_site: remove a site.
-- keys   site, due, hinted, watched, heard, holds, claimed, events_due, events_hinted, events_watched, shown_watched, slugs, then
--        those that are kept for a while: reads first
-- args   seconds for which these are kept; '' = remove it in any case, else only if it is known only from the settings, and this is
--        still when a process last said that it stands in its own (in_settings_at)
-- gives  1 if it was removed, else 0
-- keeps  a site with thousands of tickets is removed in one step, within the time that a webhook has; the keys of its
--        tickets and events are found by its schedule, and are in the same slot as the others. `reads` is left even of a
--        site that was never read: without it a process would take the site for one that Redis has lost, and add it again.

local site, due, reads = KEYS[1], KEYS[2], KEYS[13]
if ARGV[2] ~= '' then
  local known = redis.call('HMGET', site, 'origin', 'in_settings_at')
  if known[1] ~= 'settings' or known[2] ~= ARGV[2] then
    return 0
  end
end
local tickets = redis.call('ZRANGE', due, 0, -1)
redis.call('HSETNX', reads, 'version', 0)
redis.call('DEL', unpack(KEYS, 1, 12))

local prefix = string.gsub(site, 'site$', '')
for k = 13, #KEYS do
  redis.call('EXPIRE', KEYS[k], ARGV[1])
end
for _, ticket in ipairs(tickets) do
  local its = prefix .. 'ticket:' .. ticket
  local event = redis.call('HGET', its, 'event')
  redis.call('EXPIRE', its, ARGV[1])
  if event then
    for _, name in ipairs({ 'event:', 'event_snapshot:', 'shown:' }) do
      redis.call('EXPIRE', prefix .. name .. event, ARGV[1])
    end
  end
end
return 1
