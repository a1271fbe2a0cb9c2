from typing import Any

import pytest

from server.errors import Malformed, NotThere, WixUnavailable
from server.model import EventId, EventStatus, Registration
from tests.rig.fake_wix import FakeWix, Reply
from tests.rig.server import OTHER, SITE, TICKET
from tests.rig.wix_client import QUERY, SAMPLES, SITE_ID, TICKETS, Client, counted, listed, pay

EVENT, SECOND = EventId("0b5f1a2e-4444-4444-8444-00000000e001"), EventId("0b5f1a2e-4444-4444-8444-00000000e002")
EVENTS = "/events/v3/events/query"

# -- tickets --


async def test_query_request(wix: FakeWix, client: Client) -> None:
    """Law 4: A query names all its tickets in one request, with the fields that hold stock and event."""
    await client().query(SITE_ID, TICKETS, pay)

    [asked] = wix.requests_to(QUERY)
    assert ("POST", "/events/v3/ticket-definitions/query", ()) == (asked.method, asked.path, asked.query)
    assert {
        "query": {"filter": {"id": {"$in": [TICKET, OTHER]}}, "cursorPaging": {"limit": 100}},
        "fields": ["SALES_DETAILS", "EVENT_DETAILS"],
    } == asked.body


async def test_page_requests(wix: FakeWix, client: Client) -> None:
    """A listing starts without a filter, and goes on with the cursor alone."""
    wix.reply(QUERY, listed(SAMPLES["fixed"], cursors={"next": "cursor-2"}), listed(SAMPLES["options"], cursors={}))
    found = client()

    first = await found.page(SITE_ID, None, pay)
    last = await found.page(SITE_ID, first.next_cursor, pay)

    assert ([TICKET], [OTHER]) == ([one.id for one in first.definitions], [one.id for one in last.definitions])
    assert ("cursor-2", None) == (first.next_cursor, last.next_cursor)
    fields = ["SALES_DETAILS", "EVENT_DETAILS"]
    assert [
        {"query": {"cursorPaging": {"limit": 100}}, "fields": fields},
        {"query": {"cursorPaging": {"limit": 100, "cursor": "cursor-2"}}, "fields": fields},
    ] == [asked.body for asked in wix.requests_to(QUERY)]


async def test_get_ticket_request(wix: FakeWix, client: Client) -> None:
    """One ticket is read by its path, with its fields in the query string, and nothing in the body."""
    wix.reply(TICKET, Reply(content={"ticketDefinition": SAMPLES["fixed"]}))

    found = await client().get(SITE_ID, TICKETS[0], pay)

    [asked] = wix.requests_to(TICKET)
    assert (TICKET, 3) == (found.id, found.unsold)
    assert ("GET", f"/events/v3/ticket-definitions/{TICKET}") == (asked.method, asked.path)
    assert (("fields", "SALES_DETAILS"), ("fields", "EVENT_DETAILS")) == asked.query
    assert "content-type" not in asked.headers
    assert asked.body is None


async def test_query_returns_readable_and_names_unreadable_definitions(wix: FakeWix, client: Client) -> None:
    """Every readable definition of an answer is returned, and an unreadable one is named."""
    broken = {**SAMPLES["options"], "id": OTHER.upper(), "salesDetails": {"unsoldCount": "48"}}
    wix.reply(QUERY, listed(SAMPLES["fixed"], broken, SAMPLES["sold_out"], "nonsense", {"id": 7}, None))
    before = counted("definition", "unreadable")

    found = await client().query(SITE_ID, TICKETS, pay)

    assert [3, 0] == [one.unsold for one in found.definitions]
    assert {OTHER} == found.unreadable
    assert before + 4 == counted("definition", "unreadable")


@pytest.mark.parametrize("metadata", [None, [], {}, {"cursors": None}, {"cursors": []}, {"cursors": {"next": 2}}])
async def test_last_page_has_no_cursor(wix: FakeWix, client: Client, metadata: Any) -> None:
    """An answer without a cursor is the last page, however Wix leaves it out."""
    wix.reply(QUERY, Reply(content={"ticketDefinitions": [], "metadata": metadata}))

    assert (await client().page(SITE_ID, None, pay)).next_cursor is None


async def test_get_404_proves_that_a_ticket_is_absent(wix: FakeWix, client: Client) -> None:
    """Only a 404 proves that a ticket does not exist."""
    wix.reply(TICKET, Reply(404, {"message": "Entity not found"}))

    with pytest.raises(NotThere, match=f"Wix answered 404 to get of site {SITE}"):
        await client().get(SITE_ID, TICKETS[0], pay)


