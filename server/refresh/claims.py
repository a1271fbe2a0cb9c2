"""Claims due tickets of each site and has them read.

In: the schedules of all known sites. Out: lots, which reader.py and events.py read, and listings, which listing.py reads. One
task a site claims; each claim is read by a task of its own, at most three a site and sixteen in the process (less than httpx's
pool). A call is never cancelled: `stop` lets calls in flight end.
"""

import asyncio
import time

from server import logs, metrics
from server.errors import RedisUnavailable
from server.logs import RepeatedWarning
from server.model import SiteId
from server.redis.client import RedisClient
from server.redis.listener import Listener
from server.refresh.listing import Lister
from server.refresh.reader import Reader
from server.store.budget import Wait
from server.store.claims import EventLot, Listing, Lot
from server.store.sites import Sites
from server.store.snapshots import Snapshots
from server.timed_event import TimedEvent

MAX_READS = 16
MAX_READS_PER_SITE = 3
"""A listing and a read of events leave one for tickets."""
POLL_EVERY = 1.0
"""Seconds between two polls of a schedule without a wake-up: a lost one costs no more."""
RELOAD_SITES_EVERY = 5.0
"""Seconds between two reloads of the known sites."""
NO_SITE_EVERY = 300.0
"""Seconds between two warnings that no site is known."""
NO_SITE_AFTER = 3
"""Reloads in a row that find no site before it is told: a process beside this one may be adding its sites, or giving back those that
Redis lost, at its own next reload."""
NO_SITE_HINT = (
    "no ticket is read: set WIX_SITES to your app instance id (with an API key `instance=site id`) and restart, or install the app "
    "on your site, which its webhook App Installed tells this server"
)

log = logs.logger("claims")


class Claimer:
    """Claims tickets and listings of all sites for one worker process, and runs their reads."""

    def __init__(
        self,
        redis: RedisClient,
        sites: Sites,
        snapshots: Snapshots,
        reader: Reader,
        *,
        reload_sites_every: float = RELOAD_SITES_EVERY,
    ) -> None:
        self.redis = redis
        self.sites = sites
        self.schedule = sites.schedule
        self.snapshots = snapshots
        self.reader = reader
        self._slots = asyncio.Semaphore(MAX_READS)
        self._stopping = TimedEvent()
        # For each site whose task runs, what wakes it.
        self._wake_ups: dict[SiteId, TimedEvent] = {}
        self._reload_sites_every = reload_sites_every
        self._unavailable = RepeatedWarning(log, "store_unavailable")
        self._no_site = RepeatedWarning(log, "no_site_known", NO_SITE_EVERY)
        self._without_site = 0

    async def run(self) -> None:
        """Claim and read until `stop`; return when the last call in flight has ended. Raises only what is a bug."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._listen(), name="refresh: wake")
            running: dict[SiteId, asyncio.Task[None]] = {}
            while not self._stopping.is_set():
                known = await self._reload_sites()
                self.reader.faults.keep_only(known)
                for site in known - running.keys():
                    self._wake_ups[site] = TimedEvent()
                    running[site] = group.create_task(self._claim_all(site), name=f"refresh: {site}")
                for site in running.keys() - known:
                    # Its task finds that the site is gone, and ends by itself.
                    del running[site]
                    self._wake_ups.pop(site).set()
                await self._stopping.within(self._reload_sites_every)

    def stop(self) -> None:
        """Claim nothing more."""
        self._stopping.set()
        for wake_up in self._wake_ups.values():
            wake_up.set()

    async def _reload_sites(self) -> frozenset[SiteId]:
        """All known sites; those of the last reload while Redis's list is unavailable."""
        try:
            known = await self.sites.reload()
        except RedisUnavailable as error:
            self._unavailable.warn("sites", error=str(error))
            return self.sites.known
        self._unavailable.resolved("sites")
        self._without_site = 0 if known else self._without_site + 1
        if known:
            self._no_site.resolved("sites")
        elif self._without_site >= NO_SITE_AFTER:
            self._no_site.warn("sites", hint=NO_SITE_HINT)
        return known

    async def _listen(self) -> None:
        """Wake the tasks of sites that are named on the wake channel. This only saves time, so any fault just restarts it."""
        while not self._stopping.is_set():
            try:
                async with self.redis.listener() as listener:
                    await listener.subscribe_all_nodes(self.schedule.keys.wake)
                    await self._receive_wakes(listener)
            except RedisUnavailable:
                await self._stopping.within(POLL_EVERY)

    async def _receive_wakes(self, listener: Listener) -> None:
        while not self._stopping.is_set():
            message = await listener.receive(POLL_EVERY)
            if message and message.text and (wake_up := self._wake_ups.get(SiteId(message.text))):
                wake_up.set()

    async def _claim_all(self, site: SiteId) -> None:
        """Claim what is due of one site, again and again, until it is removed or the process stops."""
        wake_up = self._wake_ups[site]
        site_slots = asyncio.Semaphore(MAX_READS_PER_SITE)
        async with asyncio.TaskGroup() as reads:
            while not self._stopping.is_set() and self._wake_ups.get(site) is wake_up:
                await site_slots.acquire()
                await self._slots.acquire()
                wake_up.clear()
                # Taken before the claim: the process may be suspended at any moment after it.
                asked = time.monotonic()
                try:
                    claim = (
                        Wait(0) if self._stopping.is_set() else await self.schedule.claim(site, self.snapshots.rules)
                    )
                except RedisUnavailable as error:
                    self._unavailable.warn(site, site=site, error=str(error))
                    claim = Wait(POLL_EVERY)
                else:
                    self._unavailable.resolved(site, site=site)
                if isinstance(claim, Wait):
                    self._slots.release()
                    site_slots.release()
                    if claim.other_rules:
                        self.snapshots.rules_warning.warn(site)
                    await wake_up.within(min(claim.seconds, POLL_EVERY))
                    continue
                reads.create_task(self._read(claim, site_slots, asked))

    async def _read(self, claim: Lot | EventLot | Listing, site_slots: asyncio.Semaphore, asked: float) -> None:
        """Read a claim that was *asked* for then (time.monotonic()), and give its slots back."""
        lister = None
        try:
            if isinstance(claim, Listing):
                lister = Lister(self.schedule, self.reader, claim, self._slots, self._stopping)
                await lister.run()
            elif isinstance(claim, EventLot):
                await self.reader.events.read(claim, since=asked)
            else:
                metrics.lots.labels(claim.priority).inc()
                await self.reader.read(claim, since=asked)
        except RedisUnavailable as error:
            log.warning("store_unavailable", site=claim.site, error=str(error))
            await self._release(lister.listing if lister else claim)
        finally:
            self._slots.release()
            site_slots.release()

    async def _release(self, claim: Lot | EventLot | Listing) -> None:
        """Make due again what could not be stored. The end of its lease would do the same, but half a minute later."""
        for _ in range(round(self.schedule.timing.lease / POLL_EVERY)):
            try:
                await self.schedule.release(claim)
            except RedisUnavailable:
                await self._stopping.within(POLL_EVERY)
            else:
                return
