-- with: clock notify_time
-- notify_begin: a first message is about to go out.
-- keys   run, lease
-- args   worker
-- keeps  from this step on no ticket joins the campaign: its tickets, read after it, are those that every message names.

if redis.call('GET', KEYS[2]) == ARGV[1] then
  redis.call('HSETNX', KEYS[1], 'started_at', seconds())
  keep(KEYS[1])
end
return 1
