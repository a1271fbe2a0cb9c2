"""One turn: one layout of the server in one state of notify, with viewers, orders, and webhooks without orders.

In: what is to happen. Out: the figures of this turn. The processes of the server have one core; Valkey, the local Wix, the mail relay
and the viewers share the other. While orders are placed, CPU is measured; then webhooks are posted, first at a fixed rate, then as
fast as they are answered. A campaign runs all the time: RuntimeError where it does not keep its pace.
"""

import asyncio
import random
import re
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.intake import post
from bench.notify_load.campaign import PER_SECOND, SALE_AFTER, State, add_events, settings
from bench.notify_load.mail_relay import MailRelay
from bench.servers import Redis, cpu_seconds, free_port, private_memory, unlimited_settings
from bench.time_to_truth.figures import figures
from bench.time_to_truth.local_wix import LocalWix, local_wix
from bench.time_to_truth.turn import part
from bench.time_to_truth.viewers import Viewers
from bench.viewers import compiled
from tests.rig.server import until

LAYOUTS = {"serve": ("serve",), "web and worker": ("web", "worker")}
"""By its name the processes of a layout; the first one listens."""
TICKETS = 40
ORDERS_PER_SECOND = 2.5
"""At equal intervals, of which 2, 8 and 30 s are multiples: so the later reads after an order share calls, and the order waits for none."""
AFTER_LAST = 1.0
"""Seconds that the last order has to reach its viewers."""
CAMPAIGN_WITHIN = 20.0
LEAST_PACE = 0.9
"""The share of its pace that a campaign must have."""
CONNECTIONS, RATE, FLAT_OUT = 8, 200.0, 20_000
"""Of the webhooks without orders: connections, how many a second, and how many as fast as they are answered."""
NOTIFY_MODULES = re.compile(r"(server\.notify|jinja2|babel|aiosmtplib|pywebpush)(\.|$)")
IMPORTED = re.compile(r"^import time: +\d+ \| +\d+ \| +(\S+)$", re.MULTILINE)
"""A line of Python's -X importtime."""


class InTurn(random.Random):
    """Chooses one after the other: an order for a ticket that was read within the last half second would wait until that is over."""

    def __init__(self) -> None:
        super().__init__(1)
        self._number = 0

    def choice(self, seq: Any) -> Any:
        """The next one."""
        self._number += 1
        return seq[self._number % len(seq)]


@dataclass(frozen=True, slots=True)
class Load:
    """What happens in each turn: orders for so many *seconds*, as many *viewers* spread over the tickets, and *recipients* of mails."""

    seconds: float
    viewers: int
    recipients: int

    def moments(self) -> Iterator[float]:
        """The times of the orders, in seconds from the beginning."""
        yield from (number / ORDERS_PER_SECOND for number in range(int(self.seconds * ORDERS_PER_SECOND)))


@dataclass(frozen=True, slots=True)
class Turn:
    """What one turn measured.

    delays   seconds from each order to the last viewer of its ticket, without the local Wix's own time
    intake   what posting webhooks came to: `p50` and `p99` in ms at RATE, `most` a second, and how many were `refused`
    cores    by process, how much of a core it used while orders were placed
    memory   by process, its private memory in bytes
    mails    mails a second while orders were placed
    modules  modules of notify, and of libraries that only notify needs, that were imported
    """

    delays: list[float]
    intake: Mapping[str, float]
    cores: Mapping[str, float]
    memory: Mapping[str, float]
    mails: float
    modules: list[str]


async def turn(layout: str, state: State, load: Load) -> Turn:
    """Run one; raises RuntimeError if a part did not start, an order did not reach a viewer, or a campaign did not keep its pace."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        redis = Redis.start(folder)
        stack.callback(redis.end)
        relay = await asyncio.to_thread(MailRelay, folder / "relay.log")
        stack.callback(relay.end)
        wix = await stack.enter_async_context(local_wix(TICKETS))
        add_events(wix.rig.world)
        sale_at = time.monotonic() + SALE_AFTER
        port = free_port()
        environment = {
            **wix.settings,
            **unlimited_settings(redis, port),
            **settings(state, folder, relay.port, load.recipients),
            "PYTHONPROFILEIMPORTTIME": "1",
        }
        pids = {"valkey": redis.process.pid}
        for name in reversed(LAYOUTS[layout]):
            listens = None if name == "worker" else port
            pids[name] = await stack.enter_async_context(part(name, folder, environment, listens))
        viewers = await Viewers.start(
            f"http://127.0.0.1:{port}", wix.rig.site, load.viewers, wix.tickets, folder / "viewers.log"
        )
        await asyncio.sleep(max(0.0, sale_at - time.monotonic()) + 1.0)
        if state is State.CAMPAIGN:
            await _under_way(relay)
        began, mails = time.monotonic(), await asyncio.to_thread(lambda: relay.mails)
        before = {name: cpu_seconds(pid) for name, pid in pids.items()}
        await wix.trade(port, load.moments(), InTurn(), all_webhooks=False)
        await asyncio.sleep(AFTER_LAST)
        cpu = {name: cpu_seconds(pid) - before[name] for name, pid in pids.items()}
        sent, seconds = await asyncio.to_thread(lambda: relay.mails) - mails, time.monotonic() - began
        seen = await viewers.end()
        intake = await _intake(folder, port, wix)
        if state is State.CAMPAIGN and sent / seconds < LEAST_PACE * PER_SECOND:
            raise RuntimeError(f"the campaign sent {sent / seconds:.1f} mails a second")
        modules = {
            name for process in LAYOUTS[layout] for name in IMPORTED.findall((folder / f"{process}.log").read_text())
        }
        return Turn(
            figures(wix, seen, cpu).delays,
            intake,
            {name: used / seconds for name, used in cpu.items()},
            {name: private_memory(pid) for name, pid in pids.items()},
            sent / seconds,
            sorted(filter(NOTIFY_MODULES.match, modules)),
        )


async def _under_way(relay: MailRelay) -> None:
    """Wait until the campaign has its pace: the first second's worth of mails may go out at once."""

    async def goes() -> bool:
        return await asyncio.to_thread(lambda: relay.mails) > 2 * PER_SECOND

    try:
        await until(goes, CAMPAIGN_WITHIN)
    except AssertionError:
        raise RuntimeError("the campaign did not begin") from None


async def _intake(folder: Path, port: int, wix: LocalWix) -> dict[str, float]:
    """Post the webhooks of the orders again, in turn."""
    bodies = folder / "bodies"
    bodies.write_text("".join(f"{one.jwt}\n" for one in wix.rig.confirmed()))
    program = await asyncio.to_thread(compiled, "post", folder)

    async def posted(count: int, rate: float) -> Mapping[str, float]:
        command = [str(program), str(port), str(bodies), str(CONNECTIONS), str(count), str(rate)]
        return await asyncio.to_thread(post, command)

    calm = await posted(int(4 * RATE), RATE)
    flat_out = await posted(FLAT_OUT, 0.0)
    return {
        "p50": calm["p50_ms"],
        "p99": calm["p99_ms"],
        "most": FLAT_OUT / flat_out["seconds"],
        "refused": int(4 * RATE) - calm["good"] + FLAT_OUT - flat_out["good"],
    }
