"""What the checks look at: one deployment, as its settings describe it, and what they share while they run.

In: the settings. Out: Redis where it answers, the known sites, and leave for each call to Wix. Where Redis knows the site, a call
is paid from the budget of the site, as those of the worker are; else five calls are made at most.
"""

import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from server import valkey
from server.catalog.payment import FromBudget
from server.errors import NotStarted, RedisUnavailable
from server.model import SiteId, TicketId
from server.redis.client import RedisClient, Use
from server.settings import Settings
from server.store.redis_clock import RedisClock
from server.store.schedule import Schedule
from server.wix.calls import Pay

UNPAID_CALLS = 5
"""Calls to Wix in all where no budget is there to pay them from."""
WAIT_FOR_BUDGET = 20.0
"""Seconds to wait for a call of a site: pauses after a fault are 8 s at most, and at the end of each the worker may be faster."""

T = TypeVar("T")


class NoCall(Exception):
    """No call to Wix may be made now; the text says why."""


class Deployment:
    """One deployment. *wait_for_budget* in seconds."""

    def __init__(self, settings: Settings, *, wait_for_budget: float = WAIT_FOR_BUDGET) -> None:
        self.settings = settings
        self.redis: RedisClient | None = None
        """Redis, once its check has reached it."""
        self._unpaid = UNPAID_CALLS
        self._wait_for_budget = wait_for_budget

    def redis_url(self) -> str:
        """REDIS_URL, else the Valkey of a `serve` with the same DATA_DIR; raises NotStarted where there is neither."""
        if self.settings.redis_url is not None:
            return self.settings.redis()
        url = valkey.url_of(self.settings.data_dir)
        if url is None:
            raise NotStarted(
                f"no `ticket-counter serve` runs with DATA_DIR={self.settings.data_dir.absolute()}, and REDIS_URL is not set"
            )
        return url

    def client(self) -> RedisClient:
        """A new client of Redis; raises NotStarted, or ValueError for a URL that cannot be used."""
        return RedisClient(self.redis_url(), Use.WORK, self.settings.redis_prefix)

    @property
    def schedule(self) -> Schedule | None:
        """The schedule of all sites, where Redis is there."""
        return None if self.redis is None else Schedule(self.redis, self.settings.timing)

    async def stored_sites(self) -> list[SiteId]:
        """The sites that Redis knows; none while it is not there."""
        if (schedule := self.schedule) is None:
            return []
        try:
            return sorted(await schedule.sites())
        except RedisUnavailable:
            return []

    async def sites(self) -> list[SiteId]:
        """The sites of the settings, and those that Redis knows."""
        return sorted({*self.settings.sites, *await self.stored_sites()})

    async def a_ticket(self) -> tuple[SiteId, TicketId] | None:
        """Some site and a ticket of it that is tracked."""
        if (schedule := self.schedule) is not None:
            for site in await self.stored_sites():
                for ticket in await schedule.tracked(site):
                    return site, ticket
        return None

    async def now(self) -> float:
        """Seconds since 1970, by Redis's clock where it is there."""
        if self.redis is None:
            return time.time()
        clock = RedisClock(self.redis)
        await clock.ask()
        return clock()

    async def call(self, site: SiteId, make: Callable[[Pay], Awaitable[T]], *, calls: int = 1) -> T:
        """Make a call to Wix that is paid for; raises its errors, and NoCall. *calls*: how many it may be, with that for a token."""
        schedule = self.schedule
        if schedule is not None and await schedule.rules(site) is not None:
            return await FromBudget(schedule, self._wait_for_budget).call(site, make)
        if self._unpaid < calls:
            raise NoCall(f"{UNPAID_CALLS} calls were made, and no Redis that knows the site is there to pay more from")
        self._unpaid -= calls
        return await make(_no_more)

    async def aclose(self) -> None:
        """Close the connections to Redis."""
        if self.redis is not None:
            await self.redis.aclose()


async def _no_more() -> bool:
    """A call that is not paid from a budget is not repeated."""
    return False
