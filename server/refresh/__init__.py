"""Reads due tickets from Wix within its rate limit, and keeps the answers.

claims.py   claims due tickets of each site and has them read
listing.py  lists all tickets of a site, page by page
reader.py   one query for a lot: keeps the answer, and finds out about tickets that it left out
events.py   reads events that are due, and those whose tickets were read before them
silence.py  warns of sites whose webhooks do not arrive
status.py   says that this worker is alive, and whether Wix answers
faults.py   pauses a site after a fault of Wix; few log lines of an outage
"""
