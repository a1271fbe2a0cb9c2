-- with: clock
-- sync_mark: make tickets due at a target.
-- keys   sync due
-- args   microseconds from now; then tickets
-- gives  how many of them are due earlier than before
-- keeps  a mark only ever lowers a due time. A ticket that is worked on has none, so that each mark meanwhile stays until after
--        that.

local due = KEYS[1]
local at = int(now + tonumber(ARGV[1]))
local earlier = 0
for i = 2, #ARGV do
  earlier = earlier + redis.call('ZADD', due, 'LT', 'CH', at, ARGV[i])
end
return earlier
