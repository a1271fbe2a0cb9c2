"""The first mapping file, which `ticket-counter sync init` writes: all keys with what they mean, every line a comment.

In: a kind of targets. Out: TOML, and what to do with it. Without changes it says nothing; without the `#` of its keys it is what applies without them.
"""

import re
from pathlib import Path

from server.sync.mapping_file.kinds import TargetKind
from server.sync.mapping_file.target_reader import GENERAL

_HEAD = """\
# Which tickets of Wix are kept in which other ticketing system, and how. docs/sync.md explains it.
#
# To begin: remove the # in front of the first lines of the target below, from its name in brackets down to `events`, and fill them
# in. All other settings are optional: each shows its default, which applies as long as the # is there.
# A # with a blank after it is an explanation, and stays.
# Put no secret into this file, but only the name of the variable that has it (in the environment, or in .env).
# Then run `ticket-counter sync plan EVENT`: it writes nothing, and says what is wrong in this file, line by line.
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
    target = name or _target(kind)
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


def next_steps(kind: TargetKind, path: Path) -> str:
    """What to do after a first file of this kind was written to this path, for the person who had it written."""
    target = _target(kind)
    needed = ", ".join([*sorted(kind.settings), "events"])
    lines = [
        f"{path} is written: an example of a {kind.name} target, in which everything is still switched off by a #.",
        "",
        f"  1. In that file, remove the # of the lines from [targets.{target}] to events, and fill in: {needed}.",
        "     `ticket-counter events` lists the events of Wix with their slugs.",
    ]
    if kind.secret:
        lines += [f"  2. Put the secret into .env, or into the environment: {kind.variable(target)}=…"]
    lines += [
        f"  {3 if kind.secret else 2}. Run `ticket-counter sync plan EVENT` with the slug of an event: it shows what would be done, and writes nothing.",
        "",
        "docs/sync.md explains each step.",
    ]
    return "\n".join(lines)


def _target(kind: TargetKind) -> str:
    """What the target of a first file is called."""
    return f"{kind.name}-main"


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
        "# The mapping: field of the target = where from. What is not named here is never written. If you switch this table on, it "
        + (
            "is added to what is shown here."
            if kind.adds_fields
            else "replaces the default mapping, which is shown here: switch on every line that you need."
        )
    )
    text = _TABLE.sub(lambda one: f"[targets.{target}.{one[1]}]", kind.text[found.start() :])
    return ["", about, *text.strip().splitlines()]


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:]


def _off(line: str) -> str:
    """The line as a comment."""
    return line if not line or line.startswith("#") else f"#{line}"
