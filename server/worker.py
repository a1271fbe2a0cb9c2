"""Builds the worker process: refresh, and what it needs.

In: settings and the address of Redis. Out: a Worker whose `run` reads what is due until `stop`.
"""

import asyncio

from server import logs
from server.errors import StoreUnavailable
from server.refresh import Refresh
from server.schedule import Schedule
from server.settings import Settings
from server.sites import Sites
from server.snapshots import Snapshots
from server.store.client import Store, Use
from server.wix.client import Wix

LOOK_EVERY = 5.0
"""Seconds between two looks whether Redis still knows the sites that it should."""

log = logs.logger("worker")


class Worker:
    """One worker process. Raises NotStarted where Wix's credentials are missing."""

    def __init__(self, settings: Settings, redis_url: str, *, look_every: float = LOOK_EVERY) -> None:
        self.settings = settings
        self.store = Store(redis_url, Use.WORK)
        self.schedule = Schedule(self.store, settings.timing)
        self.wix = Wix(settings.credentials(), settings.wix_api_url)
        snapshots = Snapshots(self.store, settings.rules, settings.timing, history_days=settings.history_days)
        self.sites = Sites(self.schedule, settings.sites, settings.rules, everything=settings.everything, thorough=True)
        self.refresh = Refresh(self.store, self.schedule, snapshots, self.wix)
        self._look_every = look_every

    async def start(self) -> None:
        """Take on the sites of the settings and those that installed the app, under our rules."""
        await self.sites.start(others=True)

    async def run(self) -> None:
        """Read what is due until `stop`, then let the calls in flight end."""
        async with asyncio.TaskGroup() as group:
            remembering = group.create_task(self._remember(), name="worker: sites")
            await self.refresh.run()
            remembering.cancel()

    def stop(self) -> None:
        """Claim nothing more."""
        self.refresh.stop()

    async def aclose(self) -> None:
        """Close the connections to Redis and Wix."""
        await self.wix.aclose()
        await self.store.aclose()

    async def _remember(self) -> None:
        """Give a Redis that lost its data its sites back: all begins anew from Wix."""
        while True:
            try:
                await self.sites.look()
            except StoreUnavailable as error:
                log.warning("store_unavailable", error=str(error))
            await asyncio.sleep(self._look_every)
