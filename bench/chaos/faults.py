"""The kinds of fault, and a plan of faults for a seed.

In: a seed and a number of seconds. Out: a plan of faults, each with a kind, a target, a start and a duration, which is
injected into a testbed. Every fault ends and is repaired within the plan's time.
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from bench.chaos.testbed import WIX_KNOBS, Testbed

Step = Callable[[Testbed, str, random.Random], Awaitable[None]]

QUIET_START, QUIET_END = 12.0, 10.0
"""Seconds without faults at the start and end of a plan."""
QUIET_BETWEEN = (8.0, 20.0)
"""Shortest and longest time between two faults, in seconds."""
SECOND_FAULT_PROBABILITY = 0.2
"""Probability of a second fault at the same time."""
SECOND_FAULT_DELAY = (1.0, 4.0)
"""Shortest and longest time from the first to the second fault, in seconds."""


@dataclass(frozen=True, slots=True)
class FaultKind:
    """A kind of fault: its possible targets, its shortest and longest duration, and the steps to begin and end it."""

    name: str
    targets: Sequence[str]
    seconds: tuple[float, float]
    begin: Step
    end: Step
    silences: bool = False
    """Whether viewers of the target receive nothing while their connections stay open."""
    delays_events: float = 0.0
    """Seconds after its end until events are read as usual, if it delays these reads; 0: it does not."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault of a plan; *at* is seconds from the start of the plan."""

    kind: str
    target: str
    at: float
    seconds: float
    seed: float


@dataclass(frozen=True, slots=True)
class FaultRecord:
    """An injected fault, on time.monotonic()'s clock; *end* is when the part was repaired, or its restart began."""

    kind: str
    target: str
    begin: float
    end: float
    lag: float = 0.0
    """Lag of Wix's reads during the fault, in seconds."""


# -- steps --


async def _nothing(_: Testbed, __: str, ___: random.Random) -> None:
    """The end of a fault that needs no repair."""


async def _kill(testbed: Testbed, target: str, _: random.Random) -> None:
    if target == "redis":
        await testbed.kill_redis()
    else:
        testbed.parts[target].kill()


async def _begin(testbed: Testbed, target: str, _: random.Random) -> None:
    if target == "redis":
        testbed.start_redis()
    else:
        testbed.parts[target].start()


async def _freeze(testbed: Testbed, target: str, _: random.Random) -> None:
    testbed.redis.freeze() if target == "redis" else testbed.parts[target].freeze()


async def _thaw(testbed: Testbed, target: str, _: random.Random) -> None:
    testbed.redis.thaw() if target == "redis" else testbed.parts[target].thaw()


async def _term(testbed: Testbed, target: str, _: random.Random) -> None:
    if target == "redis":
        await testbed.end_redis()
    else:
        await testbed.parts[target].end()


async def _silence(testbed: Testbed, target: str, _: random.Random) -> None:
    testbed.links[target].silence()


async def _heal(testbed: Testbed, target: str, _: random.Random) -> None:
    await testbed.links[target].heal()


async def _snap(testbed: Testbed, target: str, _: random.Random) -> None:
    testbed.links[target].snap()


async def _lag(testbed: Testbed, _: str, rng: random.Random) -> None:
    testbed.sandbox.knobs.turn(stale_reads=round(rng.uniform(2, 20), 1), read_jitter=1.0)


async def _no_lag(testbed: Testbed, _: str, __: random.Random) -> None:
    testbed.sandbox.knobs.turn(stale_reads=0.0, read_jitter=WIX_KNOBS.read_jitter)


async def _storm(testbed: Testbed, _: str, __: random.Random) -> None:
    testbed.sandbox.knobs.turn(loss=0.4, duplicates=0.5, reorder=5.0)


async def _no_storm(testbed: Testbed, _: str, __: random.Random) -> None:
    testbed.sandbox.knobs.turn(loss=0.0, duplicates=0.0, reorder=0.0)


def _outage(kind: str, of: str = "all") -> Step:
    async def begin(testbed: Testbed, _: str, __: random.Random) -> None:
        testbed.sandbox.knobs.turn(outage=kind, outage_of=of, retry_after=3 if kind == "429" else None)

    return begin


async def _no_outage(testbed: Testbed, _: str, __: random.Random) -> None:
    testbed.sandbox.knobs.turn(outage="none", outage_of="all", retry_after=None)


async def _forbid_events(testbed: Testbed, _: str, __: random.Random) -> None:
    testbed.sandbox.knobs.turn(read_events=False)


async def _allow_events(testbed: Testbed, _: str, __: random.Random) -> None:
    testbed.sandbox.knobs.turn(read_events=True)


# -- kinds --

WEBS, WORKERS = ("web0", "web1"), ("worker0", "worker1")
WEB_REDIS, WORKER_REDIS = ("web0-redis", "web1-redis"), ("worker0-redis", "worker1-redis")
WORKER_WIX, WIX_WEB, VIEWERS = ("worker0-wix", "worker1-wix"), ("wix-web",), ("viewers-web0", "viewers-web1")
REDIS, WIX_ITSELF, WIX_EVENTS = ("redis",), ("wix",), ("wix-events",)