@pytest.mark.parametrize("content", [{}, {"ticketDefinition": None}, {"ticketDefinition": {"id": TICKET}}])
async def test_get_without_a_definition(wix: FakeWix, client: Client, content: Any) -> None:
    """A 200 without a readable definition proves nothing: it is malformed, not absent."""
    wix.reply(TICKET, Reply(content=content))

    with pytest.raises(Malformed):
        await client().get(SITE_ID, TICKETS[0], pay)


@pytest.mark.parametrize("content", [{}, {"ticketDefinitions": None}, {"ticketDefinitions": {}}])
async def test_query_without_ticket_definitions(wix: FakeWix, client: Client, content: Any) -> None:
    """A 200 without a list of definitions proves nothing: it is as if Wix had not answered."""
    wix.reply(QUERY, Reply(content=content))

    with pytest.raises(WixUnavailable, match="has no ticketDefinitions") as caught:
        await client().query(SITE_ID, TICKETS, pay)

    assert 200 == caught.value.status


# -- events --


def event(id_: str, **members: Any) -> dict[str, Any]:
    return {"id": id_, "status": "UPCOMING", "registration": {"status": "OPEN_TICKETS"}, **members}


async def test_events_request(wix: FakeWix, client: Client) -> None:
    """A query of events names them all, and the fields that hold registration and page; without a limit Wix answers none."""
    wix.reply(EVENTS, Reply(content={"events": [event(EVENT), event(SECOND, status="CANCELED")]}))

    found = await client().events(SITE_ID, [EVENT, SECOND], pay)

    [asked] = wix.requests_to(EVENTS)
    assert ("POST", EVENTS, ()) == (asked.method, asked.path, asked.query)
    assert {
        "query": {"filter": {"id": {"$in": [EVENT, SECOND]}}, "paging": {"limit": 100, "offset": 0}},
        "fields": ["REGISTRATION", "URLS"],
    } == asked.body
    assert [(EVENT, EventStatus.UPCOMING), (SECOND, EventStatus.CANCELED)] == [(one.id, one.status) for one in found]
    assert [Registration.OPEN] * 2 == [one.registration for one in found]


async def test_unreadable_events_are_skipped(wix: FakeWix, client: Client) -> None:
    """An event that cannot be read is left out and counted; the others of the answer are returned."""
    wix.reply(EVENTS, Reply(content={"events": [event("nonsense"), None, event(SECOND), "text", {}]}))
    before = counted("event", "unreadable")

    found = await client().events(SITE_ID, [EVENT, SECOND], pay)

    assert [SECOND] == [one.id for one in found]
    assert before + 4 == counted("event", "unreadable")


@pytest.mark.parametrize("content", [{}, {"events": None}, {"events": {}}, {"pagingMetadata": {"total": 7}}])
async def test_answer_without_events(wix: FakeWix, client: Client, content: Any) -> None:
    """A 200 without a list of events proves nothing: it is as if Wix had not answered."""
    wix.reply(EVENTS, Reply(content=content))

    with pytest.raises(WixUnavailable, match="Wix's answer has no events") as caught:
        await client().events(SITE_ID, [EVENT], pay)

    assert 200 == caught.value.status


async def test_get_event_request(wix: FakeWix, client: Client) -> None:
    """One event is read by its path, with its fields in the query string, and nothing in the body."""
    wix.reply(f"/events/{EVENT}", Reply(content={"event": event(EVENT, slug="fair")}))

    found = await client().event(SITE_ID, EVENT, pay)

    [asked] = wix.requests_to(f"/events/{EVENT}")
    assert found is not None
    assert (EVENT, "fair") == (found.id, found.slug)
    assert ("GET", f"/events/v3/events/{EVENT}") == (asked.method, asked.path)
    assert (("fields", "REGISTRATION"), ("fields", "URLS")) == asked.query
    assert asked.body is None


async def test_get_404_proves_that_an_event_is_absent(wix: FakeWix, client: Client) -> None:
    """A 404 for one event is reported as such."""
    wix.reply(f"/events/{EVENT}", Reply(404, {"message": "EVENT_NOT_FOUND"}))

    with pytest.raises(NotThere, match=f"Wix answered 404 to event of site {SITE}"):
        await client().event(SITE_ID, EVENT, pay)


@pytest.mark.parametrize("content", [{}, {"event": None}, {"event": {"id": 7}}])
async def test_unreadable_event_is_none(wix: FakeWix, client: Client, content: Any) -> None:
    """A 200 without a readable event is no event, and counted."""
    wix.reply(f"/events/{EVENT}", Reply(content=content))
    before = counted("event", "unreadable")

    assert await client().event(SITE_ID, EVENT, pay) is None
    assert before + 1 == counted("event", "unreadable")
