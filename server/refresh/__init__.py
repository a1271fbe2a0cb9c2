"""Reads from Wix what is due, within its rate limit, and keeps what was read.

claims.py   claims due tickets of each site and has them read
listing.py  lists all tickets of a site, page by page
reader.py   one Wix query for due tickets, snapshots, and what is missing from the answer
silence.py  sites whose webhooks do not arrive
"""
