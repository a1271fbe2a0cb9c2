"""Sync: ticket definitions kept one to one in an external ticketing system.

 [changes] ──▶ consumer ──▶ [due] ──▶ loop ──▶ applier ──▶ target
 [history] ──┘    audit ──┘             snapshot ──┘ ▲         │
                                                     └── plan ◀┘  the record as it is now

A change only marks a ticket as due at each target. What is applied is the newest snapshot, compared with the record as the
target has it now, and read again after it was written: so lost, doubled and disordered changes, restarts and edits by hand are all
the same case.

syncer.py          all of sync in one worker process
service.py         what the commands do
attended.py        what is done while a person waits
consumer.py        changes mark tickets as due
audit.py           compares whole events from time to time, and marks what differs
loop.py            claims due tickets of one target
applier.py         brings one ticket to a target
work.py            one ticket on its way: what is known of it, what may be written
finder.py          finds what a target has of a ticket
plan.py            what to do about a ticket: a pure function
writer.py          writes that
planner.py         compares a whole event, for plans and audits
deactivations.py   how many records may be taken off sale by themselves
target_faults.py   what a fault of a target means: who waits, and for how long
budget.py          the budget of requests to a target
status.py          the status of each target
mapped_events.py   which event of a target belongs to which event of Wix
applied.py         what was applied last, as it is remembered
stores.py          the stores of sync, together
followed_sites.py  the sites of which a target follows an event
mapping.py         which field of a target gets what, and the other settings of a target
definition.py      a ticket definition in the words that a mapping may use
model.py           what a ticket should be, what a target has, what a plan does, as values
reports.py         what commands show, as values
mapping_file/      reads sync.toml
targets/           the ticketing systems
conformance/       what every target must pass
"""
