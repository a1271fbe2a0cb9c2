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
IN_SETTINGS = read("in_settings")
MARK = read("mark")
WATCH = read("watch")
WATCH_EVENTS = read("watch_events")
STORED = read("stored")
HAS = read("has")
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
NOTIFY_REQUEST = read("notify_request")
NOTIFY_REQUEST_CLAIM = read("notify_request_claim")
NOTIFY_REQUEST_SETTLE = read("notify_request_settle")
PUSH_SUBSCRIBE = read("push_subscribe")
PUSH_CONFIRM = read("push_confirm")
PUSH_REMOVE = read("push_remove")
PUSH_EXPIRE = read("push_expire")
PUSH_FIRST = read("push_first")
NOTIFY_OPEN = read("notify_open")
NOTIFY_JOIN = read("notify_join")
NOTIFY_STOP = read("notify_stop")
NOTIFY_LEASE = read("notify_lease")
NOTIFY_NEW = read("notify_new")
NOTIFY_BEGIN = read("notify_begin")
NOTIFY_CLAIM = read("notify_claim")
NOTIFY_MARK = read("notify_mark")
NOTIFY_SKIP = read("notify_skip")
NOTIFY_FORGET = read("notify_forget")
NOTIFY_NOTE = read("notify_note")
NOTIFY_PROGRESS = read("notify_progress")
NOTIFY_SUPPRESS = read("notify_suppress")
NOTIFY_SWITCH_ON = read("notify_switch_on")
NOTIFY_PAY = read("notify_pay")
NOTIFY_SERVER = read("notify_server")
