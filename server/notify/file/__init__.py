"""Reads notify.toml.

file.py        the whole file, with the settings that it needs, or all that is wrong at once; writes a first one
first_file.py  the text of a first file, made from the kinds of marketing tools
reader.py      tools and events
"""
