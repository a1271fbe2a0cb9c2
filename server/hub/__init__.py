"""What this process knows of the tickets that are watched here, and how a change reaches every viewer.

hub.py            viewers join and leave, and the flush that writes a change to all of them
topics.py         one ticket that is watched, and the viewers of the same tickets
feed.py           keeps every topic true: subscriptions, snapshots, rounds
subscriptions.py  what this process is subscribed to in Redis
heartbeat.py      a sign of life to every viewer, spread over time
other_rules.py    counters that were made by other rules than ours
disallowed.py     counters that our rules do not allow
rereads.py        reads of tickets whose stored counters are not shown
unconfirmed.py    ids that Wix has not confirmed: how many, and which gives way
"""
