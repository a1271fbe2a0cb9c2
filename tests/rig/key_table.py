"""The table of keys and channels in server/store/__init__.py, and the keys of a server that do not agree with it."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import redis

from server import store

PREFIX = "tc:"
"""What the names in the table begin with."""
NAMES = slice(2, 26)
"""The columns in which a line below a key's own names fields, `by` or `expires`."""
PLACEHOLDER = re.compile(r"[A-Z]+")


@dataclass
class Row:
    """A key or a channel: its pattern, its type, its fields if it is a hash or a stream, and when it expires."""

    pattern: str
    type: str
    fields: list[str] = field(default_factory=list)
    expires: dict[str, str] = field(default_factory=dict)
    written_by: list[str] = field(default_factory=list)

    def names(self, key: str) -> bool:
        """Whether this is the row of a key or channel."""
        return matches(self.pattern, key, "[^:{}]+")

    def has(self, name: str) -> bool:
        """Whether a hash or an entry of a stream may have a field of this name."""
        return any(matches(one, name, ".+") for one in self.fields)


def matches(pattern: str, name: str, word: str) -> bool:
    """Whether a name is that of a pattern, where words in capitals stand for any text like *word*."""
    fixed = PLACEHOLDER.split(pattern)
    return re.fullmatch(word.join(re.escape(part) for part in fixed), name) is not None


def rows(text: str | None = None) -> list[Row]:
    """Every row of the table."""
    found: list[Row] = []
    for line in (text or store.__doc__ or "").splitlines():
        if line.startswith(PREFIX):
            pattern, type_, _ = line.split(maxsplit=2)
            found.append(Row(pattern, type_))
        elif found and line.startswith("  "):
            name, what = line[NAMES].strip(), line[NAMES.stop :].strip()
            if name == "by":
                found[-1].written_by = what.split(", ")
            elif name == "expires":
                parts = (one.rpartition(": ") for one in what.split("; "))
                found[-1].expires = {case: duration for case, _, duration in parts}
            else:
                found[-1].fields += name.split(", ")
    return found


def unlisted(port: int, table: list[Row] | None = None, *, db: int = 0, prefix: str = PREFIX) -> list[str]:
    """What is wrong with each key of a server on this machine: it has no row, another type, or a field too many.

    The keys are those of one database that begin with *prefix*.
    """
    with redis.Redis(port=port, db=db, decode_responses=True) as server:
        keys = sorted(server.scan_iter(match=f"{prefix}*", count=1000))
        pipeline: Any = server.pipeline(transaction=False)
        for key in keys:
            pipeline.type(key)
        listed = rows() if table is None else table
        return [
            fault
            for key, type_ in zip(keys, pipeline.execute(), strict=True)
            if type_ != "none"  # it has expired, or was deleted, since the scan
            for fault in _faults(server, key, type_, listed, prefix)
        ]


def _faults(server: Any, key: str, type_: str, table: list[Row], prefix: str) -> Iterator[str]:
    name_in_table = PREFIX + key.removeprefix(prefix)
    row = next((one for one in table if one.type != "channel" and one.names(name_in_table)), None)
    if row is None:
        yield f"{key} is not in the table of server/store/__init__.py"
    elif row.type != type_:
        yield f"{key} is a {type_}, and a {row.type} in the table of server/store/__init__.py"
    else:
        yield from (
            f"{key} has the field {name}, which is not in the table of server/store/__init__.py"
            for name in _fields(server, key, type_)
            if not row.has(name)
        )


def _fields(server: Any, key: str, type_: str) -> list[str]:
    match type_:
        case "hash":
            return list(server.hkeys(key))
        case "stream":
            return sorted({name for _, entry in server.xrevrange(key, count=100) for name in entry})
        case _:
            return []
