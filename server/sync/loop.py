"""The loop that brings due tickets to one target.

In: due tickets of all sites. Out: what applier.py does with each. As many tasks run as the target takes writes at once, each under
one of its leases, so that all workers together are no more. A target that is paused, or waits after a fault, slows no other one.
"""

import asyncio
from bisect import bisect_right
from collections.abc import Callable, Collection

from server import logs
from server.errors import LeaseLost
from server.logs import RepeatedWarning
from server.model import SiteId
from server.rounds import repeat
from server.store.leases import ASK_EVERY
from server.sync.applier import Applier
from server.sync.followed_sites import FollowedSites
from server.timed_event import TimedEvent

POLL_EVERY = 0.5
"""Seconds between two looks for due tickets."""

log = logs.logger("sync")


class TargetLoop:
    """The loop of one target in one process. *sites* answers the known sites, *clock* gives seconds since 1970."""

    def __init__(
        self, applier: Applier, sites: Callable[[], Collection[SiteId]], *, clock: Callable[[], float]
    ) -> None:
        self.applier = applier
        self.settings = applier.settings
        self.stores = applier.stores
        self._sites = FollowedSites(self.settings.name, self.stores.records, sites, clock)
        self._clock = clock
        self._last_site = SiteId("")
        self._unavailable = RepeatedWarning(log, "store_unavailable")

    async def run(self, stopping: TimedEvent) -> None:
        """Bring tickets until *stopping* is set, and end after those in hand."""
        async with asyncio.TaskGroup() as group:
            for number in range(self.applier.target.abilities.parallel):
                group.create_task(self._bring_all(number, stopping), name=f"sync: {self.settings.name} {number}")

    async def _bring_all(self, number: int, stopping: TimedEvent) -> None:
        target = self.settings.name

        async def once() -> float:
            try:
                return await self.bring_next(number)
            except LeaseLost as error:
                log.warning("lease_lost", target=target, error=str(error))
                return POLL_EVERY

        await repeat(
            once,
            stopping,
            warning=self._unavailable,
            key="redis",
            # Its ticket is due again when its lease ends.
            on_bug=lambda error: log.error("sync_bug", target=target, exc_info=error),
            retry=POLL_EVERY,
            target=target,
        )

    async def bring_next(self, number: int = 0) -> float:
        """Bring the ticket that is longest due; answers for how many seconds to wait before the next. Raises what `run` handles."""
        state = await self.stores.targets.read(self.settings.name)
        if state.paused is not None:
            return POLL_EVERY
        if (wait := state.wait_until - self._clock()) > 0:
            return min(wait, POLL_EVERY)
        site, wait = await self._next_site()
        if site is None:
            return min(wait, POLL_EVERY)
        lease = self.stores.leases.lease(self.settings.server, number)
        try:
            while not await lease.take():
                # Another process writes, and what is due may be done by it.
                await asyncio.sleep(ASK_EVERY)
                if (await self._next_site())[0] is None:
                    return 0.0
            self._last_site = site
            claimed = await self.stores.due.claim(site, self.settings.name)
            if claimed is not None:
                await self.applier.bring(claimed, lease)
        finally:
            await lease.release()
        return 0.0

    async def _next_site(self) -> tuple[SiteId | None, float]:
        """A site of which something is due, or how long nothing will be."""
        soonest = POLL_EVERY
        sites = await self._sites()
        # Each site has its turn, however much is due of another.
        after = bisect_right(sites, self._last_site)
        for site in (*sites[after:], *sites[:after]):
            wait = await self.stores.due.wait(site, self.settings.name)
            if wait == 0:
                return site, 0.0
            soonest = min(soonest, POLL_EVERY if wait is None else wait)
        return None, soonest
