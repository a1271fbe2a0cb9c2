import asyncio
import socket
from typing import Any

import pytest
import uvicorn
from uvicorn.server import ServerState

from server.http.upgrade import hand_over, is_websocket
from tests.rig.server import until


@pytest.mark.parametrize(
    ("lines", "version", "upgrades"),
    [
        ([b"websocket"], "1.1", True),
        ([b"WebSocket"], "1.1", True),
        ([b"h2c, websocket"], "1.1", True),
        ([b"h2c", b"websocket"], "1.1", True),
        ([b"websocket"], "1.0", False),
        ([b"h2c"], "1.1", False),
        ([b"websocket2"], "1.1", False),
        ([], "1.1", False),
    ],
)
def test_is_websocket(lines: list[bytes], version: str, *, upgrades: bool) -> None:
    """A request of HTTP/1.1 upgrades to WebSocket if any of its Upgrade lines names that, in any case."""
    headers = [(b"host", b"websocket"), *((b"upgrade", line) for line in lines)]

    assert upgrades is is_websocket(headers, version)


class Viewer(asyncio.Protocol):
    """A viewer that is already the transport's protocol when its connection is made, or fails."""

    def __init__(self, config: uvicorn.Config, state: ServerState, app_state: dict[str, Any]) -> None:
        self.arguments = config, state, app_state
        self.received = b""

    def connection_made(self, transport: Any) -> None:
        assert transport.get_protocol() is self

    def data_received(self, data: bytes) -> None:
        self.received += data


async def app(_: Any, __: Any, ___: Any) -> None:
    """An application that is never called."""


async def test_hand_over() -> None:
    """After the hand-over the viewer is the connection's protocol, and gets what the client sends."""
    server_end, client = socket.socketpair()
    transport, _ = await asyncio.get_running_loop().create_connection(asyncio.Protocol, sock=server_end)
    config, state, app_state = uvicorn.Config(app, ws=Viewer), ServerState(), {"hub": "a hub"}
    config.load()

    viewer: Any = hand_over(transport, config, state, app_state)
    with client:
        client.send(b"sent")
        await until(lambda: viewer.received)

    assert isinstance(viewer, Viewer)
    assert (config, state, app_state) == viewer.arguments
    assert b"sent" == viewer.received
    transport.close()
