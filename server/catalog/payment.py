"""Pays for the calls that a command makes to Wix.

In: a site and a call. Out: what Wix answered, or the error of the call. A site that Redis knows pays from its budget, as its worker
does, so that both together stay below Wix's limit; without a Redis there is no worker, and a pace of its own keeps that limit.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar

from server.errors import NotThere, WixForbidden, WixRefused, WixUnavailable
from server.model import SiteId
from server.store.budget import Budget, Priority, Wait
from server.store.schedule import Schedule
from server.wix.calls import Pay

PAID_WITHIN = 15.0
"""Seconds that a call waits for the budget: a person waits for it."""

LOOK_EVERY = 0.25
"""Seconds between two questions whether the budget has a call."""

T = TypeVar("T")


class NoneLeft(WixUnavailable):
    """No call may be made for now: the site's calls are used up, or it is paused after a fault of Wix."""


class Payment(Protocol):
    """What pays for calls."""

    async def call(self, site: SiteId, make: Callable[[Pay], Awaitable[T]]) -> T:
        """Make a call once it is paid for; raises the errors of the call, and WixUnavailable where none may be made for long."""


class FromBudget:
    """Pays from the budget in Redis. Raises RedisUnavailable."""

    def __init__(self, schedule: Schedule, within: float = PAID_WITHIN) -> None:
        self._schedule = schedule
        self._within = within

    async def call(self, site: SiteId, make: Callable[[Pay], Awaitable[T]]) -> T:
        """Make a call once the budget pays for it."""
        version = await self._pay(site)
        answered = False
        try:
            found = await make(lambda: self._schedule.try_spend(site, Priority.HINTED))
        except (WixForbidden, WixRefused, NotThere):
            answered = True
            raise
        except WixUnavailable as error:
            if error.status == 429:
                await self._schedule.pause(site, None, error.retry_after)
            raise
        else:
            answered = True
            return found
        finally:
            await self._schedule.ended(site, version, good=answered)

    async def _pay(self, site: SiteId) -> int:
        loop = asyncio.get_running_loop()
        ends = loop.time() + self._within
        while isinstance(version := await self._schedule.spend(site, Priority.HINTED), Wait):
            # After a fault one call at a time may try, and while the worker's does, its lease is what the answer says.
            if loop.time() >= ends or version.seconds > max(self._within, self._schedule.timing.lease):
                raise NoneLeft(
                    f"no call to Wix may be made for site {site} for {version.seconds:.0f} s: its calls are used up, or paused "
                    "after a fault of Wix",
                    hint="the worker's log names the fault (`wix_fault`), and `ticket-counter doctor` what else is wrong",
                )
            await asyncio.sleep(min(version.seconds, LOOK_EVERY))
        return version


class ByPace:
    """Pays without Redis: a burst, then so many calls a second, by Wix's limit."""

    def __init__(self, budget: Budget | None = None) -> None:
        self._budget = budget or Budget()
        self._made = 0

    async def call(self, _: SiteId, make: Callable[[Pay], Awaitable[T]]) -> T:
        """Make a call in its turn."""
        await self._turn()
        return await make(self._again)

    async def _again(self) -> bool:
        await self._turn()
        return True

    async def _turn(self) -> None:
        self._made += 1
        if self._made > self._budget.capacity:
            await asyncio.sleep(1 / self._budget.refill)
