"""Events, tickets, holds and orders as frozen values.

A change makes a new value, so history.py and unsent webhooks can keep the old one. Times are seconds since 1970,
prices are decimal strings as in Wix's API.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from typing import Any


class EventStatus(StrEnum):
    """Wix's `eventDetails.status`."""

    UPCOMING = "UPCOMING"
    STARTED = "STARTED"
    ENDED = "ENDED"
    CANCELED = "CANCELED"
    DRAFT = "DRAFT"


class SaleStatus(StrEnum):
    """Wix's `saleStatus`."""

    SCHEDULED = "SALE_SCHEDULED"
    STARTED = "SALE_STARTED"
    ENDED = "SALE_ENDED"


class RegistrationStatus(StrEnum):
    """Wix's `registration.status`."""

    UNKNOWN = "UNKNOWN_REGISTRATION_STATUS"
    CLOSED_AUTOMATICALLY = "CLOSED_AUTOMATICALLY"
    CLOSED_MANUALLY = "CLOSED_MANUALLY"
    OPEN_RSVP = "OPEN_RSVP"
    OPEN_RSVP_WAITLIST_ONLY = "OPEN_RSVP_WAITLIST_ONLY"
    OPEN_TICKETS = "OPEN_TICKETS"
    OPEN_EXTERNAL = "OPEN_EXTERNAL"
    SCHEDULED_RSVP = "SCHEDULED_RSVP"


class HoldStatus(StrEnum):
    """Wix's status of a reservation."""

    PENDING = "PENDING"
    CONFIRMED = "CONFIRMED"
    CANCELED = "CANCELED"
    EXPIRED = "EXPIRED"


class OrderStatus(StrEnum):
    """Wix's status of an order; only those that occur here."""

    INITIATED = "INITIATED"
    PAID = "PAID"
    FREE = "FREE"
    CANCELED = "CANCELED"


class Pricing(StrEnum):
    """How a ticket is priced: which member of `pricingMethod` is set."""

    FIXED = "fixed"
    OPTIONS = "options"
    GUEST = "guest"


@dataclass(frozen=True, slots=True)
class Price:
    """An amount of money; *option* and *name* are set for a pricing option."""

    value: str
    currency: str
    option: str | None = None
    name: str | None = None


@dataclass(frozen=True, slots=True)
class Tax:
    """The tax on an event's tickets: *type* is INCLUDED_IN_PRICE or ADDED_AT_CHECKOUT, *rate* is in percent."""

    type: str
    name: str
    rate: str
    on_donations: bool = False


CLOSED_BECAUSE = {
    RegistrationStatus.CLOSED_AUTOMATICALLY: "registration is closed, as all tickets are sold out",
    RegistrationStatus.CLOSED_MANUALLY: "registration is closed",
    RegistrationStatus.OPEN_RSVP: "guests register without a ticket (RSVP)",
    RegistrationStatus.OPEN_RSVP_WAITLIST_ONLY: "guests register without a ticket (RSVP)",
    RegistrationStatus.OPEN_EXTERNAL: "guests register on another site",
    RegistrationStatus.SCHEDULED_RSVP: "registration has not begun",
}
"""Why no ticket is sold, by the status of registration."""


@dataclass(frozen=True, slots=True)
class Registration:
    """Whether an event takes orders: *paused* and *disabled* by the organiser, *sold_out* as its tickets are.

    *override* is the status that Wix gives in place of the one that follows; it may be one that Wix does not have yet.
    """

    paused: bool = False
    disabled: bool = False
    sold_out: bool = False
    override: str | None = None

    @property
    def status(self) -> str:
        """Wix's `registration.status`."""
        return self.override if self.override is not None else self._by_itself.value

    @property
    def closed_because(self) -> str | None:
        """Why no ticket is sold, in words; None if tickets are sold. An unknown status says nothing."""
        if self.paused:
            return "registration is paused"
        known = CLOSED_BECAUSE.keys() | {RegistrationStatus.OPEN_TICKETS}
        status = RegistrationStatus(self.status) if self.status in known else self._by_itself
        return CLOSED_BECAUSE.get(status)

    @property
    def _by_itself(self) -> RegistrationStatus:
        if self.disabled:
            return RegistrationStatus.CLOSED_MANUALLY
        return RegistrationStatus.CLOSED_AUTOMATICALLY if self.sold_out else RegistrationStatus.OPEN_TICKETS


@dataclass(frozen=True, slots=True)
class Event:
    """One event of the site; *zone* is an IANA time zone, *published* None for a draft that never was.

    *missing* are members that are left out of its JSON (event_entity.py has their names).
    """

    id: str
    title: str
    status: EventStatus
    start: float
    end: float
    zone: str
    created: float
    updated: float
    position: int = 0
    slug: str = ""
    published: float | None = None
    registration: Registration = Registration()
    tax: Tax | None = None
    page_hidden: bool = False
    page_base: str = "https://www.example.com"
    missing: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Ticket:
    """One ticket definition with its sales. *kind* is its name in seed.py; *limit* is None for unlimited.

    *checkout_limit* is the most that one order may have, if that is not the stock: 0 as of a ticket whose last seats
    are not sold online. *missing* are members that are left out of its JSON (entity.py has their names).
    """

    id: str
    event: str
    kind: str
    name: str
    pricing: Pricing
    prices: tuple[Price, ...]
    limit: int | None
    created: float
    updated: float
    position: int
    status: SaleStatus = SaleStatus.STARTED
    start: float | None = None
    end: float | None = None
    shown_early: bool = True
    hidden: bool = False
    description: str = ""
    policy: str = ""
    fee: str = "FEE_ADDED_AT_CHECKOUT"
    extended: Mapping[str, Any] = field(default_factory=lambda: {"namespaces": {}})
    revision: int = 1
    sold: int = 0
    reserved: int = 0
    sort_index: int = 0
    checkout_limit: int | None = None
    missing: frozenset[str] = frozenset()

    @property
    def left(self) -> int | None:
        """How many can still be held or bought; None for unlimited."""
        return None if self.limit is None else max(0, self.limit - self.sold - self.reserved)

    @property
    def free(self) -> bool:
        """Whether its only price is zero."""
        return self.pricing is Pricing.FIXED and Decimal(self.prices[0].value) == 0


@dataclass(frozen=True, slots=True)
class Line:
    """A line of an order: a quantity of one ticket at one price."""

    id: str
    ticket: str
    event: str
    name: str
    quantity: int
    price: Price
    fee: str


@dataclass(frozen=True, slots=True)
class Hold:
    """A reservation: stock that is kept for a buyer until it *expires*."""

    id: str
    lines: tuple[Line, ...]
    created: float
    updated: float
    expires: float
    visitor: str
    status: HoldStatus = HoldStatus.PENDING
    revision: int = 1

    @property
    def quantity(self) -> int:
        """Total number of tickets."""
        return sum(line.quantity for line in self.lines)


@dataclass(frozen=True, slots=True)
class IssuedTicket:
    """One ticket of a paid order."""

    number: str
    ticket: str
    name: str
    price: Price
    canceled: bool = False


@dataclass(frozen=True, slots=True)
class Order:
    """An order; its tickets are *issued* when it is paid."""

    number: str
    event: str
    hold: str
    lines: tuple[Line, ...]
    contact: str
    visitor: str
    created: float
    updated: float
    status: OrderStatus = OrderStatus.INITIATED
    issued: tuple[IssuedTicket, ...] = ()

    @property
    def quantity(self) -> int:
        """Total number of tickets, canceled ones included."""
        return sum(line.quantity for line in self.lines)
