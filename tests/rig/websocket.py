"""A minimal WebSocket client: the texts that it receives, and how the connection ends (RFC 6455).

In: an address and a listener. Out: each text as it comes, and the close code, once. It sends only its handshake, pongs
and a close.
"""

import asyncio
import base64
import math
import os
from enum import IntEnum
from typing import Protocol

NO_CLOSE_FRAME = 1006
"""The code of a connection that ended without a close frame (RFC 6455, section 7.1.5)."""
LONGEST_HEAD = 16_384


class Op(IntEnum):
    """Opcodes of frames (RFC 6455, section 5.2)."""

    TEXT = 1
    CLOSE = 8
    PING = 9
    PONG = 10


class SocketListener(Protocol):
    """What a WebSocket calls."""

    def on_text(self, socket: "WebSocket", text: str) -> None:
        """A text has come."""

    def on_end(self, socket: "WebSocket", code: int) -> None:
        """The connection has ended, and not by `leave`."""


class WebSocket(asyncio.Protocol):
    """One connection; *to* is the listener's number of the server that it leads to."""

    def __init__(self, to: int, path: str, listener: SocketListener) -> None:
        self.to = to
        # Kept for the listener: when its first frame came, and after how many seconds its `bye` asks to reconnect.
        self.first_frame = math.inf
        self.retry: tuple[float, float] | None = None
        self._path = path
        self._listener: SocketListener | None = listener
        self._transport: asyncio.Transport | None = None
        self._buffer = b""
        self._open = False
        self._code = NO_CLOSE_FRAME

    # -- asyncio's side --

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # that is what it gives
        """Send the handshake."""
        self._transport = transport
        if self._listener is None:
            transport.abort()
            return
        key = base64.b64encode(os.urandom(16)).decode()
        head = (
            f"GET {self._path} HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n"
        )
        transport.write(head.encode())

    def data_received(self, data: bytes) -> None:
        """Read the frames that are complete."""
        self._buffer += data
        if not self._open:
            head, found, rest = self._buffer.partition(b"\r\n\r\n")
            if not found:
                if len(self._buffer) > LONGEST_HEAD:
                    self._abort()
                return
            if b" 101 " not in head.partition(b"\r\n")[0]:
                self._abort()
                return
            self._open, self._buffer = True, rest
        self._frames()

    def connection_lost(self, exc: Exception | None) -> None:
        """Report the end."""
        self.fail()

    # -- the listener's side --

    def fail(self) -> None:
        """Report the end to the listener, once: it has ended or could not connect."""
        listener, self._listener = self._listener, None
        if listener is not None:
            listener.on_end(self, self._code)

    def leave(self) -> None:
        """Close it; the listener is not called any more."""
        self._listener = None
        if self._transport is not None and not self._transport.is_closing():
            if self._open:
                self._transport.write(_masked(Op.CLOSE, b"\x03\xe8"))
            self._transport.close()

    # -- frames --

    def _frames(self) -> None:
        buffer, at = self._buffer, 0
        while len(buffer) - at >= 2:
            size, head = buffer[at + 1] & 0x7F, 2
            if size == 126:
                size, head = int.from_bytes(buffer[at + 2 : at + 4], "big"), 4
            elif size == 127:
                size, head = int.from_bytes(buffer[at + 2 : at + 10], "big"), 10
            if len(buffer) - at < head + size:
                break
            payload = buffer[at + head : at + head + size]
            op = buffer[at] & 0x0F
            at += head + size
            self._frame(op, payload)
        self._buffer = buffer[at:]

    def _frame(self, op: int, payload: bytes) -> None:
        if self._transport is None or self._listener is None:
            return
        if op == Op.TEXT:
            self._listener.on_text(self, payload.decode())
        elif op == Op.PING:
            self._transport.write(_masked(Op.PONG, payload))
        elif op == Op.CLOSE:
            self._code = int.from_bytes(payload[:2], "big") if len(payload) >= 2 else NO_CLOSE_FRAME
            self._transport.write(_masked(Op.CLOSE, payload[:2]))
            self._transport.close()

    def _abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()


def _masked(op: Op, payload: bytes) -> bytes:
    """A client's frame of at most 125 bytes, masked with zeros, which is a valid mask."""
    return bytes((0x80 | op, 0x80 | len(payload))) + bytes(4) + payload
