"""Sends webhooks as Wix does, at a small cost: over kept connections, and again until they are answered with 200.

`async with webhook_sender(url, wix=wix) as sender` pauses the sandbox's own delivery, sends the webhooks of orders itself,
and lists each attempt in `sender.attempts`. `webhook_sender(*urls) as sender` sends what it is given: `sender.send(jwt)`.
An HTTP library would cost more than the server that is measured, so its own queue would be measured too.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import cycle
from urllib.parse import urlsplit

from tests.rig.background import background
from tests.rig.server import until
from tests.rig.wix import WixRig

AT_ONCE = 32
"""Connections."""
EVERY = 0.01
"""Seconds between two polls of the sandbox for new webhooks."""
GIVE_UP = 5.0
"""Seconds of waiting for an answer: much longer than Wix waits, so that a late answer is measured."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt: when it began (time.time), how many seconds it took, and its status; 0 is no answer."""

    at: float
    seconds: float
    status: int

    @property
    def ended(self) -> float:
        """When it was over (time.time)."""
        return self.at + self.seconds


class WebhookSender:
    """A queue of webhooks, and the attempts to send them; a failed one is sent again *retry_after* seconds later."""

    def __init__(self, retry_after: float) -> None:
        self.attempts: list[Attempt] = []
        self.pending = 0
        """Webhooks that were not answered with 200 yet."""
        self._retry_after = retry_after
        self._queue: asyncio.Queue[str] = asyncio.Queue()

    def send(self, jwt: str) -> None:
        """Queue a webhook: it is sent again and again until it is answered with 200."""
        self.pending += 1
        self._queue.put_nowait(jwt)

    async def all(self, seconds: float = 60.0) -> list[Attempt]:
        """Wait until none is pending, and answer every attempt."""
        await until(lambda: not self.pending, seconds)
        return self.attempts

    async def follow(self, wix: WixRig) -> None:
        """Queue the webhooks of all orders from now on; runs forever."""
        since = wix.sandbox.delivery.last
        while True:
            until_now = wix.sandbox.delivery.last
            for webhook in wix.confirmed(since):
                self.send(webhook.jwt)
            since = until_now
            await asyncio.sleep(EVERY)

    async def run_connection(self, url: str) -> None:
        """Send queued webhooks over one connection to a server; runs forever."""
        where = urlsplit(url)
        line: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        try:
            while True:
                jwt = await self._queue.get()
                at, began, status, stays = time.time(), time.monotonic(), 0, False
                for kept in (line, None):
                    try:
                        async with asyncio.timeout(GIVE_UP):
                            line = kept or await asyncio.open_connection(where.hostname, where.port)
                            status, stays = await _post(*line, jwt)
                    except (OSError, asyncio.IncompleteReadError):
                        stays = False
                    if line and not stays:
                        line[1].close()
                        line = None
                    if status or not kept:
                        # A kept connection may have been closed by the server meanwhile: that is no failure.
                        break
                self.attempts.append(Attempt(at, time.monotonic() - began, status))
                if status == 200:
                    self.pending -= 1
                else:
                    asyncio.get_running_loop().call_later(self._retry_after, self._queue.put_nowait, jwt)
        finally:
            if line:
                line[1].close()


async def _post(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, jwt: str) -> tuple[int, bool]:
    """Post a webhook; answers the status, and whether the connection stays open. Every response's body is empty."""
    body = jwt.encode()
    writer.write(b"POST /webhooks/wix HTTP/1.1\r\nhost: here\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body))
    answer = (await reader.readuntil(b"\r\n\r\n")).lower()
    return int(answer.split(b" ", 2)[1]), b"\r\nconnection: close" not in answer


@asynccontextmanager
async def webhook_sender(
    *urls: str, wix: WixRig | None = None, retry_after: float = 1.0
) -> AsyncIterator[WebhookSender]:
    """Send webhooks to these servers in turn, as long as the block: those of *wix*, or those that are queued."""
    found = WebhookSender(retry_after)
    jobs = [found.run_connection(url) for _, url in zip(range(AT_ONCE), cycle(urls), strict=False)]
    if wix is not None:
        wix.sandbox.delivery.paused = True
        jobs.append(found.follow(wix))
    try:
        async with background(*jobs):
            yield found
    finally:
        if wix is not None:
            wix.sandbox.delivery.paused = False
