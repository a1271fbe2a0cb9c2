"""What notify is about, as values: campaigns, rows of the outbox, and how far each channel is.

Nothing here reads a clock, a setting or a socket. Times are in seconds since 1970, by Redis's clock.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from server.model import EventId, SiteId, TicketId


class ChannelName(StrEnum):
    """How a message goes out."""

    MAIL = "mail"
    PUSH = "push"


class State(StrEnum):
    """How far a campaign is on one channel. `PLANNED` is never stored: it is a start that is to come."""

    PLANNED = "planned"
    GATHERING = "gathering"  # the audience is read, nothing has been claimed
    SENDING = "sending"
    PAUSED = "paused"  # the relay, or a push service, refuses us
    WITHDRAWN = "withdrawn"  # none of the tickets can be bought now; it goes on if one can be again before the deadline
    STOPPED = "stopped"  # by a person
    TOO_LATE = "too late"
    DONE = "done"

    @property
    def over(self) -> bool:
        """Whether nothing more happens by itself."""
        return self in {State.STOPPED, State.TOO_LATE, State.DONE}


MISSED = "no worker saw it on sale in time"
"""Why nothing went out of a campaign that is only a record: none ran, or the tickets could not be bought before its time was over."""
UNATTENDED = "no worker ran at its end"
"""Why not everyone got the message of a campaign, while nobody stopped it and it could be bought."""


class RowState(StrEnum):
    """What became of one recipient of one campaign on one channel."""

    CLAIMED = "claimed"
    WAITING = "waiting"  # a fault that may be over later: the claim was given back
    SENT = "sent"
    FAILED = "failed"
    SKIPPED = "skipped"
    UNKNOWN = "unknown"  # handed over, no answer: never sent again

    @property
    def ended(self) -> bool:
        """Whether it stays so."""
        return self in {RowState.SENT, RowState.FAILED, RowState.SKIPPED, RowState.UNKNOWN}


class Skip(StrEnum):
    """Why a recipient got nothing."""

    DELIVERY_OFF = "delivery off"
    SUPPRESSED = "suppressed"
    OPTED_OUT = "opted out meanwhile"
    WITHDRAWN = "withdrawn"
    TOO_LATE = "too late"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class Campaign:
    """One message to one audience about one sale start of one event.

    `name` is its id, such as `spring-gala@12-01T18`. `event_name` is the event as notify.toml names it. `tickets` are announced by
    it. Nothing goes out after `deadline`. `key` is the id of the key by which its recipients are hashed. `opened_by` is "clock", or
    "person" for `notify send`. `stopped_at` and `stopped_by` are of `notify stop`. `too_late`: only a record of what was missed.
    """

    name: str
    site: SiteId
    event: EventId
    event_name: str
    title: str
    tickets: tuple[TicketId, ...]
    start: float
    deadline: float
    opened_at: float
    key: str
    opened_by: str = "clock"
    stopped_at: float | None = None
    stopped_by: str = ""
    too_late: bool = False


@dataclass(frozen=True, slots=True)
class Counts:
    """The rows of one channel by state. `candidates` counts all rows, by another way than the rest, so that a sum proves both."""

    candidates: int = 0
    claimed: int = 0
    waiting: int = 0
    sent: int = 0
    failed: int = 0
    skipped: int = 0
    unknown: int = 0

    @property
    def ended(self) -> int:
        """Rows that stay as they are."""
        return self.sent + self.failed + self.skipped + self.unknown


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a campaign is on one channel.

    `total`: recipients that the tool names, as far as it says so. `passes`: how often the whole audience was read. `note` says why it
    is where it is. `reasons` counts rows by state and reason, such as `failed` and `5.1.1 no such mailbox`. `next_try`: when the next
    waiting row is due.
    """

    channel: ChannelName
    state: State
    counts: Counts = Counts()
    total: int | None = None
    passes: int = 0
    started_at: float | None = None
    ended_at: float | None = None
    note: str = ""
    reasons: Mapping[tuple[RowState, str], int] = field(default_factory=dict)
    next_try: float | None = None
