"""Sends the first push to each new subscription: it counts once the token in it came back.

In: subscriptions of visitors, which anyone may have invented. Out: first pushes, at a slow pace of their own. What a push service says of
them never pauses it for campaigns: who subscribes with another key than ours makes it refuse us. It is asked again later and later, until
the subscription ends after an hour.
"""

import asyncio
from collections.abc import Callable, Collection
from functools import partial
from typing import Protocol

from server import logs
from server.logs import RepeatedWarning, log_bug
from server.model import EventId, SiteId
from server.notify.breaker import LONGEST_NAMED
from server.notify.channels.channel import Reply, Result
from server.notify.channels.push import server_of
from server.rounds import repeat
from server.store.channel_servers import ChannelServers
from server.store.notify_events import NotifyEvents
from server.store.push_subscriptions import PushSubscriptions, Stored
from server.timed_event import TimedEvent

LOOK_EVERY = 0.5
"""Seconds between two looks: a visitor waits for it."""
EXPIRE_EVERY = 60.0
"""Seconds between two looks for subscriptions that were not confirmed."""
AT_ONCE = 8
PER_SECOND = 10.0
"""First pushes a second of all workers: a flood of invented ones takes none of a campaign's pace."""
FIRST_WAIT = 30.0
"""Seconds until the second try; each wait is as long as the subscription is old, so that there are some seven tries in its hour."""
PACE = "push first"
"""The name of the pace of these pushes."""

log = logs.logger("notify")


class FirstPush(Protocol):
    """What this needs of channels/push.py."""

    async def first(self, stored: Stored, title: str) -> Reply:
        """Send the first push of a subscription."""
        ...


class Confirmations:
    """The first pushes of one process. *sites* answers the known sites; *clock* seconds since 1970, by Redis's clock."""

    def __init__(
        self,
        subscriptions: PushSubscriptions,
        push: FirstPush,
        sites: Callable[[], Collection[SiteId]],
        *,
        clock: Callable[[], float],
    ) -> None:
        self._subscriptions = subscriptions
        self._push = push
        self._sites = sites
        self._clock = clock
        self._servers = ChannelServers(subscriptions.redis)
        self._events = NotifyEvents(subscriptions.redis)
        self._unavailable = RepeatedWarning(log, "store_unavailable")
        self._expire_at = 0.0

    async def run(self, stopping: TimedEvent) -> None:
        """Send what is due until *stopping* is set; what is in flight is waited for."""

        async def once() -> float:
            return 0.0 if await self.send_due() else LOOK_EVERY

        await repeat(
            once,
            stopping,
            warning=self._unavailable,
            key="first pushes",
            on_bug=partial(log_bug, log, "notify_bug"),
            retry=LOOK_EVERY,
        )

    async def send_due(self) -> bool:
        """Send what is due of each site, at most so many at once; answers whether there may be more. Raises RedisUnavailable."""
        expire = self._clock() >= self._expire_at
        if expire:
            self._expire_at = self._clock() + EXPIRE_EVERY
        more = False
        for site in sorted(self._sites()):
            if expire:
                await self._subscriptions.expire(site)
            claimed = await self._subscriptions.claim_first(site, AT_ONCE)
            ends = await asyncio.gather(*map(self._send, claimed), return_exceptions=True)
            for fault in ends:
                if fault is not None:
                    raise fault
            more |= len(claimed) == AT_ONCE
        return more

    async def _send(self, one: Stored) -> None:
        server = server_of(one.subscription.endpoint)
        held = (await self._servers.state(server)).held_for(self._clock())
        if held > 0:
            await self._subscriptions.first_later(one, held)
            return
        await asyncio.sleep(await self._servers.pay(PACE, PER_SECOND))
        reply = await self._push.first(one, await self._title(one.site, one.event))
        match reply.result:
            case Result.SENT:
                await self._subscriptions.first_sent(one)
            case Result.FAILED:
                await self._subscriptions.remove(one)
            case _:
                if reply.retry_after is not None:
                    await self._servers.wait(server, self._clock() + min(reply.retry_after, LONGEST_NAMED))
                await self._subscriptions.first_later(one, max(FIRST_WAIT, self._clock() - one.at))

    async def _title(self, site: SiteId, event: EventId) -> str:
        return (await self._events.facts(site, event)).get("title", "")
