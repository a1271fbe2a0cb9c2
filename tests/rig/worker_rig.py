"""The parts of a worker in the test's loop: refresh, its reader, and all that they read and write.

running_worker       runs on the sandbox
worker_on_fake_wix   does not run: the test claims and reads, and a fake Wix replies
"""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from server.counter import Rules
from server.model import Hint, SiteId, TicketId
from server.redis.client import RedisClient, Use
from server.refresh.claims import Claimer
from server.refresh.events import EventReader
from server.refresh.reader import Reader
from server.store.claims import EventLot, Lot
from server.store.events import Events
from server.store.schedule import Schedule
from server.store.sites import Sites
from server.store.snapshots import Snapshots
from server.store.timing import Timing
from server.wix.client import Wix
from server.wix.credentials import App
from tests.rig.default_keys import key
from tests.rig.fake_wix import FakeWix, running
from tests.rig.server import SITE, until
from tests.rig.wix import WixRig

RULES = Rules()
SAMPLE = json.loads((Path(__file__).parent.parent / "samples" / "definitions.json").read_text())["fixed"]


class WorkerRig:
    """Refresh, and all that it reads and writes, on a Redis and a Wix."""

    def __init__(self, redis_url: str, wix_url: str, app: App, timing: Timing | None = None) -> None:
        self._wix = (app, wix_url)
        self._timing = timing
        self.store = RedisClient(redis_url, Use.WORK)
        self.schedule = Schedule(self.store, timing, chance=lambda: 0.1)
        self.snapshots = Snapshots(self.store, RULES, timing)
        self.sites = Sites(self.schedule, (), RULES, everything=False)
        self.running: asyncio.Task[None] | None = None
        self.start()

    def start(self) -> None:
        """Make new parts, as a process that starts does; called again it is a restart."""
        self.wix = Wix(*self._wix)
        self.events = EventReader(self.schedule, Events(self.store, self._timing), self.wix)
        self.reader = Reader(self.schedule, self.snapshots, self.events, self.wix)
        self.claimer = Claimer(self.store, self.sites, self.snapshots, self.reader)

    async def add_site(self, site: str, *, everything: bool = False) -> None:
        await self.schedule.add_site(SiteId(site), RULES, everything=everything)

    async def shown(self, site: str, ticket: str) -> dict[str, Any]:
        found = await self.store.do("HGET", key(site, "ticket", ticket), "counter")
        return dict(json.loads(found)) if found else {}

    async def shows(self, site: str, ticket: str, **expected: Any) -> None:
        async def holds() -> bool:
            return expected.items() <= (await self.shown(site, ticket)).items()

        await until(holds)

    async def due(self, site: str, ticket: str) -> float:
        """Seconds from now until the ticket is due."""
        score = await self.store.do("ZSCORE", key(site, "due"), ticket)
        at, us = await self.store.do("TIME")
        return (float(score) - float(at) * 1e6 - float(us)) / 1e6


@asynccontextmanager
async def running_worker(redis_url: str, wix: WixRig, timing: Timing | None = None) -> AsyncIterator[WorkerRig]:
    """A worker that runs on the sandbox."""
    settings = wix.settings()
    worker = WorkerRig(redis_url, wix.url, App(settings["wix_app_id"], settings["wix_app_secret"]), timing)
    try:
        await worker.add_site(wix.site)
        worker.running = asyncio.create_task(worker.claimer.run())
        yield worker
        worker.claimer.stop()
        await worker.running
    finally:
        if worker.running is not None:
            worker.running.cancel()
        await worker.wix.aclose()
        await worker.store.aclose()


def answer(*tickets: str, next: str | None = None) -> dict[str, Any]:  # noqa: A002 - Wix's word
    """Wix's response with these tickets, and the cursor of the *next* page."""
    definitions = [{**SAMPLE, "id": ticket} for ticket in tickets]
    return {"ticketDefinitions": definitions, "metadata": {"cursors": {"next": next} if next else {}}}


@asynccontextmanager
async def worker_on_fake_wix(redis_url: str) -> AsyncIterator[tuple[WorkerRig, FakeWix]]:
    """A worker that reads only what a test claims, on a fake Wix."""
    async with running() as wix:
        worker = WorkerRig(redis_url, wix.url, App("app", "secret"), Timing(again=0.0))
        try:
            await worker.add_site(SITE)
            yield worker, wix
        finally:
            await worker.wix.aclose()
            await worker.store.aclose()


async def claimed(worker: WorkerRig) -> Lot:
    """Claim the tickets that are due, whatever the gaps between reads; events that are due before count as read."""
    await worker.store.do("HDEL", key(SITE, "reads"), "last_lot")
    await worker.store.do("DEL", key(SITE, "claimed"))
    lot = await worker.schedule.claim(SiteId(SITE), RULES)
    if isinstance(lot, EventLot):
        await worker.schedule.settle_events(lot)
        lot = await worker.schedule.claim(SiteId(SITE), RULES)
    assert isinstance(lot, Lot)
    return lot


async def watch(worker: WorkerRig, site: str, *tickets: str) -> None:
    await worker.schedule.watch(SiteId(site), [TicketId(one) for one in tickets], counters=False)


async def mark(worker: WorkerRig, site: str, *tickets: str) -> None:
    await worker.schedule.mark(SiteId(site), Hint("test", tuple(TicketId(one) for one in tickets)))
