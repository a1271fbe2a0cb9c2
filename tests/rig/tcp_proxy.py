"""A TCP proxy that blocks, delays, resets or refuses connections on command.

In: the target's address. Out: a port of 127.0.0.1 that leads there. `silence` is an unplugged cable: nothing passes, and
neither side gets FIN or RST; a client that connects meanwhile is accepted and receives nothing. Data on the way is held
and passes after `heal`, as TCP would retransmit it.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

CHUNK = 65_536


class TcpProxy:
    """A proxy to *host*:*port*, and all connections through it; with *tls* it takes only TLS, and ends it."""

    def __init__(self, host: str, port: int, tls: ssl.SSLContext | None = None, listen_on: int = 0) -> None:
        self.target = (host, port)
        self.delay = 0.0
        """Seconds by which each chunk is delayed."""
        self.passed = 0
        """Bytes that have passed, in both directions."""
        self._open = asyncio.Event()
        self._open.set()
        self._server: asyncio.Server | None = None
        self._port = listen_on
        self._tls = tls
        self._lines: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()

    @property
    def port(self) -> int:
        """Where it listens; the same after `refuse` and `heal`."""
        return self._port

    @property
    def connections(self) -> int:
        """How many connections are open."""
        return len(self._lines)

    async def start(self) -> None:
        """Listen."""
        self._server = await asyncio.start_server(
            self._on_line, "127.0.0.1", self._port, limit=CHUNK, backlog=4096, ssl=self._tls
        )
        self._port = self._server.sockets[0].getsockname()[1]

    def silence(self) -> None:
        """Block all data, without closing any connection."""
        self._open.clear()

    def snap(self) -> None:
        """Reset every open connection; new ones pass."""
        for writer in self._writers:
            writer.transport.abort()

    async def refuse(self) -> None:
        """Reset every connection, and refuse new ones."""
        if self._server is not None:
            self._server.close()
            self._server = None
        self.snap()

    async def heal(self) -> None:
        """Let everything pass again: what was held, and what is new."""
        self.delay = 0.0
        self._open.set()
        if self._server is None:
            await self.start()

    async def aclose(self) -> None:
        """Close everything."""
        await self.refuse()
        for line in self._lines:
            line.cancel()
        if self._lines:
            await asyncio.wait(self._lines)

    def _on_line(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)  # not in the task, which may be cancelled before its first step
        line = asyncio.get_running_loop().create_task(self._line(reader, writer))
        self._lines.add(line)
        line.add_done_callback(self._lines.discard)

    async def _line(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        both = {writer}
        try:
            await self._open.wait()
            there, back = await asyncio.open_connection(*self.target, limit=CHUNK)
            both.add(back)
            self._writers.add(back)
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pass(reader, back))
                group.create_task(self._pass(there, writer))
        except* (OSError, RuntimeError):
            pass
        finally:
            self._writers -= both
            for one in both:
                one.transport.abort()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            piece = await reader.read(CHUNK)
            await self._open.wait()
            if self.delay:
                await asyncio.sleep(self.delay)
            if not piece:
                if not writer.can_write_eof():
                    raise ConnectionResetError("TLS knows no half closed connection")
                # Half closed: what the other side still sends passes.
                writer.write_eof()
                return
            writer.write(piece)
            self.passed += len(piece)
            await writer.drain()


@asynccontextmanager
async def tcp_proxy(
    host: str, port: int, tls: ssl.SSLContext | None = None, listen_on: int = 0
) -> AsyncIterator[TcpProxy]:
    """A proxy, as long as the block."""
    proxy = TcpProxy(host, port, tls, listen_on)
    await proxy.start()
    try:
        yield proxy
    finally:
        await proxy.aclose()
