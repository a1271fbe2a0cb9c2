-- with: clock budget
-- spend: pay for one call to Wix that is not the query of a lot (a page of a listing, a GET).
-- keys   site, due, reads
-- args   capacity, refill a second; microseconds: lease, longest pause; priority (hinted | watched | rest)
-- gives  { 'go', version } or { 'wait', microseconds }

local site, due, reads = unpack(KEYS)
local lease = tonumber(ARGV[3])
if redis.call('EXISTS', site) == 0 then
  return { 'wait', 1000000 }
end
local b = budget(reads, due, tonumber(ARGV[1]), tonumber(ARGV[2]), lease, tonumber(ARGV[4]))
local wait = math.max(no_call_for(b), no_token_for(b, ARGV[5]))
if wait > 0 then
  return { 'wait', math.ceil(wait) }
end
return { 'go', int(pay(b, reads, lease)) }
