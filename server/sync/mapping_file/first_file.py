"""The first mapping file, which `ticket-counter sync init` writes: all keys with what they mean, every line a comment.

In: a kind of targets. Out: TOML. Without changes it says nothing; without the `#` of its keys it is what applies without them.
"""

import re

from server.sync.mapping_file.kinds import TargetKind
from server.sync.mapping_file.target_reader import GENERAL

_HEAD = """\
# What is kept in other ticketing systems, and how: docs/sync.md explains it.
#
# A line that begins with #, then a blank, explains. One that begins with # alone is a setting that is not in force: remove
# its # to use it. The first lines of a target are needed; all others show what applies without them.
# No secret belongs into this file, only the name of the variable that has it (in the environment, or in .env).
# `ticket-counter sync plan` says what is wrong here, line by line.
format = 1
"""

_DEFAULTS = {
    "mode": '"apply"',
    "quota": '"limit"',
    "on_delete": '"deactivate"',
    "max_deactivate": "3",
    "requests_per_minute": "300",
    "allow_http": "false",
    "allow_private": "false",
}

_TABLE = re.compile(r"^\[(fields|options|left_out)\]$", re.MULTILINE)
_OWN_TABLE = re.compile(r"^\[settings\]\n(.*?)\n(?=\[|\Z)", re.MULTILINE | re.DOTALL)
_FURTHER_TABLE = re.compile(r"^\[further\]\n(.*?)\n(?=\[|\Z)", re.MULTILINE | re.DOTALL)


def first_file(kind: TargetKind, name: str | None = None) -> str:
    """The text of the file, with one target of this kind; *name* is what the target is called."""
    target = name or f"{kind.name}-main"
    own = _OWN_TABLE.search(kind.text)
    needed = [
        f"# A target. {target} is your own name for it: you write it in commands, and it is in logs and metrics.",
        f"[targets.{target}]",
        f'kind = "{kind.name}"',
        *(own[1].strip().splitlines() if own else ()),
        *([f"# {_explained(kind)}", f'{kind.secret} = "{kind.variable(target)}"'] if kind.secret else ()),
        f"# {_sentence(GENERAL['events'])}. An event is followed only after its first `sync apply`.",
        'events = { your-event-slug = "your-event" }',
    ]
    further = [
        line for key, value in _DEFAULTS.items() for line in (f"# {_sentence(GENERAL[key])}.", f"{key} = {value}")
    ]
    its = _FURTHER_TABLE.search(kind.text)
    further = [*(its[1].strip().splitlines() if its else ()), *further]
    tables = _tables(kind, target)
    return _HEAD + "".join(f"{_off(line)}\n" for line in ["", *needed, "", *further, *tables])


def _explained(kind: TargetKind) -> str:
    """What the text of the kind says of its secret."""
    found = re.search(r"^secret *=[^#\n]*# *(.+)$", kind.text, re.MULTILINE)
    return f"The name of the variable with the secret{f': {found[1]}' if found else ''}"


def _tables(kind: TargetKind, target: str) -> list[str]:
    """The mapping of the kind, as tables of the target."""
    found = _TABLE.search(kind.text)
    if not found:
        return []
    about = (
        "# The mapping: field of the target = where from. What is not named here is never written. If you use this table, it "
        + (
            "is added to what is shown here."
            if kind.adds_fields
            else "replaces the shipped one, so use all the lines you need."
        )
    )
    text = _TABLE.sub(lambda one: f"[targets.{target}.{one[1]}]", kind.text[found.start() :])
    return ["", about, *text.strip().splitlines()]


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:]


def _off(line: str) -> str:
    """The line as a comment."""
    return line if not line or line.startswith("#") else f"#{line}"