LEASE_ENDS = 32.0
"""Seconds until others read the events that a worker had claimed when it was cut off: its lease, and a gap between reads."""
BACK_OFF_ENDS = 20.0
"""Longest pause of the reads of events after faults of Wix for as long as these here last: 4, 8 and 16 s in a row."""
TRIES_AGAIN = 62.0
"""Seconds until events are read again after the permission was missing: RECONCILE, and a gap between reads."""


def _kinds() -> list[FaultKind]:
    found = []
    for what, targets in (("web", WEBS), ("worker", WORKERS), ("Redis", REDIS)):
        delay = 0.0 if what == "web" else LEASE_ENDS
        found += [
            FaultKind(f"{what} killed (-9)", targets, (1, 4), _kill, _begin, delays_events=delay),
            FaultKind(f"{what} stopped and continued", targets, (2, 20), _freeze, _thaw, what == "web", delay),
            FaultKind(f"{what} restarted (SIGTERM)", targets, (0.5, 1), _term, _begin, delays_events=delay),
        ]
    for what, targets in (
        ("web and Redis", WEB_REDIS),
        ("worker and Redis", WORKER_REDIS),
        ("worker and Wix", WORKER_WIX),
        ("Wix and web", WIX_WEB),
        ("viewers and web", VIEWERS),
    ):
        delay, silences = LEASE_ENDS if "worker" in what else 0.0, what == "viewers and web"
        found += [
            FaultKind(f"link of {what} silent", targets, (3, 25), _silence, _heal, silences, delay),
            FaultKind(f"link of {what} reset", targets, (0.1, 0.2), _snap, _nothing, delays_events=delay),
        ]
    for kind, text in (("503", "answers 503"), ("429", "answers 429"), ("hang", "hangs"), ("drop", "hangs up")):
        begin = _outage(kind)
        found.append(FaultKind(f"Wix {text}", WIX_ITSELF, (4, 20), begin, _no_outage, delays_events=BACK_OFF_ENDS))
    begin = _outage("503", "events")
    found += [
        FaultKind("Wix's events answer 503", WIX_EVENTS, (4, 20), begin, _no_outage, delays_events=BACK_OFF_ENDS),
        FaultKind(
            "Wix's events answer 403", WIX_EVENTS, (4, 20), _forbid_events, _allow_events, delays_events=TRIES_AGAIN
        ),
    ]
    found.append(FaultKind("Wix's reads lag 2-20 s", ("wix-reads",), (8, 25), _lag, _no_lag))
    found.append(FaultKind("webhooks lost, doubled, shuffled", ("wix-webhooks",), (8, 20), _storm, _no_storm))
    return found


KINDS = {kind.name: kind for kind in _kinds()}


def plan(seed: int, seconds: float, only: Sequence[str] = ()) -> list[Fault]:
    """All faults of a run, the same for the same arguments: every kind once in random order, repeated; some overlap."""
    rng = random.Random(f"faults {seed}")
    kinds = [kind for kind in KINDS.values() if not only or kind.name in only]
    found: list[Fault] = []
    bag: list[FaultKind] = []
    at = QUIET_START
    while True:
        first = _fault(_draw(bag, kinds, rng), at, rng)
        both = [first]
        if rng.random() < SECOND_FAULT_PROBABILITY:
            second = _fault(_draw(bag, kinds, rng), at + rng.uniform(*SECOND_FAULT_DELAY), rng)
            if second.target != first.target:
                both.append(second)
        over = max(fault.at + fault.seconds for fault in both)
        if over > seconds - QUIET_END:
            return found
        found += both
        at = over + rng.uniform(*QUIET_BETWEEN)


def _draw(bag: list[FaultKind], kinds: Sequence[FaultKind], rng: random.Random) -> FaultKind:
    if not bag:
        bag += kinds
        rng.shuffle(bag)
    return bag.pop()


def _fault(kind: FaultKind, at: float, rng: random.Random) -> Fault:
    return Fault(kind.name, rng.choice(kind.targets), at, rng.uniform(*kind.seconds), rng.random())


async def inject(testbed: Testbed, faults: Sequence[Fault], began: float, records: list[FaultRecord]) -> None:
    """Inject all faults, each at its time after *began*; returns when the last is repaired."""
    async with asyncio.TaskGroup() as group:
        for fault in faults:
            group.create_task(_inject(testbed, fault, began, records))


async def _inject(testbed: Testbed, fault: Fault, began: float, records: list[FaultRecord]) -> None:
    await asyncio.sleep(max(0.0, began + fault.at - time.monotonic()))
    kind, rng = KINDS[fault.kind], random.Random(fault.seed)
    begin = time.monotonic()
    await kind.begin(testbed, fault.target, rng)
    lag = testbed.sandbox.knobs.now.stale_reads if fault.target == "wix-reads" else 0.0
    await asyncio.sleep(fault.seconds)
    # The fault of a part that is restarted ends here: its start-up counts as recovery.
    end = time.monotonic()
    await kind.end(testbed, fault.target, rng)
    records.append(FaultRecord(fault.kind, fault.target, begin, end, lag))
