"""Builds the worker process from the parts of refresh/, of sync/ where sync.toml names a target, of notify/ where notify.toml names an event.

In: settings and the address of Redis. Out: a Worker whose `run` reads due tickets until `stop`, keeps the targets in step, and tells
subscribers.
"""

import asyncio
from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING

from starlette.applications import Starlette

from server import logs, metrics
from server.errors import NotStarted
from server.health import Health
from server.model import SiteId
from server.redis.client import RedisClient, Use
from server.refresh.claims import RELOAD_SITES_EVERY, Claimer
from server.refresh.events import EventReader
from server.refresh.reader import Reader
from server.refresh.status import StatusReporter
from server.settings import Settings, environment
from server.store.events import Events
from server.store.schedule import Schedule
from server.store.sites import Sites
from server.store.snapshots import Snapshots
from server.store.worker_status import WorkerStatus
from server.sync.mapping import TargetSettings
from server.sync.mapping_file.file import load
from server.sync.syncer import Syncer
from server.wix.client import Wix
from server.wix_client import open_wix

if TYPE_CHECKING:
    from server.notify.notifier import Notifier

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


def notifier(
    settings: Settings, redis: RedisClient, schedule: Schedule, wix: Wix, sites: Callable[[], Collection[SiteId]]
) -> "Notifier | None":
    """Notify, where notify.toml names an event; raises NotStarted with all its faults, and with the settings that are missing."""
    path = settings.notify_file
    if path is None or not (path.exists() or "notify_file" in settings.model_fields_set):
        return None
    # Imported only here: its libraries for templates, mail and push take memory, which the counter alone does not need.
    from server.notify.file.file import load  # noqa: PLC0415
    from server.notify.notifier import Notifier  # noqa: PLC0415

    config = load(settings, settings.pages_url, environment())
    if config is None:
        return None
    if not settings.everything:
        raise NotStarted(
            f"the file {path} names events, of which every ticket has to be read: set TRACK=all, or set NOTIFY_FILE to another file"
        )
    return Notifier(redis, schedule, config, settings.keyring, sites, wix=wix)


class Worker:
    """One worker process. Raises NotStarted where Wix's credentials are missing; faults of sync.toml and notify.toml are logged."""

    def __init__(self, settings: Settings, redis_url: str, *, reload_sites_every: float = RELOAD_SITES_EVERY) -> None:
        self.settings = settings
        self.redis = RedisClient(redis_url, Use.WORK, settings.redis_prefix)
        schedule = Schedule(self.redis, settings.timing)
        self.wix = open_wix(settings)
        snapshots = Snapshots(self.redis, settings.rules, settings.timing, history_days=settings.history_days)
        self.sites = Sites(schedule, settings.sites, settings.rules, everything=settings.everything, check_each=True)
        events = EventReader(schedule, Events(self.redis, settings.timing), self.wix)
        reader = Reader(schedule, snapshots, events, self.wix)
        self.claimer = Claimer(self.redis, self.sites, snapshots, reader, reload_sites_every=reload_sites_every)
        self.status = StatusReporter(WorkerStatus(self.redis), lambda: self.sites.known, metrics.VERSION)
        self.syncer: Syncer | None = None
        try:
            if targets := sync_targets(settings):
                self.syncer = Syncer(self.redis, schedule, targets, lambda: self.sites.known)
        except NotStarted as error:
            # Visitors need the counter, whatever is wrong with another system; `sync status` tells that no worker syncs.
            log.error("sync_not_started", error=str(error), hint="the counter runs without sync until this is mended")
        self.notifier: Notifier | None = None
        try:
            self.notifier = notifier(settings, self.redis, schedule, self.wix, lambda: self.sites.known)
        except NotStarted as error:
            logs.logger("notify").error(
                "notify_not_started", error=str(error), hint="the counter runs without notify until this is mended"
            )

    def app(self) -> Starlette:
        """The application behind WORKER_PORT: health and metrics alone."""
        app = Starlette(routes=Health(self.details, self.notices, token=self.settings.metrics_token).routes())
        app.router.redirect_slashes = False
        return app

    def details(self) -> Mapping[str, bool]:
        """The conditions of /readyz: this worker reads what is due while all of them hold."""
        return {"redis": self.status.redis_answers, "running": self.status.running}

    def notices(self) -> Mapping[str, bool]:
        """Notices for an administrator in /readyz."""
        return {"wix": not self.status.silent_wix}

    async def start(self) -> None:
        """Add the sites of the settings, and all that Redis knows, with our rules."""
        await self.sites.start(include_known=True)

    async def run(self) -> None:
        """Read due tickets, keep targets in step and tell subscribers until `stop`; return when the last call in flight has ended."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.claimer.run(), name="refresh")
            group.create_task(self.status.run(), name="status")
            if self.syncer:
                group.create_task(self.syncer.run(), name="sync")
            if self.notifier:
                group.create_task(self.notifier.run(), name="notify")

    def stop(self) -> None:
        """Claim nothing more."""
        self.claimer.stop()
        self.status.stop()
        if self.syncer:
            self.syncer.stop()
        if self.notifier:
            self.notifier.stop()

    async def aclose(self) -> None:
        """Close the connections to Redis, Wix, the targets, and all that notify talks to."""
        if self.notifier:
            await self.notifier.aclose()
        if self.syncer:
            await self.syncer.aclose()
        await self.wix.aclose()
        await self.redis.aclose()
