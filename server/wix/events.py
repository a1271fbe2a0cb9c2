"""Parses Wix's JSON of an event, as the API answers it and as it is stored: its facts are members of that JSON.

In: parsed JSON whose optional members may be missing. Out: model.py's Event, or Malformed naming the member that is wrong.
Source: Wix, "Events V3" (object; read with the fields REGISTRATION and URLS).
"""

from collections.abc import Mapping
from typing import Any

from server.model import Event, EventId, EventStatus, Registration
from server.wix.members import id_of, members, name_of, object_of, one_of, page, text

FACTS = (
    "id", "title", "slug", "status", "dateAndTimeSettings", "location", "eventPageUrl", "eventDisplaySettings",
)  # fmt: skip
"""Members that are stored as they are."""

REGISTRATION_FACTS = ("type", "status", "registrationPaused", "registrationDisabled")
TICKETING_FACTS = ("ticketLimitPerOrder", "currency", "taxSettings", "reservationDurationInMinutes")
"""Members of `registration.tickets`; the others change with sales."""

CLOSED = frozenset({"CLOSED_MANUALLY", "OPEN_RSVP", "OPEN_RSVP_WAITLIST_ONLY", "OPEN_EXTERNAL", "SCHEDULED_RSVP"})
"""Statuses in which Wix sells no tickets here."""


def event(json: Any) -> Event:
    """Parse one event; raises Malformed where it has no id."""
    entity = object_of(json, "event")
    registration = members(entity.get("registration"))
    tax = members(members(registration.get("tickets")).get("taxSettings"))
    has_page = members(entity.get("eventDisplaySettings")).get("hideEventDetailsPage") is not True
    return Event(
        id=EventId(id_of(entity.get("id"), "id")),
        status=one_of(EventStatus, entity.get("status")),
        registration=_registration(registration),
        slug=name_of(entity.get("slug")),
        page=page(entity.get("eventPageUrl")) if has_page else None,
        adds_tax=tax.get("type") == "ADDED_AT_CHECKOUT",
        includes_tax=tax.get("type") == "INCLUDED_IN_PRICE",
        taxes_donations=tax.get("appliedToDonations") is True,
        facts=_facts(entity),
    )


def _registration(registration: Mapping[str, Any]) -> Registration:
    status = text(registration.get("status"))
    if status == "CLOSED_AUTOMATICALLY":
        return Registration.SOLD_OUT
    closed = any(registration.get(name) is True for name in ("registrationPaused", "registrationDisabled"))
    if closed or status in CLOSED:
        return Registration.CLOSED
    return Registration.OPEN if status == "OPEN_TICKETS" else Registration.UNKNOWN


def _facts(entity: Mapping[str, Any]) -> dict[str, Any]:
    facts = {name: entity[name] for name in FACTS if name in entity}
    if isinstance(registration := entity.get("registration"), dict):
        facts["registration"] = {name: registration[name] for name in REGISTRATION_FACTS if name in registration}
        if isinstance(ticketing := registration.get("tickets"), dict):
            facts["registration"]["tickets"] = {name: ticketing[name] for name in TICKETING_FACTS if name in ticketing}
    return facts
