"""What every target must pass: checks that are written once, against the Protocol of targets.

Tests run them on each target of ours; `ticket-counter sync conformance URL` runs them on a system of somebody else that speaks
docs/http-target.md.

check.py        what a check is, and how it passes, fails in one line, or is skipped by name
expectation.py  what ends a check: an expectation that is not met, something that is not offered
bench.py        what a check gets: the target, and what it needs of it beyond the Protocol
samples.py      the tickets that the checks bring to a target
suite.py        all checks that need no more than a bench
records.py      checks of records: create, find, list, take off sale, delete
ids.py          checks of the Wix id that each record bears, and of the event
values.py       checks of values: each field, limits, sale periods, options, texts, prices, times
stops.py        checks of a process that ends, of a lost lease, of a spent budget
faults.py       checks of what goes wrong on the way: answers lost, late, unreadable, refused
run.py          a run against a URL: its checks, its report
wire.py         checks of docs/http-target.md itself: signatures, idempotency keys, statuses
http_bench.py   the bench of a system behind a URL
signed.py       requests to it that are signed, rightly and wrongly
table.py        the tables of docs/adding-a-target.md
"""
