from typing import Any

import pytest

from sandbox.errors import BadFilter, Invalid
from sandbox.filters import matching
from sandbox.model import Event, EventStatus
from sandbox.query import page
from sandbox.queryable import EVENTS, EVENTS_WITHOUT_IN

A, B, C = (f"{digit * 8}-aaaa-4aaa-8aaa-000000000001" for digit in "123")

SITE = [
    Event(A, "Fair", EventStatus.UPCOMING, 500.0, 600.0, "UTC", 100.0, 300.0, 1, "fair"),
    Event(B, "Concert", EventStatus.ENDED, 400.0, 450.0, "UTC", 200.0, 200.0, 2, "concert"),
    Event(C, "Ball", EventStatus.UPCOMING, 600.0, 700.0, "UTC", 300.0, 350.0, 3, "ball"),
]


def places(found: Any) -> str:
    return "".join(str(event.position) for event in found)


@pytest.mark.parametrize(
    ("filter_", "numbers"),
    [
        ({"id": A}, "1"),
        ({"id": {"$in": [A, C.upper()]}}, "13"),
        ({"id": {"$eq": B}}, "2"),
        ({"status": "UPCOMING"}, "13"),
        ({"status": {"$in": ["ENDED", "CANCELED"]}}, "2"),
        ({"slug": "ball"}, "3"),
        ({"slug": {"$ne": "ball"}}, "12"),
        ({"title": {"$lt": "Concert"}}, "3"),
        ({"registration.initialType": "TICKETING"}, "123"),
        ({"dateAndTimeSettings.startDate": {"$gte": "1970-01-01T00:08:20Z"}}, "13"),
        ({"dateAndTimeSettings.endDate": {"$lt": "1970-01-01T00:08:20Z"}}, "2"),
        ({"createdDate": {"$gt": "1970-01-01T00:01:40Z"}, "updatedDate": {"$lt": "1970-01-01T00:05:00Z"}}, "2"),
    ],
)
def test_filters_of_events(filter_: Any, numbers: str) -> None:
    """Events can be filtered by their fields with the operators that Wix has for each."""
    assert numbers == places(matching(filter_, SITE, EVENTS.fields))


@pytest.mark.parametrize(
    "filter_",
    [
        {"eventId": A},
        {"id": {"$nin": [A]}},
        {"id": {"$exists": True}},
        {"status": {"$gt": "DRAFT"}},
        {"registration.initialType": {"$ne": "RSVP"}},
        {"registration.status": "OPEN_TICKETS"},
    ],
)
def test_other_filters_of_events_are_refused(filter_: Any) -> None:
    """What Wix's table of supported filters does not have is refused."""
    with pytest.raises(BadFilter):
        matching(filter_, SITE, EVENTS.fields)


def test_events_without_in() -> None:
    """The variant without $in refuses only that: other operators and fields stay."""
    with pytest.raises(BadFilter):
        matching({"$or": [{"id": {"$in": [A]}}]}, SITE, EVENTS_WITHOUT_IN.fields)

    assert "13" == places(matching({"slug": {"$in": ["fair", "ball"]}}, SITE, EVENTS_WITHOUT_IN.fields))
    assert "1" == places(matching({"id": A}, SITE, EVENTS_WITHOUT_IN.fields))


def test_page_of_events_is_empty_without_a_limit() -> None:
    """Without a limit a query of events returns their number and none of them, without an error."""
    found = page({"filter": {"status": "UPCOMING"}}, SITE, EVENTS)

    assert () == found.items
    assert {"count": 0, "offset": 0, "total": 2, "tooManyToCount": False} == found.metadata


def test_sorting_of_events() -> None:
    """Events are sorted both ways by the fields that can be sorted by."""
    found = page({"sort": [{"fieldName": "title", "order": "DESC"}], "paging": {"limit": 1000}}, SITE, EVENTS)

    assert "123" == places(found.items)
    assert "321" == places(page({"sort": [{"fieldName": "title"}], "paging": {"limit": 3}}, SITE, EVENTS).items)


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"paging": {"limit": 1001}}, "query.paging.limit"),
        ({"paging": {"limit": -1}}, "query.paging.limit"),
        ({"cursorPaging": {"limit": 10}}, "query.cursorPaging"),
        ({"sort": [{"fieldName": "status"}]}, "query.sort[0].fieldName"),
    ],
)
def test_invalid_query_of_events_is_named(query: Any, field: str) -> None:
    """Pages have at most a thousand events and no cursors, and statuses have no order."""
    with pytest.raises(Invalid) as caught:
        page(query, SITE, EVENTS)

    assert field == caught.value.field
