"""Wix's post at a small cost: webhooks are brought over kept connections, and brought again until they are taken.

`async with courier(url, of=wix) as post`: from now on the sandbox's own post is silent, what is ordered is brought, and
`post.tries` has each try. `courier(*urls) as post` brings what it is given, `post.take(jwt)`. A library for HTTP would
cost more than the server that is measured, so that its queue would be taken for ours.
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
EVERY = 0.01
"""Seconds between two looks at what the sandbox has to say."""
GIVE_UP = 5.0
"""Seconds after which an answer is not waited for: much longer than Wix would, so that it shows how late one is."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try: when it began (time.time), how many seconds it took, and its status; 0 is no answer."""

    at: float
    seconds: float
    status: int

    @property
    def ended(self) -> float:
        """When it was over."""
        return self.at + self.seconds


class WebhookSender:
    """The webhooks that wait, and what became of each try."""

    def __init__(self, again: float) -> None:
        self.tries: list[Attempt] = []
        self.untaken = 0
        """Webhooks that were not answered 200 yet."""
        self._again = again
        self._waiting: asyncio.Queue[str] = asyncio.Queue()

    def take(self, jwt: str) -> None:
        """Bring one, and again after a while, until it is answered 200."""
        self.untaken += 1
        self._waiting.put_nowait(jwt)

    async def all(self, seconds: float = 60.0) -> list[Attempt]:
        """Every try, once all that was given is taken."""
        await until(lambda: not self.untaken, seconds)
        return self.tries

    async def follow(self, wix: WixRig) -> None:
        """Bring what is ordered from now on, for ever."""
        since = wix.sandbox.delivery.last
        while True:
            until_now = wix.sandbox.delivery.last
            for webhook in wix.confirmed(since):
                self.take(webhook.jwt)
            since = until_now
            await asyncio.sleep(EVERY)

    async def bring(self, url: str) -> None:
        """Be one connection to a server, for ever."""
        where = urlsplit(url)
        line: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        try:
            while True:
                jwt = await self._waiting.get()
                at, began, status, stays = time.time(), time.monotonic(), 0, False
                for kept in (line, None):
                    try:
                        async with asyncio.timeout(GIVE_UP):
                            line = kept or await asyncio.open_connection(where.hostname, where.port)
                            status, stays = await _exchange(*line, jwt)
                    except (OSError, asyncio.IncompleteReadError):
                        stays = False
                    if line and not stays:
                        line[1].close()
                        line = None
                    if status or not kept:
                        # A connection that was kept may have been closed meanwhile, which is nobody's fault.
                        break
                self.tries.append(Attempt(at, time.monotonic() - began, status))
                if status == 200:
                    self.untaken -= 1
                else:
                    asyncio.get_running_loop().call_later(self._again, self._waiting.put_nowait, jwt)
        finally:
            if line:
                line[1].close()


async def _exchange(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, jwt: str) -> tuple[int, bool]:
    """Post one, and answer its status and whether the connection stays; every answer's body is empty."""
    body = jwt.encode()
    writer.write(b"POST /webhooks/wix HTTP/1.1\r\nhost: here\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body))
    answer = (await reader.readuntil(b"\r\n\r\n")).lower()
    return int(answer.split(b" ", 2)[1]), b"\r\nconnection: close" not in answer


@asynccontextmanager
async def webhook_sender(*urls: str, of: WixRig | None = None, again: float = 1.0) -> AsyncIterator[WebhookSender]:
    """Bring webhooks to these servers in turn; what was not taken is brought *again* after so many seconds."""
    found = WebhookSender(again)
    jobs = [found.bring(url) for _, url in zip(range(AT_ONCE), cycle(urls), strict=False)]
    if of is not None:
        of.sandbox.delivery.paused = True
        jobs.append(found.follow(of))
    try:
        async with background(*jobs):
            yield found
    finally:
        if of is not None:
            of.sandbox.delivery.paused = False
