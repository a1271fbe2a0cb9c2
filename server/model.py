"""The domain as values: what Wix says of a ticket and of its event, what webhooks ask for, and what is stored.

Wix's JSON becomes a `Definition` (wix/schema.py) and an `Event` (wix/events.py); what may be shown of both is a `Counter`
(counter.py). Nothing here reads a clock, a setting or a socket.
"""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NewType

SiteId = NewType("SiteId", str)
TicketId = NewType("TicketId", str)
EventId = NewType("EventId", str)
EventName = NewType("EventName", str)
"""An event as a request names it: its id, or its slug."""


class Pace(StrEnum):
    """How often a ticket is read (store/schedule.py)."""

    LIVE = "live"
    SLOW = "slow"  # its sale has ended: it is seldom on sale again
    DEAD = "dead"  # Wix answered 404: it is read for viewers only, and seldom
    NEVER = "never"  # Wix never had it: the negative cache


class SiteOrigin(StrEnum):
    """Why a site is known here. A site that was stored before this was noted has none."""

    SETTINGS = "settings"  # only because it stands, or once stood, in WIX_SITES
    ADDED = "added"  # a person added it by a command
    INSTALLED = "installed"  # a webhook told that it installed the app


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


NO_SALE = Sale()


class Fees(StrEnum):
    """Whether Wix's service fee and the tax are in a ticket's prices, are added at checkout, or are not taken."""

    INCLUDED = "included"
    ADDED = "added"
    NONE = "none"


class EventStatus(StrEnum):
    """Wix's `status` of an event (Events V3)."""

    UPCOMING = "UPCOMING"
    STARTED = "STARTED"
    ENDED = "ENDED"
    CANCELED = "CANCELED"
    DRAFT = "DRAFT"


class Registration(StrEnum):
    """Whether an event sells tickets, by Wix's `registration.status` and the switches beside it."""

    OPEN = "open"
    SOLD_OUT = "sold_out"  # closed by Wix, since every ticket is sold
    CLOSED = "closed"  # closed or paused by the organiser, or the event sells no tickets
    UNKNOWN = "unknown"  # not read, or not said: then each ticket decides for itself


@dataclass(frozen=True, slots=True)
class Event:
    """One event of Wix, as far as its tickets depend on it: `status` None = not said, `page` None = it has none.

    `adds_tax`: tax is added at checkout; `taxes_donations`: also where the buyer chooses the price. `facts` are its members
    that sales do not change.
    """

    id: EventId
    status: EventStatus | None = None
    registration: Registration = Registration.UNKNOWN
    slug: str | None = None
    page: str | None = None
    adds_tax: bool = False
    includes_tax: bool = False
    taxes_donations: bool = False
    facts: dict[str, Any] = field(default_factory=dict, compare=False)


@dataclass(frozen=True, slots=True)
class Definition:
    """One ticket definition of Wix: `unsold` is None when unlimited, `facts` are its members without sales.

    `event_details` is what it says of its event (`EVENT_DETAILS`), which is less than the event says of itself.
    `shown_off_sale`: it is shown before its sale and after it. `sold_out`: none can be bought, whatever `unsold` says.
    `held`: how many are reserved in carts, None = not said.
    `fee`: Wix's `feeType`. `position`: its place on the event's page, as a text that sorts.
    """

    id: TicketId
    event: EventId
    event_details: Event
    name: str
    hidden: bool
    shown_off_sale: bool
    status: SaleStatus
    unsold: int | None
    sold_out: bool
    held: int | None
    prices: tuple[Price, ...]
    shared: bool
    fee: str | None
    sale: Sale
    start_us: int | None
    end_us: int | None
    position: str
    facts: dict[str, Any] = field(compare=False)

    @property
    def pace(self) -> Pace:
        """How often this ticket is read: a hidden one as often as others, since a click may show it again at any moment."""
        return Pace.SLOW if self.status is SaleStatus.ENDED else Pace.LIVE

    @property
    def buyer_chooses(self) -> bool:
        """Whether the buyer chooses the price, of which there is then one: the lowest."""
        return self.shared and len(self.prices) == 1


class Named(StrEnum):
    """How a webhook names its tickets."""

    TICKETS = "tickets"  # by ticket definition id
    LINES = "lines"  # by invoice line id: a ticket definition id in all webhooks seen, but not documented as one
    EVENT = "event"  # only by their event


@dataclass(frozen=True, slots=True)
class Hint:
    """Read these tickets again: ids and a reason, no numbers; and once more when a hold on them ends (microseconds).

    `of_event`: the event itself has changed, so that it is read too.
    """

    reason: str
    tickets: tuple[TicketId, ...] = ()
    event: EventId | None = None
    named: Named = Named.TICKETS
    hold_ends_us: int | None = None
    of_event: bool = False


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
