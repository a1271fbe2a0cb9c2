"""An event over WebSocket."""

import contextlib
import json
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from server.model import Event, EventId, EventStatus
from tests.rig.default_keys import key
from tests.rig.fake_reader import EVENT, FakeReader, definition
from tests.rig.server import OTHER, SITE, TICKET, RunningServer, StartServer, until

UNKNOWN = "99999999-4444-4444-8444-00000000e009"


def address(running: RunningServer, event: str = EVENT) -> str:
    return f"{running.ws}/v1/counters?event={event}"


async def messages(socket: ClientConnection, count: int) -> list[dict[str, Any]]:
    """The next messages."""
    return [dict(json.loads(await socket.recv())) for _ in range(count)]


async def closing(socket: ClientConnection) -> tuple[int | None, str | None]:
    """Why the socket was closed; everything that comes before is passed over."""
    with contextlib.suppress(ConnectionClosed):
        while True:
            await socket.recv()
    return socket.close_code, socket.close_reason


async def test_beat_list_counters(start_server: StartServer, reads: FakeReader) -> None:
    """The first message is the beat, the second the list of tickets; the counters follow, then each change."""
    running = await start_server()
    await reads.read(definition(TICKET, 3, position="2"), definition(OTHER, 40, position="1"))

    async with connect(address(running)) as socket:
        beat, listed, *counters = await messages(socket, 4)
        await reads.read(definition(TICKET, 2, position="2"))
        [change] = await messages(socket, 1)

    assert ["beat"] == [*beat]
    assert {"event": EVENT, "tickets": [OTHER, TICKET]} == listed
    assert {(OTHER, 40), (TICKET, 3)} == {(one["ticket"], one["unsold"]) for one in counters}
    assert (TICKET, 2) == (change["ticket"], change["unsold"])


async def test_changed_set_is_said_with_bye(start_server: StartServer, reads: FakeReader) -> None:
    """A new set ends the connection: `bye` with 0 to 3 seconds, then 1012."""
    running = await start_server()
    await reads.read(definition(TICKET, 3))

    async with connect(address(running)) as socket:
        await messages(socket, 3)
        await reads.read(definition(OTHER, 3))
        [bye] = await messages(socket, 1)
        code, _ = await closing(socket)

    assert {"bye": {"retry_ms": [0, 3000]}} == bye
    assert 1012 == code


@pytest.mark.parametrize("name", [UNKNOWN, "invented", EVENT])
async def test_unknown_event(start_server: StartServer, reads: FakeReader, name: str) -> None:
    """An unknown event and one that is not published are closed with 4000 until the site was listed, and 4500 after."""
    running = await start_server()
    await reads.read(definition(TICKET, 3, event_details=Event(EventId(EVENT), status=EventStatus.DRAFT)))
    async with connect(address(running, name)) as socket:
        early, _ = await closing(socket)
    await running.web.redis.do("HSET", key(SITE, "site"), "complete", 1)

    async def refused() -> tuple[int | None, str | None] | None:
        async with connect(address(running, name)) as socket:
            found = await closing(socket)
        return found if found[0] != 4000 else None

    assert 4000 == early
    assert (4500, f"no event '{name}' with tickets is known here") == await until(refused)
    await until(lambda: not running.web.admission._count)


async def test_tickets_and_event_together(start_server: StartServer) -> None:
    """A request that names tickets and an event is closed with 4500."""
    running = await start_server()

    async with connect(f"{address(running)}&ticket={TICKET}") as socket:
        code, reason = await closing(socket)

    assert (4500, "name tickets or an event, not both") == (code, reason)
