"""A site and its schedule on a real Redis, for tests that claim, pay and settle by hand."""

from typing import Any

import pytest

from server.model import EventId, Hint, Named, Pace, Rules, SiteId, TicketId, WatchedTicket
from server.redis.client import RedisClient, Use
from server.store.budget import Budget, Priority, Wait
from server.store.keys import WAKE, key
from server.store.schedule import LISTING, Listing, Lot, NextRead, Schedule
from server.store.snapshots import ReadResult, Snapshots
from server.store.timing import Timing
from tests.rig.elapse import elapse
from tests.rig.server import SITE

SITE_ID = SiteId(SITE)
EVENT = EventId("0b5f1a2e-4444-4444-8444-00000000e001")
A, B, C = (TicketId(f"{letter * 8}-aaaa-4aaa-8aaa-000000000001") for letter in "abc")

ORDER = "wix.events.v1.order_confirmed"


class ScheduledSite:
    """One site and its schedule; `chance` decides the jitter of pauses."""

    def __init__(self, url: str, timing: Timing | None = None, budget: Budget | None = None) -> None:
        self.store = RedisClient(url, Use.WORK)
        self.chance = 1.0
        self.schedule = Schedule(self.store, timing, budget, chance=lambda: self.chance)
        self.snapshots = Snapshots(self.store, Rules())

    async def aclose(self) -> None:
        await self.store.aclose()

    async def add_site(self, *, everything: bool) -> None:
        """Take it on, with its first listing done."""
        await self.schedule.add_site(SITE_ID, Rules(), everything=everything)
        if everything:
            await self.schedule.listing_done(await self.listing())

    async def passes(self, seconds: float, *tickets: TicketId) -> None:
        await elapse(self.store, SITE_ID, seconds, tickets)

    async def mark(self, *tickets: TicketId, event: EventId | None = None, named: Named = Named.TICKETS) -> int | None:
        return await self.schedule.mark(SITE_ID, Hint("order", tickets, event, named), ORDER)

    async def watch(self, *tickets: TicketId) -> None:
        assert await self.schedule.watch(SITE_ID, tickets, counters=False) is not None

    async def seen(self, *tickets: TicketId, counters: bool = True) -> tuple[WatchedTicket, ...]:
        """Look at these tickets, and answer what is stored of them."""
        known = await self.schedule.watch(SITE_ID, tickets, counters=counters)
        assert known is not None
        return known.tickets

    async def list_now(self) -> None:
        await list_now(self.schedule, SITE_ID)

    async def claim(self, rules: Rules | None = None) -> Lot | Listing | Wait:
        return await self.schedule.claim(SITE_ID, rules or Rules())

    async def listing(self) -> Listing:
        """The listing, which is due."""
        found = await self.claim()
        assert isinstance(found, Listing), found
        return found

    async def lot(self) -> Lot:
        """What is due, whatever the gap between two reads."""
        await self.store.do("HSET", key(SITE, "reads"), "last_lot", 0)
        found = await self.claim()
        assert isinstance(found, Lot), found
        return found

    async def knows(self, *tickets: TicketId, pace: Pace = Pace.LIVE) -> None:
        """Have read these tickets just now."""
        version = await self.schedule.spend(SITE_ID, Priority.HINTED)
        assert not isinstance(version, Wait)
        findings = [ReadResult(ticket, pace, f'"ticket":"{ticket}"}}', "{}", 3, EVENT) for ticket in tickets]
        await self.snapshots.keep(SITE_ID, version, findings)

    async def call(self, what: str) -> int | Wait:
        """Call Wix if that is allowed: for a claimed read of a hinted ticket, or a payment of this class."""
        if what != "claim":
            return await self.schedule.spend(SITE_ID, Priority(what))
        for name in ("due", "hinted"):
            await self.store.do("ZADD", key(SITE, name), 1, A)
        found = await self.claim()
        assert not isinstance(found, Listing)
        return found.version if isinstance(found, Lot) else found

    async def reads(self) -> dict[str, str]:
        """All that is kept of the budget."""
        return dict(await self.store.do("HGETALL", key(SITE, "reads")))

    async def settle(self, lot: Lot, *, pace: Pace = Pace.LIVE, **more: Any) -> None:
        await self.schedule.settle(lot, [NextRead(ticket, pace, **more) for ticket in lot.tickets])

    async def scores(self, name: str = "due") -> dict[str, float]:
        """Seconds from now until each member's time."""
        now = await self.now()
        members = await self.store.do("ZRANGE", key(SITE, name), 0, -1)
        found = {one: float(await self.store.do("ZSCORE", key(SITE, name), one)) for one in members}
        return {one: (at - now) / 1e6 for one, at in found.items() if one != LISTING}

    async def due(self, ticket: TicketId) -> float | None:
        return (await self.scores()).get(ticket)

    async def now(self) -> int:
        second, micro = await self.store.do("TIME")
        return int(second) * 1_000_000 + int(micro)

    async def keys(self) -> list[str]:
        return sorted(await self.store.do("KEYS", "*"))


async def list_now(schedule: Schedule, site: str) -> None:
    """Make the listing of a site due, as nothing in the product does without a reason."""
    await schedule.redis.do("ZADD", key(site, "due"), "LT", 0, LISTING)
    await schedule.redis.do("PUBLISH", WAKE, site)


def about(seconds: float) -> Any:
    """A time that the run of a test does not change."""
    return pytest.approx(seconds, abs=0.5)
