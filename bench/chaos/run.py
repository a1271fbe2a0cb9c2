"""One run of chaos: trade and faults go their planned ways, what is broken heals, everything ends in order, and is judged.

In: a seed, how long, and a folder for what the processes write. Out: one object of JSON with the verdict and every
figure, with units in their names.
"""

import asyncio
import gc
import hashlib
import math
import os
import platform
import random
import time
from collections.abc import AsyncIterator, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.chaos import checker, consumer, faults, logs, workload
from bench.chaos.checker import Record, Verdict
from bench.chaos.consumer import Ledger
from bench.chaos.faults import Fault, Happened
from bench.chaos.recorder import Witness
from bench.chaos.testbed import SETTINGS, Scene, scene
from bench.chaos.workload import Act, Trade
from server.errors import RedisUnavailable
from tests.rig.crowd import Crowd

READY_WITHIN = 60.0
STILL = 3.0
"""Seconds for which all must be true before it is called healed."""
LOOK_EVERY = 0.25
RELOADS = 1.0
"""Pages that are loaded anew each second."""


class NotReady(Exception):
    """The scene was not well before anything was broken."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be run: *settings* go to our processes over those of the scene; the bounds do not move with them."""

    seed: int
    seconds: float
    viewers: int = 500
    tickets: int = 40
    settle: float = 90.0
    settings: Mapping[str, str] = field(default_factory=dict)
    only: Sequence[str] = ()

    @property
    def acts(self) -> list[Act]:
        """What is traded."""
        return workload.plan(self.seed, self.seconds)

    @property
    def faults(self) -> list[Fault]:
        """What breaks."""
        return faults.plan(self.seed, self.seconds, self.only)

    @property
    def plan(self) -> str:
        """A short name of both, the same for the same plans."""
        return hashlib.sha256(repr((self.acts, self.faults)).encode()).hexdigest()[:16]


