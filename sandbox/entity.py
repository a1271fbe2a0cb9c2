"""A ticket as Wix's JSON: the TicketDefinition of Ticket Definitions V3.

In: a Ticket, its Event, the knobs. Out: a dict of JSON, with salesDetails and eventDetails only on request, and without
members that have no value, as Wix does.
"""

from collections.abc import Collection
from decimal import Decimal
from typing import Any

from sandbox.clock import iso, short
from sandbox.knobs import Knobs
from sandbox.model import Event, Price, Pricing, Ticket

FIELDS = frozenset({"SALES_DETAILS", "EVENT_DETAILS", "SEATING_DETAILS"})
"""Values of `fields` in a request; there are no seating plans here, so the last adds nothing."""

MAX_PER_CHECKOUT = 50
"""Upper limit of limitPerCheckout; the stock counts if it is smaller."""


def entity(ticket: Ticket, event: Event | None, knobs: Knobs, fields: Collection[str] = ()) -> dict[str, Any]:
    """The definition; *event* may be None only if *fields* does not contain EVENT_DETAILS."""
    unsold = _unsold(ticket, knobs)
    json: dict[str, Any] = {
        "id": ticket.id,
        "eventId": ticket.event,
        "revision": str(ticket.revision),
        "createdDate": iso(ticket.created),
        "updatedDate": iso(ticket.updated),
        "name": ticket.name,
        "description": ticket.description,
        "policyText": ticket.policy,
        "hidden": ticket.hidden,
        "limited": ticket.limit is not None,
        "pricingMethod": pricing(ticket, knobs),
        "feeType": ticket.fee,
        "salePeriod": period(ticket),
        "saleStatus": ticket.status.value,
        "limitPerCheckout": MAX_PER_CHECKOUT if unsold is None else min(MAX_PER_CHECKOUT, unsold),
        "extendedFields": dict(ticket.extended),
    }
    if ticket.limit is not None:
        json["initialLimit"] = json["actualLimit"] = ticket.limit
    if "SALES_DETAILS" in fields:
        json["salesDetails"] = sales(ticket, knobs)
    if "EVENT_DETAILS" in fields and event is not None:
        json["eventDetails"] = details(event)
    return json


def sales(ticket: Ticket, knobs: Knobs) -> dict[str, Any]:
    """The member salesDetails."""
    unsold = _unsold(ticket, knobs)
    numbers = {"unsoldCount": unsold, "soldCount": ticket.sold, "reservedCount": ticket.reserved}
    if unsold is None and knobs.null_unlimited == "absent":
        del numbers["unsoldCount"]
    return {**numbers, "soldOut": unsold == 0}


def pricing(ticket: Ticket, knobs: Knobs) -> dict[str, Any]:
    """The member pricingMethod: exactly one of three members, and the values that Wix derives from it."""
    method: dict[str, Any]
    if ticket.pricing is Pricing.OPTIONS:
        options = [
            {"optionId": price.option, "name": price.name, "price": money(price, knobs)} for price in ticket.prices
        ]
        method = {"pricingOptions": {"optionDetails": options}}
    else:
        method = {f"{ticket.pricing.value}Price": money(ticket.prices[0], knobs)}
    kind = "DONATION" if ticket.pricing is Pricing.GUEST else "STANDARD"
    return {**method, "pricingType": kind, "free": ticket.free}


def period(ticket: Ticket) -> dict[str, Any]:
    """The member salePeriod."""
    json: dict[str, Any] = {}
    if ticket.start is not None:
        json["startDate"] = short(ticket.start)
    if ticket.end is not None:
        json["endDate"] = short(ticket.end)
    return {**json, "displayNotOnSale": ticket.shown_early}


def details(event: Event) -> dict[str, Any]:
    """The member eventDetails."""
    return {
        "title": event.title,
        "shortDescription": "",
        "location": {"name": "Town hall", "type": "VENUE", "locationTbd": False},
        "dateAndTimeSettings": {
            "dateAndTimeTbd": False,
            "startDate": short(event.start),
            "endDate": short(event.end),
            "timeZoneId": event.zone,
        },
        "eventPageUrl": {"base": "https://www.example.com", "path": f"/event-details/{event.id}"},
        "status": event.status.value,
    }


def money(price: Price, knobs: Knobs) -> dict[str, str]:
    """An amount of money; the knob free_price decides how zero is written."""
    return {"value": price.value if Decimal(price.value) else knobs.free_price, "currency": price.currency}


def _unsold(ticket: Ticket, knobs: Knobs) -> int | None:
    if ticket.limit is None:
        return None
    return max(0, ticket.limit - ticket.sold - (ticket.reserved if knobs.holds_count else 0))
