-- silence: falls of stock that no webhook told of, in the site's hash `heard`. Needs clock.
-- gives  untold(heard)              what was counted since the newest webhook, in microseconds where it is a time:
--                                   falls, first, last, tickets (how many they came to), at (that webhook; 0 = none ever)
--        moved(heard, was, is, before, late)
--                                   a read found another number than the one before, which was made at `before`; true
--                                   if that is a fall of which no webhook told. One that came up to `late` earlier
--                                   may have been about it: Wix's read model lags its webhooks.
-- A webhook ends whatever was counted before it. Numbers rise in silence anyway, when a hold at a checkout ends: they
-- only take back as many tickets, since where nothing but orders is subscribed to the hold made no webhook either.

local function untold(heard)
  local got = redis.call('HMGET', heard, 'at', 'falls', 'falls:first', 'falls:last', 'falls:tickets')
  local u = { at = tonumber(got[1] or 0), falls = 0, first = 0, last = 0, tickets = 0 }
  if got[2] and tonumber(got[3]) > u.at then
    u.falls, u.first, u.last, u.tickets = tonumber(got[2]), tonumber(got[3]), tonumber(got[4]), tonumber(got[5])
  end
  return u
end

local function moved(heard, was, is, before, late)
  local u = untold(heard)
  local tickets = u.tickets + was - is
  if is > was then
    if u.falls > 0 and tickets > 0 then
      redis.call('HSET', heard, 'falls:tickets', int(tickets))
    elseif u.falls > 0 then
      redis.call('HDEL', heard, 'falls', 'falls:first', 'falls:last', 'falls:tickets')
    end
    return false
  end
  if u.at >= before - late then
    return false
  end
  redis.call('HSET', heard, 'falls', u.falls + 1, 'falls:first', int(u.falls > 0 and u.first or now),
    'falls:last', int(now), 'falls:tickets', int(tickets))
  return true
end
