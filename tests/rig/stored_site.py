"""One site as Redis stores it: its schedule, its budget and its snapshots, and ways to look at each.

`StoredSite(redis_url)` is one worker's view; two of them on one Redis are two workers.
"""

import json
from typing import Any, Self

import pytest

from server.counter import Rules
from server.model import Definition, EventId, Hint, Named, Pace, SiteId, TicketId, WatchedTicket
from server.redis.client import RedisClient, Use
from server.store.budget import Budget, Priority, Wait
from server.store.claims import LISTING, EventLot, Listing, Lot, NextRead
from server.store.schedule import Schedule
from server.store.snapshots import Kept, ReadResult, Snapshots
from server.store.timing import Timing
from tests.rig.default_keys import WAKE, key
from tests.rig.server import SITE, TICKET
from tests.rig.time_travel import elapse

SITE_ID = SiteId(SITE)
EVENT = EventId("0b5f1a2e-4444-4444-8444-00000000e001")
A, B, C = (TicketId(f"{letter * 8}-aaaa-4aaa-8aaa-000000000001") for letter in "abc")
"""Tickets of the site."""

ORDER = "wix.events.v1.order_confirmed"


class StoredSite:
    """One site, its schedule and its snapshots; `chance` decides the jitter of pauses."""

    def __init__(
        self,
        url: str,
        site: SiteId = SITE_ID,
        rules: Rules | None = None,
        *,
        timing: Timing | None = None,
        budget: Budget | None = None,
    ) -> None:
        self.store = RedisClient(url, Use.WORK)
        self.chance = 1.0
        self.schedule = Schedule(self.store, timing, budget, chance=lambda: self.chance)
        self.snapshots = Snapshots(self.store, rules or Rules())
        self.site = site

    async def aclose(self) -> None:
        """Close the connections."""
        await self.store.aclose()

    async def add_site(self, *, everything: bool = True) -> Self:
        """Take the site on; answers itself."""
        await self.schedule.add_site(self.site, self.snapshots.rules, everything=everything)
        return self

    async def add_listed_site(self) -> None:
        """Take the site on, with its first listing done."""
        await self.add_site()
        await self.schedule.listing_done(await self.listing())

    async def passes(self, seconds: float, *tickets: TicketId) -> None:
        """Let time pass for the site, and for the snapshots of these tickets."""
        await elapse(self.store, self.site, seconds, tickets)

    async def now(self) -> int:
        """Redis's time, in microseconds."""
        second, micro = await self.store.do("TIME")
        return int(second) * 1_000_000 + int(micro)

    async def keys(self) -> list[str]:
        """Every key in Redis."""
        return sorted(await self.store.do("KEYS", "*"))

    # -- hints and viewers --

    async def mark(self, *tickets: TicketId, event: EventId | None = None, named: Named = Named.TICKETS) -> int | None:
        """Hint at these tickets, as a webhook does."""
        return await self.schedule.mark(self.site, Hint("order", tickets, event, named), ORDER)

    async def watch(self, *tickets: TicketId) -> None:
        """Watch these tickets."""
        assert await self.schedule.watch(self.site, tickets, counters=False) is not None

    async def seen(self, *tickets: TicketId, counters: bool = True) -> tuple[WatchedTicket, ...]:
        """Watch these tickets; answers what is stored of them."""
        known = await self.schedule.watch(self.site, tickets, counters=counters)
        assert known is not None
        return known.tickets

    # -- claims --

    async def claim(self, rules: Rules | None = None) -> Lot | EventLot | Listing | Wait:
        """Claim what is due."""
        return await self.schedule.claim(self.site, rules or Rules())

    async def list_now(self) -> None:
        """Make the listing due."""
        await list_now(self.schedule, self.site)

    async def listing(self) -> Listing:
        """Claim the listing, which is due."""
        found = await self.claim()
        assert isinstance(found, Listing), found
        return found

    async def lot(self) -> Lot:
        """Claim the tickets that are due, whatever the gaps between reads."""
        await self.forget_gaps()
        found = await self.claim()
        if isinstance(found, EventLot):
            await self.schedule.settle_events(found)
            found = await self.claim()
        assert isinstance(found, Lot), found
        return found

    async def forget_gaps(self) -> None:
        """Let neither the site nor a ticket wait for the gap after its last read."""
        await self.store.do("HSET", key(self.site, "reads"), "last_lot", 0)
        await self.store.do("DEL", key(self.site, "claimed"))

    async def settle(self, lot: Lot, *, pace: Pace = Pace.LIVE, **more: Any) -> None:
        """End the claim of a lot whose tickets were all read."""
        await self.schedule.settle(lot, [NextRead(ticket, pace, **more) for ticket in lot.tickets])

    async def scores(self, name: str = "due") -> dict[str, float]:
        """Seconds from now until each member's time."""
        now = await self.now()
        members = await self.store.do("ZRANGE", key(self.site, name), 0, -1)
        found = {one: float(await self.store.do("ZSCORE", key(self.site, name), one)) for one in members}
        return {one: (at - now) / 1e6 for one, at in found.items() if one != LISTING}

    async def due(self, ticket: TicketId) -> float | None:
        """Seconds from now until a ticket is due; None where it is not scheduled."""
        return (await self.scores()).get(ticket)

    async def reads(self) -> dict[str, str]:
        """All that is stored of the budget."""
        return dict(await self.store.do("HGETALL", key(self.site, "reads")))

    # -- snapshots --

    async def knows(self, *tickets: TicketId, pace: Pace = Pace.LIVE) -> None:
        """Have read these tickets just now."""
        version = await self.schedule.spend(self.site, Priority.HINTED)
        assert not isinstance(version, Wait)
        findings = [ReadResult(ticket, pace, f'"ticket":"{ticket}"}}', "{}", 3, event=EVENT) for ticket in tickets]
        await self.snapshots.keep(self.site, version, findings)

    async def keep(self, version: int, *found: Definition | ReadResult) -> list[Kept]:
        """Keep what was read in this version."""
        findings = [
            one if isinstance(one, ReadResult) else ReadResult.of(one, None, self.snapshots.rules) for one in found
        ]
        return await self.snapshots.keep(self.site, version, findings)

    async def read(self, ticket: TicketId = TicketId(TICKET)) -> dict[str, str]:  # noqa: B008 - a plain string
        """The snapshot of a ticket."""
        return dict(await self.store.do("HGETALL", key(self.site, "ticket", ticket)))

    async def counter(self, ticket: TicketId = TicketId(TICKET)) -> dict[str, Any]:  # noqa: B008 - a plain string
        """The counter of a ticket."""
        return dict(json.loads((await self.read(ticket))["counter"]))

    async def log(self, name: str) -> list[dict[str, str]]:
        """The entries of a stream, oldest first."""
        found = await self.store.do("XRANGE", key(self.site, name), "-", "+")
        return [dict(fields) for _, fields in found]

    async def ttl(self, *parts: str) -> int:
        """Seconds until a key expires."""
        return int(await self.store.do("TTL", key(self.site, *parts)))


async def list_now(schedule: Schedule, site: str) -> None:
    """Make the listing of a site due, as nothing in the product does without a reason."""
    await schedule.redis.do("ZADD", key(site, "due"), "LT", 0, LISTING)
    await schedule.redis.do("PUBLISH", WAKE, site)


def about(seconds: float) -> Any:
    """A time that the run of a test does not change."""
    return pytest.approx(seconds, abs=0.5)


async def held(site: StoredSite, ticket: TicketId, ends: float) -> int | None:
    """Mark a ticket as a webhook does that reports a hold; it ends in so many seconds."""
    moment = await site.now() + round(ends * 1e6)
    return await site.schedule.mark(SITE_ID, Hint("reservation_created", (ticket,), hold_ends_us=moment), "reserved")
