"""One WebSocket as a browser has it, bare: what comes in, and how it ends (RFC 6455, client's side).

In: an address and who listens. Out: each text as it comes, and the code of its end, once. It sends nothing but its
handshake, pongs and a close.
"""

import asyncio
import base64
import math
import os
from enum import IntEnum
from typing import Protocol

NOT_SAID = 1006
"""The code of an end that nobody announced (RFC 6455, section 7.1.5)."""
LONGEST_HEAD = 16_384


class Op(IntEnum):
    """What a frame is (RFC 6455, section 5.2)."""

    TEXT = 1
    CLOSE = 8
    PING = 9
    PONG = 10


class SocketListener(Protocol):
    """Whoever has it."""

    def heard(self, socket: "WebSocket", text: str) -> None:
        """A text has come."""

    def ended(self, socket: "WebSocket", code: int) -> None:
        """It has ended, and not by us."""


class WebSocket(asyncio.Protocol):
    """One connection; *to* is a name that its owner gives the place it leads to."""

    def __init__(self, to: int, path: str, hearer: SocketListener) -> None:
        self.to = to
        # Its owner's notes: when it first spoke, and after how many seconds it asked to come back.
        self.spoke = math.inf
        self.retry: tuple[float, float] | None = None
        self._path = path
        self._hearer: SocketListener | None = hearer
        self._transport: asyncio.Transport | None = None
        self._buffer = b""
        self._open = False
        self._code = NOT_SAID

    # -- asyncio's side --

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # that is what it gives
        """Ask for the upgrade."""
        self._transport = transport
        if self._hearer is None:
            transport.abort()
            return
        key = base64.b64encode(os.urandom(16)).decode()
        head = (
            f"GET {self._path} HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n"
        )
        transport.write(head.encode())

    def data_received(self, data: bytes) -> None:
        """Read what is whole of it."""
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
        """It is gone."""
        self.fail()

    # -- its owner's side --

    def fail(self) -> None:
        """It came to nothing, or has ended: say so, once."""
        hearer, self._hearer = self._hearer, None
        if hearer is not None:
            hearer.ended(self, self._code)

    def leave(self) -> None:
        """Close it from our side; nothing is heard of it any more."""
        self._hearer = None
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
        if self._transport is None or self._hearer is None:
            return
        if op == Op.TEXT:
            self._hearer.heard(self, payload.decode())
        elif op == Op.PING:
            self._transport.write(_masked(Op.PONG, payload))
        elif op == Op.CLOSE:
            self._code = int.from_bytes(payload[:2], "big") if len(payload) >= 2 else NOT_SAID
            self._transport.write(_masked(Op.CLOSE, payload[:2]))
            self._transport.close()

    def _abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()


def _masked(op: Op, payload: bytes) -> bytes:
    """A short frame of a client: masked with zeros, which is a mask like any other."""
    return bytes((0x80 | op, 0x80 | len(payload))) + bytes(4) + payload
