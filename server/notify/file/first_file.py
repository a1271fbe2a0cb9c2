"""The first notify.toml, which `ticket-counter notify init` writes: all keys with what they mean, every setting a comment.

In: the kinds of marketing tools. Out: TOML. Without changes it says nothing.
"""

import re
import textwrap
from collections.abc import Iterator, Mapping

from server.notify.audience.source import Kind
from server.notify.file.reader import EVENT_KEYS, TOOL_KEYS
from server.toml_file import secrets

_HEAD = """\
# Who is told when the tickets of an event go on sale: docs/notify.md explains it.
#
# A line that begins with #, then a blank, explains. One that begins with # alone is a setting that is not in force: remove
# its # to use it. One that begins with ## may be left out: remove both # to use it. You need one tool, and one event: an
# event that does not stand here is never announced.
# No secret belongs into this file, only the name of the variable that has it (in the environment, or in .env).
# `ticket-counter notify preview EVENT` says what is wrong here, line by line.
format = 1

# Nothing goes out later than this many hours after the start of a sale.
##window_hours = 2
# Tickets of an event whose sales start within so many minutes are one message.
##together_minutes = 60
# The language of subscribers whose own is not known, or has no texts.
##language = "en"
# A folder with templates and texts of your own, beside this file: docs/notify.md says which.
##templates = "templates"

# How many mails a second go to the relay, all workers together, and over how many connections of each worker.
##[mail]
##per_second = 25
##connections = 4

# The same for push messages.
##[push]
##per_second = 50
##connections = 8
"""

_EXAMPLES = {"url": "https://lists.example.org", "file": "subscribers.csv"}
"""Values of keys whose meaning gives no example, by `such as`; others are `your-KEY`."""

_SUCH_AS = re.compile(r"such as ([^\s;,]+[^\s;,.])")
WIDTH = 120


def first_file(known: Mapping[str, Kind]) -> str:
    """The text of the file, with a tool of each kind, and an event for it."""
    return _HEAD + "".join(f"{line}\n" for name in sorted(known) for line in _kind(known[name]))


def _kind(kind: Kind) -> Iterator[str]:
    tool, event = f"my-{kind.name}", f"event-of-{kind.name}"
    yield from ("", f"# -- {kind.title} --", "")
    yield f"# A marketing tool. {tool} is your own name for it."
    yield f"#[tools.{tool}]"
    yield f'#kind = "{kind.name}"'
    yield from _keys(kind.tool, kind.optional_tool, kind)
    if kind.secret:
        yield "# The name of the variable with its secret."
        yield f'#{kind.secret} = "{secrets.variable(tool, kind.secret)}"'
    if "url" in {*kind.tool, *kind.optional_tool}:
        yield from _comment(TOOL_KEYS["allow_http"])
        yield "##allow_http = false"
    yield from ("", f"# An event of Wix: write its slug (the end of its address) in place of {event}.")
    yield f"#[events.{event}]"
    yield f'#tool = "{tool}"'
    yield from _keys(kind.event, kind.optional_event, kind)
    if kind.date_field:
        example = kind.date_fields[0] if kind.date_fields else _example("date-field", kind.date_field)
        yield from _comment(f"{EVENT_KEYS['date_field']}: {kind.date_field}")
        yield f'##date_field = "{example}"'
    yield from _comment(EVENT_KEYS["push"])
    yield "##push = true"


def _keys(needed: Mapping[str, str], optional: Mapping[str, str], kind: Kind) -> Iterator[str]:
    """A line of each key, and its meaning above it; what may be left out has a second #."""
    for key, meaning in {**needed, **optional}.items():
        first = any(key == min(choice) for choice in kind.one_of)
        yield from _comment(meaning)
        yield f'{"#" if key in needed or first else "##"}{key} = "{_example(key, meaning)}"'


def _example(key: str, meaning: str) -> str:
    found = _SUCH_AS.search(meaning)
    return found[1].strip('"') if found else _EXAMPLES.get(key, f"your-{key}")


def _comment(text: str) -> Iterator[str]:
    """A sentence as lines that explain."""
    return (f"# {line}" for line in textwrap.wrap(f"{text[0].upper()}{text[1:].rstrip('.')}.", WIDTH - 2))
