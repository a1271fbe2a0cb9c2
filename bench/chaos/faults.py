"""What can happen to each part, and in which order it does by a seed.

In: a seed and a number of seconds. Out: a plan of faults, each of a kind, at a target, from a moment for so long; it
is played on a scene. Whatever is broken is mended again: every fault ends within the plan's time.
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from bench.chaos.testbed import WIX, Scene

Deed = Callable[[Scene, str, random.Random], Awaitable[None]]

FIRST, LAST = 12.0, 10.0
"""Seconds of calm at the start and at the end of a plan."""
CALM = (8.0, 20.0)
"""Seconds of calm between two faults."""
TWO_AT_ONCE = 0.2
"""How often a second fault comes while the first lasts."""
BETWEEN = (1.0, 4.0)
"""Seconds from the first to the second of two at once."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of fault: what it can be done to, for how long, how it begins and ends."""

    name: str
    targets: Sequence[str]
    seconds: tuple[float, float]
    begin: Deed
    end: Deed
    silences: bool = False
    """Whether viewers of the target hear nothing and are not told."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault of a plan: seconds from its start, and how long it lasts."""

    kind: str
    target: str
    at: float
    seconds: float
    seed: float


@dataclass(frozen=True, slots=True)
class Happened:
    """One fault as it was played, on time.monotonic()'s clock; its *end* is when the part was well or begun again."""

    kind: str
    target: str
    begin: float
    end: float
    lag: float = 0.0
    """Seconds by which Wix's reads lagged meanwhile."""


# -- deeds --


async def _nothing(_: Scene, __: str, ___: random.Random) -> None:
    """A break needs no mending."""


async def _kill(scene: Scene, target: str, _: random.Random) -> None:
    if target == "redis":
        await scene.kill_redis()
    else:
        scene.parts[target].kill()


async def _begin(scene: Scene, target: str, _: random.Random) -> None:
    if target == "redis":
        scene.start_redis()
    else:
        scene.parts[target].start()


async def _freeze(scene: Scene, target: str, _: random.Random) -> None:
    scene.redis.freeze() if target == "redis" else scene.parts[target].freeze()


async def _thaw(scene: Scene, target: str, _: random.Random) -> None:
    scene.redis.thaw() if target == "redis" else scene.parts[target].thaw()


async def _term(scene: Scene, target: str, _: random.Random) -> None:
    if target == "redis":
        await scene.end_redis()
    else:
        await scene.parts[target].end()


async def _silence(scene: Scene, target: str, _: random.Random) -> None:
    scene.links[target].silence()


async def _heal(scene: Scene, target: str, _: random.Random) -> None:
    await scene.links[target].heal()


async def _snap(scene: Scene, target: str, _: random.Random) -> None:
    scene.links[target].snap()


async def _lag(scene: Scene, _: str, dice: random.Random) -> None:
    scene.sandbox.knobs.turn(stale_reads=round(dice.uniform(2, 20), 1), read_jitter=1.0)


async def _no_lag(scene: Scene, _: str, __: random.Random) -> None:
    scene.sandbox.knobs.turn(stale_reads=0.0, read_jitter=WIX.read_jitter)


async def _storm(scene: Scene, _: str, __: random.Random) -> None:
    scene.sandbox.knobs.turn(loss=0.4, duplicates=0.5, reorder=5.0)


async def _no_storm(scene: Scene, _: str, __: random.Random) -> None:
    scene.sandbox.knobs.turn(loss=0.0, duplicates=0.0, reorder=0.0)


def _outage(kind: str) -> Deed:
    async def begin(scene: Scene, _: str, __: random.Random) -> None:
        scene.sandbox.knobs.turn(outage=kind, retry_after=3 if kind == "429" else None)

    return begin


async def _no_outage(scene: Scene, _: str, __: random.Random) -> None:
    scene.sandbox.knobs.turn(outage="none", retry_after=None)


# -- kinds --

