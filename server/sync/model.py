"""Sync as values: what a ticket should be at a target, what the target has, and what a plan does about it.

Nothing here reads a clock, a setting or a socket.

A *field* is a name of the target (`default_price`) with one value. In every mapping of fields a missing name means *not known*,
or not ours: it is neither compared nor written. None is a value: no end, no limit.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, StrEnum
from typing import Any

from server.model import TicketId

Value = str | int | bool | None
"""Money is a decimal text with two places or more ("25.00"), a time is ISO 8601 in UTC ("2027-03-01T18:00:00Z")."""

Fields = Mapping[str, Value]


class Missing(Enum):
    """In a comparison: there is no value, which is not the same as None."""

    NOT_KNOWN = "not known"


NOT_KNOWN = Missing.NOT_KNOWN


@dataclass(frozen=True, slots=True)
class WantedOption:
    """What one pricing option should be: its Wix id, its name for people, and the fields of the target's option."""

    id: str
    name: str
    fields: Fields


@dataclass(frozen=True, slots=True)
class Wanted:
    """What one ticket should be at a target, by its newest snapshot and the mapping.

    `initial`: fields that are written only when the record is created. `currencies`: those of its prices. `fields` are in the
    target's own form once its `fit` was called.
    """

    ticket: TicketId
    name: str
    fields: Fields
    initial: Fields = field(default_factory=dict)
    options: tuple[WantedOption, ...] = ()
    currencies: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Deleted:
    """The ticket is gone: Wix answered 404 for its id."""

    ticket: TicketId


@dataclass(frozen=True, slots=True)
class Unfit:
    """A ticket that cannot be brought to the target as it is; `text` says why, `cure` what a person can do."""

    ticket: TicketId
    name: str
    reason: "Reason"
    text: str
    cure: str = ""


@dataclass(frozen=True, slots=True)
class RecordOption:
    """One option that a target has: its key there, and the Wix id that it bears ("" = none)."""

    key: str
    id: str
    fields: Fields
    active: bool = True


@dataclass(frozen=True, slots=True)
class Record:
    """What a target has of a ticket: its key there, and the Wix id that it bears ("" = none of ours).

    `fields`: all that the mapping names, in the target's own form, with those names that the target lacks left out. `active`:
    whether it is on sale. `notes`: what a person should know of it. `raw`: what the target itself needs to write it.
    """

    key: str
    ticket: str
    name: str
    active: bool
    fields: Fields
    options: tuple[RecordOption, ...] = ()
    notes: tuple[str, ...] = ()
    raw: Any = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Applied:
    """What was written last and then read back: `fields`, and those of each option by its Wix id; `at` in seconds since 1970."""

    at: float
    fields: Fields
    options: Mapping[str, Fields]


@dataclass(frozen=True, slots=True)
class TargetEvent:
    """An event of the target: its key and its name there, and its currency (None: it has none of its own)."""

    key: str
    name: str
    currency: str | None


class Kind(StrEnum):
    """What an operation does."""

    CREATE = "create"
    ADOPT = "adopt"
    UPDATE = "update"
    DEACTIVATE = "deactivate"
    CONFLICT = "conflict"  # nothing: a person decides


class Reason(StrEnum):
    """Why."""

    NEW = "new"  # the target has no record of it
    CHANGED = "changed"  # in Wix, since it was applied
    EDITED = "edited"  # in the target, since it was applied
    BOTH = "both"
    NOT_KNOWN = "not_known"  # they differ, and what was applied is not known
    DELETED = "deleted"  # Wix answered 404
    SAME_NAME = "same_name"  # a record without a Wix id has its name
    TWO_RECORDS = "two_records"
    COPIED = "copied"  # the record bears the id of a ticket of another event
    CURRENCY = "currency"
    NEEDS_REPLACING = "needs_replacing"  # the target cannot change it between one price and options
    MAPPING = "mapping"  # the mapping has no value for what Wix says
    LIMIT = "limit"  # more deactivations than max_deactivate


