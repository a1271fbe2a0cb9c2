-- with: clock notify_time notify_rows
-- notify_note: how far a campaign is on one channel.
-- keys   those of notify_rows
-- args   worker; note | finish; state, note; then fields and their values
-- gives  1 = written; 0 = it is not done, since a row is still to come, or has no end; -1 = the lease was lost
-- keeps  done only where candidates = sent + failed + skipped + unknown: candidates are counted by the rows themselves.

local worker, how, state, note = unpack(ARGV, 1, 4)
if redis.call('GET', lease) ~= worker then
  return -1
end
if state == 'done' then
  local ended = 0
  for _, number in ipairs(redis.call('HMGET', run, 'sent', 'failed', 'skipped', 'unknown')) do
    ended = ended + (tonumber(number) or 0)
  end
  local open = redis.call('ZCARD', claimed) + redis.call('ZCARD', waiting)
  if open > 0 or ended ~= redis.call('HLEN', rows) then
    return 0
  end
end
redis.call('HSET', run, 'state', state, 'note', note, unpack(ARGV, 5))
if how == 'finish' then
  redis.call('HSETNX', run, 'ended_at', seconds())
else
  redis.call('HDEL', run, 'ended_at')
end
keep(campaign, run, rows, claimed, waiting, unknown)
return 1
