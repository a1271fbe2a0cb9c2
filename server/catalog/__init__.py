"""Which events and tickets there are, for a person who sets the counter up: their names, ids, and what is left.

listed.py    events and tickets as values, made from what Wix says of them
stored.py    reads them from Redis
fresh.py     reads them from Wix
payment.py   pays for calls to Wix: from the budget of the site, or by a pace of its own where there is no Redis
catalog.py   reads Redis where a worker keeps it true, else Wix
"""
