"""A server on a free port of 127.0.0.1 that answers with exact bytes, never answers, or cuts: what real servers get wrong.

`async with raw_server(answer(503), HANG) as server` answers the first request with 503 and never answers the others: the last
reply is used again and again. `server.requests` has the bytes of each request, its head and its body.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

HANG = None
"""A reply that never comes."""


def answer(status: int = 200, body: Any = b"", headers: Mapping[str, str] | None = None) -> bytes:
    """An answer over HTTP; a body that is not bytes is sent as JSON."""
    typed = {} if isinstance(body, bytes) else {"content-type": "application/json"}
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = [f"HTTP/1.1 {status} X", f"content-length: {len(content)}"]
    lines += [f"{name}: {value}" for name, value in {**typed, **(headers or {})}.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + content


class RawServer:
    """What it was asked, and its address."""

    def __init__(self, replies: list[bytes | None]) -> None:
        self.url = ""
        self.requests: list[bytes] = []
        self.connections = 0
        self._replies = replies

    def head(self, number: int = 0) -> dict[str, str]:
        """The headers of one request."""
        lines = self.requests[number].partition(b"\r\n\r\n")[0].decode().split("\r\n")[1:]
        return {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}

    def line(self, number: int = 0) -> str:
        """The request line: method and path."""
        return self.requests[number].partition(b" HTTP/1.1\r\n")[0].decode()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection: an incomplete answer ends it."""
        self.connections += 1
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = next(
                    (int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), 0
                )
                self.requests.append(head + await reader.readexactly(length))
                reply = self._replies[min(len(self.requests), len(self._replies)) - 1]
                if reply is HANG:
                    await reader.read()
                    return
                writer.write(reply)
                await writer.drain()
                if not _whole(reply):
                    return
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()


def _whole(reply: bytes) -> bool:
    head, _, body = reply.partition(b"\r\n\r\n")
    lengths = [int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    return lengths == [len(body)]


@asynccontextmanager
async def raw_server(*replies: bytes | None) -> AsyncIterator[RawServer]:
    """A server with these replies, as long as the block."""
    found = RawServer(list(replies))
    listening = await asyncio.start_server(found.serve, "127.0.0.1", 0, limit=2**20)
    async with listening:
        found.url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
        yield found
