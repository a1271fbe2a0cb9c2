-- with: push_drop
-- push_expire: delete push subscriptions that were not confirmed in time.
-- keys   subscriptions, unconfirmed, first, senders
-- args   the seconds that they last
-- gives  how many were deleted, 100 at most
return drop_old(tonumber(ARGV[1]))
