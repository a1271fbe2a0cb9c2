import time

from prometheus_client import REGISTRY

from server import wire
from server.live.sse import StreamViewer
from server.model import SiteId, TicketId
from tests.rig.counters_over_http import EVENT_STREAM, stream
from tests.rig.fake_reader import FakeReader, definition
from tests.rig.server import OTHER, SITE, TICKET, StartServer, until


def watching() -> float:
    return REGISTRY.get_sample_value("ticketcounter_viewers", {"kind": "sse"}) or 0.0


async def test_stream_sends_the_counter_then_each_change(start_server: StartServer, reads: FakeReader) -> None:
    """A stream starts with a heartbeat and the counter, then sends each change whole."""
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
    """No cache keeps a stream and no proxy buffers it."""
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


async def test_stream_of_several_tickets(start_server: StartServer, reads: FakeReader) -> None:
    """One stream carries all its tickets; one that was never read is unknown until it is read."""
    running = await start_server()
    await reads.read(definition(TICKET, 3))
    path = running.counters(TICKET, OTHER).replace("?", "/stream?")

    async with stream(running, path) as found:
        first = {await found.counter(), await found.counter()}
        await reads.read(definition(OTHER, 48))
        after = await found.counter()

    assert {("low", 3), ("unknown", None)} == first
    assert ("available", 48) == after


async def test_stream_sends_heartbeats(start_server: StartServer) -> None:
    """A stream sends heartbeats as long as it is open, so that a silent one can be told from a dead one."""
    running = await start_server()

    async with stream(running) as found:
        assert "beat" == (await found.next())[0]
        await found.counter()
        [viewer] = running.web.hub.viewers
        for moment in (1, 2):
            viewer.beat(wire.beat(moment))

        assert ("beat", {"beat": 2}) == await found.next()


async def test_stream_says_bye_before_a_planned_end(start_server: StartServer, reads: FakeReader) -> None:
    """Law 11: Before a planned end a stream says when to come back; then it ends."""
    running = await start_server()
    await reads.read(definition(TICKET, 3))

    async with stream(running) as found:
        await found.counter()
        await running.web.hub.close_all(500, 5000, 0)

        assert ("bye", {"bye": {"retry_ms": [500, 5000]}}) == await found.next()
        assert await found.ended()
    await until(lambda: not running.web.hub.viewers and not running.web.admission._count)


async def test_closed_stream_leaves_the_hub(start_server: StartServer) -> None:
    """A viewer that disconnects is neither watched for nor counted any more."""
    running = await start_server()
    before = watching()

    async with stream(running) as found:
        await found.counter()
        assert (1, 1, before + 1) == (len(running.web.hub.viewers), running.web.admission._count, watching())

    await until(lambda: not running.web.hub.viewers)
    await until(lambda: (0, before) == (running.web.admission._count, watching()))


async def test_head_of_a_stream(start_server: StartServer) -> None:
    """HEAD of a stream returns its headers and ends; it is no viewer."""
    running = await start_server()
    path = running.counters(TICKET)

    for answer in (
        await running.http.head(path.replace("?", "/stream?")),
        await running.http.head(path, headers=EVENT_STREAM),
    ):
        assert (200, b"", "no-store") == (answer.status_code, answer.content, answer.headers["cache-control"])
        assert answer.headers["content-type"].startswith("text/event-stream")
    assert [] == running.web.hub.viewers


async def test_slow_stream_gets_the_newest_counter(start_server: StartServer, reads: FakeReader) -> None:
    """Law 7: A client that reads late gets the newest counter and none of those in between."""
    running = await start_server()
    await reads.read(definition(TICKET, 99))
    watcher = StreamViewer()
    audience = running.web.hub.join(watcher, SiteId(SITE), (TicketId(TICKET),))
    await until(lambda: audience.tickets[0].verified)
    watcher.take()

    for unsold in (50, 40, 30):
        await reads.read(definition(TICKET, unsold))
    await until(
        lambda: '"unsold":30,' in (audience.tickets[0].shown or "") and not running.web.hub.flush._work.is_set()
    )
    watcher.beat(wire.beat(1))
    watcher.beat(wire.beat(2))
    text = watcher.take().decode()

    assert 1 == text.count('data: {"v"')
    assert '"unsold":30,' in text
    assert ["event: beat"] == [line for line in text.splitlines() if line.startswith("event")]
    assert b"" == watcher.take()
    running.web.hub.leave(audience, watcher)


async def test_heartbeat_does_not_replace_a_bye() -> None:
    """Law 11: A heartbeat does not replace a bye that the client has not received yet."""
    viewer = StreamViewer()

    viewer.bye(wire.bye(500, 5000))
    viewer.beat(wire.beat(1))

    assert wire.sse_event("bye", wire.bye(500, 5000)) == viewer.take()
    assert viewer.ended
