"""Sends webhooks as Wix does, and stores the latest of them.

In: envelopes in order of the changes. Out: a POST to each receiver; a webhook that is not answered 200 within 1.25 s is
resent twelve times on Wix's schedule. Later webhooks do not wait for it, so the order is not guaranteed.
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
from sandbox.knobs import LiveKnobs

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
"""Seconds from a failed attempt to the next one."""

TIMEOUT = 1.25
"""Wix's time-out for a receiver, in seconds."""

MAX_CONCURRENT = 64
"""Most concurrent requests to one receiver: a slow one delays only its own webhooks."""

MAX_KEPT = 10_000
"""Number of webhooks that are stored."""
CLOSE_WITHIN = 1.0
"""Seconds that requests have to end when sending stops."""

Json = dict[str, Any]

log = logging.getLogger("sandbox.delivery")


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt; *status* is 0 if there was no answer in time, *ms* is its duration."""

    at: float
    url: str
    status: int
    ms: int


@dataclass(slots=True)
class Webhook:
    """Webhook number *n*; the body is the same at every attempt."""

    n: int
    type: str
    at: float
    envelope: Json = field(repr=False)
    sign: Callable[[Json, float], str] = field(repr=False)
    attempts: list[Attempt] = field(default_factory=list)
    _jwt: str | None = field(default=None, repr=False)

    @property
    def jwt(self) -> str:
        """The body, signed when it is first needed."""
        if self._jwt is None:
            self._jwt = self.sign(self.envelope, self.at)
        return self._jwt


class Delivery:
    """Delivers webhooks. While *paused* they are only stored, for tests that post them themselves, in any order.

    *within* is the time-out for a receiver in seconds; tests of other things use a longer one than Wix's.
    """

    def __init__(
        self,
        sign: Callable[[Json, float], str],
        knobs: LiveKnobs,
        urls: Sequence[str] = (),
        *,
        clock: Clock = time.time,
        sleep: Callable[[float], Awaitable[Any]] = asyncio.sleep,
        rng: random.Random | None = None,
        keep: int = MAX_KEPT,
        within: float = TIMEOUT,
    ) -> None:
        self.urls = tuple(urls)
        self.paused = False
        self._sign = sign
        self._knobs = knobs
        self._clock = clock
        self._sleep = sleep
        self._rng = rng or random.Random()  # noqa: S311 - randomness, not secrecy
        self._kept: deque[Webhook] = deque(maxlen=keep)
        self._within = within
        self._count = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._requests: set[asyncio.Task[httpx.Response]] = set()
        self._semaphores: dict[str, asyncio.Semaphore] = {}
        self._client: httpx.AsyncClient | None = None

    def post(self, type_: str, envelope: Json, at: float) -> None:
        """Store one webhook and start sending it; never waits."""
        self._count += 1
        webhook = Webhook(self._count, type_, at, envelope, self._sign)
        self._kept.append(webhook)
        if not self.paused:
            self.send(webhook)

    def send(self, webhook: Webhook) -> None:
        """Start sending a webhook to every receiver, subject to the knobs, even while paused."""
        knobs = self._knobs.now
        for url in self.urls:
            if self._rng.random() < knobs.loss:
                continue
            for _ in range(2 if self._rng.random() < knobs.duplicates else 1):
                task = asyncio.get_running_loop().create_task(self._deliver(webhook, url))
                self._tasks.add(task)
                task.add_done_callback(self._done)

    def since(self, n: int = 0, limit: int | None = None) -> list[Webhook]:
        """The stored webhooks after number *n*, oldest first."""
        after = list(takewhile(lambda webhook: webhook.n > n, reversed(self._kept)))[::-1]
        return after if limit is None else after[:limit]

    @property
    def last(self) -> int:
        """The number of the newest webhook."""
        return self._count

    @property
    def pending(self) -> int:
        """Number of deliveries in progress, those that wait for a resend included."""
        return len(self._tasks)

    async def aclose(self) -> None:
        """Stop sending; undelivered webhooks are lost."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        if requests := list(self._requests):
            # Not cancelled at once: httpcore may be closing connections for a request, and a cancel would leave the others open.
            _, late = await asyncio.wait(requests, timeout=CLOSE_WITHIN)
            for request in late:
                request.cancel()
            await asyncio.gather(*requests, return_exceptions=True)
        if self._client is not None:
            await self._client.aclose()

    async def _deliver(self, webhook: Webhook, url: str) -> None:
        delay = self._knobs.now.reorder * self._rng.random()
        if delay:
            await self._sleep(delay)
        for wait in (*RESENDS, None):
            if await self._attempt(webhook, url):
                return
            if wait is not None:
                await self._sleep(wait * self._knobs.now.resend_scale)
        log.warning("gave up webhook %d (%s): %s never answered 200", webhook.n, webhook.type, url)

    async def _attempt(self, webhook: Webhook, url: str) -> bool:
        if self._client is None:
            limits = httpx.Limits(max_connections=None, max_keepalive_connections=MAX_CONCURRENT)
            # Only httpx's time-outs, each for one step, end a request; one that took longer in total has failed.
            self._client = httpx.AsyncClient(timeout=self._within, limits=limits, trust_env=False)
        async with self._semaphores.setdefault(url, asyncio.Semaphore(MAX_CONCURRENT)):
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
