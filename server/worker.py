"""Builds the worker process from the parts of refresh/.

In: settings and the address of Redis. Out: a Worker whose `run` reads due tickets until `stop`.
"""

from server.redis.client import RedisClient, Use
from server.refresh.claims import RELOAD_SITES_EVERY, Claimer
from server.refresh.events import EventReader
from server.refresh.reader import Reader
from server.settings import Settings
from server.store.events import Events
from server.store.schedule import Schedule
from server.store.sites import Sites
from server.store.snapshots import Snapshots
from server.wix.client import Wix


class Worker:
    """One worker process. Raises NotStarted where Wix's credentials are missing."""

    def __init__(self, settings: Settings, redis_url: str, *, reload_sites_every: float = RELOAD_SITES_EVERY) -> None:
        self.settings = settings
        self.redis = RedisClient(redis_url, Use.WORK, settings.redis_prefix)
        schedule = Schedule(self.redis, settings.timing)
        self.wix = Wix(settings.credentials(), settings.wix_api_url)
        snapshots = Snapshots(self.redis, settings.rules, settings.timing, history_days=settings.history_days)
        self.sites = Sites(schedule, settings.sites, settings.rules, everything=settings.everything, check_each=True)
        events = EventReader(schedule, Events(self.redis, settings.timing), self.wix)
        reader = Reader(schedule, snapshots, events, self.wix)
        self.claimer = Claimer(self.redis, self.sites, snapshots, reader, reload_sites_every=reload_sites_every)

    async def start(self) -> None:
        """Add the sites of the settings, and all that Redis knows, with our rules."""
        await self.sites.start(include_known=True)

    async def run(self) -> None:
        """Read due tickets until `stop`; return when the last call in flight has ended."""
        await self.claimer.run()

    def stop(self) -> None:
        """Claim nothing more."""
        self.claimer.stop()

    async def aclose(self) -> None:
        """Close the connections to Redis and Wix."""
        await self.wix.aclose()
        await self.redis.aclose()
