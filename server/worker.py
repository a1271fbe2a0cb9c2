"""Builds the worker process: refresh, and what it needs.

In: settings and the address of Redis. Out: a Worker whose `run` reads what is due until `stop`.
"""

from server.redis.client import RedisClient, Use
from server.refresh.claims import LOOK_EVERY, Refresh
from server.refresh.reader import Reader
from server.settings import Settings
from server.store.schedule import Schedule
from server.store.sites import Sites
from server.store.snapshots import Snapshots
from server.wix.client import Wix


class Worker:
    """One worker process. Raises NotStarted where Wix's credentials are missing."""

    def __init__(self, settings: Settings, redis_url: str, *, look_every: float = LOOK_EVERY) -> None:
        self.settings = settings
        self.redis = RedisClient(redis_url, Use.WORK)
        schedule = Schedule(self.redis, settings.timing)
        self.wix = Wix(settings.credentials(), settings.wix_api_url)
        snapshots = Snapshots(self.redis, settings.rules, settings.timing, history_days=settings.history_days)
        self.sites = Sites(schedule, settings.sites, settings.rules, everything=settings.everything, thorough=True)
        reader = Reader(schedule, snapshots, self.wix)
        self.refresh = Refresh(self.redis, self.sites, snapshots, reader, look_every=look_every)

    async def start(self) -> None:
        """Take on the sites of the settings and those that installed the app, under our rules."""
        await self.sites.start(others=True)

    async def run(self) -> None:
        """Read what is due until `stop`, then let the calls in flight end."""
        await self.refresh.run()

    def stop(self) -> None:
        """Claim nothing more."""
        self.refresh.stop()

    async def aclose(self) -> None:
        """Close the connections to Redis and Wix."""
        await self.wix.aclose()
        await self.redis.aclose()
