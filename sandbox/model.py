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
class Event:
    """One event of the site; *zone* is an IANA time zone."""

    id: str
    title: str
    status: EventStatus
    start: float
    end: float
    zone: str
    created: float
    updated: float
    revision: int = 1


@dataclass(frozen=True, slots=True)
class Ticket:
    """One ticket definition with its sales. *kind* is its name in seed.py; *limit* is None for unlimited."""

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
