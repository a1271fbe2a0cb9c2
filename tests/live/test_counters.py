import asyncio
import hashlib
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import httpx
import pytest
from prometheus_client import REGISTRY
from redis.asyncio import Redis

from server import wire
from server.live import counters
from server.model import Rules, SiteId, TicketId
from server.store.keys import channel
from server.store.snapshots import Kept
from server.wire import Close
from tests.rig.fake_reader import FakeReader, definition
from tests.rig.redis_monitor import monitored
from tests.rig.server import OTHER, SITE, TICKET, RunningServer, StartServer, until

STRANGER = "5f0e4d3c-9999-4111-8111-00000000b009"
EVENT_STREAM = {"Accept": "text/event-stream"}


async def get(
    running: RunningServer, *tickets: str, headers: dict[str, str] | None = None, **more: str
) -> httpx.Response:
    return await running.http.get(running.counters(*tickets, **more), headers=headers)


def shown(response: httpx.Response) -> dict[str, Any]:
    """What is shown of each ticket, in order."""
    assert 200 == response.status_code, response.text
    return {one["ticket"]: (one["state"], one["unsold"]) for one in response.json()["counters"]}


async def shows(running: RunningServer, counter: tuple[str, int | None]) -> httpx.Response | None:
    """The answer, once it is this one."""
    response = await get(running, TICKET)
    return response if shown(response)[TICKET] == counter else None


class Stream:
    """A stream of server-sent events, as a browser's EventSource reads it."""

    def __init__(self, response: httpx.Response) -> None:
        self.response = response
        self._lines = response.aiter_lines()

    async def next(self) -> tuple[str, Any]:
        """The next event: its name (message without one) and its JSON."""
        name = "message"
        while line := await asyncio.wait_for(anext(self._lines), 5):
            member, _, value = line.partition(": ")
            if member == "event":
                name = value
            else:
                assert "data" == member
                data = json.loads(value)
        return name, data

    async def counter(self) -> tuple[str, int | None]:
        """State and number of the next counter; heartbeats are passed over."""
        while True:
            name, data = await self.next()
            if name == "message":
                return data["state"], data["unsold"]

    async def ended(self) -> bool:
        """Whether nothing more comes."""
        return "" == "".join([line async for line in self._lines])


@asynccontextmanager
async def stream(running: RunningServer, path: str = "", **headers: str) -> AsyncIterator[Stream]:
    path = path or running.counters(TICKET).replace("?", "/stream?")
    async with running.http.stream("GET", path, headers=headers) as response:
        yield Stream(response)


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


BAD: dict[str, tuple[int, str, str]] = {
    "": (400, "ticket", "name at least one ticket"),
    "ticket=nonsense": (400, "ticket", "ticket='nonsense' is not a GUID"),
    "ticket=%22%3Cscript%3E": (400, "ticket", "is not a GUID"),
    f"ticket={TICKET}&site=x": (400, "site", "site='x' is not a GUID"),
    "x" * 5000: (400, "query", "longer than 4096 bytes"),
    f"ticket={TICKET}&site={STRANGER}": (404, "site", f"site {STRANGER} is not known here"),
}


async def test_bad_request(start_server: StartServer) -> None:
    """A request that names no counter is told which parameter is at fault; the page may read that, no cache keeps it."""
    running = await start_server()

    for path in ("/v1/counters", "/v1/counters/stream"):
        for query, (status, field, reason) in BAD.items():
            response = await running.http.get(f"{path}?{query}")

            assert (query, status, field) == (query, response.status_code, response.json()["error"]["field"])
            assert reason in response.json()["error"]["message"]
            assert ("no-store", "*", "nosniff") == (
                response.headers["cache-control"],
                response.headers["access-control-allow-origin"],
                response.headers["x-content-type-options"],
            )


async def test_strangers_leave_no_trace(start_server: StartServer, redis_url: str) -> None:
    """Law 9: A request for an unknown site, or a malformed one, writes no key in Redis and opens no topic."""
    running = await start_server()
    redis = Redis.from_url(redis_url, decode_responses=True)
    before = set(await redis.keys())

    for query in BAD:
        for path in ("/v1/counters", "/v1/counters/stream"):
            await running.http.get(f"{path}?{query}")

    assert before == set(await redis.keys())
    assert {} == running.web.hub.topics
    await redis.aclose()


async def test_site_is_needed(start_server: StartServer) -> None:
    """Once more than one site is known the request has to name its own."""
    running = await start_server(wix_sites=f"{SITE},{STRANGER}")

    without = await get(running, TICKET)
    named = await get(running, TICKET, site=STRANGER)

    assert (400, "site") == (without.status_code, without.json()["error"]["field"])
    assert {TICKET: ("unknown", None)} == shown(named)


