-- clock: the only clock of the store.
-- gives  now    Redis's TIME in microseconds since 1970; a double holds them exactly until the year 2255
--        int(n) a whole number as text: Lua's own tostring would write 1.79e+15

local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]

local function int(n)
  return string.format('%.0f', n)
end
