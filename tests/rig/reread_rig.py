"""Two topics of one process, on a clock that is moved by hand, and which of their tickets it has read again."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import Self

from server.counter import Rules
from server.hub.rereads import Rereads
from server.hub.topics import TicketTopic
from server.model import SiteId, TicketId
from server.redis.client import RedisClient, Use
from server.store.schedule import Schedule
from tests.rig.default_keys import channel, key
from tests.rig.server import OTHER, SITE, TICKET
from tests.rig.wix import ManualClock


class RereadRig:
    """The rereads of a process, and two topics."""

    def __init__(self, store: RedisClient) -> None:
        self.store = store
        self.schedule = Schedule(store)
        self.clock = ManualClock(0.0)
        self.rereads = Rereads(self.schedule, self.clock)
        self.topic, self.other = (
            TicketTopic(SiteId(SITE), TicketId(one), channel(SITE, one), Rules(), 0.0) for one in (TICKET, OTHER)
        )

    @classmethod
    @asynccontextmanager
    async def on(cls, redis_url: str) -> AsyncIterator[Self]:
        """The rig on this Redis, with its site, of which every ticket is tracked."""
        async with aclosing(RedisClient(redis_url, Use.WORK)) as store:
            found = cls(store)
            await found.schedule.add_site(SiteId(SITE), Rules(), everything=True)
            yield found

    async def marked_by(
        self, report: Callable[[SiteId, Sequence[TicketTopic]], Awaitable[None]], topics: Sequence[TicketTopic]
    ) -> set[str]:
        """Call *report* with these topics; returns the tickets that this marked."""
        await self.store.do("DEL", key(SITE, "hinted"))
        await report(SiteId(SITE), topics)
        return set(await self.store.do("ZRANGE", key(SITE, "hinted"), 0, -1))
