"""pretix as a target (REST API, version 1).

target.py   the target: items behind the Protocol
work.py     one item while it is written: what was seen of it, what may be written
items.py    items: found, listed
quotas.py   the quota of an item
options.py  variations of an item
fields.py   values in pretix's form; texts in several languages
api.py      requests
"""
