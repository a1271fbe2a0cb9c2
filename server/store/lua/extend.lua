-- with: clock
-- extend: the listing of a site goes on, has ended, or is given back.
-- keys   site, due, reads
-- args   its lease end, what became of it (on | done | back | fault); microseconds: lease, list every
-- gives  1 and its new lease end or due time ('' = none); 0 and '' if it is not ours any more (nothing was written)
-- keeps  a listing that was asked for anew, or taken by another worker, is left alone. Where only watched tickets are
--        wanted none follows by itself. After a fault of Wix the next one begins later, and later after each further one,
--        up to a tenth of `list every`: a page that always fails would else have the first ones listed without end.
--        `listed` is when one was last under way: watch asks for another only a lease after that, so it never cuts into
--        one.

local site, due, reads = unpack(KEYS)
local score = redis.call('ZSCORE', due, '*')
if not score or tonumber(score) ~= tonumber(ARGV[1]) then
  return { 0, '' }
end
local how, lease, every = ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local after = how == 'on' and lease or 0
redis.call('HSET', site, 'listed', int(now))
redis.call('HSET', reads, 'lot:*', int(now + after))
if how == 'back' then
  -- Its last page may have been the one call after a fault, and said nothing of Wix: the next call asks.
  redis.call('HSET', reads, 'probe', 0)
elseif how == 'fault' then
  after = math.min(every / 10, 2 ^ redis.call('HINCRBY', site, 'list_faults', 1) * 1000000)
elseif how == 'done' then
  redis.call('HDEL', site, 'list_faults')
  if redis.call('HGET', site, 'all') ~= '1' then
    redis.call('ZREM', due, '*')
    return { 1, '' }
  end
  after = every
end
local at = int(now + after)
redis.call('ZADD', due, at, '*')
return { 1, at }
