-- with: clock notify_time
-- notify_stop: stop a campaign, or have it go on.
-- keys   campaign, and its runs
-- args   stop | go_on; the name of the person; for each run 1 = its channel is one of the campaign's
-- gives  1 = done; 0 = it is so already, nothing is left to stop, its deadline has passed, or there is no such campaign
-- keeps  from this step on nothing is claimed, or something can be again.

local campaign = KEYS[1]
local deadline, stopped = unpack(redis.call('HMGET', campaign, 'deadline', 'stopped_at'))
if not deadline or now >= tonumber(deadline) * 1e6 or (ARGV[1] == 'stop') == (stopped ~= false) then
  return 0
elseif ARGV[1] == 'stop' then
  local over = true
  for i = 2, #KEYS do
    local begun = redis.call('EXISTS', KEYS[i]) == 1
    if redis.call('HGET', KEYS[i], 'state') ~= 'done' and (begun or ARGV[i + 1] == '1') then
      over = false
    end
  end
  if over then
    return 0
  end
  redis.call('HSET', campaign, 'stopped_at', seconds(), 'stopped_by', ARGV[2])
else
  redis.call('HDEL', campaign, 'stopped_at', 'stopped_by')
  for i = 2, #KEYS do
    if redis.call('HGET', KEYS[i], 'state') == 'stopped' then
      local number = 0
      for _, one in ipairs(redis.call('HMGET', KEYS[i], 'claimed', 'waiting', 'sent', 'failed', 'skipped', 'unknown')) do
        number = number + (tonumber(one) or 0)
      end
      redis.call('HSET', KEYS[i], 'state', number > 0 and 'sending' or 'gathering', 'note', '')
      redis.call('HDEL', KEYS[i], 'ended_at')
    end
  end
end
keep(unpack(KEYS))
return 1
