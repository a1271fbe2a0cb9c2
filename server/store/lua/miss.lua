-- miss: Wix's answer left out a ticket that is stored.
-- keys   its hash
-- gives  1, or 0 if nothing is stored of it any more (nothing was written: this field alone would never expire)

if redis.call('EXISTS', KEYS[1]) == 0 then
  return 0
end
redis.call('HSET', KEYS[1], 'missing', 1)
return 1
