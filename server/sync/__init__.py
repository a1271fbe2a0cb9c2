"""Sync: ticket definitions kept one to one in an external ticketing system.

A change only marks a ticket as due at each target; what is applied is the newest snapshot, compared with the record as the target
has it now.

mapping.py         which field of a target gets what, and the other settings of a target
mapping_file.py    reads sync.toml
target_reader.py   reads the settings of one target
mapping_reader.py  reads its mapping: what is mapped, what is left out
rule_reader.py     reads how one field gets its value
first_file.py      the first sync.toml, with every setting explained
kinds.py           the kinds of targets: their own settings, and the mapping that is shipped
faults.py          what is wrong in sync.toml, each with its line
toml_lines.py      the line of each key of a TOML text
definition.py      a ticket definition in the words that a mapping may use
model.py           what a ticket should be, what a target has, what a plan does, as values
targets/           the ticketing systems
conformance/       what every target must pass
"""
