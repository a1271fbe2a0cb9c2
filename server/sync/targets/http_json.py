"""The JSON of docs/http-target.md: records and options, read and written.

Read, every member is checked, since a system that only nearly speaks this JSON would be changed again and again. Values are those of
sync (model.py) and are not converted.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from server.sync.model import Kind, Operation, Record, RecordOption, Value, Wanted, WantedOption
from server.sync.targets.calls import Answer

TICKET, OPTION = "wix_ticket_definition_id", "wix_option_id"
"""The members that hold the Wix ids."""
RESERVED = frozenset({"id", TICKET, "event", "options"})
"""Members of a record that no field of a mapping may be; `active` is ours where the mapping has no field of that name."""
OPTION_RESERVED = frozenset({OPTION, "active"})
"""The same of an option."""
LONGEST_KEY = 200
"""Characters of a record's `id`."""


def record_of(answer: Answer, found: Any, event: str, names: Sequence[str]) -> Record:
    """A record of this event; the first of *names* that it has is its name. Raises TargetUnavailable where it is none."""
    record = object_of(answer, found, "a record")
    key, ticket, options = record.get("id"), record.get(TICKET), record.get("options", [])
    if isinstance(key, int):
        key = str(key)
    if not isinstance(key, str) or not 0 < len(key) <= LONGEST_KEY or key in {".", ".."}:
        raise answer.unreadable("a record without `id`")
    if not (ticket is None or isinstance(ticket, str)) or not isinstance(options, list):
        raise answer.unreadable(f"record {key}, whose {TICKET} is no text, or whose options are no list")
    if record.get("event") != event:
        raise answer.unreadable(f"record {key}, which is not of event {event}")
    fields = _fields(record, RESERVED)
    return Record(
        key=key,
        ticket=ticket or "",
        name=next((str(fields[name]) for name in names if name in fields), ""),
        active=record.get("active") is not False,
        fields=fields,
        options=tuple(_read_option(answer, one, place) for place, one in enumerate(options, 1)),
    )


def object_of(answer: Answer, found: Any, what: str) -> Mapping[str, Any]:
    """The same, if it is an object; else raises TargetUnavailable."""
    if not isinstance(found, dict):
        raise answer.unreadable(f"{what} that is no object")
    return found


def path_of(record: Record) -> str:
    """Where a record is, below the address of the target."""
    return f"/{quote(record.key, safe='')}"


def option_json(option: WantedOption, *, active: bool = True) -> dict[str, Value]:
    """An option as it is written."""
    return {OPTION: option.id, **option.fields, "active": active}


def options_json(record: Record, wanted: Wanted, operation: Operation) -> list[dict[str, Value]]:
    """The options of an update; one that a person took off sale stays so, unless the operation puts it on sale."""
    off = {one.id for one in record.options if not one.active}
    on = {one.id for one in operation.options if one.kind is Kind.CREATE or any(f.name == "active" for f in one.fields)}
    return [option_json(one, active=one.id not in off or one.id in on) for one in wanted.options]


def _read_option(answer: Answer, found: Any, place: int) -> RecordOption:
    option = object_of(answer, found, "an option")
    id_ = option.get(OPTION)
    if not (id_ is None or isinstance(id_, str)):
        raise answer.unreadable(f"an option whose {OPTION} is no text")
    active = option.get("active") is not False
    return RecordOption(id_ or f"option {place}", id_ or "", _fields(option, OPTION_RESERVED), active)


def _fields(found: Mapping[str, Any], reserved: frozenset[str]) -> dict[str, Value]:
    """All members but ours; a value that sync does not know, such as 12.5 or a list, as its JSON, so that a diff shows it."""
    return {
        name: value if value is None or isinstance(value, str | int) else json.dumps(value)
        for name, value in found.items()
        if name not in reserved
    }
