"""Files of settings in TOML.

document.py  opens one, and writes a first one
secrets.py   the variables that have the secrets which it names
lines.py     in which line a key stands
faults.py    all that is wrong, each with its line, and what was meant
"""
