"""Webhooks posted faster than the sandbox would: many kept connections, and how long each answer took.

`async with poster(urls) as post`: `post(jwt)` takes one and never waits; `await post.all()` answers every Answer so far
once none is missing. The servers take turns. A client library would cost more than the server that is measured.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import cycle
from urllib.parse import urlsplit

from tests.rig.server import until


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of one webhook: *status* 0 is no answer, *seconds* count from when its bytes were written."""

    status: int
    seconds: float


class Poster:
    """The connections and what waits for one of them."""

    def __init__(self) -> None:
        self.answers: list[Answer] = []
        self._taken = 0
        self._waiting: asyncio.Queue[str] = asyncio.Queue()

    def __call__(self, jwt: str) -> None:
        """Post one webhook as soon as a connection is free."""
        self._taken += 1
        self._waiting.put_nowait(jwt)

    async def all(self, seconds: float = 60) -> list[Answer]:
        """Every answer, once all that was taken is answered."""
        await until(lambda: len(self.answers) == self._taken, seconds)
        return self.answers

    async def serve(self, url: str) -> None:
        """Be one connection, for ever; one that broke is opened anew for the next webhook."""
        host, port = urlsplit(url).hostname or "", urlsplit(url).port or 80
        line: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        try:
            while True:
                jwt = await self._waiting.get()
                began = asyncio.get_running_loop().time()
                status, stays = 0, False
                try:
                    line = line or await asyncio.open_connection(host, port)
                    status, stays = await _exchange(*line, jwt)
                except (OSError, asyncio.IncompleteReadError):
                    pass
                self.answers.append(Answer(status, asyncio.get_running_loop().time() - began))
                if line and not stays:
                    line[1].close()
                    line = None
        finally:
            if line:
                line[1].close()


async def _exchange(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, jwt: str) -> tuple[int, bool]:
    """Post one, and answer its status and whether the connection stays."""
    body = jwt.encode()
    head = (
        f"POST /webhooks/wix HTTP/1.1\r\nhost: here\r\ncontent-type: text/plain\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    writer.write(head.encode() + body)
    # Every answer's body is empty.
    answer = (await reader.readuntil(b"\r\n\r\n")).lower()
    return int(answer.split(b" ", 2)[1]), b"\r\nconnection: close" not in answer


@asynccontextmanager
async def poster(urls: Sequence[str], connections: int = 50) -> AsyncIterator[Poster]:
    """So many connections, as long as the block."""
    found = Poster()
    servers = cycle(urls)
    serving = [asyncio.create_task(found.serve(next(servers))) for _ in range(connections)]
    try:
        yield found
    finally:
        for one in serving:
            one.cancel()
        await asyncio.wait(serving)
