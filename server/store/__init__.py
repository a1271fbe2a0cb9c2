"""What is stored in Redis, and the scripts that write it.

schedule.py   mark, watch, claim, spend, settle
budget.py     Wix's rate limit of a site
timing.py     how often tickets are read, how long leases last
snapshots.py  what the last accepted read said of each ticket
changes.py    the log of changes, by consumer group
sites.py      the sites that Redis should know
scripts.py    the Lua scripts, read from lua/
lua/          their files
keys.py       the names of keys and channels
"""