async def test_closing(start_server: StartServer, reads: FakeReader) -> None:
    """Law 11: A process that is closing sends pollers and streams away, and says when to come back."""
    running = await start_server()
    await reads.read(definition(TICKET, 3))
    running.web.admission.open = False

    for response in (await get(running, TICKET), await get(running, TICKET, headers=EVENT_STREAM)):
        assert (503, "5", "no-store") == (
            response.status_code,
            response.headers["retry-after"],
            response.headers["cache-control"],
        )
        assert None is response.json()["error"]["field"]


# -- origins --


async def test_foreign_origin(start_server: StartServer, reads: FakeReader) -> None:
    """With a list, a page in it is echoed, one that is not is 403, and caches are told that it depends on that."""
    running = await start_server(origins="https://shop.example,https://*.wixsite.com")
    await reads.read(definition(TICKET, 3))
    found: dict[str, set[tuple[int, str | None]]] = {}

    for origin in ("https://shop.example", "https://a.wixsite.com", "https://evil.example", "null"):
        for accept in ({}, EVENT_STREAM):
            async with running.http.stream(
                "GET", running.counters(TICKET), headers={"Origin": origin, **accept}
            ) as response:
                assert "Accept, Origin" == response.headers["vary"]
                found.setdefault(origin, set()).add(
                    (response.status_code, response.headers.get("access-control-allow-origin"))
                )

    assert {
        "https://shop.example": {(200, "https://shop.example")},
        "https://a.wixsite.com": {(200, "https://a.wixsite.com")},
        "https://evil.example": {(403, None)},
        "null": {(403, None)},
    } == found


async def test_no_origin(start_server: StartServer, reads: FakeReader) -> None:
    """A client that is no browser names no origin and is let in; the answer is nobody's by name."""
    running = await start_server(origins="https://shop.example")
    await reads.read(definition(TICKET, 3))

    response = await get(running, TICKET)

    assert {TICKET: ("low", 3)} == shown(response)
    assert "access-control-allow-origin" not in response.headers


async def test_preflight(start_server: StartServer) -> None:
    """A browser that asks first is told what it may send, whatever its query; a foreign page is told nothing."""
    running = await start_server(origins="https://shop.example")

    for path in ("/v1/counters", "/v1/counters/stream"):
        ours, foreign = [
            await running.http.options(path, headers={"Origin": origin, "Access-Control-Request-Method": "GET"})
            for origin in ("https://shop.example", "https://evil.example")
        ]

        assert (204, b"") == (ours.status_code, ours.content)
        assert ("https://shop.example", "GET", "If-None-Match", "86400") == (
            ours.headers["access-control-allow-origin"],
            ours.headers["access-control-allow-methods"],
            ours.headers["access-control-allow-headers"],
            ours.headers["access-control-max-age"],
        )
        assert "access-control-allow-origin" not in foreign.headers


# -- streams --


async def test_stream(start_server: StartServer, reads: FakeReader) -> None:
    """A stream starts with a beat and the counter, then carries each change whole."""
    running = await start_server()
    await reads.read(definition(TICKET, 3))
    before = time.time() * 1000

    async with stream(running) as found:
        name, beat = await found.next()
        second = await found.next()
        await reads.read(definition(TICKET, 2))
        third = await found.next()

    assert "beat" == name
    assert before - 1 <= beat["beat"] <= time.time() * 1000
    assert [("message", "low", 3), ("message", "low", 2)] == [
        (name, one["state"], one["unsold"]) for name, one in (second, third)
    ]
    assert third[1]["v"] > second[1]["v"]


async def test_stream_headers(start_server: StartServer) -> None:
    """Nobody keeps a stream and no proxy holds it back."""
    running = await start_server()

    async with stream(running) as found:
        headers = found.response.headers

    assert headers["content-type"].startswith("text/event-stream")
    assert ("no-store", "no", "*") == (
        headers["cache-control"],
        headers["x-accel-buffering"],
        headers["access-control-allow-origin"],
    )
    assert "content-length" not in headers


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


async def test_stream_of_many(start_server: StartServer, reads: FakeReader) -> None:
    """One stream carries all its tickets, and a ticket that nobody has read is unknown until somebody has."""
    running = await start_server()
    await reads.read(definition(TICKET, 3))
    path = running.counters(TICKET, OTHER).replace("?", "/stream?")

    async with stream(running, path) as found:
        first = {await found.counter(), await found.counter()}
        await reads.read(definition(OTHER, 48))
        after = await found.counter()

    assert {("low", 3), ("unknown", None)} == first
    assert ("available", 48) == after


