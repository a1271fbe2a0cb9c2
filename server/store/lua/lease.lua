-- with: clock
-- lease: take, extend or give back the right to write to a target, which waiting processes get in the order of asking. Who
--        waits no longer gives back too.
-- keys   lease, queue of those who wait
-- args   take | extend | release; the holder's token; microseconds that the lease lasts, and that one who waits is remembered
--        without asking again
-- gives  1 = the token holds the lease (after release: it did), 0 = it does not
-- keeps  a lease ends by itself. Who waits asks again and again; one that stopped asking loses its place, so that a process
--        that died while it waited blocks nobody.

local lease, queue = unpack(KEYS)
local how, token, lasts, remembered = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local holder = redis.call('GET', lease)
if how == 'release' then
  for _, member in ipairs(redis.call('ZRANGE', queue, 0, -1)) do
    if string.match(member, '^%d+:(.*)$') == token then
      redis.call('ZREM', queue, member)
    end
  end
  if holder == token then
    redis.call('DEL', lease)
    return 1
  end
  return 0
elseif how == 'extend' then
  if holder ~= token then
    return 0
  end
  redis.call('PEXPIRE', lease, math.ceil(lasts / 1000))
  return 1
end

-- Members are `place:token` with the time of the last question as score; places rise with each newcomer.
local mine, first, last = nil, nil, 0
for _, member in ipairs(redis.call('ZRANGE', queue, 0, -1)) do
  local place, who = string.match(member, '^(%d+):(.*)$')
  local asked = tonumber(redis.call('ZSCORE', queue, member))
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
if not holder and (not first or first.token == token) then
  if mine then
    redis.call('ZREM', queue, mine)
  end
  redis.call('SET', lease, token, 'PX', math.ceil(lasts / 1000))
  return 1
end
mine = mine or (int(last + 1) .. ':' .. token)
redis.call('ZADD', queue, int(now), mine)
redis.call('PEXPIRE', queue, math.ceil(remembered / 1000))
return 0
