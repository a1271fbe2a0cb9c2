"""Campaigns that run on a real Redis, with an audience and a channel in memory.

NotifyRig   one campaign, its outbox, and workers that run it
QUICK       times that make a test short
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from server.campaign import Campaign, ChannelName, Counts, Progress
from server.keyring import KeyRing, Purpose
from server.model import TicketId
from server.notify.announcement import AnnouncedTicket, Announcement
from server.notify.audience.source import AudienceSource
from server.notify.config import EventAudience, NotifyConfig, Tool
from server.notify.offer import Offer
from server.notify.run import Parts
from server.notify.runner import Runner
from server.notify.timing import Times
from server.redis.client import RedisClient, Script, Use
from server.store.campaigns import Campaigns
from server.store.channel_servers import ChannelServers
from server.store.outbox import Outbox
from server.store.suppressions import Suppressions
from server.timed_event import TimedEvent
from tests.rig.campaigns import SITE, campaign
from tests.rig.notify_models import ModelAudience, ModelChannel
from tests.rig.server import until

KEYS = KeyRing(["a key of the tests, which is long enough"])
EVENT = "spring-gala"
AUDIENCE = EventAudience(EVENT, Tool("lists", "model"), push=True)
CONFIG = NotifyConfig(Path("notify.toml"), {EVENT: AUDIENCE}, "https://tickets.example.org")
QUICK = Times(
    page=10,
    retry=0.02,
    longest_retry=0.05,
    refused=0.05,
    poll=0.05,
    grace=0.3,
    look=0.05,
    rest=0.02,
    lease=0.6,
    first_wait=0.1,
    mark_every=0.02,
)
ANNOUNCEMENT = Announcement(
    "Spring Gala", "https://www.example.org/spring-gala", (AnnouncedTicket(TicketId("t"), "Early bird", 0.0, True),)
)
BUYABLE = Offer(ANNOUNCEMENT, buyable=True)
SOLD_OUT = Offer(None, buyable=False, reason="sold out")


class KillableRedis(RedisClient):
    """A client of a process that can be killed: nothing more is sent then. `calls` are those that are not answered yet."""

    killed = False
    calls = 0

    async def run(self, script: Script, keys: Sequence[str], args: Sequence[str | int | float]) -> Any:
        """As the client's."""
        return await self._count(super().run, script, keys, args)

    async def do(self, *command: str | float) -> Any:
        """As the client's."""
        return await self._count(super().do, *command)

    async def _count(self, call: Callable[..., Awaitable[Any]], *args: Any) -> Any:
        if self.killed:
            await asyncio.Event().wait()
        self.calls += 1
        try:
            return await call(*args)
        finally:
            self.calls -= 1


@dataclass
class Worker:
    """A process: its runner, what ends it, and its own client of Redis."""

    runner: Runner
    redis: KillableRedis
    stopping: TimedEvent
    task: asyncio.Task[None]

    async def stop(self) -> None:
        """As SIGTERM does."""
        self.stopping.set()
        await self.task
        await self.runner.aclose()
        await self.redis.aclose()

    async def kill(self) -> None:
        """As SIGKILL does: nothing is marked, nothing is given back."""
        self.redis.killed = True
        await until(lambda: self.redis.calls == 0)  # what was sent to Redis before has its effect
        tasks: set[asyncio.Task[Any]] = {self.task}
        for run, task in self.runner._runs.values():
            tasks |= {task, *run.in_flight}
        while tasks:
            for one in tasks:
                one.cancel()
            _, tasks = await asyncio.wait(tasks, timeout=0.01)
        await self.redis.aclose()


class NotifyRig:
    """One campaign that is open. `offer` is what can be bought now; *changes* are of the campaign."""

    def __init__(
        self,
        redis_url: str,
        audience: ModelAudience,
        channel: ModelChannel | None = None,
        *,
        times: Times = QUICK,
        keys: KeyRing = KEYS,
        **changes: Any,
    ) -> None:
        self.redis_url = redis_url
        self.store = store = RedisClient(redis_url, Use.WORK)
        self.audience = audience
        self.channel = channel or ModelChannel()
        self.times = times
        self.keys = keys
        self.offer = BUYABLE
        self.offers_looked_at = 0
        self.campaigns = Campaigns(store)
        self.suppressions = Suppressions(store)
        self.servers = ChannelServers(store)
        self.workers: list[Worker] = []
        self._changes = {"key": keys.ids[0], **changes}

    async def __aenter__(self) -> Self:
        found = await self.campaigns.open(campaign(**self._changes))
        assert found is not None
        self.campaign: Campaign = found
        self.outbox = Outbox(self.store, found, self.channel.name, "the-test")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for worker in self.workers:
            if not worker.task.done():
                await worker.stop()
        await self.store.aclose()

    def parts(self, redis: RedisClient, **changes: Any) -> Parts:
        """What a worker is made of."""
        parts = Parts(
            CONFIG,
            redis,
            self.keys,
            self._open_source,
            self._look_at_offer,
            {self.channel.name: self.channel},
            lambda wanted: wanted[:2] if wanted[:2] in {"de", "he"} else "en",
            time.time,
            self.times,
        )
        return replace(parts, **changes)

    def start(self, **changes: Any) -> Worker:
        """Start a worker."""
        redis = KillableRedis(self.redis_url, Use.WORK)
        runner = Runner(self.parts(redis, **changes), lambda: [SITE], look_every=0.02)
        stopping = TimedEvent()
        worker = Worker(runner, redis, stopping, asyncio.create_task(runner.run(stopping)))
        self.workers.append(worker)
        return worker

    async def progress(self) -> Progress:
        """How far the campaign is."""
        return await self.outbox.progress()

    async def counts(self) -> Counts:
        """How many rows are in each state."""
        return (await self.progress()).counts

    async def until(self, holds: Callable[[Progress], bool], seconds: float = 10) -> Progress:
        """Wait until the progress is so, and answer it."""

        async def found() -> Progress | None:
            now = await self.progress()
            return now if holds(now) else None

        result: Progress = await until(found, seconds)
        return result

    async def until_over(self, seconds: float = 20) -> Progress:
        """Wait until the campaign has ended."""
        return await self.until(lambda now: now.ended_at is not None, seconds)

    def row(self, address: str, name: ChannelName | None = None) -> str:
        """The id of the row of an address."""
        parts = (self.campaign.name, name or self.channel.name, address)
        return self.keys.hash(Purpose.ROW, *parts, key=self.campaign.key)

    def suppressed(self, address: str) -> tuple[str, ...]:
        """The hashes under which an address is suppressed."""
        return self.keys.hashes(Purpose.SUPPRESSION, self.audience.place, address)

    def _open_source(self, campaign: Campaign, channel: ChannelName) -> AudienceSource:
        assert (self.campaign.name, self.channel.name) == (campaign.name, channel)
        return self.audience

    async def _look_at_offer(self, campaign: Campaign) -> Offer:
        self.offers_looked_at += 1
        return self.offer
