"""Sync: ticket definitions kept one to one in an external ticketing system.

A change only marks a ticket as due at each target; what is applied is the newest snapshot, compared with the record as the target
has it now.

mapping.py     which field of a target gets what, and the other settings of a target
definition.py  a ticket definition in the words that a mapping may use
model.py       what a ticket should be, what a target has, what a plan does, as values
targets/       the ticketing systems
"""
