"""One chaos run: inject the planned workload and faults, wait for recovery, stop all processes, check the result.

In: a seed, a duration, and a folder for the files of the processes. Out: one JSON object with the result and all
figures, with units in their names.
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
from tests.rig.simulated_visitors import Visitors

READY_WITHIN = 60.0
STABLE_FOR = 3.0
"""Seconds for which all claims must be true before the system counts as healed."""
POLL_EVERY = 0.25
RELOADS_PER_SECOND = 1.0
"""Pages that are reloaded per second."""


class NotReady(Exception):
    """Not all claims were true before the first fault."""


@dataclass(frozen=True, slots=True)
class RunConfig:
    """The options of a run. *settings* override those of the testbed for the server; the bounds do not change."""

    seed: int
    seconds: float
    viewers: int = 500
    tickets: int = 40
    settle: float = 90.0
    settings: Mapping[str, str] = field(default_factory=dict)
    only: Sequence[str] = ()

    @property
    def actions(self) -> list[Action]:
        """The plan of the workload."""
        return workload.plan(self.seed, self.seconds)

    @property
    def faults(self) -> list[Fault]:
        """The plan of the faults."""
        return faults.plan(self.seed, self.seconds, self.only)

    @property
    def plan(self) -> str:
        """A hash of both plans."""
        return hashlib.sha256(repr((self.actions, self.faults)).encode()).hexdigest()[:16]


class ChaosRun:
    """One run: its parts, and what they recorded."""

    def __init__(self, config: RunConfig, testbed: Testbed) -> None:
        self.config = config
        self.testbed = testbed
        self.recorder = Recorder(testbed.sandbox)
        self.visitors = Visitors(testbed.viewers_ports, self.recorder.observe)
        self.visitors.fill(config.viewers, testbed.tickets, random.Random(config.seed))
        self.consumer = ChangeConsumer(testbed.redis.url, testbed.site)
        self.workload = Workload(testbed.sandbox.world, testbed.tickets, self.recorder.observe_all)
        self.faults: list[FaultRecord] = []
        self.ready = self.healed = False
        self.calm = self.end = 0.0

    async def execute(self) -> None:
        """Run everything, from the first viewer to the exit of all processes."""
        supervisors = [part.supervise() for part in self.testbed.parts.values()]
        async with _in_background(self.recorder.run(), self.testbed.alternate_webhooks(), *supervisors):
            async with _in_background(self.visitors.run(), self.consumer.run()):
                self.ready = await self._heal(READY_WITHIN)
                if self.ready:
                    # These objects live until the end: the garbage collector need not scan them again.
                    gc.freeze()
                    await self._act()
                    self.calm = time.monotonic()
                    self.healed = await self._heal(self.config.settle)
                self.end = time.monotonic()
            await self.visitors.aclose()
            await self._read_last_entries()
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
            rng.choice(self.visitors.viewers).reload()

    async def _heal(self, within: float) -> bool:
        """Wait until all claims are true and no holds are left, for STABLE_FOR seconds."""
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
        now = {ticket: claims.now for ticket, claims in self.recorder.claims.items()}
        shown = all(
            viewer.shows(ticket) == now[ticket] for viewer in self.visitors.viewers for ticket in viewer.tickets
        )
        return shown and self.consumer.is_current(self.recorder.facts)

    async def _read_last_entries(self) -> None:
        try:
            await self.consumer.read()
        except RedisUnavailable:
            self.consumer.unavailable += 1
        await self.consumer.aclose()

    def record(self, folder: Path) -> tuple[Record, dict[str, int]]:
        """The data to check, and how often each loud event was logged."""
        lives = {name: [life.err for life in part.lives] for name, part in self.testbed.parts.items()}
        loud = logs.read(folder, lives)
        offset = time.time() - time.monotonic()
        record = Record(
            end=self.end,
            max_stale=float(SETTINGS["MAX_STALE"]),
            watch_every=float(SETTINGS["WATCH_EVERY"]),
            viewers=self.visitors.viewers,
            claims=self.recorder.claims,
            actions=self.workload.actions,
            faults=self.faults,
            endings=[ending for part in self.testbed.parts.values() for ending in part.endings],
            unexplained=logs.unexplained(loud, self.faults, offset),
            changes=consumer.chain_errors(self.consumer.ordered, self.recorder.facts),
            refused=self.visitors.refused,
        )
        return record, logs.count_events(loud)

    def report(self, folder: Path) -> dict[str, Any]:
        """The result and all figures, as JSON."""
        record, loud = self.record(folder)
        viewers, sandbox = self.visitors.viewers, self.testbed.sandbox
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
                "connections that received a frame": sum(len(viewer.sessions) for viewer in viewers),
                "values shown": sum(len(history) for viewer in viewers for history in viewer.history.values()),
                "webhooks": sandbox.delivery.last,
                "calls to Wix": len(sandbox.calls.since()),
                "changes": len(self.consumer.entries),
                "changes delivered again": self.consumer.redelivered,
                "entries dropped by the stream": self.consumer.dropped,
            },
            "loud": loud,
        }


async def run(config: RunConfig, folder: Path) -> dict[str, Any]:
    """Run once and return the report; raises NotReady, or TimeoutError if a process does not listen."""
    async with running_testbed(folder, config.seed, config.tickets, config.settings) as testbed:
        chaos_run = ChaosRun(config, testbed)
        await chaos_run.execute()
    if not chaos_run.ready:
        raise NotReady(
            f"not every viewer showed the true state within {READY_WITHIN:.0f} s of the start, before any fault"
        )
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
    """None for infinity (never), which JSON does not have."""
    return value if math.isfinite(value) else None


@asynccontextmanager
async def _in_background(*coroutines: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Run these while the block runs; one that fails ends the block with its error."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one) for one in coroutines]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
