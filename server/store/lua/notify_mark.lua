-- with: clock notify_time notify_rows
-- notify_mark: what became of a claimed row.
-- keys   those of notify_rows
-- args   worker, row; sent, failed, skipped, unknown or waiting; reason; of waiting: when it is tried next ('' = now), and after
--        how many attempts it is failed instead; 1 = this attempt counts
-- gives  1 = marked, 0 = the worker has no such claim
-- keeps  only a reply ends an unknown row, and only its own worker's: another never sends it again.

local worker, row, state, reason, next_try, most, counts = unpack(ARGV)
local was = read_row(row)
local answered = state == 'sent' or state == 'failed'
if not was or was.worker ~= worker or not (was.state == 'claimed' or (was.state == 'unknown' and answered)) then
  return 0
end
local attempts = was.attempts
if state == 'waiting' then
  if counts ~= '1' then
    attempts = attempts - 1
  elseif attempts >= tonumber(most) then
    state = 'failed'
  end
end
next_try = state ~= 'waiting' and '0' or next_try == '' and seconds() or next_try
change(row, was, { state = state, attempts = attempts, next_try = next_try, worker = worker, reason = reason })
return 1
