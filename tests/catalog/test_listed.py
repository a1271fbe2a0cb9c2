from typing import Any

import pytest

from server.catalog import listed
from server.catalog.listed import ListedEvent
from server.counter import State
from server.model import EventId, EventStatus, SiteId, TicketId
from tests.rig.server import OTHER, SITE, TICKET

EVENT = EventId("0b5f1a2e-4444-4444-8444-00000000e001")
DETAILS = {"title": "Spring gala", "status": "UPCOMING", "dateAndTimeSettings": {"startDate": "2027-03-01T18:00:00Z"}}


def ticket(facts: dict[str, Any], of_event: Any = None, state: State = State.GONE, id_: str = TICKET) -> Any:
    return listed.ticket(TicketId(id_), facts, of_event, state, 3)


def event(start: str | None, status: EventStatus | None = None, title: str = "") -> ListedEvent:
    return ListedEvent(SiteId(SITE), EVENT, title, status=status, start=start)


@pytest.mark.parametrize(
    ("facts", "of_event", "why"),
    [
        ({"hidden": True}, {"status": "ENDED"}, "hidden in Wix"),
        ({}, {"status": "CANCELED"}, "the event is canceled"),
        ({}, {"status": "ENDED"}, "the event has ended"),
        ({"eventDetails": {"status": "DRAFT"}}, None, "the event is a draft"),
        ({"eventDetails": {"status": "ENDED"}}, {"status": "UPCOMING"}, "the event has ended"),
        ({"eventDetails": {"status": "UPCOMING"}}, {"status": "STARTED"}, "hidden while it is not on sale"),
        ({"eventDetails": "nonsense"}, {"status": 7}, "hidden while it is not on sale"),
    ],
)
def test_why_visitors_see_nothing(facts: dict[str, Any], of_event: Any, why: str) -> None:
    """Of a ticket that is not shown it is said why, by what either read says of its event."""
    assert why == ticket(facts, of_event).why_gone
    assert "" == ticket(facts, of_event, State.LOW).why_gone


def test_event_by_its_own_facts() -> None:
    """An event is named by its own facts, and its tickets come in the order of its page."""
    pairs = [
        (ticket(facts := {"name": "Late", "sortIndex": 2, "eventDetails": DETAILS}), facts),
        (ticket(facts := {"name": "Early", "sortIndex": 1, "eventDetails": DETAILS}, id_=OTHER), facts),
    ]

    found = listed.event(SiteId(SITE), EVENT, {**DETAILS, "title": "Its own", "slug": "gala"}, pairs)

    assert ("Its own", "gala", EventStatus.UPCOMING, "2027-03-01T18:00:00Z") == (
        found.title,
        found.slug,
        found.status,
        found.start,
    )
    assert ["Early", "Late"] == [one.name for one in found.tickets]


def test_event_by_what_tickets_say() -> None:
    """An event that could not be read is named by what its tickets say of it, which is no slug."""
    facts = {"eventDetails": DETAILS}

    found = listed.event(SiteId(SITE), EVENT, None, [(ticket({}), {}), (ticket(facts), facts)])

    assert ("Spring gala", None, EventStatus.UPCOMING) == (found.title, found.slug, found.status)


def test_event_of_which_nothing_is_said() -> None:
    """Members that are missing or of another type count as not said."""
    found = listed.event(SiteId(SITE), EVENT, {"title": 7, "status": [], "slug": "", "dateAndTimeSettings": 1}, [])

    assert ListedEvent(SiteId(SITE), EVENT, "") == found


def test_start_to_be_decided() -> None:
    """A start that the organiser has not decided is none, whatever date Wix gives for it."""
    dates = {"dateAndTimeTbd": True, "startDate": "2027-03-01T18:00:00Z"}

    assert listed.event(SiteId(SITE), EVENT, {"dateAndTimeSettings": dates}, []).start is None


def test_order_of_events() -> None:
    """Events come by their start; those without one after them, and those that are over last."""
    over, none = event("2026-01-01T00:00:00Z", EventStatus.ENDED), event(None)
    late, early = event("2027-05-01T00:00:00Z"), event("2027-03-01T00:00:00Z", EventStatus.DRAFT)

    assert [early, late, none, over] == listed.in_order([over, none, late, early])


def test_shown_tickets() -> None:
    """The shown tickets of an event are those whose visitors are shown something."""
    pairs: list[tuple[Any, dict[str, Any]]] = [(ticket({}), {}), (ticket({}, state=State.ENDED, id_=OTHER), {})]

    assert [OTHER] == [one.ticket for one in listed.event(SiteId(SITE), EVENT, None, pairs).shown]
