"""An event as server-sent events."""

import asyncio

from tests.rig.counters_over_http import stream
from tests.rig.fake_reader import EVENT, FakeReader, definition
from tests.rig.redis import Servers
from tests.rig.server import OTHER, TICKET, StartServer, until

STREAM = f"/v1/counters/stream?event={EVENT}"


async def test_stream_sends_list_counters_and_bye(start_server: StartServer, reads: FakeReader) -> None:
    """A stream of an event: the beat, the list, the counters, each change; a new set ends it with `bye`."""
    running = await start_server()
    await reads.read(definition(TICKET, 3))

    async with stream(running, STREAM) as found:
        assert "beat" == (await found.next())[0]
        assert ("message", {"event": EVENT, "tickets": [TICKET]}) == await found.next()
        assert ("low", 3) == await found.counter()
        await reads.read(definition(TICKET, 2))
        assert ("low", 2) == await found.counter()

        await reads.read(definition(OTHER, 9))

        assert ("bye", {"bye": {"retry_ms": [0, 3000]}}) == await found.next()
        assert await found.ended()


async def test_unknown_event_is_404(start_server: StartServer) -> None:
    """A stream of an event that is not known is answered 404, before it begins."""
    running = await start_server()

    response = await running.http.get(STREAM)
    head = await running.http.head(STREAM)

    assert [404, 404] == [response.status_code, head.status_code]
    assert "event" == response.json()["error"]["field"]
    assert 0 == running.web.admission._count


async def test_options_and_head(start_server: StartServer, reads: FakeReader) -> None:
    """HEAD of a stream has its headers, and OPTIONS those of CORS."""
    running = await start_server()
    await reads.read(definition(TICKET, 3))

    head = await running.http.head(STREAM)
    options = await running.http.options(STREAM)

    assert (200, "text/event-stream; charset=utf-8") == (head.status_code, head.headers["content-type"])
    assert (204, "GET") == (options.status_code, options.headers["access-control-allow-methods"])
    assert 0 == running.web.admission._count


async def test_client_that_leaves_before_the_list(redis_server: Servers, start_server: StartServer) -> None:
    """A request that ends before the list is read is not counted any more."""
    server = redis_server()
    running = await start_server(redis_url=server.url)
    server.freeze()
    asking = asyncio.create_task(running.http.get(STREAM))
    await until(lambda: running.web.admission._count == 1)

    asking.cancel()

    await until(lambda: running.web.admission._count == 0)
    server.thaw()