async def test_stream_beats(start_server: StartServer) -> None:
    """A stream beats for as long as it is open, so that a silent one can be told from a dead one."""
    running = await start_server()

    async with stream(running) as found:
        assert "beat" == (await found.next())[0]
        await found.counter()
        [viewer] = running.web.hub.viewers
        for moment in (1, 2):
            viewer.beat(wire.beat(moment))

        assert ("beat", {"beat": 2}) == await found.next()


async def test_stream_bye(start_server: StartServer, reads: FakeReader) -> None:
    """Law 11: Before a planned end a stream says when to come back; then it ends."""
    running = await start_server()
    await reads.read(definition(TICKET, 3))

    async with stream(running) as found:
        await found.counter()
        await running.web.hub.close_all(500, 5000, 0)

        assert ("bye", {"bye": {"retry_ms": [500, 5000]}}) == await found.next()
        assert await found.ended()
    await until(lambda: not running.web.hub.viewers and not running.web.admission._count)


async def test_stream_leaves(start_server: StartServer) -> None:
    """A viewer who goes is neither watched for nor counted any more."""
    running = await start_server()
    before = watching()

    async with stream(running) as found:
        await found.counter()
        assert (1, 1, before + 1) == (len(running.web.hub.viewers), running.web.admission._count, watching())

    await until(lambda: not running.web.hub.viewers)
    await until(lambda: (0, before) == (running.web.admission._count, watching()))


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


async def test_forwarded_addresses(start_server: StartServer) -> None:
    """Behind a trusted proxy each address has places of its own, though the header comes in parts."""
    running = await start_server(max_connections_per_address=1, trusted_proxies="127.0.0.0/8,10.0.0.0/8")
    path = running.counters(TICKET).replace("?", "/stream?")
    found = []

    async with stream(running, path, **{"X-Forwarded-For": "198.51.100.1"}) as first:
        await first.counter()
        for hops in (["198.51.100.2"], ["198.51.100.1"], ["198.51.100.2", "198.51.100.1, 10.0.0.1"]):
            async with running.http.stream("GET", path, headers=[("X-Forwarded-For", hop) for hop in hops]) as response:
                found.append(response.status_code)

    assert [200, 503, 503] == found


async def test_stream_head(start_server: StartServer) -> None:
    """HEAD of a stream answers its headers and ends; it is no viewer."""
    running = await start_server()
    path = running.counters(TICKET)

    for answer in (
        await running.http.head(path.replace("?", "/stream?")),
        await running.http.head(path, headers=EVENT_STREAM),
    ):
        assert (200, b"", "no-store") == (answer.status_code, answer.content, answer.headers["cache-control"])
        assert answer.headers["content-type"].startswith("text/event-stream")
    assert [] == running.web.hub.viewers


async def test_slow_stream_gets_the_newest(start_server: StartServer, reads: FakeReader) -> None:
    """Law 7: Who reads late gets the newest counter and none of those in between."""
    running = await start_server()
    await reads.read(definition(TICKET, 99))
    watcher = counters._Mailbox()
    audience = running.web.hub.join(watcher, SiteId(SITE), [TicketId(TICKET)])
    await watcher.wait_for(audience.topics, 5)
    watcher.take()

    for unsold in (50, 40, 30):
        await reads.read(definition(TICKET, unsold))
    await until(lambda: '"unsold":30,' in (audience.topics[0].shown or "") and not running.web.hub._work.is_set())
    watcher.beat(wire.beat(1))
    watcher.beat(wire.beat(2))
    text = watcher.take().decode()

    assert 1 == text.count('data: {"v"')
    assert '"unsold":30,' in text
    assert ["event: beat"] == [line for line in text.splitlines() if line.startswith("event")]
    assert b"" == watcher.take()
    running.web.hub.leave(audience, watcher)


async def test_last_word() -> None:
    """Law 11: A heartbeat does not take the place of a goodbye that the reader has not got yet."""
    viewer = counters._Mailbox()

    viewer.bye(wire.bye(500, 5000))
    viewer.beat(wire.beat(1))

    assert wire.sse_event("bye", wire.bye(500, 5000)) == viewer.take()
    assert Close.RESTART is viewer.code


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


def watching() -> float:
    return REGISTRY.get_sample_value("ticket_counter_viewers", {"kind": "sse"}) or 0.0


@pytest.mark.parametrize("way", ["?", "/stream?"])
async def test_share_of_an_address(start_server: StartServer, way: str) -> None:
    """Law 9: Who asks for more unknown tickets than an address may is told to come back, by either way."""
    running = await start_server()
    running.web.hub.unconfirmed.most_an_address = 1
    first, second = (f"99999999-aaaa-4aaa-8aaa-{number:012}" for number in range(2))

    async with stream(running, running.counters(first).replace("?", "/stream?")):
        refused = await running.http.get(running.counters(second).replace("?", way))

    assert (503, "5") == (refused.status_code, refused.headers["retry-after"])
    assert "come back" in refused.text
