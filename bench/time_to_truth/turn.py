"""One turn: a Valkey, the local Wix, a worker and a web of one checkout, 100 viewers, and a minute of orders.

In: the folder of the checkout, and what is to happen. Out: the figures of this turn. Worker and web have one core; Valkey, the
local Wix and the viewers share the other.
"""

import asyncio
import random
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.servers import Redis, cpu_seconds, end, free_port, launch, unlimited_settings
from bench.time_to_truth.figures import Figures, figures
from bench.time_to_truth.local_wix import LocalWix, local_wix
from bench.time_to_truth.viewers import Viewers

UNTIL_FULL = 8.0
"""Seconds without orders, in which the bucket fills after the first reads: 20 calls at 3 a second."""
AFTER_LAST = 3.0
"""Seconds that the last order has to reach its viewers."""


@dataclass(frozen=True, slots=True)
class Trade:
    """What happens in a turn: *rate* orders a second for *seconds*, at random (a Poisson process) or equally far apart."""

    rate: float
    seconds: float
    tickets: int
    viewers: int
    regular: bool
    all_webhooks: bool
    read_delay: float
    seed: int

    def moments(self, dice: random.Random) -> Iterator[float]:
        """The times of the orders, in seconds from the beginning."""
        at = 0.0
        while (at := at + (1 / self.rate if self.regular else dice.expovariate(self.rate))) < self.seconds:
            yield at


async def turn(root: Path, trade: Trade) -> Figures:
    """Run one; raises RuntimeError if a part did not start, or an order did not reach a viewer."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        redis = Redis.start(folder)
        stack.callback(redis.end)
        wix = await stack.enter_async_context(local_wix(trade.tickets))
        wix.rig.knobs.turn(read_delay=trade.read_delay)
        port = free_port()
        settings = {**wix.settings, **unlimited_settings(redis, port), "PYTHONPATH": str(root)}
        worker = await stack.enter_async_context(part("worker", folder, settings, None))
        web = await stack.enter_async_context(part("web", folder, settings, port))
        viewers = await Viewers.start(
            f"http://127.0.0.1:{port}", wix.rig.site, trade.viewers, wix.tickets, folder / "viewers.log"
        )
        await asyncio.sleep(UNTIL_FULL)
        before = {"worker": cpu_seconds(worker), "web": cpu_seconds(web)}
        await _orders(wix, port, trade)
        cpu = {name: cpu_seconds(pid) - before[name] for name, pid in (("worker", worker), ("web", web))}
        return figures(wix, await viewers.end(), cpu)


async def _orders(wix: LocalWix, port: int, trade: Trade) -> None:
    dice = random.Random(trade.seed)
    await wix.trade(port, trade.moments(dice), dice, all_webhooks=trade.all_webhooks)
    await asyncio.sleep(AFTER_LAST)


@asynccontextmanager
async def part(name: str, folder: Path, settings: dict[str, str], port: int | None) -> AsyncIterator[int]:
    """A process of the server; answers its id."""
    command = [sys.executable, "-m", "server.cli", name]
    process = await asyncio.to_thread(launch, name, folder, command, settings, port=port)
    try:
        yield process.pid
    finally:
        await asyncio.to_thread(end, process)
