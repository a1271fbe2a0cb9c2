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
from bench.chaos.checker import Record, Result
from bench.chaos.consumer import ChangeConsumer
from bench.chaos.faults import Fault, FaultRecord
from bench.chaos.recorder import Recorder
from bench.chaos.testbed import SETTINGS, Testbed, running_testbed
from bench.chaos.workload import Action, Workload
from server.errors import RedisUnavailable
from tests.rig.crowd import Crowd

READY_WITHIN = 60.0
STABLE_FOR = 3.0
"""Seconds for which all must be true before it is called healed."""
POLL_EVERY = 0.25
RELOADS_PER_SECOND = 1.0
"""Pages that are loaded anew each second."""


class NotReady(Exception):
    """The scene was not well before anything was broken."""


@dataclass(frozen=True, slots=True)
class RunConfig:
    """What is to be run: *settings* go to our processes over those of the scene; the bounds do not move with them."""

    seed: int
    seconds: float
    viewers: int = 500
    tickets: int = 40
    settle: float = 90.0
    settings: Mapping[str, str] = field(default_factory=dict)
    only: Sequence[str] = ()

    @property
    def actions(self) -> list[Action]:
        """What is traded."""
        return workload.plan(self.seed, self.seconds)

    @property
    def faults(self) -> list[Fault]:
        """What breaks."""
        return faults.plan(self.seed, self.seconds, self.only)

    @property
    def plan(self) -> str:
        """A short name of both, the same for the same plans."""
        return hashlib.sha256(repr((self.actions, self.faults)).encode()).hexdigest()[:16]


