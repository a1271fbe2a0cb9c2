"""The Lua scripts of the store, read from lua/ when this module is imported.

A file whose first line is `-- with: a b` gets the texts of a.lua and b.lua before its own.
"""

from pathlib import Path

from server.redis.client import Script

FOLDER = Path(__file__).parent / "lua"


def read(name: str) -> Script:
    """Read lua/<name>.lua and the files that its first line names."""
    text = (FOLDER / f"{name}.lua").read_text()
    first = text.splitlines()[0]
    if first.startswith("-- with: "):
        shared = [(FOLDER / f"{part}.lua").read_text() for part in first.removeprefix("-- with: ").split()]
        text = "\n".join([*shared, text])
    return Script(name, text)


ADD_SITE = read("add_site")
REMOVE_SITE = read("remove_site")
MARK = read("mark")
WATCH = read("watch")
WATCH_EVENTS = read("watch_events")
STORED = read("stored")
CLAIM = read("claim")
SPEND = read("spend")
SETTLE = read("settle")
EXTEND = read("extend")
KEEP = read("keep")
KEEP_EVENTS = read("keep_events")
STORED_EVENTS = read("stored_events")
DELAY_EVENTS = read("delay_events")
MISS = read("miss")
LEASE = read("lease")
SYNC_MARK = read("sync_mark")
SYNC_CLAIM = read("sync_claim")
SYNC_SETTLE = read("sync_settle")
SYNC_PAY = read("sync_pay")
SYNC_REMEMBER = read("sync_remember")
