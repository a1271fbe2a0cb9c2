"""Reads from Wix what is due, within its rate limit, and keeps what was read.

claims.py   claims due tickets of each site and has them read; lists sites
reader.py   one Wix query for due tickets, snapshots, and what is missing from the answer
silence.py  sites whose webhooks do not arrive
"""
