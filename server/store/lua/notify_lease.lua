-- with: clock notify_time notify_rows
-- notify_lease: take, extend or give back the right to run a campaign on one channel.
-- keys   those of notify_rows
-- args   take | extend | release; the worker; milliseconds that the lease lasts
-- gives  1 = the worker holds it (after release: it did), 0 = it does not
-- keeps  whoever takes it over marks in the same step as unknown what others have claimed: a row is handed over at most once.
--        Who gives it back does so with its own. Redis ends a key by its clock: if that was set back, a lease would outlive its
--        worker for as long, so its end is set again.

local how, worker, lasts = ARGV[1], ARGV[2], tonumber(ARGV[3])
local holder = redis.call('GET', lease)
if holder and redis.call('PTTL', lease) > lasts then
  redis.call('PEXPIRE', lease, lasts)
end
if holder ~= worker and (holder or how ~= 'take') then
  return 0
elseif how == 'release' then
  redis.call('DEL', lease)
else
  redis.call('SET', lease, worker, 'PX', lasts)
end
if holder ~= worker or how == 'release' then
  for _, row in ipairs(redis.call('ZRANGE', claimed, 0, -1)) do
    local was = read_row(row)
    if (was.worker == worker) == (how == 'release') then
      change(row, was, {
        state = 'unknown', attempts = was.attempts, next_try = '0', worker = was.worker,
        reason = 'its worker ended before the reply came',
      })
    end
  end
end
return 1
