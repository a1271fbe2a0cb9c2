"""Counters in a canonical form to compare: what a ticket's counter must be, and what a frame contains.

In: a ticket and its event of the sandbox, or the text of a counter. Out: one canonical text for each, without the
version; None for a counter in the state `unknown`. A counter is made of a read of the ticket and a read of the event at
another time, so each is a value of its own (TicketState, EventState). It is implemented from docs/contract.md and
docs/states.md and shares no code with the server, whose mistakes it would repeat.
"""

import json
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from typing import Any

from sandbox.clock import short
from sandbox.model import Event, EventStatus, Price, Pricing, RegistrationStatus, SaleStatus, Ticket

LOW_AT = 10
"""The server's default: with so many tickets or fewer the state is `low`."""

OVER = {EventStatus.ENDED, EventStatus.CANCELED, EventStatus.DRAFT}
UNDECIDED = {RegistrationStatus.OPEN_TICKETS, RegistrationStatus.UNKNOWN}
CLOSED = {status.value for status in RegistrationStatus if status not in UNDECIDED}

CanonicalCounter = str


@dataclass(frozen=True, slots=True)
class TicketState:
    """What a read of the ticket says, its `eventDetails` included; *gone*: nothing may be said of it."""

    id: str
    gone: bool = True
    event: str | None = None
    status: SaleStatus = SaleStatus.STARTED
    left: int | None = None
    """Tickets that can be bought; None for unlimited."""
    sold_out: bool = False
    prices: tuple[Price, ...] = ()
    buyer_chooses: bool = False
    fee: str = ""
    name: str | None = None
    sale: tuple[str | None, str | None, str | None] = (None, None, None)
    """Start, end, time zone."""


@dataclass(frozen=True, slots=True)
class EventState:
    """What a read of the event says; the default is what is known of an event that was not read."""

    over: bool = False
    sold_out: bool = False
    closed: bool = False
    tax: str | None = None
    """Wix's `taxSettings.type`."""
    taxes_donations: bool = False
    page: str | None = None


def of_ticket(ticket: Ticket | None, event: Event | None, id_: str) -> CanonicalCounter:
    """The counter of a ticket as it and its event are now; `gone` where the ticket is deleted."""
    return of_states(ticket_state(ticket, event, id_), event_state(event))


def ticket_state(ticket: Ticket | None, event: Event | None, id_: str) -> TicketState:
    """What a read of the ticket says; *event* is what its `eventDetails` are made of."""
    if ticket is None or event is None or ticket.hidden or event.status in OVER:
        return TicketState(id_)
    status = SaleStatus.STARTED if "saleStatus" in ticket.missing else ticket.status
    shown_early = ticket.shown_early or "salePeriod.displayNotOnSale" in ticket.missing
    if not shown_early and status is not SaleStatus.STARTED:
        return TicketState(id_)
    return TicketState(
        id=id_,
        gone=False,
        event=ticket.event,
        status=status,
        left=ticket.left,
        sold_out=ticket.left == 0 or (ticket.checkout_limit == 0 and "limitPerCheckout" not in ticket.missing),
        prices=ticket.prices,
        buyer_chooses=ticket.pricing is Pricing.GUEST,
        fee=ticket.fee,
        name=ticket.name,
        sale=(
            None if ticket.start is None else short(ticket.start),
            None if ticket.end is None else short(ticket.end),
            event.zone,
        ),
    )


def event_state(event: Event | None) -> EventState:
    """What a read of the event says, without the members that are missing."""
    if event is None:
        return EventState()
    known = "registration" not in event.missing
    registration = event.registration
    status = registration.status if known and "registration.status" not in event.missing else ""
    sold_out = status == RegistrationStatus.CLOSED_AUTOMATICALLY
    hidden = event.page_hidden and "eventDisplaySettings" not in event.missing
    is_address = event.page_base.startswith(("http://", "https://"))
    has_page = is_address and not hidden and "eventPageUrl" not in event.missing
    return EventState(
        over=event.status in OVER,
        sold_out=sold_out,
        closed=not sold_out and (status in CLOSED or (known and (registration.paused or registration.disabled))),
        tax=event.tax.type if event.tax is not None and known else None,
        taxes_donations=event.tax is not None and known and event.tax.on_donations,
        page=f"{event.page_base}/event-details/{event.slug}" if has_page else None,
    )


def of_states(ticket: TicketState, event: EventState) -> CanonicalCounter:
    """The counter that these two reads give together."""
    if ticket.gone or event.over:
        return _text(ticket.id, None, "gone", None)
    state, unsold = _state(ticket, event)
    prices = [] if state == "closed" else [_price(price) for price in ticket.prices]
    start, end, zone = ticket.sale
    return _text(
        ticket.id,
        ticket.event,
        state,
        unsold,
        prices=prices,
        shared=ticket.buyer_chooses or len(ticket.prices) > 1,
        fees=_fees(ticket, event) if prices else None,
        name=ticket.name,
        sale={"start": start, "end": end, "zone": zone},
        buy=event.page,
    )


@lru_cache(maxsize=10_000)  # all viewers of a ticket get the same text
def of_frame(text: str) -> tuple[str, CanonicalCounter | None] | None:
    """The ticket and the canonical text of a counter as it was sent; None for a frame that is no counter."""
    found = json.loads(text)
    if "ticket" not in found:
        return None
    del found["v"]
    return found["ticket"], None if found["state"] == "unknown" else _canonical(found)


def retry_ms(text: str) -> tuple[int, int]:
    """The least and the most milliseconds after which a `bye` asks the client to reconnect."""
    low, high = json.loads(text)["bye"]["retry_ms"]
    return low, high


def _state(ticket: TicketState, event: EventState) -> tuple[str, int | None]:
    if ticket.status is SaleStatus.ENDED:
        return "ended", None
    if event.sold_out:
        return "sold_out", 0
    if event.closed:
        return "closed", None
    if ticket.status is SaleStatus.SCHEDULED:
        return "scheduled", ticket.left
    if ticket.sold_out:
        return "sold_out", 0
    return "low" if ticket.left is not None and ticket.left <= LOW_AT else "available", ticket.left


def _fees(ticket: TicketState, event: EventState) -> str:
    if all(Decimal(price.value) == 0 for price in ticket.prices):
        return "none"
    tax = event.tax if event.taxes_donations or not ticket.buyer_chooses else None
    if ticket.fee == "FEE_ADDED_AT_CHECKOUT" or tax == "ADDED_AT_CHECKOUT":
        return "added"
    return "included" if ticket.fee == "FEE_INCLUDED" or tax == "INCLUDED_IN_PRICE" else "none"


def _price(price: Price) -> dict[str, str | None]:
    return {
        "amount": f"{Decimal(price.value):.2f}",
        "currency": price.currency,
        "option": price.option,
        "name": price.name,
    }


def _text(
    id_: str,
    event: str | None,
    state: str,
    unsold: int | None,
    *,
    prices: list[dict[str, str | None]] | None = None,
    shared: bool = False,
    fees: str | None = None,
    name: str | None = None,
    sale: dict[str, str | None] | None = None,
    buy: str | None = None,
) -> CanonicalCounter:
    return _canonical(
        {
            "ticket": id_,
            "event": event,
            "state": state,
            "unsold": unsold,
            "prices": prices or [],
            "shared": shared,
            "fees": fees,
            "name": name,
            "sale": sale or {"start": None, "end": None, "zone": None},
            "buy": buy,
        }
    )


def _canonical(value: dict[str, Any]) -> CanonicalCounter:
    return json.dumps(value, sort_keys=True, ensure_ascii=False)
