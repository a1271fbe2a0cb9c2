"""How long an order takes to the last viewer of its ticket: this code, and an older revision in the same run.

__main__.py  `python -m bench.time_to_truth`    local_wix.py  the local Wix, the orders and their webhooks
turn.py      one server at one rate of orders   viewers.py    a process with all viewers
checkout.py  the files of an older revision     figures.py    delays, calls and CPU seconds; the table
"""