class ChaosRun:
    """One run: who takes part, and what happened."""

    def __init__(self, config: RunConfig, testbed: Testbed) -> None:
        self.config = config
        self.testbed = testbed
        self.recorder = Recorder(testbed.sandbox)
        self.crowd = Crowd(testbed.viewers_ports, self.recorder.observe)
        self.crowd.fill(config.viewers, testbed.tickets, random.Random(config.seed))
        self.consumer = ChangeConsumer(testbed.redis.url, testbed.site)
        self.workload = Workload(testbed.sandbox.world, testbed.tickets, self.recorder.observe_all)
        self.faults: list[FaultRecord] = []
        self.ready = self.healed = False
        self.calm = self.end = 0.0

    async def execute(self) -> None:
        """All of it, from viewers that come to processes that have ended."""
        supervisors = [part.supervise() for part in self.testbed.parts.values()]
        async with _in_background(self.recorder.run(), self.testbed.alternate_webhooks(), *supervisors):
            async with _in_background(self.crowd.run(), self.consumer.run()):
                self.ready = await self._heal(READY_WITHIN)
                if self.ready:
                    # What is here now stays: the collector need not look at it again and again.
                    gc.freeze()
                    await self._act()
                    self.calm = time.monotonic()
                    self.healed = await self._heal(self.config.settle)
                self.end = time.monotonic()
            await self.crowd.aclose()
            await self._last_entries()
        await asyncio.gather(*(part.end() for part in self.testbed.parts.values()))
        await self.testbed.end_redis()

    async def _act(self) -> None:
        began = time.monotonic()
        async with _in_background(self._reload()), asyncio.TaskGroup() as group:
            group.create_task(self.workload.run(self.config.actions, began))
            group.create_task(faults.inject(self.testbed, self.config.faults, began, self.faults))
            group.create_task(asyncio.sleep(self.config.seconds))

    async def _reload(self) -> None:
        rng = random.Random(f"reloads {self.config.seed}")
        while True:
            await asyncio.sleep(1 / RELOADS_PER_SECOND)
            rng.choice(self.crowd.viewers).reload()

    async def _heal(self, within: float) -> bool:
        """Wait until all is true, nothing is held any more, and that stays so."""
        deadline, since = time.monotonic() + within, math.inf
        while time.monotonic() < deadline:
            await asyncio.sleep(POLL_EVERY)
            if not self._all_correct() or self.testbed.sandbox.world.holds:
                since = math.inf
            elif since == math.inf:
                since = time.monotonic()
            elif time.monotonic() - since >= STABLE_FOR:
                return True
        return False

    def _all_correct(self) -> bool:
        now = {ticket: past.now for ticket, past in self.recorder.claims.items()}
        shown = all(viewer.shows(ticket) == now[ticket] for viewer in self.crowd.viewers for ticket in viewer.tickets)
        return shown and self.consumer.is_current(self.recorder.facts)

    async def _last_entries(self) -> None:
        try:
            await self.consumer.read()
        except RedisUnavailable:
            self.consumer.unavailable += 1
        await self.consumer.aclose()

    def record(self, folder: Path) -> tuple[Record, dict[str, int]]:
        """What it left, and how often each loud event was told."""
        lives = {name: [life.err for life in part.lives] for name, part in self.testbed.parts.items()}
        loud = logs.read(folder, lives)
        offset = time.time() - time.monotonic()
        record = Record(
            end=self.end,
            max_stale=float(SETTINGS["MAX_STALE"]),
            viewers=self.crowd.viewers,
            claims=self.recorder.claims,
            actions=self.workload.actions,
            faults=self.faults,
            endings=[ending for part in self.testbed.parts.values() for ending in part.endings],
            unexplained=logs.unexplained(loud, self.faults, offset),
            changes=consumer.chain_errors(self.consumer.ordered, self.recorder.facts),
            refused=self.crowd.refused,
        )
        return record, logs.count_events(loud)

    def report(self, folder: Path) -> dict[str, Any]:
        """The verdict, and every figure."""
        record, loud = self.record(folder)
        viewers, sandbox = self.crowd.viewers, self.testbed.sandbox
        return {
            "seed": self.config.seed,
            "seconds": self.config.seconds,
            "viewers": self.config.viewers,
            "tickets": self.config.tickets,
            "settings": {**SETTINGS, **self.config.settings},
            "plan": self.config.plan,
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
            "machine": f"{platform.system()}, {os.cpu_count()} cores, Python {platform.python_version()}",
            **_result_json(checker.check(record)),
            "healed": self.healed,
            "settling_s": self.end - self.calm,
            "loop_late_at_most_s": self.recorder.max_delay,
            "loop_too_late_times": self.recorder.delays,
            "counts": {
                "orders, holds and edits": len(self.workload.actions),
                "refused by the shop": self.workload.refused,
                "faults": len(self.faults),
                "connections that spoke": sum(len(viewer.episodes) for viewer in viewers),
                "values shown": sum(len(told) for viewer in viewers for told in viewer.told.values()),
                "webhooks": sandbox.delivery.last,
                "calls of Wix": len(sandbox.calls.since()),
                "changes": len(self.consumer.entries),
                "changes given again": self.consumer.redelivered,
                "entries dropped by the stream": self.consumer.dropped,
            },
            "loud": loud,
        }


async def run(config: RunConfig, folder: Path) -> dict[str, Any]:
    """Run one and tell what came of it; raises NotReady, or TimeoutError where a process does not even listen."""
    async with running_testbed(folder, config.seed, config.tickets, config.settings) as testbed:
        chaos_run = ChaosRun(config, testbed)
        await chaos_run.execute()
    if not chaos_run.ready:
        raise NotReady(f"not every viewer saw the truth within {READY_WITHIN:.0f} s of the start, before any fault")
    return chaos_run.report(folder)


def _result_json(found: Result) -> dict[str, Any]:
    return {
        "kept": found.kept,
        "bounds": [{**asdict(bound), "kept": bound.kept} for bound in found.bounds],
        "calm_s": [_finite(value) for value in found.calm],
        "healings": [{**asdict(one), "healed": _finite(one.healed)} for one in found.healings],
        "oldest_claim_while_connected_s": _finite(found.oldest_connected),
        "oldest_claim_while_cut_s": _finite(found.oldest_disconnected),
        "withdrawn_share": found.withdrawn,
        "findings": found.findings,
    }


def _finite(value: float) -> float | None:
    """JSON knows no infinity: None stands for never."""
    return value if math.isfinite(value) else None


@asynccontextmanager
async def _in_background(*coroutines: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Run these beside the block; one that fails ends the block with its error."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one) for one in coroutines]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
