"""An event as Wix's JSON: the Event of Events V3, and the members of it that ticket definitions contain.

In: an Event, its tickets, the knobs. Out: dicts of JSON, with `registration` and `eventPageUrl` only on request, and
without members that have no value, as Wix does. Events V3 have no revision.
Source: Wix, "Events V3" (object, fields).
"""

from collections.abc import Collection, Iterable
from decimal import Decimal
from typing import Any

from sandbox.clock import iso, short
from sandbox.knobs import Knobs
from sandbox.model import Event, Price, RegistrationStatus, Tax, Ticket

FIELDS = frozenset({
    "DETAILS", "TEXTS", "REGISTRATION", "URLS", "FORM", "DASHBOARD", "FEED", "ONLINE_CONFERENCING_SESSION",
    "SEO_SETTINGS", "AGENDA", "CATEGORIES",
})  # fmt: skip
"""Values of `fields` in a request; what the others would add is not here."""

OPTIONAL = ("registration", "registration.status", "registration.type", "eventPageUrl", "slug", "eventDisplaySettings")
"""Members that can be left out, for tests: Event.missing."""

TICKETS_PER_ORDER = 50
"""What the shop allows, and the most that an organiser can allow."""
SHORTEST_HOLD, LONGEST_HOLD = 5, 30
"""Limits of reservationDurationInMinutes."""

RSVP = frozenset({"OPEN_RSVP", "OPEN_RSVP_WAITLIST_ONLY", "SCHEDULED_RSVP"})

Json = dict[str, Any]


def event_entity(
    event: Event, tickets: Iterable[Ticket], instance: str, knobs: Knobs, fields: Collection[str] = ()
) -> Json:
    """The event of the site *instance*, with its *tickets*."""
    json: Json = {
        "id": event.id,
        "location": location(),
        "dateAndTimeSettings": dates(event),
        "title": event.title,
        "slug": event.slug,
        "createdDate": iso(event.created),
        "updatedDate": iso(event.updated),
        "status": event.status.value,
        "instanceId": instance,
        "eventDisplaySettings": {"hideEventDetailsPage": event.page_hidden},
    }
    if event.published is not None:
        json["publishedDate"] = iso(event.published)
    if "DETAILS" in fields:
        json["shortDescription"] = ""
    if "REGISTRATION" in fields:
        json["registration"] = registration(event, tickets, knobs)
    if "URLS" in fields:
        json["eventPageUrl"] = page_url(event)
    for name in event.missing:
        *way, last = name.split(".")
        (json.get(way[0], {}) if way else json).pop(last, None)
    return json


def registration(event: Event, tickets: Iterable[Ticket], knobs: Knobs) -> Json:
    """The member registration."""
    state = event.registration
    prices = [price for ticket in tickets if not ticket.hidden for price in ticket.prices]
    sales: Json = {"guestsAssignedSeparately": False, "ticketLimitPerOrder": TICKETS_PER_ORDER}
    if prices:
        sales["currency"] = prices[0].currency
        sales["lowestPrice"] = money(min(prices, key=_amount), knobs)
        sales["highestPrice"] = money(max(prices, key=_amount), knobs)
    sales["soldOut"] = state.sold_out
    if event.tax is not None:
        sales["taxSettings"] = tax(event.tax)
    minutes = round(knobs.hold_seconds / 60)
    sales["reservationDurationInMinutes"] = min(LONGEST_HOLD, max(SHORTEST_HOLD, minutes))
    return {
        "type": _type(state.status),
        "status": state.status,
        "tickets": sales,
        "allowedGuestTypes": "VISITOR_OR_MEMBER",
        "initialType": "TICKETING",
        "registrationPaused": state.paused,
        "registrationDisabled": state.disabled,
    }


def tax(tax_: Tax) -> Json:
    """The member taxSettings."""
    return {"type": tax_.type, "name": tax_.name, "rate": tax_.rate, "appliedToDonations": tax_.on_donations}


def details(event: Event) -> Json:
    """The member eventDetails of a ticket definition."""
    return {
        "title": event.title,
        "shortDescription": "",
        "location": location(),
        "dateAndTimeSettings": dates(event),
        "eventPageUrl": page_url(event),
        "status": event.status.value,
    }


def location() -> Json:
    """The member location, the same for all events."""
    return {"name": "Town hall", "type": "VENUE", "locationTbd": False}


def dates(event: Event) -> Json:
    """The member dateAndTimeSettings."""
    return {
        "dateAndTimeTbd": False,
        "startDate": short(event.start),
        "endDate": short(event.end),
        "timeZoneId": event.zone,
    }


def page_url(event: Event) -> dict[str, str]:
    """The address of the event's page on the site, in the two parts that Wix gives."""
    return {"base": event.page_base, "path": f"/event-details/{event.slug}"}


def money(price: Price, knobs: Knobs) -> dict[str, str]:
    """An amount of money; the knob free_price decides how zero is written."""
    return {"value": price.value if Decimal(price.value) else knobs.free_price, "currency": price.currency}


def _amount(price: Price) -> Decimal:
    return Decimal(price.value)


def _type(status: str) -> str:
    if status in RSVP:
        return "RSVP"
    return "EXTERNAL" if status == RegistrationStatus.OPEN_EXTERNAL else "TICKETING"
