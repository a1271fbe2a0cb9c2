"""Wix's answers lag behind its webhooks, and some changes have no webhook: numbers are right in time all the same."""

import asyncio
import json
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from itertools import pairwise

from tests.rig.deployment import Deployment
from tests.rig.process import Run
from tests.rig.redis import Servers
from tests.rig.report import report
from tests.rig.server import until
from tests.rig.several_sites import several_sites
from tests.rig.wix import WixRig

LAGS = (0, 3, 8, 20)
"""Seconds by which reads lag, one for each site."""
NEXT_STEP, LAST_STEP = 8, 30
"""Seconds after a webhook of the first read that sees data 3 s old, and of the last read that it causes."""
A_READ = 5.0
"""Seconds that a read may take from its due time, on a busy machine: 0.5 s of that are the gap between reads."""
APART = 5
"""Seconds by which ends of holds are rounded up."""


class LaggingSite:
    """Ten unwatched tickets of one site, how often each is read, and when all are right."""

    def __init__(self, deployment: Deployment, wix: WixRig, lag: int) -> None:
        self.deployment = deployment
        self.wix = wix
        self.lag = lag
        self.tickets = wix.sandbox.add(10)
        self.right_at: float | None = None
        self._versions: list[Sequence[str | None]] = []

    async def look(self) -> None:
        versions = await self.deployment.stored(self.wix.site, self.tickets, "version")
        self._versions.append(versions)
        if self.right_at is None and await self.right():
            self.right_at = asyncio.get_running_loop().time()

    async def right(self) -> bool:
        return await self.deployment.right(self.wix, self.tickets)

    def sell(self) -> None:
        """Sell one of each: the order is begun and paid, with a webhook each."""
        self._versions.clear()
        self.wix.knobs.turn(stale_reads=self.lag)
        for ticket in self.tickets:
            self.wix.world.buy(ticket)

    @property
    def reads(self) -> int:
        """How often the most-read ticket was read since they were sold."""
        each: list[Sequence[str | None]] = list(zip(*self._versions, strict=True))
        return max(sum(one != other for one, other in pairwise(versions)) for versions in each)


async def test_lagging_wix_is_read_until_right(command: Run, redis_server: Servers) -> None:
    """After 20 webhooks on 10 tickets numbers are right with the first read after a webhook that can see the order."""
    async with AsyncExitStack() as stack:
        wix = await stack.enter_async_context(several_sites(len(LAGS)))
        deployment = Deployment(command, redis_server().url, wix.settings())
        sites = [LaggingSite(deployment, one, lag) for one, lag in zip(wix.sites, LAGS, strict=True)]
        deployment.worker()
        wix.send_to(await deployment.web())
        for site in sites:
            site.wix.knobs.turn(reservation_events=False)
            await until(site.right, 30)
        before = [site.wix.sandbox.delivery.last for site in sites]

        loop = asyncio.get_running_loop()
        began = loop.time()
        for site in sites:
            site.sell()
        while loop.time() - began < LAST_STEP + A_READ:
            for site in sites:
                await site.look()
            await asyncio.sleep(0.1)
        sent = [site.wix.sandbox.delivery.last - number for site, number in zip(sites, before, strict=True)]

    took = [site.right_at - began for site in sites if site.right_at is not None]
    reads = [site.reads for site in sites]
    report(
        "; ".join(
            f"lag {lag} s: right after {seconds:.1f} s, {number} reads a ticket"
            for lag, seconds, number in zip(LAGS, took, reads, strict=True)
        )
    )
    assert [20] * len(LAGS) == sent
    assert len(LAGS) == len(took)
    none, short, *_ = took
    assert A_READ >= none
    assert NEXT_STEP + A_READ >= short
    assert LAST_STEP + A_READ >= max(took)
    # One at once, and by the steps at most four more: an order's second webhook may come while the first is read.
    assert 1 + 4 >= max(reads)


async def test_ends_of_holds_and_sale_times_need_no_webhook(command: Run, redis_server: Servers, wix: WixRig) -> None:
    """A hold's end, a sale's start and its end are found in time without viewers and webhooks."""
    held, starts, ends = (wix.tickets[kind] for kind in ("fixed", "options", "free"))
    wix.sandbox.delivery.paused = True
    comes = time.time() + 60
    wix.world.update(starts, start=comes)
    wix.world.update(ends, end=comes)
    deployment = Deployment(command, redis_server().url, wix.settings(), RECONCILE="86400")
    deployment.worker()
    wix.send_to(await deployment.web())

    async def state(ticket: str) -> tuple[str | None, int | None]:
        [text] = await deployment.stored(wix.site, [ticket], "counter")
        counter = json.loads(text) if text else {}
        return counter.get("state"), counter.get("unsold")

    async def shown(ticket: str, *expected: object) -> float:
        """Waits until this is shown; returns the clock's seconds then."""

        async def same() -> bool:
            return await state(ticket) == expected

        await until(same, 60)
        return time.time()

    await shown(starts, "scheduled", 40)
    await shown(ends, "available", 15)
    await shown(held, "available", 120)
    # The reads that follow the hold's own webhook are over before it ends.
    wix.knobs.turn(hold_seconds=LAST_STEP + 8)
    wix.sandbox.delivery.paused = False
    hold = wix.world.hold(held, 7)
    await until(lambda: wix.sandbox.delivery.pending == 0)
    wix.sandbox.delivery.paused = True
    heard = wix.sandbox.delivery.last
    await shown(held, "available", 113)
    assert 20 < hold.expires - time.time()
    assert 20 < comes - time.time()

    back, begun, over = await asyncio.gather(
        shown(held, "available", 120), shown(starts, "available", 40), shown(ends, "ended", None)
    )

    assert {"ticket_reservation_updated"} <= {one.type.rpartition(".")[2] for one in wix.sandbox.delivery.since(heard)}
    report(
        f"no webhook reported it: a hold's end shown {back - hold.expires:.1f} s after it, "
        f"a sale's start {begun - comes:.1f} s, a sale's end {over - comes:.1f} s"
    )
    assert 0 <= back - hold.expires <= APART + A_READ
    assert 0 <= begun - comes <= 2 + A_READ
    assert 0 <= over - comes <= 2 + A_READ
