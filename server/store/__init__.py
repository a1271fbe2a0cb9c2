"""What is stored in Redis, and the scripts that write it.

schedule.py   mark, watch, claim, spend, settle
snapshots.py  what the last accepted read said of each ticket
changes.py    the log of changes, by consumer group
sites.py      the sites that Redis should know
keys.py       the names of keys, and units of time
scripts.py    the Lua scripts, read from lua/
lua/          their files
"""
