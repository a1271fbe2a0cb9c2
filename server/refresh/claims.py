"""Claims due tickets of each site and has them read.

In: the schedules of all known sites. Out: lots, which reader.py reads, and listings, which listing.py reads. One task a site
claims; each claim is read by a task of its own, at most two a site and sixteen in the process (less than httpx's pool). A call
is never cancelled: `stop` lets calls in flight end.
"""

import asyncio
import time

from server import logs, metrics
from server.errors import RedisUnavailable
from server.model import SiteId
from server.redis.client import RedisClient
from server.redis.listener import Listener
from server.refresh.listing import Lister
from server.refresh.reader import Reader
from server.reminder import Reminder
from server.store.budget import Wait
from server.store.keys import WAKE
from server.store.schedule import Listing, Lot
from server.store.sites import Sites
from server.store.snapshots import Snapshots

SLOTS = 16
SLOTS_A_SITE = 2
LOOK = 1.0
"""Seconds between two looks at a schedule when nothing wakes us: a lost wake costs no more."""
LOOK_EVERY = 5.0
"""Seconds between two looks at which sites there are."""

log = logs.logger("refresh")


class Refresh:
    """Who has the sites of one worker process read."""

    def __init__(
        self, redis: RedisClient, sites: Sites, snapshots: Snapshots, reader: Reader, *, look_every: float = LOOK_EVERY
    ) -> None:
        self.redis = redis
        self.sites = sites
        self.schedule = sites.schedule
        self.snapshots = snapshots
        self.reader = reader
        self._slots = asyncio.Semaphore(SLOTS)
        self._stopping = asyncio.Event()
        self._woken: dict[SiteId, asyncio.Event] = {}
        self._look_every = look_every
        self._away = Reminder(log, "store_unavailable")

    async def run(self) -> None:
        """Read until `stop`; ends when the last call in flight has. Raises what no Redis or Wix fault explains."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._listen(), name="refresh: wake")
            following: dict[SiteId, asyncio.Task[None]] = {}
            while not self._stopping.is_set():
                known = await self._known()
                for site in known - following.keys():
                    self._woken[site] = asyncio.Event()
                    following[site] = group.create_task(self._follow(site), name=f"refresh: {site}")
                for site in following.keys() - known:
                    # Its task sees that the site is gone and ends by itself.
                    del following[site]
                    self._woken.pop(site).set()
                await self._pause(self._stopping, self._look_every)

    def stop(self) -> None:
        """Claim nothing more."""
        self._stopping.set()
        for woken in self._woken.values():
            woken.set()

    async def _known(self) -> frozenset[SiteId]:
        """All sites; a Redis that lost some gets them back, and where its list is away those that we remember count."""
        try:
            known = await self.sites.reload()
        except RedisUnavailable as error:
            self._away.say("sites", error=str(error))
            return self.sites.known
        self._away.over("sites")
        return known

    async def _listen(self) -> None:
        """Wake the site that a mark names. This only saves waiting, so every fault just starts it anew."""
        while not self._stopping.is_set():
            try:
                async with self.redis.listener() as listener:
                    await listener.subscribe_all_nodes(WAKE)
                    await self._hear(listener)
            except RedisUnavailable:
                await self._pause(self._stopping, LOOK)

    async def _hear(self, listener: Listener) -> None:
        while not self._stopping.is_set():
            heard = await listener.receive(LOOK)
            if heard and heard.text and (woken := self._woken.get(SiteId(heard.text))):
                woken.set()

    async def _follow(self, site: SiteId) -> None:
        """Claim what is due of one site, again and again."""
        woken = self._woken[site]
        mine = asyncio.Semaphore(SLOTS_A_SITE)
        async with asyncio.TaskGroup() as reads:
            while not self._stopping.is_set() and self._woken.get(site) is woken:
                await mine.acquire()
                await self._slots.acquire()
                woken.clear()
                asked = time.monotonic()
                try:
                    lot = Wait(0) if self._stopping.is_set() else await self.schedule.claim(site, self.snapshots.rules)
                except RedisUnavailable as error:
                    self._away.say(site, site=site, error=str(error))
                    lot = Wait(LOOK)
                else:
                    self._away.over(site, site=site)
                if isinstance(lot, Wait):
                    self._slots.release()
                    mine.release()
                    if lot.other_rules:
                        self.snapshots.rules_warning.warn(site)
                    await self._pause(woken, min(lot.seconds, LOOK))
                    continue
                reads.create_task(self._work(lot, mine, asked))

    async def _work(self, lot: Lot | Listing, mine: asyncio.Semaphore, asked: float) -> None:
        lister = None
        try:
            if isinstance(lot, Listing):
                lister = Lister(self.schedule, self.reader, lot, self._slots, self._stopping)
                await lister.run()
            else:
                metrics.lots.labels(lot.reason).inc()
                await self.reader.read(lot, since=asked)
        except RedisUnavailable as error:
            log.warning("store_unavailable", site=lot.site, error=str(error))
            await self._give_back(lister.listing if lister else lot)
        finally:
            self._slots.release()
            mine.release()

    async def _give_back(self, lot: Lot | Listing) -> None:
        """Make due again what could not be kept. Its lease would do the same, but only half a minute later."""
        for _ in range(round(self.schedule.timing.lease / LOOK)):
            try:
                if isinstance(lot, Listing):
                    await self.schedule.list_again(lot)
                else:
                    await self.schedule.give_back(lot)
            except RedisUnavailable:
                await self._pause(self._stopping, LOOK)
            else:
                return

    @staticmethod
    async def _pause(event: asyncio.Event, seconds: float) -> None:
        """Wait for the event, but not for longer than so many seconds."""
        try:
            async with asyncio.timeout(seconds):
                await event.wait()
        except TimeoutError:
            pass
