"""The ticketing systems that sync writes to.

target.py     the Protocol: what sync needs of one
calls.py      HTTP calls: time limit, redirects, errors, metrics
addresses.py  which addresses a target may be at
"""
