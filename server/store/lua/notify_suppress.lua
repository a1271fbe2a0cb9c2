-- with: clock notify_time notify_suppressions
-- notify_suppress: remember that someone opted out, look whether someone has, or forget it.
-- keys   suppressed, suppression keys
-- args   add | has | remove; reason; the hashes of the address, one for each key, `ID.HASH`
-- gives  1 = it is suppressed; of add and remove: it was before
-- keeps  what is written under one hash is written under all of them, so that a process that knows only some of the keys
--        finds it too.

local suppressed, key_ids = unpack(KEYS)
local found = suppressed_as(suppressed, 3)
if ARGV[1] == 'remove' then
  unsuppress(suppressed, key_ids, 3)
  return found and 1 or 0
end
local value = found or (ARGV[1] == 'add' and ARGV[2] .. ' ' .. seconds())
if value then
  suppress(suppressed, key_ids, value, 3)
end
return found and 1 or 0
