"""An HTTP proxy for https addresses, as companies have one: it opens tunnels (CONNECT), perhaps only for a user with a password.

In: what it allows. Out: its address, and which hosts were asked for.
"""

import asyncio
import base64
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass, field


@dataclass
class ConnectProxy:
    """A proxy: `asked` are the targets of all requests, in their order; a *password* is `user:password`."""

    password: str | None = None
    refused: Collection[str] = ()
    port: int = 0
    asked: list[str] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection: a request for a tunnel, then its bytes in both directions."""
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            method, target, _ = head.split("\r\n", 1)[0].split()
            self.asked.append(f"{method} {target}")
            expected = base64.b64encode((self.password or "").encode()).decode()
            if self.password is not None and f"Proxy-Authorization: Basic {expected}".lower() not in head.lower():
                writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
                return
            if method != "CONNECT" or target in self.refused:
                writer.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
                return
            host, _, port = target.rpartition(":")
            there, back = await asyncio.open_connection(host, int(port))
            writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            await asyncio.gather(_pass(reader, back), _pass(there, writer))
        except (OSError, asyncio.IncompleteReadError):
            pass  # one side has left
        finally:
            writer.close()


async def _pass(source: asyncio.StreamReader, drain: asyncio.StreamWriter) -> None:
    try:
        while some := await source.read(65_536):
            drain.write(some)
            await drain.drain()
    except OSError:
        pass
    finally:
        drain.close()


@asynccontextmanager
async def connect_proxy(password: str | None = None, refused: Collection[str] = ()) -> AsyncIterator[ConnectProxy]:
    """A proxy on 127.0.0.1, as long as the block; its clients must have left before the end."""
    proxy = ConnectProxy(password, refused)
    connections: set[asyncio.Task[None]] = set()

    def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(proxy.serve(reader, writer))
        connections.add(task)
        task.add_done_callback(connections.discard)

    server = await asyncio.start_server(accepted, "127.0.0.1", 0)
    proxy.port = server.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        server.close()
        if connections:
            await asyncio.wait(connections, timeout=5)
