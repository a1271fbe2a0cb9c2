"""All of notify in one worker process: the looks, the campaigns, what visitors asked for, first pushes, dates, and what is measured.

In: what notify.toml and the settings say, and the known sites. Out: nothing but tasks, which run until `stop`. At the end nothing more
is claimed, and what is in flight has its time.
"""

import asyncio
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

from server import logs, metrics
from server.campaign import Campaign, ChannelName
from server.errors import NotStarted, RedisUnavailable
from server.keyring import KeyRing
from server.logs import RepeatedWarning, log_bug
from server.model import SiteId
from server.notify.audience import open_source
from server.notify.audience.push_subscriptions import PushAudience
from server.notify.audience.source import AudienceSource, SourceContext
from server.notify.audience_check import AudienceCheck
from server.notify.channels.channel import Channel
from server.notify.channels.mail import Mail
from server.notify.channels.push import Push
from server.notify.config import EventAudience, NotifyConfig
from server.notify.confirmations import Confirmations
from server.notify.dates import Dates
from server.notify.event_sources import EventSources
from server.notify.message.languages import Languages
from server.notify.message.template_check import checked_renderer
from server.notify.offer import Offers
from server.notify.opener import Opener
from server.notify.opt_outs import OptOuts
from server.notify.run import Parts
from server.notify.runner import Runner
from server.notify.sign_ups import SignUps
from server.notify.timing import Times
from server.redis.client import RedisClient
from server.rounds import repeat
from server.store.campaigns import Campaigns
from server.store.channel_servers import ChannelServers
from server.store.definitions import Definitions
from server.store.notify_requests import NotifyRequests
from server.store.outbox import Outbox
from server.store.push_subscriptions import PushSubscriptions
from server.store.redis_clock import RedisClock
from server.store.schedule import Schedule
from server.timed_event import TimedEvent
from server.wix.client import Wix

MEASURE_EVERY = 10.0
"""Seconds between two measurements of what waits and what is paused."""

log = logs.logger("notify")


class Loop(Protocol):
    """One task of notify."""

    async def run(self, stopping: TimedEvent) -> None:
        """Run until *stopping* is set."""
        ...


@dataclass(slots=True)
class Measured:
    """Of one channel: rows that wait, and seconds since the start of the oldest campaign that runs on it and is not over."""

    waiting: int = 0
    oldest: float = 0.0
    over: set[tuple[SiteId, str]] = field(default_factory=set)


