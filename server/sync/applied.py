"""What was applied last, as it is remembered in Redis and as plans compare with it.

In: a Wanted that was written and read back. Out: JSON for store/sync_records.py, and the Applied that it stands for.
"""

from typing import Any

from server.store.sync_records import StoredRecord
from server.sync.model import Applied, Wanted


def applied_json(wanted: Wanted) -> dict[str, Any]:
    """What to remember of a ticket whose record is equal to this."""
    return {"fields": dict(wanted.fields), "options": {one.id: dict(one.fields) for one in wanted.options}}


def applied_of(memory: StoredRecord, digest: str) -> Applied | None:
    """What was applied last, by a mapping of this digest; None where it is not known, as after a change of the mapping."""
    if memory.applied is None or memory.digest != digest:
        return None
    return Applied(memory.applied_at, memory.applied.get("fields", {}), memory.applied.get("options", {}))
