import asyncio
import hashlib
import time
from uuid import uuid4

import pytest

from server.live import counters
from server.model import Rules
from server.store.keys import channel
from server.store.snapshots import Kept
from tests.rig.counters_over_http import EVENT_STREAM, get, shown, shows, stream
from tests.rig.fake_reader import FakeReader, definition
from tests.rig.redis_monitor import monitored
from tests.rig.server import OTHER, SITE, TICKET, StartServer, until

STRANGER = "5f0e4d3c-9999-4111-8111-00000000b009"
# -- JSON --


async def test_json(start_server: StartServer, reads: FakeReader) -> None:
    """A poller gets the stored counters whole, in the order asked for, each once."""
    running = await start_server()
    await reads.read(definition(TICKET, 3), definition(OTHER, 48, name="Family day"))

    response = await get(running, OTHER.upper(), TICKET, OTHER, site=SITE, utm_source="x")

    assert {OTHER: ("available", 48), TICKET: ("low", 3)} == shown(response)
    assert [OTHER, TICKET] == [*shown(response)]
    assert "application/json" == response.headers["content-type"]
    [stored, _] = [await reads.store.do("HGET", f"tc:{{{SITE}}}:ticket:{one}", "counter") for one in (OTHER, TICKET)]
    assert stored in response.text


async def test_json_headers(start_server: StartServer, reads: FakeReader) -> None:
    """An answer may be shared for a second, tells the server's time, and is told apart by what the client accepts."""
    running = await start_server()
    await reads.read(definition(TICKET, 3))

    headers = (await get(running, TICKET)).headers

    assert "public, max-age=1, stale-if-error=30" == headers["cache-control"]
    assert "Accept" == headers["vary"]
    assert "*" == headers["access-control-allow-origin"]
    assert "Date, ETag" == headers["access-control-expose-headers"]
    assert "nosniff" == headers["x-content-type-options"]
    assert headers["date"].endswith(" GMT")
    assert "access-control-allow-credentials" not in headers
    assert "server" not in headers


async def test_etag(start_server: StartServer, reads: FakeReader) -> None:
    """The ETag is the body's: it stays while nothing shown has changed, and then does not."""
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


async def test_not_modified(start_server: StartServer, reads: FakeReader) -> None:
    """Who has the answer already gets 304 without a body, with the headers a shared cache needs."""
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


async def test_above_the_limit_nothing_moves(start_server: StartServer, redis_url: str) -> None:
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


async def test_unknown_is_not_kept(start_server: StartServer) -> None:
    """Law 8: What nobody has read yet is unknown after a short wait, and no cache keeps that, nor is it ever 304."""
    running = await start_server()
    began = time.monotonic()

    response = await get(running, TICKET, headers={"If-None-Match": "*"})

    assert {TICKET: ("unknown", None)} == shown(response)
    assert "no-store" == response.headers["cache-control"]
    assert "etag" not in response.headers
    assert counters.FIRST_READ_WITHIN <= time.monotonic() - began < counters.FIRST_READ_WITHIN + 1


async def test_one_unknown_of_two(start_server: StartServer, reads: FakeReader) -> None:
    """An answer with one unknown counter is not kept, whatever else is in it."""
    running = await start_server()
    await reads.read(definition(TICKET, 3))

    response = await get(running, TICKET, OTHER)

    assert {TICKET: ("low", 3), OTHER: ("unknown", None)} == shown(response)
    assert "no-store" == response.headers["cache-control"]


async def test_a_name_is_no_state(start_server: StartServer, reads: FakeReader) -> None:
    """A ticket that is called so is not unknown."""
    running = await start_server()
    await reads.read(definition(TICKET, 3, name='"state":"unknown"'))

    response = await get(running, TICKET)

    assert {TICKET: ("low", 3)} == shown(response)
    assert "etag" in response.headers


async def test_first_read_is_waited_for(start_server: StartServer, reads: FakeReader) -> None:
    """A poller who comes first gets the number as soon as it is read, not on his next turn."""
    running = await start_server()
    asking = asyncio.create_task(get(running, TICKET))
    await until(lambda: running.web.hub.topics)

    await reads.read(definition(TICKET, 3))

    assert {TICKET: ("low", 3)} == shown(await asking)


