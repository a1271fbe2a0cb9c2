"""Refresh: due tickets, one Wix query for up to 100 of a site, snapshots.

In: the schedules of all known sites. Out: lots and pages of listings that reader.py reads. One task a site claims; each
claimed lot is read by a task of its own, at most two a site and sixteen in the process (less than httpx's pool). A call is
never cancelled: `stop` lets what is in flight end.
"""

import asyncio
import time
from contextlib import AbstractContextManager
from dataclasses import dataclass

from server import logs, metrics
from server.errors import NotThere, RedisUnavailable, WixRefused, WixUnavailable
from server.logs import RepeatedWarning
from server.model import Hint, SiteId, TicketId
from server.redis.client import RedisClient
from server.redis.listener import Listener
from server.refresh.reader import Reader
from server.store.keys import WAKE
from server.store.schedule import Listing, Lot, Priority, Wait
from server.store.sites import Sites
from server.store.snapshots import Snapshots
from server.wix import deadline

SLOTS = 16
SLOTS_A_SITE = 2
LOOK = 1.0
"""Seconds between two looks at a schedule when nothing wakes us: a lost wake costs no more."""
LOOK_EVERY = 5.0
"""Seconds between two looks at which sites there are."""
READ_WITHIN = 0.8
"""The part of a lease in which all calls of a lot end: the budget counts on none of them coming to Wix after it."""

log = logs.logger("refresh")


@dataclass(frozen=True, slots=True)
class _Page:
    """The call for one page of a listing: paid under this version, and when that was asked for (time.monotonic())."""

    version: int
    asked: float


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
        self._away = RepeatedWarning(log, "store_unavailable")

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
            self._away.warn("sites", error=str(error))
            return self.sites.known
        self._away.resolved("sites")
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
                    self._away.warn(site, site=site, error=str(error))
                    lot = Wait(LOOK)
                else:
                    self._away.resolved(site, site=site)
                if isinstance(lot, Wait):
                    self._slots.release()
                    mine.release()
                    if lot.other_rules:
                        self.snapshots.differ(site)
                    await self._pause(woken, min(lot.seconds, LOOK))
                    continue
                reads.create_task(self._work(lot, mine, asked))

    async def _work(self, lot: Lot | Listing, mine: asyncio.Semaphore, asked: float) -> None:
        try:
            if isinstance(lot, Listing):
                await self._list(lot)
            else:
                metrics.lots.labels(lot.reason).inc()
                # Since before it was claimed: a process may stand still at any moment, for as long as it pleases others.
                with self._while_it_is_ours(asked):
                    await self.reader.read(lot)
        except RedisUnavailable as error:
            log.warning("store_unavailable", site=lot.site, error=str(error))
            await self._give_back(lot)
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

    async def _list(self, listing: Listing) -> None:
        """Keep every ticket of the site, page by page; mark what is tracked but was not listed."""
        site = listing.site
        listed: set[TicketId] = set()
        cursor, more = None, True
        try:
            while more:
                page, listing = await self._leave(listing)
                if page is None:
                    await self.schedule.list_again(listing)
                    return
                with self._while_it_is_ours(page.asked):
                    answer, found = await self.reader.page(site, page.version, cursor)
                if any(one.again for one in found):
                    # Whoever gave the site other rules has made another listing due.
                    await self.schedule.list_again(listing)
                    return
                await self.schedule.track(site, page.version, found)
                listed |= {one.ticket for one in found} | answer.unreadable
                cursor = answer.next
                more = cursor is not None
            absent = [ticket for ticket in await self.schedule.tracked(site) if ticket not in listed]
            if absent:
                await self.schedule.mark(site, Hint("not_listed", tuple(absent)))
            await self.schedule.listed(listing)
            log.info("site_listed", site=site, tickets=len(listed), absent=len(absent))
        except RedisUnavailable as error:
            log.warning("store_unavailable", site=site, error=str(error))
            await self._give_back(listing)
        except (WixUnavailable, WixRefused, NotThere) as error:
            await self.reader.fault(site, None, error)
            await self.schedule.list_again(listing, fault=True)

    async def _leave(self, listing: Listing) -> tuple[_Page | None, Listing]:
        """Hold a listing until the budget has a call for it; no page when we are to stop or it is no longer ours."""
        while not self._stopping.is_set():
            held = await self.schedule.extend(listing)
            if held is None:
                log.info("listing_left", site=listing.site)
                break
            listing = held
            asked = time.monotonic()
            version = await self.schedule.spend(listing.site, Priority.REST)
            if not isinstance(version, Wait):
                return _Page(version, asked), listing
            # A site that may be paused for minutes keeps no other from being read.
            self._slots.release()
            try:
                await self._pause(self._stopping, min(version.seconds, LOOK))
            finally:
                await self._slots.acquire()
        return None, listing

    def _while_it_is_ours(self, asked: float) -> AbstractContextManager[None]:
        """Calls within this block end while what was *asked* for then (time.monotonic()) has its place in the budget."""
        return deadline.within(READ_WITHIN * self.schedule.timing.lease, since=asked)

    @staticmethod
    async def _pause(event: asyncio.Event, seconds: float) -> None:
        """Wait for the event, but not for longer than so many seconds."""
        try:
            async with asyncio.timeout(seconds):
                await event.wait()
        except TimeoutError:
            pass
