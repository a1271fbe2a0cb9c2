"""A fake Redis that fails at an exact point: real sockets, and a record of all commands.

`async with running() as redis` starts one. It echoes the last word of each command, in order, until it is told to `hold`,
to `reset`, or to `cut` or `hush` after so many more replies. Of real commands it knows those of redis-py's handshake only.
"""

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator

import hiredis

GREETINGS = {b"HELLO": b"%1\r\n$5\r\nproto\r\n:3\r\n", b"CLIENT": b"+OK\r\n"}


class FakeRedis:
    """One fake Redis, for any number of connections."""

    def __init__(self) -> None:
        self.port = 0
        self.connections = 0
        self.asked: list[str] = []
        self.most = 0
        """The most commands of one pipeline: all came before any of them was answered."""
        self.error = ""
        """An error, such as `LOADING it is`, that is sent in place of an echo."""
        self._go = asyncio.Event()
        self._go.set()
        self._left: int | None = None
        self._cuts = False
        self._writers: list[asyncio.StreamWriter] = []
        self._late: list[tuple[asyncio.StreamWriter, bytes]] = []

    def hold(self) -> None:
        """Accept commands and reply to none, until `go_on`."""
        self._go.clear()

    def go_on(self) -> None:
        """Reply to what is held, and to what comes."""
        self._go.set()

    def cut(self, after: int) -> None:
        """Once: after so many more replies close the connection in place of the next one."""
        self._left, self._cuts = after, True

    def hush(self, after: int) -> None:
        """Once: after so many more replies send none on this connection, until `speak`."""
        self._left, self._cuts = after, False

    def speak(self) -> None:
        """Send the replies that `hush` kept back, which the client may not wait for any more."""
        for writer, text in self._late:
            writer.write(text)

    def reset(self) -> None:
        """Reset every connection (RST), as a machine does that was restarted."""
        for writer in self._writers:
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection."""
        self.connections += 1
        self._writers.append(writer)
        parser = hiredis.Reader()
        hushed = False
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(1 << 20):
                parser.feed(data)
                commands: list[list[bytes]] = []
                while isinstance(command := parser.gets(), list):
                    commands.append(command)
                asked = [command for command in commands if command[0] not in GREETINGS]
                self.asked += [command[-1].decode() for command in asked]
                self.most = max(self.most, len(asked))
                if asked:
                    await self._go.wait()
                for command in commands:
                    text = GREETINGS.get(command[0]) or self._echo(command[-1])
                    if command in asked and self._left is not None:
                        hushed = self._left == 0 and not self._cuts
                        if self._left == 0:
                            self._left = None
                            if self._cuts:
                                writer.close()
                                return
                        else:
                            self._left -= 1
                    if hushed:
                        self._late.append((writer, text))
                    else:
                        writer.write(text)
        writer.close()

    def _echo(self, word: bytes) -> bytes:
        return f"-{self.error}\r\n".encode() if self.error else b"$%d\r\n%b\r\n" % (len(word), word)


@contextlib.asynccontextmanager
async def running() -> AsyncIterator[FakeRedis]:
    """A fake Redis on a free port, until the block ends."""
    redis = FakeRedis()
    server = await asyncio.start_server(redis.serve, "127.0.0.1", 0)
    redis.port = server.sockets[0].getsockname()[1]
    try:
        yield redis
    finally:
        redis.go_on()
        server.close()
