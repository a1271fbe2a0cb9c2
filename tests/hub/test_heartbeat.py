import asyncio
import contextlib
import gc
import time
import weakref
from collections.abc import AsyncIterator
from itertools import pairwise

from server.hub.heartbeat import SLOTS, Heartbeat
from server.hub.topics import Audience
from server.model import SiteId
from tests.rig.hub_rig import FakeViewer
from tests.rig.server import SITE, until


class TimedViewer(FakeViewer):
    """A viewer that records when it got its heartbeats, in seconds."""

    def __init__(self) -> None:
        super().__init__()
        self.times: list[float] = []

    def beat(self, text: str) -> None:
        super().beat(text)
        self.times.append(time.monotonic())


def audience(heartbeat: Heartbeat, *viewers: FakeViewer) -> Audience:
    """A new audience with these viewers."""
    begun = Audience(SiteId(SITE), ())
    begun.others.update(viewers)
    heartbeat.add(begun)
    return begun


@contextlib.asynccontextmanager
async def running(heartbeat: Heartbeat) -> AsyncIterator[None]:
    turning = asyncio.create_task(heartbeat.run())
    yield
    turning.cancel()
    await asyncio.wait({turning})


async def test_beats_are_spread_over_the_period() -> None:
    """Each period every viewer gets one heartbeat, and different audiences get theirs at different times."""
    heartbeat = Heartbeat(0.5)
    here = [[TimedViewer(), TimedViewer()] for _ in range(SLOTS)]
    begun = [audience(heartbeat, *pair) for pair in here]

    async with running(heartbeat):
        await until(lambda: all(viewer.beats >= 3 for pair in here for viewer in pair))

    assert SLOTS == len(begun)
    for turn in range(3):
        times = [viewer.times[turn] for pair in here for viewer in pair]
        assert max(times) - min(times) > 0.4
    for viewer in (viewer for pair in here for viewer in pair):
        assert all(later - earlier > 0.3 for earlier, later in pairwise(viewer.times))


async def test_missed_beats_are_not_made_up_for() -> None:
    """Law 7: After a process was stopped for many periods, each viewer has as long for its pong as before."""
    heartbeat = Heartbeat(0.4)
    viewer = TimedViewer()
    begun = audience(heartbeat, viewer)

    async with running(heartbeat):
        await until(lambda: viewer.beats >= 1)
        time.sleep(2.0)
        await until(lambda: viewer.beats >= 4)

    assert [viewer] == begun.viewers()
    assert all(later - earlier > 0.3 for earlier, later in pairwise(viewer.times))


async def test_small_audiences_of_a_slot_share_one_turn_of_the_loop() -> None:
    """However busy the loop is, all small audiences of a slot wait for it once, not once each."""
    heartbeat = Heartbeat(0.1)
    here = [TimedViewer() for _ in range(5 * SLOTS)]
    begun = [audience(heartbeat, viewer) for viewer in here]
    turns = list[int]()

    async with running(heartbeat):
        while not all(viewer.beats for viewer in here):
            before = sum(viewer.beats for viewer in here)
            await asyncio.sleep(0)
            turns.append(sum(viewer.beats for viewer in here) - before)

    assert len(begun) == len(here)
    assert {0, 5} == set(turns)


async def test_ended_audience_is_forgotten() -> None:
    """The heartbeat keeps no reference to an audience that ended."""
    heartbeat = Heartbeat(0.1)
    stays, viewer = audience(heartbeat, TimedViewer()), TimedViewer()
    ended = weakref.ref(audience(heartbeat, viewer))
    async with running(heartbeat):
        await until(lambda: viewer.beats or ended() is None)
        gc.collect()
        assert ended() is None
    assert 1 == len(stays)
