"""Builds the sandbox: one world and its APIs as an ASGI application.

In: a site, receivers, knobs, a clock. Out: a Sandbox whose `app` any ASGI server can run. While it runs, one task
applies timed changes when they are due (holds expire, sales start).
"""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from sandbox import responses
from sandbox.api import Api
from sandbox.auth import Auth
from sandbox.calls import CallLog
from sandbox.clock import Clock
from sandbox.contact_control import ContactControl
from sandbox.contacts import ContactBook
from sandbox.contacts_api import ContactsApi
from sandbox.control import Control
from sandbox.delivery import Delivery
from sandbox.events_api import EventsApi
from sandbox.knobs import Knobs, LiveKnobs
from sandbox.middleware import Middleware
from sandbox.seed import plain, seed
from sandbox.shop import Shop
from sandbox.site import Site
from sandbox.subscriptions_api import SubscriptionsApi
from sandbox.webhooks import WebhookEmitter, signer
from sandbox.world import World

MAX_WAIT = 30.0
"""Seconds until the clock is read again in any case: it may have been set."""


class Sandbox:
    """The whole sandbox. Seeded sale dates are relative to *seeded_at*; *chance* seeds ids and simulated faults."""

    def __init__(
        self,
        site: Site,
        *,
        webhooks: Sequence[str] = (),
        knobs: Knobs | None = None,
        clock: Clock = time.time,
        sleep: Callable[[float], Awaitable[Any]] = asyncio.sleep,
        seeded_at: float | None = None,
        chance: int | None = None,
    ) -> None:
        rng = random.Random(chance)  # noqa: S311 - randomness, not secrecy
        self.site = site
        self.knobs = LiveKnobs(knobs)
        self.delivery = Delivery(signer(site, self.knobs), self.knobs, webhooks, clock=clock, sleep=sleep, rng=rng)
        self.emitter = WebhookEmitter(site, self.knobs, self.delivery.post, clock=clock, rng=rng)
        self.world = World(self.emitter, clock=clock, hold_seconds=lambda: self.knobs.now.hold_seconds, rng=rng)
        self.contacts = ContactBook(clock, self.world.new_id)
        self.auth = Auth(site, self.knobs, clock=clock)
        self.calls = CallLog(clock=clock)
        self._clock = clock
        self._wake = asyncio.Event()
        self._ticking: asyncio.Task[None] | None = None
        self._seed(clock() if seeded_at is None else seeded_at)
        self.world.wake = self._wake.set
        self.app = self._build(sleep, rng)

    async def start(self) -> None:
        """Start to apply timed changes."""
        self._ticking = asyncio.create_task(self._tick())

    async def aclose(self) -> None:
        """Stop timed changes and deliveries; no task remains."""
        if self._ticking is not None:
            self._ticking.cancel()
            await asyncio.wait({self._ticking})
            if not self._ticking.cancelled():
                self._ticking.result()
        await self.delivery.aclose()

    def add(self, tickets: int, *, limit: int | None = 1000) -> list[str]:
        """Create *tickets* more plain tickets for load tests, without webhooks; return their ids."""
        self.emitter.muted = True
        made = plain(self.world, tickets, limit=limit)
        self.emitter.muted = False
        return made

    def _seed(self, at: float) -> None:
        # The site existed before the receivers subscribed.
        self.emitter.muted = True
        seed(self.world, self.site.ids, at)
        self.emitter.muted = False

    def _build(self, sleep: Callable[[float], Awaitable[Any]], rng: random.Random) -> Starlette:
        middleware = Middleware(self.knobs, self.auth, self.calls, sleep=sleep, rng=rng)
        api = Api(self.world, self.auth, self.knobs, middleware)
        events = EventsApi(self.world, self.site.ids.instance, self.knobs, middleware)
        control = Control(
            site=self.site,
            world=self.world,
            knobs=self.knobs,
            delivery=self.delivery,
            calls=self.calls,
            auth=self.auth,
            emitter=self.emitter,
            contacts=ContactControl(self.contacts),
        )
        contacts = ContactsApi(self.contacts, self.knobs, middleware)
        subscriptions = SubscriptionsApi(self.contacts, self.knobs, middleware)
        shop = Shop(self.site, self.delivery)
        return Starlette(
            routes=[
                *api.routes(),
                *events.routes(),
                *contacts.routes(),
                *subscriptions.routes(),
                *control.routes(),
                *shop.routes(),
            ],
            exception_handlers={HTTPException: _no_route},
            lifespan=self._lifespan,
        )

    @asynccontextmanager
    async def _lifespan(self, _: Starlette) -> AsyncIterator[None]:
        await self.start()
        try:
            yield
        finally:
            await self.aclose()

    async def _tick(self) -> None:
        while True:
            self._wake.clear()
            due = self.world.tick()
            wait = MAX_WAIT if due is None else min(MAX_WAIT, max(0.0, due - self._clock()))
            try:
                async with asyncio.timeout(wait):
                    await self._wake.wait()
            except TimeoutError:
                continue


async def _no_route(_: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    return responses.fault(status)
