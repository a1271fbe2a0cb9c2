-- notify_suppressions: who opted out.
-- gives  suppress(suppressed, key_ids, value, first)  writes the hashes from ARGV[first] on that are not written yet
--        unsuppress(suppressed, key_ids, first)  removes the hashes from ARGV[first] on, and keys under which there is none left
--        suppressed_as(suppressed, first)  what is written under one of these hashes, or nil

local function suppress(suppressed, key_ids, value, first)
  for i = first, #ARGV do
    if redis.call('HSETNX', suppressed, ARGV[i], value) == 1 then
      redis.call('HINCRBY', key_ids, string.match(ARGV[i], '^[^.]*'), 1)
    end
  end
end

local function unsuppress(suppressed, key_ids, first)
  for i = first, #ARGV do
    local id = string.match(ARGV[i], '^[^.]*')
    if redis.call('HDEL', suppressed, ARGV[i]) == 1 and redis.call('HINCRBY', key_ids, id, -1) <= 0 then
      redis.call('HDEL', key_ids, id)
    end
  end
end

local function suppressed_as(suppressed, first)
  for i = first, #ARGV do
    local value = redis.call('HGET', suppressed, ARGV[i])
    if value then
      return value
    end
  end
end
