-- shown: which tickets of an event a visitor may see, in the order of its page.
-- gives  update_shown(prefix, event, publish, channels) stores the list of an event, and publishes it if it has changed, to
--        the channels of the event and of its slug; `prefix` begins the site's keys, `channels` the names of these channels
-- A ticket's `place` says where it stands; it is '' for one that is not shown, and `draft` for one of an event that is not
-- published. Such an event has no list, nor has one of which no ticket is left, as if it were not known. A list has at most
-- 100 tickets.

local MOST_SHOWN, GUID = 100, 36

local function update_shown(prefix, event, publish, channels)
  local members = redis.call('SMEMBERS', prefix .. 'event:' .. event)
  local places, draft = {}, false
  for _, ticket in ipairs(members) do
    local place = redis.call('HGET', prefix .. 'ticket:' .. ticket, 'place')
    if place == 'draft' then
      draft = true
    elseif place and place ~= '' then
      places[#places + 1] = place .. ticket
    end
  end
  table.sort(places)
  local tickets = {}
  for i = 1, math.min(MOST_SHOWN, #places) do
    tickets[i] = '"' .. string.sub(places[i], -GUID) .. '"'
  end
  local key = prefix .. 'shown:' .. event
  local unknown = draft or #members == 0
  local text = unknown and '' or '{"event":"' .. event .. '","tickets":[' .. table.concat(tickets, ',') .. ']}'
  if text == (redis.call('GET', key) or '') then
    return
  end
  if unknown then
    redis.call('DEL', key)
  else
    redis.call('SET', key, text)
  end
  redis.call(publish, channels .. event, text)
  local slug = redis.call('HGET', prefix .. 'event_snapshot:' .. event, 'slug')
  if slug and slug ~= '' then
    redis.call(publish, channels .. slug, text)
  end
end
