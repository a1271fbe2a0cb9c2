"""The innermost JSON of webhooks.

In: orders, holds, tickets and events as values. Out: dicts of JSON. Flat events (orders, deprecated reservation events)
are the payload itself; domain events wrap an entity and have an id and a sequence number. The buyer is fictional and
always the same.
Sources: Wix, "Orders" (Order Initiated, Confirmed, Updated), "Ticket Reservations", "Events V3", "Domain events".
"""

from collections.abc import Mapping
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from sandbox.clock import iso
from sandbox.event_entity import dates, location, page_url
from sandbox.knobs import Knobs
from sandbox.model import Event, Hold, HoldStatus, Line, Order, OrderStatus, Price, Ticket

RATE = Decimal("2.5")
"""Wix's fee in percent of the price."""

CENT = Decimal("0.01")

BUYER = {"firstName": "Ada", "lastName": "Example", "email": "ada@example.com"}
FORM = {"inputValues": [{"inputName": name, "value": value} for name, value in BUYER.items()]}

Json = dict[str, Any]


# -- orders --


def order_initiated(order: Order, at: float, knobs: Knobs) -> Json:
    """Checkout has started: an invoice, no tickets yet."""
    return {**_order(order, at), "invoice": _invoice(order, knobs), "reservationId": order.hold}


def order_confirmed(order: Order, at: float, knobs: Knobs) -> Json:
    """An order is paid: an invoice, and one entry in `tickets` per ticket."""
    return {
        **_order(order, at),
        "silent": False,
        "method": _method(order),
        "tickets": _tickets(order, knobs),
        "invoice": _invoice(order, knobs),
        "reservationId": order.hold,
    }


def order_updated(order: Order, at: float, knobs: Knobs) -> Json:
    """An order has changed, for example by a cancellation: no invoice, no reservation."""
    return {
        **_order(order, at),
        "method": _method(order),
        "tickets": _tickets(order, knobs),
        "confirmed": order.status in {OrderStatus.PAID, OrderStatus.FREE},
        "archived": False,
        "triggeredByAnonymizeRequest": False,
    }


def _order(order: Order, at: float) -> Json:
    return {
        "timestamp": iso(at),
        "language": "en",
        "locale": "en-us",
        "eventId": order.event,
        "orderNumber": order.number,
        "contactId": order.contact,
        "created": iso(order.created),
        "updated": iso(order.updated),
        **BUYER,
        "checkoutForm": FORM,
        "status": order.status.value,
    }


def _method(order: Order) -> str:
    return "free" if order.status is OrderStatus.FREE else "creditCard"


def _tickets(order: Order, knobs: Knobs) -> list[Json]:
    if not knobs.order_tickets:
        return []
    return [
        {
            "ticketNumber": one.number,
            "ticketDefinitionId": one.ticket,
            "price": _amount(Decimal(one.price.value), one.price.currency),
            "archived": False,
            **BUYER,
            "contactId": order.contact,
            "confirmed": True,
            "form": FORM,
            "ticketName": one.name,
            "anonymized": False,
            "canceled": one.canceled,
        }
        for one in order.issued
    ]


def _invoice(order: Order, knobs: Knobs) -> Json:
    currency = order.lines[0].price.currency
    total = sum((_total(line) for line in order.lines), Decimal(0))
    fees = [fee for line in order.lines for fee in _fees(line)]
    fee = sum((Decimal(one["amount"]["value"]) for one in fees), Decimal(0))
    added = sum((Decimal(one["amount"]["value"]) for one in fees if one["type"] != "FEE_INCLUDED"), Decimal(0))
    return {
        "items": [_item(line, knobs) for line in order.lines],
        "total": _amount(total, currency),
        "subTotal": _amount(total, currency),
        "grandTotal": _amount(total + added, currency),
        "fees": [{**fees[0], "amount": _amount(fee, currency)}] if fees else [],
        "revenue": _amount(total - (fee - added), currency),
    }


