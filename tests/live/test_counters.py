import asyncio
import hashlib
import time
from uuid import uuid4

import pytest

from server.counter import Rules
from server.live import counters, poll
from server.store.snapshots import Kept
from tests.rig.counters_over_http import EVENT_STREAM, get, shown, shows, stream
from tests.rig.default_keys import channel
from tests.rig.fake_reader import FakeReader, definition
from tests.rig.hub_rig import tickets_of
from tests.rig.redis_monitor import monitored
from tests.rig.server import OTHER, SITE, TICKET, StartServer, until

STRANGER = "5f0e4d3c-9999-4111-8111-00000000b009"
# -- JSON --


async def test_poll_returns_the_stored_counters(start_server: StartServer, reads: FakeReader) -> None:
    """A poll returns the stored counters whole, in the order of the request, each once."""
    running = await start_server()
    await reads.read(definition(TICKET, 3), definition(OTHER, 48, name="Family day"))

    response = await get(running, OTHER.upper(), TICKET, OTHER, site=SITE, utm_source="x")

    assert {OTHER: ("available", 48), TICKET: ("low", 3)} == shown(response)
    assert [OTHER, TICKET] == [*shown(response)]
    assert "application/json" == response.headers["content-type"]
    [stored, _] = [await reads.store.do("HGET", f"tc:{{{SITE}}}:ticket:{one}", "counter") for one in (OTHER, TICKET)]
    assert stored in response.text


async def test_headers_of_a_poll(start_server: StartServer, reads: FakeReader) -> None:
    """An answer may be shared for a second, has the server's time, and varies by what the client accepts."""
    running = await start_server()
    await reads.read(definition(TICKET, 3))

    headers = (await get(running, TICKET)).headers

    assert "public, max-age=1, stale-if-error=30" == headers["cache-control"]
    assert "Accept" == headers["vary"]
    assert "*" == headers["access-control-allow-origin"]
    assert "Date, ETag, Retry-After" == headers["access-control-expose-headers"]
    assert "nosniff" == headers["x-content-type-options"]
    assert headers["date"].endswith(" GMT")
    assert "access-control-allow-credentials" not in headers
    assert "server" not in headers


async def test_etag_changes_with_the_body(start_server: StartServer, reads: FakeReader) -> None:
    """The ETag stays the same while nothing shown has changed, and changes with the body."""
    running = await start_server()
    await reads.read(definition(TICKET, 3))
    first = await get(running, TICKET)
    await reads.read(definition(TICKET, 3))
    second = await get(running, TICKET)
    await reads.read(definition(TICKET, 2))
    third = await until(lambda: shows(running, ("low", 2)))

    assert f'"{hashlib.sha256(first.content).hexdigest()[:24]}"' == first.headers["etag"]
    assert (first.content, first.headers["etag"]) == (second.content, second.headers["etag"])
    assert first.headers["etag"] != third.headers["etag"]


async def test_not_modified_is_304(start_server: StartServer, reads: FakeReader) -> None:
    """A client that has the answer already gets 304 without a body, with the headers that a shared cache needs."""
    running = await start_server()
    await reads.read(definition(TICKET, 3))
    etag = (await get(running, TICKET)).headers["etag"]
    found = {}

    for asked in (etag, f"W/{etag}", f'"x", {etag}', "*", '"x"', etag.strip('"')):
        response = await get(running, TICKET, headers={"If-None-Match": asked})
        found[asked] = response.status_code
        assert (etag, "Accept", "*") == (
            response.headers["etag"],
            response.headers["vary"],
            response.headers["access-control-allow-origin"],
        )
        assert response.headers["cache-control"].startswith("public")
        assert (304 == response.status_code) == (b"" == response.content)

    assert [304, 304, 304, 304, 200, 200] == [*found.values()]


async def test_sales_above_the_limit_change_neither_body_nor_etag(start_server: StartServer, redis_url: str) -> None:
    """Above SHOW_AT_MOST neither body nor ETag tells that tickets are sold."""
    running = await start_server(show_at_most=20)
    reads = FakeReader(redis_url, SITE, Rules(show_at_most=20))
    await reads.read(definition(TICKET, 500))
    first = await get(running, TICKET)
    kept = await reads.read(definition(TICKET, 21))
    second = await get(running, TICKET)
    await reads.aclose()

    assert Kept.KEPT == kept & (Kept.KEPT | Kept.ANNOUNCED | Kept.CHANGED)
    assert {TICKET: ("available", None)} == shown(first)
    assert (first.content, first.headers["etag"]) == (second.content, second.headers["etag"])


