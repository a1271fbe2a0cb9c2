import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.errors import Malformed
from server.model import Event, EventId, EventStatus, Registration
from server.wire import canonical
from server.wix import events
from tests.rig.fake_reader import EVENT
from tests.rig.json_samples import JSON, MISSING, changed, paths

FAIR: dict[str, Any] = {
    "id": EVENT,
    "title": "Fictional fair",
    "slug": "fictional-fair",
    "status": "UPCOMING",
    "dateAndTimeSettings": {"startDate": "2026-06-20T18:00:00Z", "timeZoneId": "Europe/Berlin"},
    "location": {"name": "Fictional hall", "type": "VENUE", "locationTbd": False},
    "eventDisplaySettings": {"hideEventDetailsPage": False},
    "eventPageUrl": {"base": "https://www.example.com", "path": "/event-details/fictional-fair"},
    "createdDate": "2026-01-05T08:30:00.000Z",
    "updatedDate": "2026-02-11T10:00:00.000Z",
    "registration": {
        "type": "TICKETING",
        "status": "OPEN_TICKETS",
        "registrationPaused": False,
        "registrationDisabled": False,
        "initialType": "TICKETING",
        "tickets": {
            "ticketLimitPerOrder": 20,
            "currency": "USD",
            "lowestPrice": {"value": "5.00", "currency": "USD"},
            "soldOut": False,
            "reservationDurationInMinutes": 20,
            "taxSettings": {"type": "ADDED_AT_CHECKOUT", "name": "VAT", "rate": "19", "appliedToDonations": True},
        },
    },
}


def test_event_is_parsed_completely() -> None:
    """Every member that decides what may be said of a ticket is parsed from where Wix documents it."""
    found = events.event({**FAIR, "id": EVENT.upper()})

    assert (EVENT, EventStatus.UPCOMING, Registration.OPEN) == (found.id, found.status, found.registration)
    assert ("fictional-fair", "https://www.example.com/event-details/fictional-fair") == (found.slug, found.page)
    assert (True, False, True) == (found.adds_tax, found.includes_tax, found.taxes_donations)


def test_event_with_an_id_alone() -> None:
    """An event of which nothing but its id is said is parsed: nothing is known of it."""
    assert Event(EventId(EVENT)) == events.event({"id": EVENT})


@pytest.mark.parametrize("status", ["UPCOMING", "STARTED", "ENDED", "CANCELED", "DRAFT"])
def test_each_status(status: str) -> None:
    """Each status that Wix documents is parsed as what it is."""
    assert status == events.event(changed(FAIR, "status", to=status)).status


@pytest.mark.parametrize("status", [MISSING, None, "", "UNKNOWN_STATUS", "upcoming", 7, ["DRAFT"]])
def test_unknown_status_is_not_said(status: Any) -> None:
    """A status that Wix does not say, or that we do not know, is none."""
    assert events.event(changed(FAIR, "status", to=status)).status is None


@pytest.mark.parametrize(
    ("status", "registration"),
    [
        ("OPEN_TICKETS", Registration.OPEN),
        ("CLOSED_AUTOMATICALLY", Registration.SOLD_OUT),
        ("CLOSED_MANUALLY", Registration.CLOSED),
        ("OPEN_RSVP", Registration.CLOSED),
        ("OPEN_RSVP_WAITLIST_ONLY", Registration.CLOSED),
        ("OPEN_EXTERNAL", Registration.CLOSED),
        ("SCHEDULED_RSVP", Registration.CLOSED),
        ("UNKNOWN_REGISTRATION_STATUS", Registration.UNKNOWN),
        ("SOMETHING_NEW", Registration.UNKNOWN),
        (MISSING, Registration.UNKNOWN),
        (None, Registration.UNKNOWN),
    ],
)
def test_each_registration_status(status: Any, registration: Registration) -> None:
    """Tickets are sold only while registration is OPEN_TICKETS; of what we do not know each ticket decides for itself."""
    assert registration is events.event(changed(FAIR, "registration", "status", to=status)).registration


@pytest.mark.parametrize("switch", ["registrationPaused", "registrationDisabled"])
@pytest.mark.parametrize(
    ("status", "closed"),
    [
        ("OPEN_TICKETS", Registration.CLOSED),
        (MISSING, Registration.CLOSED),
        ("CLOSED_AUTOMATICALLY", Registration.SOLD_OUT),
    ],
)
def test_paused_and_disabled_registration(switch: str, status: Any, closed: Registration) -> None:
    """A registration that is paused or disabled is closed, whatever its status says, unless every ticket is sold."""
    assert (
        closed
        is events.event(
            changed(changed(FAIR, "registration", "status", to=status), "registration", switch, to=True)
        ).registration
    )


