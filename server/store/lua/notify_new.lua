-- with: clock
-- notify_new: which rows of a page may be claimed.
-- keys   rows, waiting
-- args   rows
-- gives  those that there are not yet, or that wait and are due
-- keeps  it only saves work: notify_claim decides.

local found = redis.call('HMGET', KEYS[1], unpack(ARGV))
local may = {}
for i, row in ipairs(ARGV) do
  local next_try = found[i] and redis.call('ZSCORE', KEYS[2], row)
  if not found[i] or (next_try and tonumber(next_try) * 1e6 <= now) then
    may[#may + 1] = row
  end
end
return may
