"""What a campaign of notify costs the counter: without notify.toml, with it, and while a campaign runs, in one run.

__main__.py  `python -m bench.notify_load`      mail_relay.py  the mail relay, a process of its own
turn.py      one server in one state            figures.py     figures of all turns; the table
campaign.py  the audience, notify.toml, the sale that starts
"""
