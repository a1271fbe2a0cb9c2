"""Sends webhooks as Wix does, and remembers the last of them.

In: envelopes in the order things happened. Out: a POST to each receiver; what is not answered 200 within 1.25 s comes
again on Wix's schedule, twelve times, and holds back nothing that comes later. No order is promised.
Source: Wix, "Webhook resend policy".
"""

import asyncio
import logging
import random
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Any

import httpx

from sandbox.clock import Clock
from sandbox.knobs import Board

MINUTE, HOUR = 60.0, 3600.0
RESENDS = (
    MINUTE,
    10 * MINUTE,
    HOUR,
    *(3 * (2 * HOUR,)),
    *(3 * (4 * HOUR,)),
    *(2 * (8 * HOUR,)),
    12 * HOUR,
)
"""Seconds before each further try, counted from the failure before it."""

WITHIN = 1.25
"""Seconds that a receiver has to answer, at Wix."""

AT_ONCE = 64
"""Requests on their way to one receiver: a slow one delays its own webhooks and nobody else's."""

LAST_MOMENT = 1.0
"""Seconds that requests have to end when sending stops."""

KEPT = 10_000
"""Webhooks that are remembered."""

Json = dict[str, Any]

log = logging.getLogger("sandbox.delivery")


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try: *status* is 0 where there was no answer in time, *ms* how long it took."""

    at: float
    url: str
    status: int
    ms: int


@dataclass(slots=True)
class Webhook:
    """One webhook, the *n*-th: the body is the same at every try."""

    n: int
    type: str
    at: float
    envelope: Json = field(repr=False)
    sign: Callable[[Json, float], str] = field(repr=False)
    attempts: list[Attempt] = field(default_factory=list)
    _jwt: str | None = field(default=None, repr=False)

    @property
    def jwt(self) -> str:
        """The body: signed when it is first needed."""
        if self._jwt is None:
            self._jwt = self.sign(self.envelope, self.at)
        return self._jwt


class Delivery:
    """The way out. *paused* = webhooks are only remembered, for a test that posts them itself, in any order.

    *within* is the seconds that a receiver has to answer; a test that is not about them gives more than Wix does.
    """

    def __init__(
        self,
        sign: Callable[[Json, float], str],
        board: Board,
        urls: Sequence[str] = (),
        *,
        clock: Clock = time.time,
        sleep: Callable[[float], Awaitable[Any]] = asyncio.sleep,
        dice: random.Random | None = None,
        keep: int = KEPT,
        within: float = WITHIN,
    ) -> None:
        self.urls = tuple(urls)
        self.paused = False
        self._sign = sign
        self._board = board
        self._clock = clock
        self._sleep = sleep
        self._dice = dice or random.Random()  # noqa: S311 - chance, not secrecy
        self._kept: deque[Webhook] = deque(maxlen=keep)
        self._within = within
        self._count = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._requests: set[asyncio.Task[httpx.Response]] = set()
        self._doors: dict[str, asyncio.Semaphore] = {}
        self._client: httpx.AsyncClient | None = None

    def post(self, type_: str, envelope: Json, at: float) -> None:
        """Take one webhook; never waits."""
        self._count += 1
        webhook = Webhook(self._count, type_, at, envelope, self._sign)
        self._kept.append(webhook)
        if not self.paused:
            self.send(webhook)

    def send(self, webhook: Webhook) -> None:
        """Send one to every receiver, as the knobs would have it; the way back for what was taken while paused."""
        knobs = self._board.now
        for url in self.urls:
            if self._dice.random() < knobs.loss:
                continue
            for _ in range(2 if self._dice.random() < knobs.duplicates else 1):
                task = asyncio.get_running_loop().create_task(self._deliver(webhook, url))
                self._tasks.add(task)
                task.add_done_callback(self._done)

    def since(self, n: int = 0, limit: int | None = None) -> list[Webhook]:
        """The remembered webhooks after the *n*-th, oldest first."""
        after = list(takewhile(lambda webhook: webhook.n > n, reversed(self._kept)))[::-1]
        return after if limit is None else after[:limit]

    @property
    def last(self) -> int:
        """The number of the newest webhook."""
        return self._count

    @property
    def pending(self) -> int:
        """Webhooks on their way, those that wait for another try among them."""
        return len(self._tasks)

    async def aclose(self) -> None:
        """Stop sending; what has not arrived is lost."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        if requests := list(self._requests):
            # Not cancelled at once: httpcore may be closing connections for one, and would forget the rest of them.
            _, late = await asyncio.wait(requests, timeout=LAST_MOMENT)
            for request in late:
                request.cancel()
            await asyncio.gather(*requests, return_exceptions=True)
        if self._client is not None:
            await self._client.aclose()

    async def _deliver(self, webhook: Webhook, url: str) -> None:
        delay = self._board.now.reorder * self._dice.random()
        if delay:
            await self._sleep(delay)
        for wait in (*RESENDS, None):
            if await self._try(webhook, url):
                return
            if wait is not None:
                await self._sleep(wait * self._board.now.resend_scale)
        log.warning("webhook %d (%s) was given up: %s did not answer 200", webhook.n, webhook.type, url)

    async def _try(self, webhook: Webhook, url: str) -> bool:
        if self._client is None:
            limits = httpx.Limits(max_connections=None, max_keepalive_connections=AT_ONCE)
            # Nothing cancels a request: its own time-outs end it, and one that took longer in all has failed.
            self._client = httpx.AsyncClient(timeout=self._within, limits=limits, trust_env=False)
        async with self._doors.setdefault(url, asyncio.Semaphore(AT_ONCE)):
            began, at, status = time.perf_counter(), self._clock(), 0
            try:
                posting = self._client.post(url, content=webhook.jwt.encode(), headers={"Content-Type": "text/plain"})
                request = asyncio.get_running_loop().create_task(posting)
                self._requests.add(request)
                request.add_done_callback(self._requests.discard)
                status = (await asyncio.shield(request)).status_code
            except (httpx.HTTPError, httpx.InvalidURL) as error:
                log.debug("webhook %d: %s", webhook.n, type(error).__name__)
            took = time.perf_counter() - began
            in_time = took <= self._within
            webhook.attempts.append(Attempt(at, url, status if in_time else 0, int(took * 1000)))
        return status == httpx.codes.OK and in_time

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("a webhook could not be sent", exc_info=error)
