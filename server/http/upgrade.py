"""From HTTP to WebSocket: which requests upgrade, and how a connection changes its protocol.

In: a request's headers, and its connection. Out: the viewer in live/websocket.py that has the connection from then on.
"""

import asyncio
from collections.abc import Iterable
from typing import Any

import uvicorn
from uvicorn.server import ServerState

from server.live.websocket import CounterProtocol


def is_websocket(headers: Iterable[tuple[bytes, bytes]], http_version: str) -> bool:
    """Whether a request upgrades to WebSocket. Upgrade may have several lines; HTTP/1.0 has none (RFC 9110, 7.8)."""
    protocols = {
        protocol.strip().lower() for name, value in headers if name == b"upgrade" for protocol in value.split(b",")
    }
    return b"websocket" in protocols and http_version == "1.1"


def hand_over(
    transport: asyncio.Transport, config: uvicorn.Config, state: ServerState, app_state: dict[str, Any]
) -> CounterProtocol:
    """A viewer that has the connection from now on; it is to get the request with `answer` or `upgraded`."""
    protocol_class: Any = config.ws_protocol_class
    viewer: CounterProtocol = protocol_class(config, state, app_state)
    # Before anything is written: pause_writing is called on the protocol that the transport has then.
    transport.set_protocol(viewer)
    viewer.connection_made(transport)
    return viewer
