-- with: clock
-- stored: what is stored of tickets, for a reader that does not keep them fresh.
-- keys   one hash a ticket…
-- gives  per ticket: v ('' = never read, or it was never there), age of the last read in microseconds (a day if the clock
--        was set back since), rules, counter

local DAY = 86400000000
local out = {}
for i, hash in ipairs(KEYS) do
  local got = redis.call('HMGET', hash, 'v', 'read_at', 'rules', 'counter', 'pace')
  if not got[2] or got[5] == 'never' then
    out[i] = { '', 0, '', '' }
  else
    local age = now - tonumber(got[2])
    out[i] = { got[1] or '', age < 0 and DAY or age, got[3] or '', got[4] or '' }
  end
end
return out
