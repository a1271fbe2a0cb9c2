"""A ticket as Wix's JSON: the TicketDefinition of Ticket Definitions V3.

In: a Ticket, its Event, the knobs. Out: a dict of JSON, with salesDetails and eventDetails only on request, and without
members that have no value, as Wix does.
"""

from collections.abc import Collection
from typing import Any

from sandbox.clock import iso, short
from sandbox.event_entity import details, money
from sandbox.knobs import Knobs
from sandbox.model import Event, Pricing, Ticket

FIELDS = frozenset({"SALES_DETAILS", "EVENT_DETAILS", "SEATING_DETAILS"})
"""Values of `fields` in a request; there are no seating plans here, so the last adds nothing."""

MAX_PER_CHECKOUT = 50
"""Upper limit of limitPerCheckout; the stock counts if it is smaller."""

OPTIONAL = ("limitPerCheckout", "saleStatus", "sortIndex", "salePeriod.displayNotOnSale")
"""Members that can be left out, for tests: Ticket.missing."""


def entity(ticket: Ticket, event: Event | None, knobs: Knobs, fields: Collection[str] = ()) -> dict[str, Any]:
    """The definition; *event* may be None only if *fields* does not contain EVENT_DETAILS."""
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
        "limitPerCheckout": per_checkout(ticket, knobs),
        "extendedFields": dict(ticket.extended),
        "sortIndex": ticket.sort_index,  # not in the public types, but sent
    }
    if ticket.limit is not None:
        json["initialLimit"] = json["actualLimit"] = ticket.limit
    if "SALES_DETAILS" in fields:
        json["salesDetails"] = sales(ticket, knobs)
    if "EVENT_DETAILS" in fields and event is not None:
        json["eventDetails"] = details(event)
    for name in ticket.missing:
        *way, last = name.split(".")
        (json[way[0]] if way else json).pop(last, None)
    return json


def per_checkout(ticket: Ticket, knobs: Knobs) -> int:
    """The member limitPerCheckout."""
    limits = (MAX_PER_CHECKOUT, _unsold(ticket, knobs), ticket.checkout_limit)
    return min(limit for limit in limits if limit is not None)


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


def _unsold(ticket: Ticket, knobs: Knobs) -> int | None:
    if ticket.limit is None:
        return None
    return max(0, ticket.limit - ticket.sold - (ticket.reserved if knobs.holds_count else 0))
