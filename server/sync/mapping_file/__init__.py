"""Reads the mapping file, sync.toml.

file.py           the whole file: the settings of each target, or all its faults at once; writes a first one
first_file.py     the text of a first file, made from the shipped mapping of a kind
target_reader.py  one target
fields_reader.py  its mapping: every member of Wix's ticket is mapped or left out
rule_reader.py    one rule of it
kinds.py          the kinds of targets: settings and shipped mapping of each
"""