class Notifier:
    """Notify of one worker process. *sites* answers the known sites; raises NotStarted where a template or a key cannot be used."""

    def __init__(
        self,
        redis: RedisClient,
        schedule: Schedule,
        config: NotifyConfig,
        keyring: KeyRing,
        sites: Callable[[], Collection[SiteId]],
        *,
        wix: Wix | None = None,
        times: Times | None = None,
    ) -> None:
        self.config = config
        self._redis = redis
        self._schedule = schedule
        self._sites = sites
        self._wix = wix
        self._stopping = TimedEvent()
        self._clock = RedisClock(redis)
        self._subscriptions = PushSubscriptions(redis, keyring)
        self.sources = EventSources(config, self._open)
        languages = Languages(config.templates, config.language)
        self.push = Push(config.push, self._subscriptions, languages, config.public_url) if config.push else None
        self.channels: dict[ChannelName, Channel] = {}
        if config.mail:
            writes = checked_renderer(
                config.mail.sender_name, config.mail.postal_address, own=config.templates, default=config.language
            )
            self.channels[ChannelName.MAIL] = Mail(config.mail, writes)
        if self.push:
            self.channels[ChannelName.PUSH] = self.push
        timing = schedule.timing
        parts = Parts(
            config=config,
            redis=redis,
            keyring=keyring,
            open_source=self._source,
            offer=Offers(Definitions(redis), schedule, self._clock, oldest=timing.reconcile + timing.max_stale),
            channels=self.channels,
            language=lambda wanted: languages.choose(wanted).name,
            clock=self._clock,
            times=times or Times(),
        )
        self.runner = Runner(parts, sites)
        requests = NotifyRequests(redis)
        self._loops: dict[str, Loop] = {
            "sales": Opener(config, keyring.ids[0], redis, schedule, sites),
            "campaigns": self.runner,
            "opt-outs": OptOuts(requests, keyring, self.sources.of, sites),
            "sign-ups": SignUps(config, requests, keyring, self.sources.of, sites),
            "audiences": AudienceCheck(Definitions(redis), self.sources.of, sites),
            "dates": Dates(config, redis, self._open, sites),
        }
        if self.push:
            self._loops["first pushes"] = Confirmations(self._subscriptions, self.push, sites, clock=self._clock)
        self._measured = {name: Measured() for name in ChannelName}

    async def run(self) -> None:
        """Notify until `stop`; return when what is in flight has ended, or has had its time."""
        with suppress(RedisUnavailable):  # it is asked again with the first measurement
            await self._clock.ask()
        async with asyncio.TaskGroup() as group:
            for name, loop in self._loops.items():
                group.create_task(loop.run(self._stopping), name=f"notify: {name}")
            group.create_task(self._measure(), name="notify: metrics")

    def stop(self) -> None:
        """Claim nothing more."""
        self._stopping.set()

    async def aclose(self) -> None:
        """End what is in flight still, and close the connections to relays, push services and tools."""
        await self.runner.aclose()
        for channel in self.channels.values():
            await channel.aclose()
        await self.sources.aclose()

    def _open(self, site: SiteId, audience: EventAudience) -> AudienceSource:
        return open_source(audience, SourceContext(site, self.config.file.parent, self._wix, self._schedule))

    def _source(self, campaign: Campaign, channel: ChannelName) -> AudienceSource:
        """The audience of a campaign; raises NotStarted where its tool cannot be opened."""
        if channel is ChannelName.PUSH:
            return PushAudience(self._subscriptions, campaign.site, campaign.event)
        source = self.sources.of(campaign.site).get(campaign.event_name)
        if source is None:
            raise NotStarted(f"the tool of {campaign.event_name} cannot be opened: see `audience_not_opened` above")
        return source

    async def _measure(self) -> None:

        async def once() -> float:
            await self._clock.ask()
            await self.measure()
            return MEASURE_EVERY

        await repeat(
            once,
            self._stopping,
            warning=RepeatedWarning(log, "store_unavailable"),
            key="metrics",
            on_bug=partial(log_bug, log, "notify_bug"),
            retry=MEASURE_EVERY,
        )

    async def measure(self) -> None:
        """Count what waits, what is paused, and how old the oldest campaign is that is not over. Raises RedisUnavailable."""
        now = self._clock()
        for name, measured in self._measured.items():
            measured.waiting, measured.oldest = 0, 0.0
            for site in self._sites():
                await self._measure_site(site, name, measured, now)
            metrics.notify_waiting.labels(name).set(measured.waiting)
            metrics.notify_oldest.labels(name).set(measured.oldest)
        for server, state in (await ChannelServers(self._redis).all()).items():
            since = state.paused_at if state.paused_reason is not None else None
            metrics.notify_paused.labels(server).set(0.0 if since is None else max(0.0, now - since))

    async def _measure_site(self, site: SiteId, channel: ChannelName, measured: Measured, now: float) -> None:
        if channel not in self.channels:
            return
        skip = {name for its_site, name in measured.over if its_site == site}
        for campaign in await Campaigns(self._redis).of_site(site, skip=skip):
            if channel not in self.runner.channels(campaign):
                continue
            progress = await Outbox(self._redis, campaign, channel, "metrics").progress()
            if progress.ended_at is not None or campaign.too_late:
                if now >= campaign.deadline:
                    measured.over.add((site, campaign.name))
                continue
            measured.waiting += progress.counts.waiting
            if progress.started_at is not None or now < campaign.deadline:
                measured.oldest = max(measured.oldest, now - campaign.start)