def _item(line: Line, knobs: Knobs) -> Json:
    return {
        "id": line.ticket if knobs.line_ids == "definition" else line.id,
        "quantity": line.quantity,
        "name": line.name,
        "price": _amount(Decimal(line.price.value), line.price.currency),
        "total": _amount(_total(line), line.price.currency),
        "fees": _fees(line),
    }


def _fees(line: Line) -> list[Json]:
    fee = (_total(line) * RATE / 100).quantize(CENT, ROUND_HALF_UP)
    if line.fee == "NO_FEE" or not fee:
        return []
    amount = _amount(fee, line.price.currency)
    return [{"name": "WIX_FEE", "type": line.fee, "rate": str(RATE), "amount": amount}]


def _total(line: Line) -> Decimal:
    return Decimal(line.price.value) * line.quantity


def _amount(value: Decimal, currency: str) -> dict[str, str]:
    text = str(value.quantize(CENT, ROUND_HALF_UP))
    return {"amount": text, "currency": currency, "value": text}


# -- holds --


def reservation(hold: Hold) -> Json:
    """The entity of ticket_reservation_*; without an expiration date once it has ended."""
    expires = {"expirationDate": iso(hold.expires)} if hold.status is HoldStatus.PENDING else {}
    return {
        "id": hold.id,
        "revision": str(hold.revision),
        "createdDate": iso(hold.created),
        "updatedDate": iso(hold.updated),
        **expires,
        "status": hold.status.value,
        "visitorId": hold.visitor,
        "tickets": [
            {
                "ticketLineItemId": line.id,
                "eventId": line.event,
                "ticketDefinitionId": line.ticket,
                "quantity": line.quantity,
                "ticketName": line.name,
                "price": _money(line.price),
                "subTotal": _money(line.price, _total(line)),
            }
            for line in hold.lines
        ],
    }


def old_reservation(hold: Hold, tickets: Mapping[str, Ticket], at: float) -> Json:
    """The deprecated flat event, with counts."""
    return {
        "timestamp": iso(at),
        "eventId": hold.lines[0].event,
        "reservationId": hold.id,
        "expires": iso(hold.expires),
        "status": f"RESERVATION_{hold.status.value}",
        "quantities": [
            {"ticketDefinitionId": line.ticket, "quantity": line.quantity, "updatedDate": iso(hold.updated)}
            for line in hold.lines
        ],
        "updatedDate": iso(hold.updated),
        "counts": [
            {
                "timestamp": iso(at),
                "ticketDefinitionId": ticket.id,
                "confirmedCount": ticket.sold,
                "pendingCount": ticket.reserved,
                "paidExists": ticket.sold > 0,
            }
            for ticket in (tickets.get(line.ticket) for line in hold.lines)
            if ticket is not None
        ],
    }


def _money(price: Price, value: Decimal | None = None) -> dict[str, str]:
    return {"value": price.value if value is None else str(value), "currency": price.currency}


# -- events --


def event_action(event_: Event, at: float, *, titled: bool) -> Json:
    """The body of event_canceled (titled), event_started and event_ended."""
    body = {"timestamp": iso(at), "eventId": event_.id, "hasGuests": True}
    return {**body, "title": event_.title} if titled else body


def event_published(event_: Event, at: float) -> Json:
    """The body of event_published; registration, which is optional in it, is left out."""
    return {
        "timestamp": iso(at),
        "eventId": event_.id,
        "status": event_.status.value,
        "title": event_.title,
        "location": location(),
        "dateAndTimeSettings": dates(event_),
        "eventPageUrl": page_url(event_),
    }


# -- domain events --


def modified(before: Json, after: Json, path: str = "") -> Json:
    """The modifiedFields of an update: dotted path → old value, for each value that changed."""
    found: Json = {}
    for name in {**before, **after}:
        was, is_ = before.get(name), after.get(name)
        if isinstance(was, dict) and isinstance(is_, dict):
            found |= modified(was, is_, f"{path}{name}.")
        elif was != is_ and name != "updatedDate":
            found[f"{path}{name}"] = was
    return found
