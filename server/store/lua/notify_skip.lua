-- with: clock notify_time notify_rows
-- notify_skip: this recipient gets no message.
-- keys   those of notify_rows
-- args   worker, row, reason
-- gives  1 = skipped, 0 = its row is claimed, or has ended
-- keeps  what may have been handed over stays as it is.

local worker, row, reason = unpack(ARGV)
local was = read_row(row)
if was and was.state ~= 'waiting' then
  return 0
end
change(row, was, {
  state = 'skipped', attempts = was and was.attempts or 0, next_try = '0', worker = worker, reason = reason,
})
return 1
