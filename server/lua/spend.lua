-- with: clock budget
-- spend: pay for one Wix call of the site that is not a claimed read (a page of a listing, a lone GET).
-- keys   site, reads
-- args   capacity, refill a second, microseconds of a lease, class (hinted | watched | rest)
-- gives  { 'go', version } or { 'wait', microseconds }

local site, reads = unpack(KEYS)
if redis.call('EXISTS', site) == 0 then
  return { 'wait', 1000000 }
end
local b = budget(reads, tonumber(ARGV[1]), tonumber(ARGV[2]))
local wait = math.max(held(b), short(b, ARGV[4]))
if wait > 0 then
  return { 'wait', math.ceil(wait) }
end
return { 'go', int(pay(b, reads, tonumber(ARGV[3]))) }
