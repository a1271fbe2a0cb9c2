"""A worker and the orders of a site, in the real scripts and in simulated time: hours of trade within seconds.

`shop = SimulatedWorker(site)`, `await shop.trade(orders, seconds)`, then `shop.calls` and `shop.delays`. Times are seconds
since the beginning. Redis's clock cannot be set: time passes as in tests/rig/time_travel.py. The commands themselves take
some real time, which counts.
"""

import heapq
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from itertools import pairwise

from server.model import TicketId
from server.store.budget import Wait
from server.store.claims import Lot
from server.store.timing import micros
from tests.rig.default_keys import key
from tests.rig.stored_site import StoredSite

POLL_EVERY = 1.0
"""Seconds after which the worker asks for a claim without a reason, as the real one does."""


@dataclass
class SimulatedWorker:
    """One worker of a listed site, whose Wix answers after *latency* seconds; it reads *reads_at_once* lots at a time."""

    site: StoredSite
    latency: float = 0.0
    reads_at_once: int = 2
    calls: list[float] = field(default_factory=list)
    """When each call to Wix began."""
    read_at: dict[TicketId, list[float]] = field(default_factory=lambda: defaultdict(list))
    """When each ticket was claimed."""
    delays: list[float] = field(default_factory=list)
    """Seconds from each order to the claim of the first read that includes it."""
    late: float = 0.0
    """How late an order was placed at most: the commands take a while, under load longer than the time between two orders."""
    claims: int = 0
    """How often the worker asked for a claim."""
    _passed: int = 0
    _began: int = 0
    _in_flight: list[tuple[float, int, Lot, int]] = field(default_factory=list)

    async def trade(self, orders: Iterable[tuple[float, TicketId]], until: float) -> None:
        """Place these orders (time, ticket) one after the other, and let the worker read, until that time."""
        self._began = self._began or await self.site.now()
        coming = sorted(orders)
        unread: dict[TicketId, list[float]] = defaultdict(list)
        asks_at = 0.0
        while True:
            free = len(self._in_flight) < self.reads_at_once
            moments = [until, *(at for at, *_ in self._in_flight[:1]), *(at for at, _ in coming[:1])]
            if free:
                moments.append(asks_at)
            now = await self._advance(min(moments))
            if now >= until:
                return
            if coming and coming[0][0] <= now:
                earliest, asks_at = coming[0][0], now
                while coming and coming[0][0] <= now:
                    at, ticket = coming.pop(0)
                    await self.site.mark(ticket)
                    unread[ticket].append(at)
                # Many at once take a while, and each is a hint of the moment at which it was placed.
                self.late = max(self.late, await self._now() - earliest)
            while self._in_flight and self._in_flight[0][0] <= now:
                _, _, lot, passed = heapq.heappop(self._in_flight)
                await self._settle(
                    replace(
                        lot, version=lot.version - (self._passed - passed), lease=lot.lease - (self._passed - passed)
                    ),
                    lot,
                )
                asks_at = now
            if len(self._in_flight) < self.reads_at_once and asks_at <= now:
                asks_at = await self._claim(unread)

    async def _claim(self, unread: dict[TicketId, list[float]]) -> float:
        """Ask for a claim; answers when to ask for the next one."""
        self.claims += 1
        found = await self.site.claim()
        now = await self._now()
        if isinstance(found, Wait):
            return now + min(found.seconds, POLL_EVERY)
        assert isinstance(found, Lot), "only tickets are claimed"
        began = (found.version - self._began + self._passed) / 1e6
        self.calls.append(began)
        for ticket in found.tickets:
            self.read_at[ticket].append(began)
            self.delays += [began - at for at in unread.pop(ticket, ())]
        heapq.heappush(self._in_flight, (began + self.latency, found.version, found, self._passed))
        return now

    async def _settle(self, lot: Lot, claimed: Lot) -> None:
        """End the claim of a lot, which was *claimed* under another version, since time has passed for all that is stored."""
        reads = key(self.site.site, "reads")
        ends = await self.site.store.do("HGET", reads, f"lot:{claimed.version}")
        if ends is not None:
            await self.site.store.do("HDEL", reads, f"lot:{claimed.version}")
            await self.site.store.do("HSET", reads, f"lot:{lot.version}", ends)
        await self.site.settle(lot)

    async def _advance(self, until: float) -> float:
        """Let time pass until then; answers the time."""
        wait = until - await self._now()
        if wait > 0:
            await self.site.passes(wait)
            # Whole microseconds, as they have passed for what is stored.
            self._passed += micros(wait)
        return await self._now()

    async def _now(self) -> float:
        return (await self.site.now() - self._began + self._passed) / 1e6

    @property
    def closest_reads(self) -> float:
        """The shortest time between two reads of one ticket, to the microsecond."""
        return min(
            (round(after - before, 6) for at in self.read_at.values() for before, after in pairwise(at)),
            default=float("inf"),
        )
