"""What this process knows of the tickets that are watched here, and how a change reaches every viewer.

hub.py            viewers join and leave, and what they watch
topics.py         one ticket that is watched, the tickets of one event, and the viewers of the same
flush.py          writes a change to all its viewers
feed.py           keeps every topic true: subscriptions, snapshots, rounds
event_lists.py    reads the tickets of the events that are watched
site_lookup.py    the site of a request that names none: which has its tickets
subscriptions.py  what this process is subscribed to in Redis
by_site.py        asks Redis for each site, and remembers where it did not answer
site_status.py    what Redis returned last of each site
worker_watch.py   whether a worker is alive, and Wix answers it
heartbeat.py      a sign of life to every viewer, spread over time
other_rules.py    counters that were made by other rules than ours
withdrawals.py    numbers that could not be verified, as log lines
disallowed.py     counters that our rules do not allow
rereads.py        reads of tickets whose stored counters are not shown
unconfirmed.py    ids that Wix has not confirmed: how many, and which gives way
"""