class Ordeal:
    """One run: who takes part, and what happened."""

    def __init__(self, wanted: Wanted, stage: Scene) -> None:
        self.wanted = wanted
        self.stage = stage
        self.witness = Witness(stage.sandbox)
        self.crowd = Crowd(stage.viewers_ports, self.witness.look)
        self.crowd.fill(wanted.viewers, stage.tickets, random.Random(wanted.seed))
        self.ledger = Ledger(stage.redis.url, stage.site)
        self.trade = Trade(stage.sandbox.world, stage.tickets, self.witness.look_around)
        self.happened: list[Happened] = []
        self.ready = self.healed = False
        self.calm = self.end = 0.0

    async def go(self) -> None:
        """All of it, from viewers that come to processes that have ended."""
        supervisors = [part.supervise() for part in self.stage.parts.values()]
        async with _beside(self.witness.run(), self.stage.take_turns(), *supervisors):
            async with _beside(self.crowd.run(), self.ledger.run()):
                self.ready = await self._heal(READY_WITHIN)
                if self.ready:
                    # What is here now stays: the collector need not look at it again and again.
                    gc.freeze()
                    await self._act()
                    self.calm = time.monotonic()
                    self.healed = await self._heal(self.wanted.settle)
                self.end = time.monotonic()
            await self.crowd.aclose()
            await self._last_entries()
        await asyncio.gather(*(part.end() for part in self.stage.parts.values()))
        await self.stage.end_redis()

    async def _act(self) -> None:
        began = time.monotonic()
        async with _beside(self._reload()), asyncio.TaskGroup() as group:
            group.create_task(self.trade.run(self.wanted.acts, began))
            group.create_task(faults.play(self.stage, self.wanted.faults, began, self.happened))
            group.create_task(asyncio.sleep(self.wanted.seconds))

    async def _reload(self) -> None:
        dice = random.Random(f"reloads {self.wanted.seed}")
        while True:
            await asyncio.sleep(1 / RELOADS)
            dice.choice(self.crowd.viewers).reload()

    async def _heal(self, within: float) -> bool:
        """Wait until all is true, nothing is held any more, and that stays so."""
        deadline, since = time.monotonic() + within, math.inf
        while time.monotonic() < deadline:
            await asyncio.sleep(LOOK_EVERY)
            if not self._true() or self.stage.sandbox.world.holds:
                since = math.inf
            elif since == math.inf:
                since = time.monotonic()
            elif time.monotonic() - since >= STILL:
                return True
        return False

    def _true(self) -> bool:
        now = {ticket: past.now for ticket, past in self.witness.claims.items()}
        shown = all(viewer.shows(ticket) == now[ticket] for viewer in self.crowd.viewers for ticket in viewer.tickets)
        return shown and self.ledger.present(self.witness.facts)

    async def _last_entries(self) -> None:
        try:
            await self.ledger.read()
        except RedisUnavailable:
            self.ledger.unavailable += 1
        await self.ledger.aclose()

    def record(self, folder: Path) -> tuple[Record, dict[str, int]]:
        """What it left, and how often each loud event was told."""
        lives = {name: [life.err for life in part.lives] for name, part in self.stage.parts.items()}
        loud = logs.read(folder, lives)
        offset = time.time() - time.monotonic()
        record = Record(
            end=self.end,
            max_stale=float(SETTINGS["MAX_STALE"]),
            viewers=self.crowd.viewers,
            claims=self.witness.claims,
            deals=self.trade.deals,
            faults=self.happened,
            endings=[ending for part in self.stage.parts.values() for ending in part.endings],
            unexplained=logs.unexplained(loud, self.happened, offset),
            changes=consumer.broken(self.ledger.ordered, self.witness.facts),
            refused=self.crowd.refused,
        )
        return record, logs.counted(loud)

    def told(self, folder: Path) -> dict[str, Any]:
        """The verdict, and every figure."""
        record, loud = self.record(folder)
        viewers, sandbox = self.crowd.viewers, self.stage.sandbox
        return {
            "seed": self.wanted.seed,
            "seconds": self.wanted.seconds,
            "viewers": self.wanted.viewers,
            "tickets": self.wanted.tickets,
            "settings": {**SETTINGS, **self.wanted.settings},
            "plan": self.wanted.plan,
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
            "machine": f"{platform.system()}, {os.cpu_count()} cores, Python {platform.python_version()}",
            **_found(checker.judge(record)),
            "healed": self.healed,
            "settling_s": self.end - self.calm,
            "loop_late_at_most_s": self.witness.latest,
            "loop_too_late_times": self.witness.late,
            "counts": {
                "orders, holds and edits": len(self.trade.deals),
                "refused by the shop": self.trade.refused,
                "faults": len(self.happened),
                "connections that spoke": sum(len(viewer.episodes) for viewer in viewers),
                "values shown": sum(len(told) for viewer in viewers for told in viewer.told.values()),
                "webhooks": sandbox.delivery.last,
                "calls of Wix": len(sandbox.calls.since()),
                "changes": len(self.ledger.entries),
                "changes given again": self.ledger.again,
                "entries dropped by the stream": self.ledger.dropped,
            },
            "loud": loud,
        }


async def run(wanted: Wanted, folder: Path) -> dict[str, Any]:
    """Run one and tell what came of it; raises NotReady, or TimeoutError where a process does not even listen."""
    async with scene(folder, wanted.seed, wanted.tickets, wanted.settings) as stage:
        ordeal = Ordeal(wanted, stage)
        await ordeal.go()
    if not ordeal.ready:
        raise NotReady(f"not every viewer saw the truth within {READY_WITHIN:.0f} s of the start, before any fault")
    return ordeal.told(folder)


def _found(found: Verdict) -> dict[str, Any]:
    return {
        "kept": found.kept,
        "bounds": [{**asdict(bound), "kept": bound.kept} for bound in found.bounds],
        "calm_s": [_finite(value) for value in found.calm],
        "healings": [{**asdict(one), "healed": _finite(one.healed)} for one in found.healings],
        "oldest_claim_while_connected_s": _finite(found.oldest_living),
        "oldest_claim_while_cut_s": _finite(found.oldest_cut),
        "withdrawn_share": found.withdrawn,
        "findings": found.findings,
    }


def _finite(value: float) -> float | None:
    """JSON knows no infinity: None stands for never."""
    return value if math.isfinite(value) else None


@asynccontextmanager
async def _beside(*coroutines: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Run these beside the block; one that fails ends the block with its error."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one) for one in coroutines]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
