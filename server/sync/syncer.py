"""All of sync in one worker process: the marks, and for each target its loop and its audits.

In: the targets of sync.toml, and the known sites. Out: nothing but tasks, which run until `stop`. A target that fails in any way
concerns no other one.
"""

import asyncio
import time
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress

from server import logs, metrics
from server.errors import RedisUnavailable
from server.logs import RepeatedWarning
from server.model import SiteId
from server.redis.client import RedisClient
from server.rounds import repeat
from server.store.redis_clock import RedisClock
from server.store.schedule import Schedule
from server.sync.applier import Applier
from server.sync.audit import Audit
from server.sync.budget import open_target
from server.sync.consumer import Consumer
from server.sync.loop import TargetLoop
from server.sync.mapping import TargetSettings
from server.sync.reports import TargetStatus
from server.sync.status import Statuses
from server.sync.stores import Stores
from server.timed_event import TimedEvent

MEASURE_EVERY = 10.0
"""Seconds between two measurements of what is due and parked."""
REMIND_EVERY = 86_400.0
"""Seconds between two log lines about a target that a person has paused."""

log = logs.logger("sync")


class Syncer:
    """Sync of one worker process. *sites* answers the known sites."""

    def __init__(
        self,
        redis: RedisClient,
        schedule: Schedule,
        targets: Mapping[str, TargetSettings],
        sites: Callable[[], Collection[SiteId]],
    ) -> None:
        self.stores = Stores.of(redis, schedule)
        self.targets = targets
        self._clock = RedisClock(redis)
        self.appliers = [
            Applier(settings, open_target(settings, self.stores.targets), self.stores, clock=self._clock)
            for settings in targets.values()
        ]
        self._sites = sites
        self._stopping = TimedEvent()
        self._statuses = Statuses(targets, self.stores, clock=self._clock)
        self._reminded: dict[str, float] = {}

    async def run(self) -> None:
        """Keep all targets in step until `stop`; return when the last ticket in hand is done."""
        with suppress(RedisUnavailable):  # it is asked again with the first measurement
            await self._clock.ask()
        async with asyncio.TaskGroup() as group:
            consumer = Consumer(self.targets, self.stores, self._sites)
            group.create_task(consumer.run(self._stopping), name="sync: changes")
            group.create_task(self._measure(), name="sync: metrics")
            for applier in self.appliers:
                name = applier.settings.name
                group.create_task(
                    TargetLoop(applier, self._sites, clock=self._clock).run(self._stopping), name=f"sync: {name}"
                )
                group.create_task(
                    Audit(applier, self._sites, targets=tuple(self.targets), clock=self._clock).run(self._stopping),
                    name=f"sync: audit of {name}",
                )

    def stop(self) -> None:
        """Begin no further ticket."""
        self._stopping.set()

    async def aclose(self) -> None:
        """Close the connections to the targets."""
        for applier in self.appliers:
            await applier.target.aclose()

    async def _measure(self) -> None:

        async def once() -> float:
            await self._clock.ask()
            for name, settings in self.targets.items():
                await self.stores.targets.served(name, settings.digest, self._clock())
                self._show(await self._statuses.of(name))
            return MEASURE_EVERY

        await repeat(
            once,
            self._stopping,
            warning=RepeatedWarning(log, "store_unavailable"),
            key="metrics",
            on_bug=lambda error: log.error("sync_bug", exc_info=error),
            retry=MEASURE_EVERY,
        )

    def _show(self, status: TargetStatus) -> None:
        metrics.sync_due.labels(status.name).set(status.due)
        metrics.sync_oldest.labels(status.name).set(status.oldest or 0.0)
        metrics.sync_parked.labels(status.name).set(status.parked + status.conflicts)
        metrics.sync_paused.labels(status.name).set(status.paused_for or 0.0)
        if status.paused is not None and time.monotonic() >= self._reminded.get(status.name, 0.0):
            self._reminded[status.name] = time.monotonic() + REMIND_EVERY
            log.warning(
                "target_paused",
                target=status.name,
                reason=status.paused,
                days=round((status.paused_for or 0.0) / 86_400, 1),
                hint=f"ticket-counter sync resume {status.name}",
            )
