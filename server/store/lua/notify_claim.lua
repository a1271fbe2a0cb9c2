-- with: clock notify_time notify_rows notify_suppressions
-- notify_claim: may a message be handed over to this recipient now? Where it may, its row is claimed.
-- keys   those of notify_rows, suppressed, suppression keys
-- args   worker, row; then the hashes by which the recipient may be suppressed
-- gives  'claimed'; 'lease lost'; 'stopped', also where there is no such campaign; 'too late'; 'ended' = it has a row;
--        'not yet' = its row waits for a later try; 'suppressed' = the row is skipped
-- keeps  the only place where rows are claimed: one message a recipient and campaign, none after the deadline, none once the
--        campaign was stopped, none to whoever opted out before this step.

local suppressed, key_ids = KEYS[8], KEYS[9]
local worker, row = ARGV[1], ARGV[2]
if redis.call('GET', lease) ~= worker then
  return 'lease lost'
end
local deadline, stopped = unpack(redis.call('HMGET', campaign, 'deadline', 'stopped_at'))
if not deadline or stopped then
  return 'stopped'
elseif now >= tonumber(deadline) * 1e6 then
  return 'too late'
end
local was = read_row(row)
if was and was.state ~= 'waiting' then
  return 'ended'
elseif was and tonumber(was.next_try) * 1e6 > now then
  return 'not yet'
end
local attempts = was and was.attempts or 0
local value = suppressed_as(suppressed, 3)
if value then
  suppress(suppressed, key_ids, value, 3)
  change(row, was, { state = 'skipped', attempts = attempts, next_try = '0', worker = worker, reason = 'suppressed' })
  return 'suppressed'
end
change(row, was, { state = 'claimed', attempts = attempts + 1, next_try = '0', worker = worker, reason = '' })
redis.call('HSETNX', run, 'started_at', seconds())
return 'claimed'
