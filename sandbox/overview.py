"""The state of the world as JSON for the control API: flat and small, not in Wix's format.

In: the world. Out: JSON for the shop page and for tests.
"""

from typing import Any

from sandbox.clock import iso, short
from sandbox.entity import sales
from sandbox.knobs import Knobs
from sandbox.model import Event, Ticket
from sandbox.world import World

LAST_ORDERS = 50

Json = dict[str, Any]


def world(world_: World, first: str, knobs: Knobs) -> Json:
    """The current state: the event with the id *first*, all tickets, pending holds, and the last orders."""
    world_.tick()
    event_ = world_.events.get(first)
    return {
        "now": iso(world_.now()),
        "event": None if event_ is None else event(event_),
        "tickets": [_ticket(one, knobs) for one in world_.tickets.values()],
        "holds": [
            {"id": one.id, "ticket": one.lines[0].ticket, "quantity": one.quantity, "expires": iso(one.expires)}
            for one in world_.holds.values()
        ],
        "orders": [
            {
                "number": one.number,
                "ticket": one.lines[0].ticket,
                "quantity": one.quantity,
                "status": one.status.value,
            }
            for one in list(world_.orders.values())[-LAST_ORDERS:]
        ],
        "knobs": knobs.model_dump(),
    }


def event(event_: Event) -> Json:
    """One event."""
    return {
        "id": event_.id,
        "title": event_.title,
        "status": event_.status.value,
        "start": short(event_.start),
        "end": short(event_.end),
        "zone": event_.zone,
    }


def _ticket(ticket: Ticket, knobs: Knobs) -> Json:
    return {
        "id": ticket.id,
        "kind": ticket.kind,
        "name": ticket.name,
        "hidden": ticket.hidden,
        "saleStatus": ticket.status.value,
        "pricing": ticket.pricing.value,
        "prices": [
            {"optionId": price.option, "name": price.name, "value": price.value, "currency": price.currency}
            for price in ticket.prices
        ],
        "unsold": sales(ticket, knobs).get("unsoldCount"),
        "sold": ticket.sold,
        "reserved": ticket.reserved,
        "limit": ticket.limit,
        "sale": {
            "start": None if ticket.start is None else short(ticket.start),
            "end": None if ticket.end is None else short(ticket.end),
        },
    }