WEBS, WORKERS = ("web0", "web1"), ("worker0", "worker1")
WEB_REDIS, WORKER_REDIS = ("web0-redis", "web1-redis"), ("worker0-redis", "worker1-redis")
WORKER_WIX, WIX_WEB, VIEWERS = ("worker0-wix", "worker1-wix"), ("wix-web",), ("viewers-web0", "viewers-web1")
REDIS, WIX_ITSELF = ("redis",), ("wix",)


def _kinds() -> list[Kind]:
    found = []
    for what, targets in (("web", WEBS), ("worker", WORKERS), ("Redis", REDIS)):
        found += [
            Kind(f"{what} killed (-9)", targets, (1, 4), _kill, _begin),
            Kind(f"{what} stopped and continued", targets, (2, 20), _freeze, _thaw, silences=what == "web"),
            Kind(f"{what} restarted (SIGTERM)", targets, (0.5, 1), _term, _begin),
        ]
    for what, targets in (
        ("web and Redis", WEB_REDIS),
        ("worker and Redis", WORKER_REDIS),
        ("worker and Wix", WORKER_WIX),
        ("Wix and web", WIX_WEB),
        ("viewers and web", VIEWERS),
    ):
        found += [
            Kind(f"link of {what} silent", targets, (3, 25), _silence, _heal, silences=what == "viewers and web"),
            Kind(f"link of {what} reset", targets, (0.1, 0.2), _snap, _nothing),
        ]
    for kind, text in (("503", "answers 503"), ("429", "answers 429"), ("hang", "hangs"), ("drop", "hangs up")):
        found.append(Kind(f"Wix {text}", WIX_ITSELF, (4, 20), _outage(kind), _no_outage))
    found.append(Kind("Wix's reads lag 2-20 s", ("wix-reads",), (8, 25), _lag, _no_lag))
    found.append(Kind("webhooks lost, doubled, shuffled", ("wix-webhooks",), (8, 20), _storm, _no_storm))
    return found


KINDS = {kind.name: kind for kind in _kinds()}


def plan(seed: int, seconds: float, only: Sequence[str] = ()) -> list[Fault]:
    """All faults of a run, the same for the same arguments: every kind in turn, shuffled, now and then two at once."""
    dice = random.Random(f"faults {seed}")
    kinds = [kind for kind in KINDS.values() if not only or kind.name in only]
    found: list[Fault] = []
    bag: list[Kind] = []
    at = FIRST
    while True:
        first = _fault(_drawn(bag, kinds, dice), at, dice)
        both = [first]
        if dice.random() < TWO_AT_ONCE:
            second = _fault(_drawn(bag, kinds, dice), at + dice.uniform(*BETWEEN), dice)
            if second.target != first.target:
                both.append(second)
        over = max(fault.at + fault.seconds for fault in both)
        if over > seconds - LAST:
            return found
        found += both
        at = over + dice.uniform(*CALM)


def _drawn(bag: list[Kind], kinds: Sequence[Kind], dice: random.Random) -> Kind:
    if not bag:
        bag += kinds
        dice.shuffle(bag)
    return bag.pop()


def _fault(kind: Kind, at: float, dice: random.Random) -> Fault:
    return Fault(kind.name, dice.choice(kind.targets), at, dice.uniform(*kind.seconds), dice.random())


async def play(scene: Scene, faults: Sequence[Fault], began: float, happened: list[Happened]) -> None:
    """Do all of them, each at its time from *began*; returns when the last is mended."""
    async with asyncio.TaskGroup() as group:
        for fault in faults:
            group.create_task(_play(scene, fault, began, happened))


async def _play(scene: Scene, fault: Fault, began: float, happened: list[Happened]) -> None:
    await asyncio.sleep(max(0.0, began + fault.at - time.monotonic()))
    kind, dice = KINDS[fault.kind], random.Random(fault.seed)
    begin = time.monotonic()
    await kind.begin(scene, fault.target, dice)
    lag = scene.sandbox.knobs.now.stale_reads if fault.target == "wix-reads" else 0.0
    await asyncio.sleep(fault.seconds)
    # Of a part that is begun again the fault is over now, and what it needs for that counts as its healing.
    end = time.monotonic()
    await kind.end(scene, fault.target, dice)
    happened.append(Happened(fault.kind, fault.target, begin, end, lag))
