"""Takes campaigns that are not over, and runs each on its channels.

In: the campaigns of the known sites. Out: messages, by passes.py, and how far each campaign is. One worker runs a campaign on a
channel, under a lease; any other goes on where it ended. All that is decided is looked up in Redis, so nothing is lost with a process.
"""

import asyncio
import time
from collections.abc import Callable, Collection
from functools import partial
from uuid import uuid4

from server import logs
from server.campaign import Campaign, ChannelName, Progress, State
from server.errors import LeaseLost, NotStarted, RedisUnavailable
from server.logs import RepeatedWarning, log_bug
from server.model import SiteId
from server.notify.run import Parts, Run
from server.rounds import repeat
from server.store.campaigns import Campaigns
from server.store.outbox import Outbox
from server.timed_event import TimedEvent

LOOK_EVERY = 1.0
"""Seconds between two looks for campaigns that are not over."""
AFTER_BUG = 5.0
"""Seconds until a campaign is taken again after an error that is a bug."""

Key = tuple[SiteId, str, ChannelName]

log = logs.logger("notify")


class Runner:
    """All campaigns of one process. *sites* answers the known sites."""

    def __init__(
        self, parts: Parts, sites: Callable[[], Collection[SiteId]], *, look_every: float = LOOK_EVERY
    ) -> None:
        self.parts = parts
        self.campaigns = Campaigns(parts.redis)
        self._sites = sites
        self._look_every = look_every
        self._runs: dict[Key, tuple[Run, asyncio.Task[None]]] = {}
        self._not_before: dict[Key, float] = {}
        self._over: set[tuple[SiteId, str]] = set()
        self._unavailable = RepeatedWarning(log, "store_unavailable")

    async def run(self, stopping: TimedEvent) -> None:
        """Run campaigns until *stopping* is set; return when what was in flight has ended, or has had its time."""

        async def once() -> float:
            await self._look_at_all(stopping)
            return self._look_every

        await repeat(
            once,
            stopping,
            warning=self._unavailable,
            key="campaigns",
            on_bug=partial(log_bug, log, "notify_bug"),
            retry=self._look_every,
        )
        for run, _ in self._runs.values():
            run.halt()
        if self._runs:
            await asyncio.wait([task for _, task in self._runs.values()])

    async def _look_at_all(self, stopping: TimedEvent) -> None:
        for site in sorted(self._sites()):
            try:
                await self.look(site, stopping)
            except RedisUnavailable as error:
                self._unavailable.warn(site, site=site, error=str(error))
            else:
                self._unavailable.resolved(site, site=site)

    async def look(self, site: SiteId, stopping: TimedEvent) -> None:
        """Begin the runs of a site that are not over, and tell those that are under way what people have asked for."""
        self._runs = {key: found for key, found in self._runs.items() if not found[1].done()}
        skip = {name for its_site, name in self._over if its_site == site}
        for campaign in await self.campaigns.of_site(site, skip=skip):
            open_ = [await self._look_at(campaign, channel, stopping) for channel in self.channels(campaign)]
            if not any(open_) and self.parts.clock() >= campaign.deadline:
                self._over.add((site, campaign.name))

    async def aclose(self) -> None:
        """End what is in flight still: it is unknown, as is told in the outbox."""
        for task in (left := [task for run, _ in self._runs.values() for task in run.in_flight]):
            task.cancel()
        if left:
            await asyncio.wait(left)

    def channels(self, campaign: Campaign) -> list[ChannelName]:
        """The channels on which this process runs a campaign; none of an event that notify.toml does not name any more."""
        audience = self.parts.config.events.get(campaign.event_name)
        if audience is None:
            return []
        wanted = {ChannelName.MAIL: audience.tool is not None, ChannelName.PUSH: audience.push}
        return [name for name in self.parts.channels if wanted[name]]

    async def _look_at(self, campaign: Campaign, channel: ChannelName, stopping: TimedEvent) -> bool:
        """Begin a run where one is needed; answers whether there is more to do, now or later."""
        key = (campaign.site, campaign.name, channel)
        if key in self._runs:
            self._runs[key][0].update(campaign)
            return True
        if time.monotonic() < self._not_before.get(key, 0.0):
            return True
        outbox = Outbox(self.parts.redis, campaign, channel, uuid4().hex, lease=self.parts.times.lease)
        if not self._needs_run(campaign, await outbox.progress()):
            return False
        try:
            source = self.parts.open_source(campaign, channel)
        except NotStarted as error:
            self._not_before[key] = time.monotonic() + AFTER_BUG
            log.error("campaign_not_run", campaign=campaign.name, channel=channel, error=str(error))
            return True
        run = Run(self.parts, outbox, source, self.parts.channels[channel], stopping)
        task = asyncio.create_task(self._run(run, key), name=f"notify: {channel} of {campaign.name}")
        self._runs[key] = (run, task)
        return True

    def _needs_run(self, campaign: Campaign, progress: Progress) -> bool:
        if progress.ended_at is None:
            return True
        # Of one that a person stopped, rows may wait until the deadline, as it may be taken up again.
        past = self.parts.clock() >= campaign.deadline
        return progress.state is State.STOPPED and (past or campaign.stopped_at is None)

    async def _run(self, run: Run, key: Key) -> None:
        try:
            await run.run()
        except RedisUnavailable as error:
            self._unavailable.warn(run.campaign.name, campaign=run.campaign.name, error=str(error))
        except LeaseLost as error:
            log.warning("lease_lost", campaign=run.campaign.name, error=str(error))
        except Exception as error:  # noqa: BLE001 - a bug that one campaign shows must stop neither others nor the counter
            log_bug(log, "notify_bug", error, campaign=run.campaign.name)
            self._not_before[key] = time.monotonic() + AFTER_BUG
        else:
            self._unavailable.resolved(run.campaign.name, campaign=run.campaign.name)
