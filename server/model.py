"""The domain as values: what a ticket is, what may be shown of it, and what webhooks ask for.

Wix's JSON becomes a `Definition` (wix/schema.py), a `Definition` and the `Rules` become a `Counter` here, and a
`Counter` becomes public text in wire.py. Nothing here reads a clock, a setting or a socket.
"""

import hashlib
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NewType

SiteId = NewType("SiteId", str)
TicketId = NewType("TicketId", str)
EventId = NewType("EventId", str)

CONTRACT = 1
"""The version of the public counter. It is part of the rules' hash, so a change of its shape has every ticket read again."""


class State(StrEnum):
    """What a visitor is shown of a ticket."""

    AVAILABLE = "available"
    LOW = "low"
    SOLD_OUT = "sold_out"
    SCHEDULED = "scheduled"
    ENDED = "ended"
    GONE = "gone"
    UNKNOWN = "unknown"


class Pace(StrEnum):
    """How often a ticket is read (store/schedule.py)."""

    LIVE = "live"
    SLOW = "slow"  # its sale has ended: it is seldom on sale again
    DEAD = "dead"  # Wix answered 404: it is read for viewers only, and seldom
    NEVER = "never"  # Wix never had it: the negative cache


class SaleStatus(StrEnum):
    """Wix's `saleStatus` (Ticket Definitions V3)."""

    SCHEDULED = "SALE_SCHEDULED"
    STARTED = "SALE_STARTED"
    ENDED = "SALE_ENDED"


@dataclass(frozen=True, slots=True)
class Price:
    """One price: `amount` is a decimal string with at least two places, `option` the pricing option's id, if any."""

    amount: str
    currency: str
    option: str | None = None
    name: str | None = None


@dataclass(frozen=True, slots=True)
class Sale:
    """The sale period as Wix gives it (ISO 8601, UTC) and the event's IANA time zone."""

    start: str | None = None
    end: str | None = None
    zone: str | None = None


@dataclass(frozen=True, slots=True)
class Definition:
    """One ticket definition of Wix: `unsold` is None when unlimited, `facts` are its members without sales."""

    id: TicketId
    event: EventId
    name: str
    visible: bool
    status: SaleStatus
    unsold: int | None
    sold_out: bool
    prices: tuple[Price, ...]
    shared: bool
    sale: Sale
    start_us: int | None
    end_us: int | None
    facts: dict[str, Any] = field(compare=False)

    @property
    def pace(self) -> Pace:
        """How often this ticket is read: a hidden one as often as others, since a click may show it again at any moment."""
        return Pace.SLOW if self.status is SaleStatus.ENDED else Pace.LIVE


@dataclass(frozen=True, slots=True)
class Rules:
    """The settings that shape a counter: `low_at` and `show_at_most` in tickets, the latter None for no limit."""

    low_at: int = 10
    show_at_most: int | None = None

    @property
    def hash(self) -> str:
        """A short hash of these rules: two processes with the same hash show the same counters."""
        text = f"{CONTRACT}:{self.low_at}:{self.show_at_most}"
        return hashlib.sha256(text.encode()).hexdigest()[:12]


@dataclass(frozen=True, slots=True)
class Counter:
    """The public state of one ticket: what may be shown, and nothing more."""

    ticket: TicketId
    event: EventId | None = None
    state: State = State.UNKNOWN
    unsold: int | None = None
    prices: tuple[Price, ...] = ()
    shared: bool = False
    name: str | None = None
    sale: Sale = Sale()

    @classmethod
    def gone(cls, ticket: TicketId) -> "Counter":
        """The counter of a ticket that is deleted, hidden, over, or was never there: the same for all four."""
        return cls(ticket, state=State.GONE)

    @classmethod
    def of(cls, definition: Definition, rules: Rules) -> "Counter":
        """Decide what may be shown: a pure function of the definition and the rules."""
        if not definition.visible:
            return cls.gone(definition.id)
        state, unsold = _state(definition, rules)
        return cls(
            ticket=definition.id,
            event=definition.event,
            state=state,
            unsold=unsold,
            prices=definition.prices,
            shared=definition.shared,
            name=definition.name,
            sale=definition.sale,
        )


def _state(definition: Definition, rules: Rules) -> tuple[State, int | None]:
    unsold = definition.unsold
    shown = unsold if unsold is None or rules.show_at_most is None or unsold <= rules.show_at_most else None
    if definition.status is SaleStatus.ENDED:
        # What is left after the end cannot be bought, so its number is not shown.
        return State.ENDED, None
    if definition.status is SaleStatus.SCHEDULED:
        return State.SCHEDULED, shown
    if definition.sold_out or unsold == 0:
        return State.SOLD_OUT, 0
    if unsold is not None and unsold <= rules.low_at:
        return State.LOW, shown
    return State.AVAILABLE, shown


class Named(StrEnum):
    """How a webhook names its tickets."""

    TICKETS = "tickets"  # by ticket definition id
    LINES = "lines"  # by invoice line id: a ticket definition id in all webhooks seen, but not documented as one
    EVENT = "event"  # only by their event


@dataclass(frozen=True, slots=True)
class Hint:
    """Read these tickets again: ids and a reason, no numbers; and once more when a hold on them ends (microseconds)."""

    reason: str
    tickets: tuple[TicketId, ...] = ()
    event: EventId | None = None
    named: Named = Named.TICKETS
    hold_ends_us: int | None = None


@dataclass(frozen=True, slots=True)
class Install:
    """The app was installed on a site (True) or removed from it (False)."""

    installed: bool


@dataclass(frozen=True, slots=True)
class Webhook:
    """A verified webhook: its type ("unknown" = one that we do not handle), its site, and what it asks for (None: nothing)."""

    type: str
    site: SiteId
    meaning: Hint | Install | None


@dataclass(frozen=True, slots=True)
class WatchedTicket:
    """What is stored of a watched ticket: `v` None = never read, `age` of the read in seconds, `counter` None = not asked for."""

    ticket: TicketId
    v: int | None
    age: float
    rules: str
    counter: str | None


@dataclass(frozen=True, slots=True)
class UnreportedFalls:
    """Stock fell `falls` times within so many `seconds`, and no webhook reported it.

    The newest webhook came at `heard_us`, by Redis's clock in microseconds; None = there was never one.
    """

    falls: int
    seconds: float
    heard_us: int | None


@dataclass(frozen=True, slots=True)
class WatchedSite:
    """What is stored of a site: its `rules`, the unreported falls if it is silent, and the tickets asked for."""

    rules: str
    unreported_falls: UnreportedFalls | None
    tickets: tuple[WatchedTicket, ...] = ()
