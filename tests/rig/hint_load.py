"""More hints than Wix's rate limit has reads for: `async with hint_load(redis_url, site, tickets)`.

All tickets are marked four times a second, and one call reads 100, three times a second: of 300 tickets over 100 are due
at any moment, so that workers read as fast as the budget lets them.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager

from server.model import Hint, SiteId, TicketId
from server.redis.client import RedisClient, Use
from server.store.schedule import Schedule
from server.store.timing import Timing
from tests.rig.background import background

EVERY = 0.25


@asynccontextmanager
async def hint_load(redis_url: str, site: str, tickets: Sequence[str]) -> AsyncIterator[Schedule]:
    """Mark the tickets again and again, as long as the block; answers the schedule that does."""
    async with aclosing(RedisClient(redis_url, Use.WORK)) as store:
        schedule = Schedule(store, Timing(watch_every=1))
        hint = Hint("load", tuple(TicketId(one) for one in tickets))

        async def mark() -> None:
            while True:
                await schedule.mark(SiteId(site), hint)
                await asyncio.sleep(EVERY)

        async with background(mark()):
            yield schedule
