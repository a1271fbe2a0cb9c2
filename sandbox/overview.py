"""The state of the world as JSON for the control API: flat and small, not in Wix's format.

In: the world. Out: JSON for the shop page and for tests.
"""

from dataclasses import asdict
from typing import Any

from sandbox.clock import iso, short
from sandbox.entity import per_checkout, sales
from sandbox.event_entity import page_url, tax
from sandbox.event_page import shown
from sandbox.knobs import Knobs
from sandbox.model import Event, Ticket
from sandbox.world import World

LAST_ORDERS = 50

Json = dict[str, Any]


def world(world_: World, first: str, knobs: Knobs) -> Json:
    """The current state: the event with the id *first*, all events and tickets, pending holds, and the last orders."""
    world_.tick()
    event_ = world_.events.get(first)
    return {
        "now": iso(world_.now()),
        "event": None if event_ is None else event(event_),
        "events": [event(one) for one in world_.events.values()],
        "tickets": [_ticket(one, world_.event(one.event), knobs) for one in world_.tickets.values()],
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
        "slug": event_.slug,
        "page": "".join(page_url(event_).values()),
        "hideEventDetailsPage": event_.page_hidden,
        "tax": None if event_.tax is None else tax(event_.tax),
        "registration": {
            "status": event_.registration.status,
            "paused": event_.registration.paused,
            "disabled": event_.registration.disabled,
            "soldOut": event_.registration.sold_out,
            "closedBecause": event_.registration.closed_because,
        },
        "missing": sorted(event_.missing),
    }


def _ticket(ticket: Ticket, event_: Event, knobs: Knobs) -> Json:
    return {
        "id": ticket.id,
        "event": ticket.event,
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
        "displayNotOnSale": ticket.shown_early,
        "sortIndex": ticket.sort_index,
        "limitPerCheckout": per_checkout(ticket, knobs),
        "missing": sorted(ticket.missing),
        "page": asdict(shown(ticket, event_, knobs)),
    }