@pytest.mark.parametrize("value", [MISSING, None, "true", 1, []])
def test_switch_that_is_not_on(value: Any) -> None:
    """A switch is on only if it is true."""
    assert Registration.OPEN is events.event(changed(FAIR, "registration", "registrationPaused", to=value)).registration


@pytest.mark.parametrize("registration", [MISSING, None, [], "OPEN_TICKETS", {}])
def test_registration_that_is_missing(registration: Any) -> None:
    """Without registration, as in the entities of webhooks, nothing is known of it."""
    found = events.event(changed(FAIR, "registration", to=registration))

    assert (Registration.UNKNOWN, False, False) == (found.registration, found.adds_tax, found.taxes_donations)


@pytest.mark.parametrize(
    ("tax", "adds", "includes"),
    [("ADDED_AT_CHECKOUT", True, False), ("INCLUDED_IN_PRICE", False, True), ("SOMETHING_NEW", False, False)],
)
def test_tax_settings_of_an_event(tax: str, adds: bool, includes: bool) -> None:
    """Tax is added at checkout, included in the price, or neither."""
    found = events.event(changed(FAIR, "registration", "tickets", "taxSettings", "type", to=tax))

    assert (adds, includes) == (found.adds_tax, found.includes_tax)


def test_hidden_page() -> None:
    """An event whose page the organiser hides has none."""
    assert events.event(changed(FAIR, "eventDisplaySettings", "hideEventDetailsPage", to=True)).page is None
    assert events.event(changed(FAIR, "eventDisplaySettings")).page is not None


def test_page_that_is_not_of_the_web() -> None:
    """An address that is not of the web is no page."""
    assert events.event(changed(FAIR, "eventPageUrl", "base", to="javascript:alert(1)//")).page is None


@pytest.mark.parametrize("slug", [MISSING, None, "", 7, "fair-\ud83c"])
def test_slug_that_names_nothing(slug: Any) -> None:
    """An empty slug, or one that cannot be encoded, is none."""
    assert events.event(changed(FAIR, "slug", to=slug)).slug is None


@pytest.mark.parametrize("entity", [None, [], "text", {}, {"id": None}, {"id": "nonsense"}, {"id": [EVENT]}])
def test_event_without_an_id_is_malformed(entity: Any) -> None:
    """An event without an id is malformed."""
    with pytest.raises(Malformed):
        events.event(entity)


def test_sales_are_no_facts() -> None:
    """What changes with sales is in no fact, so that an order changes nothing of its event."""
    sold = changed(FAIR, "registration", "tickets", "soldOut", to=True)
    sold = changed(sold, "registration", "tickets", "lowestPrice", "value", to="9.00")

    assert canonical(events.event(FAIR).facts) == canonical(events.event({**sold, "updatedDate": "later"}).facts)


@pytest.mark.parametrize(
    "path",
    [
        *(("title",), ("slug",), ("status",), ("dateAndTimeSettings", "startDate"), ("location", "name")),
        *(("eventPageUrl", "path"), ("eventDisplaySettings", "hideEventDetailsPage"), ("registration", "status")),
        *(("registration", "type"), ("registration", "registrationPaused"), ("registration", "registrationDisabled")),
        *(("registration", "tickets", "taxSettings", "rate"), ("registration", "tickets", "ticketLimitPerOrder")),
        *(("registration", "tickets", "currency"), ("registration", "tickets", "reservationDurationInMinutes")),
    ],
)
def test_what_an_organiser_changes_is_a_fact(path: tuple[str, ...]) -> None:
    """Whatever an organiser changes of an event changes its facts."""
    assert canonical(events.event(FAIR).facts) != canonical(events.event(changed(FAIR, *path, to="other")).facts)


@given(st.sampled_from(paths(FAIR)), JSON)
def test_any_event_is_parsed_or_malformed(path: tuple[str | int, ...], value: Any) -> None:
    """Whatever replaces a member, an event is parsed or malformed; its facts are parsed as the same event again."""
    with contextlib.suppress(Malformed):
        found = events.event(changed(FAIR, *path, to=value))

        facts = canonical(found.facts)
        for text in (facts, found.slug or "", found.page or ""):
            assert text == text.encode().decode()
        again = events.event(json.loads(facts))
        assert (found.registration, found.status, found.page) == (again.registration, again.status, again.page)
        assert (found.adds_tax, found.taxes_donations) == (again.adds_tax, again.taxes_donations)
