-- with: clock budget
-- spend: pay for one Wix call of the site that is not a claimed read (a page of a listing, a lone GET).
-- keys   site, due, reads
-- args   capacity, refill a second; microseconds: lease, longest pause; class (hinted | watched | rest)
-- gives  { 'go', version } or { 'wait', microseconds }

local site, due, reads = unpack(KEYS)
local lease = tonumber(ARGV[3])
if redis.call('EXISTS', site) == 0 then
  return { 'wait', 1000000 }
end
local b = budget(reads, due, tonumber(ARGV[1]), tonumber(ARGV[2]), lease, tonumber(ARGV[4]))
local wait = math.max(held(b), short(b, ARGV[5]))
if wait > 0 then
  return { 'wait', math.ceil(wait) }
end
return { 'go', int(pay(b, reads, lease)) }
