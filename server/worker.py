"""Builds the worker process from the parts of refresh/, and of sync/ where the mapping file names a target.

In: settings and the address of Redis. Out: a Worker whose `run` reads due tickets until `stop`, and keeps the targets in step.
"""

import asyncio
from collections.abc import Mapping

from server import logs
from server.errors import NotStarted
from server.redis.client import RedisClient, Use
from server.refresh.claims import RELOAD_SITES_EVERY, Claimer
from server.refresh.events import EventReader
from server.refresh.reader import Reader
from server.settings import Settings, environment
from server.store.events import Events
from server.store.schedule import Schedule
from server.store.sites import Sites
from server.store.snapshots import Snapshots
from server.sync.mapping import TargetSettings
from server.sync.mapping_file.file import load
from server.sync.syncer import Syncer
from server.wix.client import Wix

log = logs.logger("sync")


def sync_targets(settings: Settings) -> Mapping[str, TargetSettings]:
    """The targets of the mapping file; raises NotStarted with all its faults, and where tickets that are not watched are not read."""
    if settings.sync_file is None:
        return {}
    targets = load(settings.sync_file, environment(), required=settings.sync_file_is_set)
    if targets and not settings.everything:
        raise NotStarted(
            f"the file {settings.sync_file} names targets, which need every ticket to be read: set TRACK=all, or set SYNC_FILE "
            "to another file"
        )
    return targets


class Worker:
    """One worker process. Raises NotStarted where Wix's credentials are missing; faults of the mapping file are logged."""

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
        self.syncer: Syncer | None = None
        try:
            if targets := sync_targets(settings):
                self.syncer = Syncer(self.redis, schedule, targets, lambda: self.sites.known)
        except NotStarted as error:
            # Visitors need the counter, whatever is wrong with another system; `sync status` tells that no worker syncs.
            log.error("sync_not_started", error=str(error), hint="the counter runs without sync until this is mended")

    async def start(self) -> None:
        """Add the sites of the settings, and all that Redis knows, with our rules."""
        await self.sites.start(include_known=True)

    async def run(self) -> None:
        """Read due tickets and keep targets in step until `stop`; return when the last call in flight has ended."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.claimer.run(), name="refresh")
            if self.syncer:
                group.create_task(self.syncer.run(), name="sync")

    def stop(self) -> None:
        """Claim nothing more."""
        self.claimer.stop()
        if self.syncer:
            self.syncer.stop()

    async def aclose(self) -> None:
        """Close the connections to Redis, Wix and the targets."""
        if self.syncer:
            await self.syncer.aclose()
        await self.wix.aclose()
        await self.redis.aclose()
