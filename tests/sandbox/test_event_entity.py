from dataclasses import replace
from typing import Any

import pytest

from sandbox.entity import entity
from sandbox.event_entity import FIELDS, OPTIONAL, event_entity
from sandbox.knobs import Knobs
from sandbox.model import Event, EventStatus, Price, Pricing, Registration, Tax, Ticket

EVENT = Event(
    "e", "Fair", EventStatus.UPCOMING, 0.0, 60.0, "Europe/Lisbon", 1.0, 2.0, slug="fair", published=1.5,
    tax=Tax("ADDED_AT_CHECKOUT", "VAT", "21.55"),
)  # fmt: skip


def ticket(*values: str, **fields: Any) -> Ticket:
    prices = tuple(Price(value, "USD") for value in values)
    return Ticket("t", "e", "", "Seat", Pricing.OPTIONS, prices, 10, 0.0, 0.0, 1, **fields)


TICKETS = [ticket("20.00", "9.50"), ticket("0"), ticket("90", hidden=True)]


def written(event: Event = EVENT, knobs: Knobs | None = None, *fields: str) -> dict[str, Any]:
    return event_entity(event, TICKETS, "site", knobs or Knobs(), fields)


def test_event_without_fields() -> None:
    """Without fields an event has neither registration nor the address of its page, and it has no revision."""
    assert {
        "id": "e",
        "location": {"name": "Town hall", "type": "VENUE", "locationTbd": False},
        "dateAndTimeSettings": {
            "dateAndTimeTbd": False,
            "startDate": "1970-01-01T00:00:00Z",
            "endDate": "1970-01-01T00:01:00Z",
            "timeZoneId": "Europe/Lisbon",
        },
        "title": "Fair",
        "slug": "fair",
        "createdDate": "1970-01-01T00:00:01.000Z",
        "updatedDate": "1970-01-01T00:00:02.000Z",
        "publishedDate": "1970-01-01T00:00:01.500Z",
        "status": "UPCOMING",
        "instanceId": "site",
        "eventDisplaySettings": {"hideEventDetailsPage": False},
    } == written()


def test_each_field_adds_its_members() -> None:
    """Each field adds its own members; a field whose members are not simulated adds none."""
    added = {field: written(EVENT, None, field).keys() - written().keys() for field in FIELDS}

    assert {
        "DETAILS": {"shortDescription"},
        "REGISTRATION": {"registration"},
        "URLS": {"eventPageUrl"},
    } == {field: members for field, members in added.items() if members}


def test_registration_has_prices_and_tax() -> None:
    """Registration has the lowest and the highest price of the tickets that visitors see, and the tax."""
    found = written(EVENT, Knobs(free_price="0.00"), "REGISTRATION")["registration"]

    assert {
        "type": "TICKETING",
        "status": "OPEN_TICKETS",
        "tickets": {
            "guestsAssignedSeparately": False,
            "ticketLimitPerOrder": 50,
            "currency": "USD",
            "lowestPrice": {"value": "0.00", "currency": "USD"},
            "highestPrice": {"value": "20.00", "currency": "USD"},
            "soldOut": False,
            "taxSettings": {"type": "ADDED_AT_CHECKOUT", "name": "VAT", "rate": "21.55", "appliedToDonations": False},
            "reservationDurationInMinutes": 20,
        },
        "allowedGuestTypes": "VISITOR_OR_MEMBER",
        "initialType": "TICKETING",
        "registrationPaused": False,
        "registrationDisabled": False,
    } == found


def test_registration_without_tickets_and_tax() -> None:
    """Without tickets there is no price and no currency, and without tax no taxSettings."""
    bare = event_entity(replace(EVENT, tax=None), (), "site", Knobs(), {"REGISTRATION"})

    sales = bare["registration"]["tickets"]
    assert set() == {"currency", "lowestPrice", "highestPrice", "taxSettings"} & sales.keys()


@pytest.mark.parametrize(
    ("registration", "type_", "status"),
    [
        (Registration(sold_out=True), "TICKETING", "CLOSED_AUTOMATICALLY"),
        (Registration(disabled=True, sold_out=True), "TICKETING", "CLOSED_MANUALLY"),
        (Registration(override="OPEN_RSVP_WAITLIST_ONLY"), "RSVP", "OPEN_RSVP_WAITLIST_ONLY"),
        (Registration(override="OPEN_EXTERNAL"), "EXTERNAL", "OPEN_EXTERNAL"),
        (Registration(override="OPEN_LATER"), "TICKETING", "OPEN_LATER"),
    ],
)
def test_type_and_status_of_registration(registration: Registration, type_: str, status: str) -> None:
    """The type fits the status; soldOut is what the tickets are, whatever the status says."""
    found = written(replace(EVENT, registration=registration), None, "REGISTRATION")["registration"]

    assert (type_, status, registration.sold_out) == (found["type"], found["status"], found["tickets"]["soldOut"])
    assert registration.disabled is found["registrationDisabled"]


@pytest.mark.parametrize(("seconds", "minutes"), [(1.0, 5), (600.0, 10), (1e6, 30)])
def test_duration_of_a_reservation_is_within_wix_s_limits(seconds: float, minutes: int) -> None:
    """The duration of a reservation is that of the shop, within 5 and 30 minutes."""
    found = written(EVENT, Knobs(hold_seconds=seconds), "REGISTRATION")["registration"]["tickets"]

    assert minutes == found["reservationDurationInMinutes"]


@pytest.mark.parametrize("name", OPTIONAL)
def test_optional_members_can_be_missing(name: str) -> None:
    """Each optional member is left out if the event says so, and no other."""
    whole = written(EVENT, None, *FIELDS)
    part = written(replace(EVENT, missing=frozenset({name})), None, *FIELDS)

    *way, last = name.split(".")
    holder = whole[way[0]] if way else whole
    del holder[last]
    assert whole == part


def test_missing_member_of_what_was_not_requested() -> None:
    """A member that is left out of registration changes nothing where registration is not requested."""
    assert written() == written(replace(EVENT, missing=frozenset({"registration.status", "eventPageUrl"})))


def test_ticket_has_the_address_of_its_event() -> None:
    """The event's address in a ticket definition is that of the event, and follows its slug."""
    moved = replace(EVENT, slug="fair-2", page_base="http://other.example")
    details = entity(ticket("1"), moved, Knobs(), {"EVENT_DETAILS"})["eventDetails"]

    assert {"base": "http://other.example", "path": "/event-details/fair-2"} == details["eventPageUrl"]
    assert details["eventPageUrl"] == written(moved, None, "URLS")["eventPageUrl"]
