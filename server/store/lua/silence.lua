-- silence: falls of stock that no webhook reported, in the site's hash `heard`. Needs clock.
-- gives  unreported(heard)          what was counted since the newest webhook: falls, tickets (how many they come to); in
--                                   microseconds: first, last, at (when that webhook came; 0 = never)
--        count_change(heard, was, is, before, late)
--                                   a read found another number than the read before, which was made at `before`; true
--                                   if that is a fall that no webhook reported. A webhook that came up to `late` earlier
--                                   may have reported it: Wix's read model lags its webhooks.
-- A webhook ends what was counted before it. Numbers also rise without a webhook, when a hold at a checkout ends: such a rise
-- only takes as many tickets off the count, since where only orders are subscribed to the hold had no webhook either.

local function unreported(heard)
  local got = redis.call('HMGET', heard, 'at', 'falls', 'falls:first', 'falls:last', 'falls:tickets')
  local u = { at = tonumber(got[1] or 0), falls = 0, first = 0, last = 0, tickets = 0 }
  if got[2] and tonumber(got[3]) > u.at then
    u.falls, u.first, u.last, u.tickets = tonumber(got[2]), tonumber(got[3]), tonumber(got[4]), tonumber(got[5])
  end
  return u
end

local function count_change(heard, was, is, before, late)
  local u = unreported(heard)
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