async def test_unknown_counter_is_not_cached(start_server: StartServer) -> None:
    """Law 8: A ticket that was never read is unknown after a short wait, which is neither cached nor ever 304."""
    running = await start_server()
    began = time.monotonic()

    response = await get(running, TICKET, headers={"If-None-Match": "*"})

    assert {TICKET: ("unknown", None)} == shown(response)
    assert "no-store" == response.headers["cache-control"]
    assert "etag" not in response.headers
    assert poll.FIRST_READ_WITHIN <= time.monotonic() - began < poll.FIRST_READ_WITHIN + 1


async def test_one_unknown_counter_of_two_is_not_cached(start_server: StartServer, reads: FakeReader) -> None:
    """An answer with one unknown counter is not cached, whatever else is in it."""
    running = await start_server()
    await reads.read(definition(TICKET, 3))

    response = await get(running, TICKET, OTHER)

    assert {TICKET: ("low", 3), OTHER: ("unknown", None)} == shown(response)
    assert "no-store" == response.headers["cache-control"]


async def test_ticket_named_like_a_state(start_server: StartServer, reads: FakeReader) -> None:
    """A ticket whose name looks like the state unknown is not unknown."""
    running = await start_server()
    await reads.read(definition(TICKET, 3, name='"state":"unknown"'))

    response = await get(running, TICKET)

    assert {TICKET: ("low", 3)} == shown(response)
    assert "etag" in response.headers


async def test_poll_waits_for_the_first_read(start_server: StartServer, reads: FakeReader) -> None:
    """The first poll of a ticket gets the number as soon as it is read, not only at the next poll."""
    running = await start_server()
    asking = asyncio.create_task(get(running, TICKET))
    await until(lambda: running.web.hub.topics)

    await reads.read(definition(TICKET, 3))

    assert {TICKET: ("low", 3)} == shown(await asking)


async def test_poller_is_a_viewer_only_while_it_waits(start_server: StartServer, reads: FakeReader) -> None:
    """A poller is a viewer only while it waits."""
    running = await start_server()
    await reads.read(definition(TICKET, 3))

    await get(running, TICKET)

    assert [] == running.web.hub.viewers
    assert 0 == running.web.admission._count


async def test_head_of_counters(start_server: StartServer, reads: FakeReader) -> None:
    """HEAD answers as GET does, without the body."""
    running = await start_server()
    await reads.read(definition(TICKET, 3))
    got = await get(running, TICKET)

    response = await running.http.head(running.counters(TICKET))

    assert (200, b"") == (response.status_code, response.content)
    assert {**got.headers, "date": ""} == {**response.headers, "date": ""}


async def test_other_methods_are_refused(start_server: StartServer) -> None:
    """A counter can only be read."""
    running = await start_server()

    for method in ("POST", "PUT", "DELETE", "PATCH"):
        response = await running.http.request(method, running.counters(TICKET))
        assert (method, 405) == (method, response.status_code)
        assert {"GET", "HEAD", "OPTIONS"} == set(response.headers["allow"].split(", "))


async def test_many_pollers_cost_redis_one_subscription_and_one_read_per_ticket(
    start_server: StartServer, reads: FakeReader, redis_url: str
) -> None:
    """However many polls come, before a topic is open or after, Redis has one subscription and read per ticket."""
    running = await start_server(max_connections_per_address=1000)
    await reads.read(definition(TICKET, 3))

    async with monitored(redis_url) as commands:
        early = await asyncio.gather(*(get(running, TICKET) for _ in range(200)))
        late = await asyncio.gather(*(get(running, TICKET) for _ in range(100)))
        subscriptions, reads_of_it = await commands.subscribed(channel(SITE, TICKET)), await commands.read(TICKET)

    assert [{TICKET: ("low", 3)}] * 300 == [shown(one) for one in (*early, *late)]
    assert 1 == subscriptions
    assert 2 >= reads_of_it, "it is read once more where the first read took too long: the machine may be busy"


# -- refusals --


# -- streams --


async def test_accept_header_selects_the_stream(start_server: StartServer, reads: FakeReader) -> None:
    """A client that accepts an event stream gets one at the counters' own address."""
    running = await start_server()
    await reads.read(definition(TICKET, 3))

    async with stream(running, running.counters(TICKET), Accept="Text/Event-Stream, */*;q=0.1") as found:
        assert ("low", 3) == await found.counter()


