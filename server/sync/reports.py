"""What commands show of sync: what an apply has done, differences, the status of a target, what is parked, as values."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from server.sync.model import FieldChange, Kind, OptionChange, Outcome, Plan, State


class Workers(StrEnum):
    """Whether workers bring tickets to a target."""

    RUN = "run"
    NONE = "none"  # none has said so for half a minute
    OTHER_SETTINGS = "other_settings"  # one does, which has another SYNC_FILE, or read it before it was changed


@dataclass(frozen=True, slots=True)
class Summary:
    """What an apply has done: how many operations of each kind were done, and what was not; and whether workers go on with it."""

    done: Mapping[Kind, int]
    open: tuple[Outcome, ...]
    seconds: float
    workers: Workers = Workers.RUN

    @property
    def person_needed(self) -> bool:
        """Whether something is left that only a person can decide."""
        return bool(self.open)


@dataclass(frozen=True, slots=True)
class TicketDiff:
    """Where one ticket's record differs, field by field; `applied_at` None = it is not known what was applied."""

    ticket: str
    name: str
    record: str
    applied_at: float | None
    fields: tuple[FieldChange, ...]
    options: tuple[OptionChange, ...]


@dataclass(frozen=True, slots=True)
class Diff:
    """`sync diff`: the tickets whose record differs, how many are equal, and how many have no record or a conflict."""

    plan: Plan
    tickets: tuple[TicketDiff, ...]
    equal: int
    without: int


@dataclass(frozen=True, slots=True)
class TargetStatus:
    """`sync status` of one target. Times are in seconds: `oldest` and `audit_age` ago, `wait` from now; None = not known, or none.

    `answer`: what it answered last ("38 ms", or the error); `faults`: errors in a row. `paused`: the reason a person gave,
    `paused_for` since when. `limited`: events that wait for a number of deactivations.
    """

    name: str
    mode: str
    records: int
    equal: int | None
    answer: str
    latency_ms: float | None
    faults: int
    due: int
    oldest: float | None
    parked: int
    conflicts: int
    audit_age: float | None
    wait: float | None
    paused: str | None
    paused_for: float | None
    events: tuple[str, ...] = ()
    limited: tuple[str, ...] = ()
    workers: Workers = Workers.RUN


@dataclass(frozen=True, slots=True)
class Parked:
    """One parked ticket, or one in conflict: why, since when (seconds since 1970), after how many tries, and what helps."""

    target: str
    site: str
    ticket: str
    name: str
    state: State
    at: float
    tries: int
    text: str
    cure: str
    event: str = ""
