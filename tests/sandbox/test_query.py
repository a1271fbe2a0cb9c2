import base64
import json
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.errors import Invalid
from sandbox.model import Price, Pricing, Ticket
from sandbox.query import Page
from sandbox.query import page as page_of
from sandbox.queryable import TICKETS

EVENT = "0b5f1a2e-4444-4444-8444-00000000e001"


def ticket(place: int, *, limit: int | None = None, name: str = "Seat", value: str = "1", at: float = 0.0) -> Ticket:
    id_ = f"{place:08}-aaaa-4aaa-8aaa-000000000001"
    return Ticket(id_, EVENT, "", name, Pricing.FIXED, (Price(value, "USD"),), limit, at, at, place)


SEVEN = [ticket(place, at=float(place // 2), value=str(place % 3), limit=place % 4 or None) for place in range(1, 8)]


def page(query: Any, tickets: Iterable[Ticket]) -> Page[Ticket]:
    return page_of(query, tickets, TICKETS)


def places(query: Any, tickets: list[Ticket] | None = None) -> list[int]:
    return [one.position for one in page(query, SEVEN if tickets is None else tickets).items]


def test_empty_query_returns_all_by_age() -> None:
    """Without a query all tickets are returned, oldest first, with offset paging's metadata."""
    found = page(None, reversed(SEVEN))

    assert [1, 2, 3, 4, 5, 6, 7] == [one.position for one in found.items]
    assert {"count": 7, "offset": 0, "total": 7, "tooManyToCount": False} == found.metadata


def test_offset_page_has_the_total() -> None:
    """An offset page has as many tickets as requested, and the number of all."""
    found = page({"paging": {"limit": 3, "offset": 5}}, SEVEN)

    assert [6, 7] == [one.position for one in found.items]
    assert {"count": 2, "offset": 5, "total": 7, "tooManyToCount": False} == found.metadata


@pytest.mark.parametrize(
    ("sort", "expected"),
    [
        ([{"fieldName": "id", "order": "DESC"}], [7, 6, 5, 4, 3, 2, 1]),
        ([{"fieldName": "pricingMethod.fixedPrice.value"}], [3, 6, 1, 4, 7, 2, 5]),
        ([{"fieldName": "initialLimit", "order": "ASC"}], [4, 1, 5, 2, 6, 3, 7]),
        (
            [{"fieldName": "pricingMethod.fixedPrice.value", "order": "DESC"}, {"fieldName": "id", "order": "DESC"}],
            [5, 2, 7, 4, 1, 6, 3],
        ),
    ],
)
def test_sorting_by_several_fields(sort: Any, expected: list[int]) -> None:
    """Tickets are sorted by several fields, both ways, absent values first, equal ones by creation."""
    assert expected == places({"sort": sort})


def test_last_cursor_page_has_no_next() -> None:
    """Each page has the cursors of its neighbours, the first no prev and the last no next."""
    first = page({"filter": {"eventId": EVENT}, "cursorPaging": {"limit": 3}}, SEVEN)
    second = page({"cursorPaging": {"limit": 3, "cursor": first.metadata["cursors"]["next"]}}, SEVEN)
    third = page({"cursorPaging": {"limit": 3, "cursor": second.metadata["cursors"]["next"]}}, SEVEN)
    back = page({"cursorPaging": {"limit": 3, "cursor": third.metadata["cursors"]["prev"]}}, SEVEN)
    start = page({"cursorPaging": {"limit": 3, "cursor": back.metadata["cursors"]["prev"]}}, SEVEN)

    pages = [first, second, third, back, start]
    assert [[1, 2, 3], [4, 5, 6], [7], [4, 5, 6], [1, 2, 3]] == [[one.position for one in p.items] for p in pages]
    assert [{"next"}, {"next", "prev"}, {"prev"}, {"next", "prev"}, {"next"}] == [
        p.metadata["cursors"].keys() for p in pages
    ]
    assert [3, 3, 1, 3, 3] == [p.metadata["count"] for p in pages]


def test_empty_result_has_no_cursors() -> None:
    """An empty result has count 0 and no cursor."""
    assert {"count": 0, "cursors": {}} == page({"cursorPaging": {}}, []).metadata


def test_cursor_keeps_its_filter() -> None:
    """The pages after the first have the same filter."""
    first = page({"filter": {"initialLimit": {"$exists": True}}, "cursorPaging": {"limit": 4}}, SEVEN)

    assert [6, 7] == places({"cursorPaging": {"cursor": first.metadata["cursors"]["next"]}})


def test_pages_do_not_shift_when_a_ticket_is_deleted() -> None:
    """A ticket that is deleted between two pages hides no other."""
    first = page({"cursorPaging": {"limit": 3}}, SEVEN)

    rest = places({"cursorPaging": {"cursor": first.metadata["cursors"]["next"]}}, SEVEN[3:])

    assert [4, 5, 6, 7] == rest


@given(
    st.lists(st.tuples(st.sampled_from(["1", "2.5", "10"]), st.sampled_from([None, 1, 5])), max_size=25),
    st.lists(
        st.tuples(
            st.sampled_from(["pricingMethod.fixedPrice.value", "initialLimit", "name", "createdDate"]),
            st.sampled_from(["ASC", "DESC"]),
        ),
        max_size=3,
    ),
    st.integers(1, 7),
)
def test_cursor_pages_are_complete(
    values: list[tuple[str, int | None]], sort: list[tuple[str, str]], limit: int
) -> None:
    """With any sorting, the pages by cursor are the whole list, each ticket once."""
    tickets = [ticket(place, value=value, limit=most) for place, (value, most) in enumerate(values)]
    sorting = [{"fieldName": name, "order": order} for name, order in sort]
    found = page({"sort": sorting, "cursorPaging": {"limit": limit}}, tickets)
    pages = list(found.items)
    while cursor := found.metadata["cursors"].get("next"):
        found = page({"cursorPaging": {"limit": limit, "cursor": cursor}}, tickets)
        pages += found.items

    assert list(page({"sort": sorting}, tickets).items) == pages


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ([], "query"),
        ({"paging": {}, "cursorPaging": {}}, "query"),
        ({"paging": {"limit": 101}}, "query.paging.limit"),
        ({"paging": {"limit": 0}}, "query.paging.limit"),
        ({"paging": {"limit": True}}, "query.paging.limit"),
        ({"paging": {"offset": -1}}, "query.paging.offset"),
        ({"paging": {"offset": "1"}}, "query.paging.offset"),
        ({"paging": 7}, "query.paging"),
        ({"cursorPaging": {"limit": 101}}, "query.cursorPaging.limit"),
        ({"cursorPaging": 7}, "query.cursorPaging"),
        ({"cursorPaging": {"cursor": "x"}}, "query.cursorPaging.cursor"),
        ({"cursorPaging": {"cursor": 7}}, "query.cursorPaging.cursor"),
        ({"sort": {}}, "query.sort"),
        ({"sort": [{"fieldName": "id"}] * 11}, "query.sort"),
        ({"sort": [7]}, "query.sort[0]"),
        ({"sort": [{"fieldName": "nobody"}]}, "query.sort[0].fieldName"),
        ({"sort": [{"fieldName": "id", "order": "UP"}]}, "query.sort[0].order"),
        ({"sort": [{"fieldName": "id", "order": ["ASC"]}]}, "query.sort[0].order"),
        ({"filter": {"nobody": 1}}, "filter.nobody"),
    ],
)
def test_invalid_query_is_named(query: Any, field: str) -> None:
    """A query that Wix would not accept is refused with the name of the wrong member."""
    with pytest.raises(Invalid) as caught:
        page(query, SEVEN)

    assert field == caught.value.field


@pytest.mark.parametrize("more", [{"filter": {"eventId": EVENT}}, {"sort": [{"fieldName": "id"}]}])
def test_cursor_with_filter_or_sort_is_refused(more: dict[str, Any]) -> None:
    """With a cursor neither filter nor sort may be sent."""
    cursor = page({"cursorPaging": {"limit": 3}}, SEVEN).metadata["cursors"]["next"]

    with pytest.raises(Invalid):
        page({"cursorPaging": {"cursor": cursor}, **more}, SEVEN)


@pytest.mark.parametrize(
    "content", [[], {}, [None, [["nobody", False]], [1, 2], True], [None, [["id", False]], ["a"], True]]
)
def test_forged_cursor_is_refused(content: Any) -> None:
    """A cursor that was not made by the sandbox is refused."""
    forged = base64.urlsafe_b64encode(json.dumps(content).encode()).decode().rstrip("=")

    with pytest.raises(Invalid):
        page({"cursorPaging": {"cursor": forged}}, SEVEN)


def test_cursor_of_other_types_is_refused() -> None:
    """A cursor whose values have other types than the tickets' is refused, without an internal error."""
    forged = base64.urlsafe_b64encode(json.dumps([None, [["id", False]], [7, "x"], True]).encode()).decode()

    with pytest.raises(Invalid):
        page({"cursorPaging": {"cursor": forged}}, [replace(SEVEN[0], name="other")])