@pytest.mark.parametrize(
    ("accept", "streams"),
    [
        ("text/event-stream", True),
        ("application/json, text/event-stream;q=0.001", True),
        ("text/event-stream;charset=utf-8 ; Q=1.0", True),
        ("text/event-stream;q=0", False),
        ("text/event-stream ; charset=utf-8; q=0.000, */*", False),
        ("text/event-streams", False),
        ('application/json;note="text/event-stream"', False),
        ("*/*", False),
        ("", False),
    ],
)
def test_accept_header_must_name_the_stream(accept: str, streams: bool) -> None:
    """A stream is for clients that name it in `Accept` and do not decline it there."""
    assert streams == counters._accepts_stream(accept)


async def test_stream_with_weight_zero_is_declined(start_server: StartServer, reads: FakeReader) -> None:
    """A client that gives the stream a weight of 0 gets JSON."""
    running = await start_server()
    await reads.read(definition(TICKET, 3))

    response = await get(running, TICKET, headers={"Accept": "text/event-stream;q=0, */*"})

    assert {TICKET: ("low", 3)} == shown(response)


async def test_limit_per_address(start_server: StartServer) -> None:
    """Over the limit per address streams and polls are 503 with a time to come back; a freed place is free."""
    running = await start_server(max_connections_per_address=1)

    async with stream(running) as first:
        await first.counter()
        refused = await get(running, TICKET, headers=EVENT_STREAM)
        polled = await get(running, OTHER)
        topics = tickets_of(running.web.hub.topics.values())
    await until(lambda: not running.web.admission._count)
    free = await get(running, TICKET)
    async with stream(running) as third:
        assert ("unknown", None) == await third.counter()

    for response in (refused, polled):
        assert (503, "5", "no-store", "*") == (
            response.status_code,
            response.headers["retry-after"],
            response.headers["cache-control"],
            response.headers["access-control-allow-origin"],
        )
    assert [TICKET] == topics
    assert 200 == free.status_code


async def test_waiting_pollers_count_towards_the_limit(start_server: StartServer) -> None:
    """Law 9: A poller takes a place like any viewer while it waits."""
    running = await start_server(max_connections_per_address=3)

    found = await asyncio.gather(*(get(running, str(uuid4())) for _ in range(10)))

    assert [200] * 3 + [503] * 7 == sorted(response.status_code for response in found)
    assert 3 == len(running.web.hub.topics)
    assert 0 == running.web.admission._count


async def test_stream_of_an_unconfirmed_ticket_over_the_limit_is_closed(
    start_server: StartServer, reads: FakeReader
) -> None:
    """Law 9: A stream or poll closed because of too many unknown tickets gets a time to come back; others continue."""
    running = await start_server()
    running.web.hub.unconfirmed.most = 1
    await reads.read(definition(TICKET, 3))
    invented = [f"99999999-aaaa-4aaa-8aaa-{number:012}" for number in range(3)]
    path = running.counters(invented[0]).replace("?", "/stream?")
    async with stream(running) as real:
        assert ("low", 3) == await real.counter()
        async with stream(running, path) as strange:
            assert "beat" == (await strange.next())[0]
            polling = asyncio.create_task(get(running, invented[1]))
            await until(lambda: invented[1] in tickets_of(running.web.hub.topics.values()))
            last = await get(running, invented[2])
            refused = await polling
            while (told := await strange.next())[0] != "bye":
                pass
            assert await strange.ended()
        await reads.read(definition(TICKET, 2))
        assert ("low", 2) == await real.counter()

    assert ("bye", {"bye": {"retry_ms": [1000, 10000]}}) == told
    assert (503, "no-store", "5") == (
        refused.status_code,
        refused.headers["cache-control"],
        refused.headers["retry-after"],
    )
    assert {invented[2]: ("unknown", None)} == shown(last)


@pytest.mark.parametrize("way", ["?", "/stream?"])
async def test_unknown_tickets_per_address_are_limited(start_server: StartServer, way: str) -> None:
    """Law 9: An address over its limit of unknown tickets is asked to come back, by a stream and by a poll."""
    running = await start_server()
    running.web.hub.unconfirmed.most_per_address = 1
    first, second = (f"99999999-aaaa-4aaa-8aaa-{number:012}" for number in range(2))

    async with stream(running, running.counters(first).replace("?", "/stream?")):
        refused = await running.http.get(running.counters(second).replace("?", way))

    assert (503, "5") == (refused.status_code, refused.headers["retry-after"])
    assert "come back" in refused.text
