-- with: clock tracked
-- keep_events: store what was read of events, and have the tickets of an event read whose facts have changed.
-- keys   site, due, hinted, watched, events_due, events_watched, shown_watched, slugs, then two an event: its snapshot, the
--        set of its tickets
-- args   version of the read (when it was claimed, µs); seconds that an untracked snapshot is kept; microseconds for which
--        a watched ticket stays tracked, and until the next read of an event that has no due time; the channel that wakes
--        workers; PUBLISH or SPUBLISH; what the names of channels of events begin with; then three an event: id, facts
--        ('' = the answer left it out), slug ('' = none)
-- gives  a number an event: 0 refused, 1 kept, + 2 its facts have changed
-- keeps  a read that began later wins, as keep does. An event that an answer leaves out (drafts are) keeps its facts. Its
--        tickets are read again for a change, since only a read of them writes their counters; the hint has them read some
--        seconds later too, as Wix's reads of tickets may lag. A slug that comes or goes is published, for those who ask by it.

local FIXED, ALL = 8, 7
local site, due, hinted, watched, events_due, events_watched, shown_watched, slugs = unpack(KEYS, 1, FIXED)
if redis.call('EXISTS', site) == 0 then
  local none = {}
  for n = 1, (#KEYS - FIXED) / 2 do
    none[n] = 0
  end
  return none
end
local version, expire, day, first, wake = tonumber(ARGV[1]), ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4]), ARGV[5]
local publish, channels = ARGV[6], ARGV[7]
redis.call('HDEL', site, 'events_not_before', 'events_faults')
local all = redis.call('HGET', site, 'all') == '1'
local new = 0

local out = {}
for n = 1, (#KEYS - FIXED) / 2 do
  local snapshot, tickets = KEYS[FIXED + 2 * n - 1], KEYS[FIXED + 2 * n]
  local event, facts, slug = ARGV[ALL + 3 * n - 2], ARGV[ALL + 3 * n - 1], ARGV[ALL + 3 * n]
  local was = redis.call('HMGET', snapshot, 'version', 'facts', 'slug')
  if was[1] and tonumber(was[1]) >= version then
    out[n] = 0
  else
    out[n] = 1
    redis.call('HSET', snapshot, 'version', int(version), 'read_at', int(math.min(version, now)),
      'left_out', facts == '' and 1 or 0)
    if facts ~= '' and facts ~= was[2] then
      out[n] = 3
      redis.call('HSET', snapshot, 'facts', facts, 'slug', slug)
      if was[3] and was[3] ~= '' and was[3] ~= slug and redis.call('HGET', slugs, was[3]) == event then
        redis.call('HDEL', slugs, was[3])
        redis.call(publish, channels .. was[3], '')
      end
      if slug ~= '' and redis.call('HGET', slugs, slug) ~= event then
        redis.call('HSET', slugs, slug, event)
        redis.call(publish, channels .. slug, '')
      end
      local is_tracked = tracking(site, watched, shown_watched, day, event)
      for _, ticket in ipairs(redis.call('SMEMBERS', tickets)) do
        if is_tracked(ticket) then
          redis.call('ZADD', hinted, int(now), ticket)
          new = new + redis.call('ZADD', due, 'LT', 'CH', int(now), ticket)
        end
      end
    end
    if all then
      redis.call('PERSIST', snapshot)
    else
      redis.call('EXPIRE', snapshot, expire)
    end
    if all or redis.call('ZSCORE', events_watched, event) then
      redis.call('ZADD', events_due, 'NX', int(now + first), event)
    end
  end
end
if new > 0 then
  redis.call('PUBLISH', wake, string.match(site, '{(.-)}'))
end
return out
