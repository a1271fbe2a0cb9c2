"""An event as JSON and as server-sent events."""

import pytest

from server.model import Event, EventId, EventStatus
from server.store.events import Events
from tests.rig.counters_over_http import stream
from tests.rig.default_keys import key
from tests.rig.fake_reader import EVENT, FakeReader, definition
from tests.rig.redis import Servers
from tests.rig.server import OTHER, SITE, TICKET, RunningServer, StartServer, until

UNKNOWN = "99999999-4444-4444-8444-00000000e009"
STREAM = "/v1/counters/stream"


def path(event: str = EVENT, base: str = "/v1/counters") -> str:
    return f"{base}?event={event}"


async def listed(running: RunningServer) -> None:
    """End a listing of the site, so that what is not known does not exist."""
    await running.web.redis.do("HSET", key(SITE, "site"), "complete", 1)


async def test_json_has_the_list_and_the_counters(start_server: StartServer, reads: FakeReader) -> None:
    """An event as JSON: its id, its tickets in order, and their counters in the same order, with an ETag."""
    running = await start_server()
    await reads.read(definition(TICKET, 3, position="2"), definition(OTHER, 40, position="1"))

    response = await running.http.get(path())
    again = await running.http.get(path(), headers={"If-None-Match": response.headers["etag"]})

    body = response.json()
    assert ["event", "tickets", "counters"] == [*body]
    assert (EVENT, [OTHER, TICKET]) == (body["event"], body["tickets"])
    assert [(OTHER, "available"), (TICKET, "low")] == [(one["ticket"], one["state"]) for one in body["counters"]]
    assert "public, max-age=1, stale-if-error=30" == response.headers["cache-control"]
    assert 304 == again.status_code


async def test_json_follows_the_set(start_server: StartServer, reads: FakeReader) -> None:
    """A poll has the newest set: a new ticket is in it, a hidden one is not, and nothing is left of its number."""
    running = await start_server()
    await reads.read(definition(TICKET, 3, position="2"))
    assert [TICKET] == (await running.http.get(path())).json()["tickets"]

    await reads.read(definition(OTHER, 7, position="1"), definition(TICKET, 3, position="2", hidden=True))

    async def follows() -> bool:
        body = (await running.http.get(path())).json()
        return [OTHER] == body["tickets"] and [7] == [one["unsold"] for one in body["counters"]]

    await until(follows)


async def test_event_without_visible_tickets(start_server: StartServer, reads: FakeReader) -> None:
    """An event whose tickets are all hidden is known, and has none."""
    running = await start_server()
    await reads.read(definition(TICKET, 3, hidden=True))

    assert {"event": EVENT, "tickets": [], "counters": []} == (await running.http.get(path())).json()


async def test_hundred_tickets(start_server: StartServer, reads: FakeReader) -> None:
    """An event may have more tickets than a request may name: up to a hundred are answered."""
    running = await start_server()
    tickets = [f"{number:08}-aaaa-4aaa-8aaa-000000000001" for number in range(130)]
    await reads.read(*(definition(one, 5) for one in tickets))

    body = (await running.http.get(path())).json()

    assert tickets[:100] == body["tickets"] == [one["ticket"] for one in body["counters"]]
    assert {5} == {one["unsold"] for one in body["counters"]}


@pytest.mark.parametrize("base", ["/v1/counters", STREAM])
@pytest.mark.parametrize("name", [UNKNOWN, "invented", "draft", EVENT])
async def test_unknown_event_is_404(start_server: StartServer, reads: FakeReader, base: str, name: str) -> None:
    """An event that is not known and one that is not published get the same answer, by id and by slug."""
    running = await start_server()
    draft = Event(EventId(EVENT), status=EventStatus.DRAFT, slug="draft", facts={"slug": "draft"})
    await Events(running.web.redis).keep(reads.site, 1, [draft.id], [draft])
    await reads.read(definition(TICKET, 3), event=draft)

    early = await running.http.get(path(name, base))
    await listed(running)

    async def known() -> bool:
        return "is known here" in (await running.http.get(path(name, base))).text

    await until(known)
    late = await running.http.get(path(name, base))
    head = await running.http.head(path(name, base))
    assert [404, 404, 404] == [one.status_code for one in (early, late, head)]
    assert {"error": {"field": "event", "message": f"no event '{name}' with tickets is known here"}} == late.json()
    assert "come back" in early.json()["error"]["message"]
    assert ("5", None) == (early.headers.get("retry-after"), late.headers.get("retry-after"))
    assert 0 == running.web.admission._count


async def test_event_is_found_by_its_slug(start_server: StartServer, reads: FakeReader) -> None:
    """An event is found by its slug, as it stands in the address of its page."""
    running = await start_server()
    event = Event(EventId(EVENT), slug="gala-\u00fcber-2027", facts={"slug": "gala"})
    await Events(running.web.redis).keep(reads.site, 1, [event.id], [event])
    await reads.read(definition(TICKET, 3))

    response = await running.http.get("/v1/counters", params={"event": "gala-\u00fcber-2027"})

    assert (EVENT, [TICKET]) == (response.json()["event"], response.json()["tickets"])


async def test_event_finds_its_site_if_there_are_several(start_server: StartServer, reads: FakeReader) -> None:
    """Where several sites are known, an event is found at the site that has it, for JSON and for streams."""
    running = await start_server(wix_sites=f"{SITE},{UNKNOWN}")
    await reads.read(definition(TICKET, 3))

    answered = await running.http.get(path())
    async with stream(running, path(base=STREAM)) as found:
        await found.next()
        _, listed = await found.next()

    assert [TICKET] == answered.json()["tickets"] == listed["tickets"]


async def test_event_that_no_site_has(start_server: StartServer, reads: FakeReader) -> None:
    """Where several sites are known, and not all were listed, an event that none has is 404 with the time to come back."""
    running = await start_server(wix_sites=f"{SITE},{UNKNOWN}")

    for base in ("/v1/counters", STREAM):
        refused = await running.http.get(path(base=base))
        assert (404, "event", "5") == (
            refused.status_code,
            refused.json()["error"]["field"],
            refused.headers["retry-after"],
        )


async def test_redis_that_does_not_answer(redis_server: Servers, start_server: StartServer) -> None:
    """While Redis does not answer, an event that was not read before gets 503 with the time to come back."""
    server = redis_server()
    running = await start_server(redis_url=server.url)
    server.freeze()

    for base in ("/v1/counters", STREAM):
        response = await running.http.get(path(base=base))
        assert (503, "5", None) == (
            response.status_code,
            response.headers["retry-after"],
            response.json()["error"]["field"],
        )
    server.thaw()
    assert 0 == running.web.admission._count
