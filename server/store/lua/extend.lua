-- with: clock
-- extend: a listing goes on, is complete, is released, or met a fault of Wix.
-- keys   site, due, reads
-- args   its lease end, what became of it (on | done | partly | back | fault); microseconds: lease, list every
-- gives  1 and its new lease end or due time ('' = none); 0 and '' if another claim holds it (nothing was written)
-- keeps  a listing that was made due meanwhile, or claimed by another worker, is left alone. Where only watched tickets
--        are tracked, none follows by itself. After a fault of Wix the next one is due later, and later still after each
--        further fault, up to a tenth of `list every`: else a page that always fails would have the pages before it listed
--        without end. `complete` is set only by a listing of which every ticket is stored: until then nothing says that an
--        event is not known. `listed` is when one was last in progress: watch makes another due only a lease after that, so it
--        never interrupts one.

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
  -- Its last page may have been the one call after a fault, and has no result: the next call may try.
  redis.call('HSET', reads, 'probe', 0)
elseif how == 'fault' then
  after = math.min(every / 10, 2 ^ redis.call('HINCRBY', site, 'list_faults', 1) * 1000000)
elseif how == 'done' or how == 'partly' then
  if how == 'done' then
    redis.call('HSET', site, 'complete', 1)
  end
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