@dataclass(frozen=True, slots=True)
class FieldChange:
    """One field that differs: in Wix, as applied last, in the target."""

    name: str
    wix: Value
    applied: Value | Missing
    target: Value | Missing


@dataclass(frozen=True, slots=True)
class OptionChange:
    """What happens to one option: CREATE, UPDATE or DEACTIVATE; `key` is None where the target has none."""

    kind: Kind
    id: str
    name: str
    key: str | None
    fields: tuple[FieldChange, ...] = ()


@dataclass(frozen=True, slots=True)
class Operation:
    """What a plan does to the record of one ticket; `record` is its key, None where there is none.

    `others`: keys of further records that a conflict or a proposal is about. `cure`: what a person can do. `applied_at`: when what
    is known as applied was (seconds since 1970); two plans that would do the same may differ in it.
    """

    kind: Kind
    ticket: str
    name: str
    record: str | None
    reason: Reason
    fields: tuple[FieldChange, ...] = ()
    options: tuple[OptionChange, ...] = ()
    others: tuple[str, ...] = ()
    text: str = ""
    cure: str = ""
    applied_at: float | None = field(default=None, compare=False, repr=False)

    @property
    def edits(self) -> int:
        """How many values that somebody edited in the target it would overwrite."""
        both = (*self.fields, *(change for option in self.options for change in option.fields))
        return sum(_edited(change) for change in both)


def _edited(change: FieldChange) -> bool:
    known = change.applied is not NOT_KNOWN and change.target is not NOT_KNOWN
    return known and change.applied != change.target


@dataclass(frozen=True, slots=True)
class Plan:
    """All that would be done to one event at a target, and what it was made from.

    `read_at`: when the oldest snapshot of Wix that it rests on was read, and `target_read_at` when the target was, in seconds since
    1970. `unread`: tickets of the event of which no read is stored, so nothing is known. `equal`: how many records need nothing.
    `left_alone`: how many records bear no id of ours.
    `deactivate`: the number of deactivations that a person has to say, where they are more than happen by themselves. `site` and `event` are Wix's, `target_event` is the target's.
    """

    target: str
    site: str
    event: str
    title: str
    target_event: TargetEvent
    read_at: float | None
    target_read_at: float
    operations: tuple[Operation, ...]
    equal: int
    left_alone: int
    unread: int = 0
    notes: tuple[str, ...] = ()
    deactivate: int | None = None

    @property
    def digest(self) -> str:
        """Six hexadecimal digits of the operations: two plans with one digest would do the same."""
        return hashlib.sha256(repr(self.operations).encode()).hexdigest()[:6]

    def count(self, kind: Kind) -> int:
        """How many operations are of this kind."""
        return sum(one.kind is kind for one in self.operations)


class State(StrEnum):
    """What became of a ticket when it was last brought to a target."""

    EQUAL = "equal"  # written, or nothing to write; read back
    GONE = "gone"  # deleted in Wix, and the target has no record of it
    DUE = "due"  # not yet, or again
    DIFFERS = "differs"  # the target is only observed
    CONFLICT = "conflict"  # a person decides
    REFUSED = "refused"  # parked: the target refuses it
    UNSURE = "unsure"  # parked: the outcome of a write is not known
    MAPPING = "mapping"  # parked: the mapping has no value for what Wix says
    LIMIT = "limit"  # parked: more deactivations than max_deactivate
    NOT_KEPT = "not_kept"  # parked: what was written is not what is read


PARKED = frozenset({State.REFUSED, State.UNSURE, State.MAPPING, State.LIMIT, State.NOT_KEPT})
"""States in which a ticket is tried again only once a day, or when it, the mapping or the credentials change."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one operation: `text` says why it was not done, `record` is the key of what was written."""

    operation: Operation
    state: State
    text: str = ""
    record: str | None = None
