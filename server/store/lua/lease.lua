-- with: clock
-- lease: take, extend or give back the right to write to a target, which waiting processes get in the order of asking. Who
--        waits no longer gives back too.
-- keys   lease, queue of those who wait
-- args   take | try | extend | release; the holder's token; microseconds that the lease lasts, and that one who waits is
--        remembered without asking again
-- gives  1 = the token holds the lease (after release: it did), 0 = it does not
-- keeps  a lease ends by itself. Who waits asks again and again; one that stopped asking loses its place, so that a process
--        that died while it waited blocks no other. `try` takes no place. Redis ends a key by its clock: if that was set back,
--        a lease would outlive its process for as long, so its end is set again.

local lease, queue = unpack(KEYS)
local how, token, lasts, remembered = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local lasts_ms = math.ceil(lasts / 1000)
local holder = redis.call('GET', lease)
if holder and redis.call('PTTL', lease) > lasts_ms then
  redis.call('PEXPIRE', lease, lasts_ms)
end

if how == 'extend' or (how ~= 'release' and holder == token) then
  -- Who holds it and asks for it has not heard the answer.
  if holder ~= token then
    return 0
  end
  redis.call('PEXPIRE', lease, lasts_ms)
  return 1
end

-- Members are `place:token` with the time of the last question as score; places rise with each newcomer.
local mine, first, last = nil, nil, 0
local waiting = redis.call('ZRANGE', queue, 0, -1, 'WITHSCORES')
for i = 1, #waiting, 2 do
  local member, asked = waiting[i], tonumber(waiting[i + 1])
  local place, who = string.match(member, '^(%d+):(.*)$')
  if asked + remembered < now or asked > now + remembered then
    redis.call('ZREM', queue, member)
  else
    place = tonumber(place)
    last = math.max(last, place)
    if who == token then
      mine = member
    end
    if not first or place < first.place then
      first = { place = place, token = who }
    end
  end
end
if how == 'release' or (not holder and (not first or first.token == token)) then
  if mine then
    redis.call('ZREM', queue, mine)
  end
  if how == 'take' or how == 'try' then
    redis.call('SET', lease, token, 'PX', lasts_ms)
    return 1
  elseif holder == token then
    redis.call('DEL', lease)
    return 1
  end
  return 0
end
if how == 'take' then
  mine = mine or (int(last + 1) .. ':' .. token)
  redis.call('ZADD', queue, int(now), mine)
  redis.call('PEXPIRE', queue, math.ceil(remembered / 1000))
end
return 0
