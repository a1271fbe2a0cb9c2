"""The opening handshake (RFC 6455, section 4.2), for the request that every browser sends.

In: a request's method and headers, parsed already. Out: the answer that opens the WebSocket, or None where anything is
out of the ordinary: then websockets' sans-I/O core reads the request itself, and says what is wrong with it. Nearly all
requests are ordinary, and reading each a second time would be a third of what it costs to let a viewer in.
"""

import re
from collections.abc import Sequence

from websockets.utils import accept_key

_KEY = re.compile(rb"[A-Za-z0-9+/]{21}[AQgw]==")
"""Base64 of 16 bytes, as it is written without a doubt."""

_ANSWER = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %b\r\n\r\n"
)


class Opening:
    """An ordinary request to open a WebSocket, and the `answer` to it."""

    __slots__ = ("_headers", "answer")

    def __init__(self, headers: dict[bytes, bytes], answer: bytes) -> None:
        self._headers = headers
        self.answer = answer

    def get(self, name: bytes) -> str | None:
        """One header's value, by its name in lower case."""
        value = self._headers.get(name)
        return None if value is None else value.decode("latin-1")


def ordinary(method: str, headers: Sequence[tuple[bytes, bytes]]) -> Opening | None:
    """Read a request that asks to upgrade; None unless it is as browsers send it, with each header once."""
    found = dict(headers)
    key = found.get(b"sec-websocket-key", b"")
    if (
        method != "GET"
        or len(found) != len(headers)
        or b"host" not in found
        or found.get(b"sec-websocket-version") != b"13"
        or found.get(b"upgrade", b"").lower() != b"websocket"
        or found.get(b"connection", b"").lower() not in {b"upgrade", b"keep-alive, upgrade"}
        or not _KEY.fullmatch(key)
    ):
        return None
    return Opening(found, _ANSWER % accept_key(key.decode()).encode())
