"""What can be queried: ticket definitions, events and contacts, each with its fields and the sizes of its pages.

Sources: Wix, "Ticket Definitions V3: supported filters and sorting", "Events V3: supported filters and sorting", "Contacts:
Supported Filters, Sorting, and Search".
"""

from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, Generic, Protocol, TypeVar

from sandbox.contacts import Contact
from sandbox.filters import EQUALITY, OF_LISTS, Field, Fields, date, decimal, flag, id_, number, text
from sandbox.model import Event, Pricing, Ticket


class Positioned(Protocol):
    """Has a place among all of its kind, in order of creation: what is equal in a sorting is in this order."""

    @property
    def position(self) -> int:
        """Unique among its kind."""


T = TypeVar("T", bound=Positioned)


@dataclass(frozen=True, slots=True)
class Queryable(Generic[T]):
    """One kind of object: its fields, the default and the limits of a page, whether there are cursors, and how many sortings."""

    fields: Fields[T]
    default_limit: int
    least_limit: int
    most_limit: int
    by_cursor: bool
    most_sorts: int = 10


def _fixed(ticket: Ticket) -> Any:
    return ticket.prices[0] if ticket.pricing is Pricing.FIXED else None


TICKETS: Queryable[Ticket] = Queryable(
    {
        "createdDate": Field(lambda t: t.created, date),
        "updatedDate": Field(lambda t: t.updated, date),
        "id": Field(lambda t: t.id, id_),
        "eventId": Field(lambda t: t.event, id_),
        "name": Field(lambda t: t.name, text),
        "description": Field(lambda t: t.description, text),
        "initialLimit": Field(lambda t: t.limit, number),
        "revision": Field(lambda t: t.revision, number),
        "pricingMethod.fixedPrice.value": Field(lambda t: (p := _fixed(t)) and Decimal(p.value), decimal),
        "pricingMethod.fixedPrice.currency": Field(lambda t: (p := _fixed(t)) and p.currency, text),
        "feeType": Field(lambda t: t.fee, text, EQUALITY),
        "hidden": Field(lambda t: t.hidden, flag, EQUALITY),
        "saleStatus": Field(lambda t: t.status.value, text, EQUALITY),
        "pricingMethod.free": Field(lambda t: t.free, flag, EQUALITY),
        "pricingMethod.pricingType": Field(
            lambda t: "DONATION" if t.pricing is Pricing.GUEST else "STANDARD", text, EQUALITY
        ),
    },
    default_limit=100,
    least_limit=1,
    most_limit=100,
    by_cursor=True,
)

_EVENT_ORDERED = frozenset({"$eq", "$ne", "$in", "$gt", "$gte", "$lt", "$lte"})
_EVENT_EQUALITY = frozenset({"$eq", "$ne", "$in"})

EVENTS: Queryable[Event] = Queryable(
    {
        "createdDate": Field(lambda e: e.created, date, _EVENT_ORDERED),
        "updatedDate": Field(lambda e: e.updated, date, _EVENT_ORDERED),
        "dateAndTimeSettings.startDate": Field(lambda e: e.start, date, _EVENT_ORDERED),
        "dateAndTimeSettings.endDate": Field(lambda e: e.end, date, _EVENT_ORDERED),
        "slug": Field(lambda e: e.slug, text, _EVENT_ORDERED),
        "title": Field(lambda e: e.title, text, _EVENT_ORDERED),
        "id": Field(lambda e: e.id, id_, _EVENT_ORDERED),
        "status": Field(lambda e: e.status.value, text, _EVENT_EQUALITY, sortable=False),
        "registration.initialType": Field(lambda _: "TICKETING", text, frozenset({"$eq"}), sortable=False),
    },
    default_limit=0,  # a query without a limit returns the total and no events
    least_limit=0,
    most_limit=1000,
    by_cursor=False,
)

EVENTS_WITHOUT_IN: Queryable[Event] = replace(
    EVENTS, fields={**EVENTS.fields, "id": Field(lambda e: e.id, id_, _EVENT_ORDERED - {"$in"})}
)
"""As EVENTS, but many events cannot be asked for by their ids."""

_TEXT = frozenset({"$eq", "$ne", "$in", "$exists"})
_DATE = frozenset({"$eq", "$ne", "$gt", "$lt", "$gte", "$lte"})

CONTACTS: Queryable[Contact] = Queryable(
    {
        "id": Field(lambda c: c.id, id_, _TEXT, sortable=False),
        "createdDate": Field(lambda c: c.created, date, _DATE),
        "updatedDate": Field(lambda c: c.updated, date, _DATE, sortable=False),
        "primaryInfo.email": Field(lambda c: c.email or None, text, _TEXT),
        "info.name.first": Field(lambda c: c.first, text, _TEXT),
        "info.name.last": Field(lambda c: c.last, text, _TEXT),
        "info.locale": Field(lambda c: c.locale, text, _TEXT, sortable=False),
        "info.labelKeys": Field(lambda c: c.labels, text, OF_LISTS, sortable=False),
    },
    default_limit=50,
    least_limit=0,
    most_limit=1000,
    by_cursor=False,
    most_sorts=1,
)