async def test_pollers_leave(start_server: StartServer, reads: FakeReader) -> None:
    """A poller is a viewer only while he waits."""
    running = await start_server()
    await reads.read(definition(TICKET, 3))

    await get(running, TICKET)

    assert [] == running.web.hub.viewers
    assert 0 == running.web.admission._count


async def test_head(start_server: StartServer, reads: FakeReader) -> None:
    """HEAD answers as GET does, without the body."""
    running = await start_server()
    await reads.read(definition(TICKET, 3))
    got = await get(running, TICKET)

    response = await running.http.head(running.counters(TICKET))

    assert (200, b"") == (response.status_code, response.content)
    assert {**got.headers, "date": ""} == {**response.headers, "date": ""}


async def test_other_methods(start_server: StartServer) -> None:
    """A counter can only be read."""
    running = await start_server()

    for method in ("POST", "PUT", "DELETE", "PATCH"):
        response = await running.http.request(method, running.counters(TICKET))
        assert (method, 405) == (method, response.status_code)
        assert {"GET", "HEAD", "OPTIONS"} == set(response.headers["allow"].split(", "))


async def test_storm_of_pollers(start_server: StartServer, reads: FakeReader, redis_url: str) -> None:
    """A storm of pollers, before a topic is open and while it is, costs Redis one subscription and one read a ticket."""
    running = await start_server(max_connections_per_address=1000)
    await reads.read(definition(TICKET, 3))

    async with monitored(redis_url) as commands:
        early = await asyncio.gather(*(get(running, TICKET) for _ in range(200)))
        late = await asyncio.gather(*(get(running, TICKET) for _ in range(100)))
        counts = await commands.subscribed(channel(SITE, TICKET)), await commands.read(TICKET)

    assert [{TICKET: ("low", 3)}] * 300 == [shown(one) for one in (*early, *late)]
    assert (1, 1) == counts


# -- refusals --


# -- streams --


async def test_stream_by_accept(start_server: StartServer, reads: FakeReader) -> None:
    """Who accepts an event stream gets one at the counters' own address."""
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
def test_who_accepts_a_stream(accept: str, streams: bool) -> None:
    """A stream is for those who name it, and do not decline it in the same breath."""
    assert streams == counters._accepts_stream(accept)


async def test_declined_stream(start_server: StartServer, reads: FakeReader) -> None:
    """Who gives a stream a weight of nothing gets JSON."""
    running = await start_server()
    await reads.read(definition(TICKET, 3))

    response = await get(running, TICKET, headers={"Accept": "text/event-stream;q=0, */*"})

    assert {TICKET: ("low", 3)} == shown(response)


async def test_full(start_server: StartServer) -> None:
    """Beyond the cap of an address streams and pollers are 503 with a time to come back; a place freed is free."""
    running = await start_server(max_connections_per_address=1)

    async with stream(running) as first:
        await first.counter()
        refused = await get(running, TICKET, headers=EVENT_STREAM)
        polled = await get(running, OTHER)
        topics = [topic.ticket for topic in running.web.hub.topics.values()]
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


async def test_pollers_are_counted(start_server: StartServer) -> None:
    """Law 9: Who only polls has no more places than a viewer has, while he waits."""
    running = await start_server(max_connections_per_address=3)

    found = await asyncio.gather(*(get(running, str(uuid4())) for _ in range(10)))

    assert [200] * 3 + [503] * 7 == sorted(response.status_code for response in found)
    assert 3 == len(running.web.hub.topics)
    assert 0 == running.web.admission._count


async def test_sent_away_for_inventions(start_server: StartServer, reads: FakeReader) -> None:
    """Law 9: Who has to give way with tickets that nobody knows is told when to come back; others go on as before."""
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
            await until(lambda: invented[1] in {topic.ticket for topic in running.web.hub.topics.values()})
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
async def test_share_of_an_address(start_server: StartServer, way: str) -> None:
    """Law 9: Who asks for more unknown tickets than an address may is told to come back, by either way."""
    running = await start_server()
    running.web.hub.unconfirmed.most_per_address = 1
    first, second = (f"99999999-aaaa-4aaa-8aaa-{number:012}" for number in range(2))

    async with stream(running, running.counters(first).replace("?", "/stream?")):
        refused = await running.http.get(running.counters(second).replace("?", way))

    assert (503, "5") == (refused.status_code, refused.headers["retry-after"])
    assert "come back" in refused.text
