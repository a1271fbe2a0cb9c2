import asyncio

from hypothesis import given
from hypothesis import strategies as st

from server.http.idle import Idle
from tests.rig.server import until

WITHIN = 0.05
"""Seconds for a request, here."""


class One:
    """A connection that remembers how it ended, and when."""

    def __init__(self, ends: list[tuple[str, "One"]]) -> None:
        self.ends = ends

    def late(self) -> None:
        """Its time is over."""
        self.ends.append(("late", self))

    def outnumbered(self) -> None:
        """Its place is needed."""
        self.ends.append(("outnumbered", self))


def start(idle: Idle, ends: list[tuple[str, One]], seconds: float = WITHIN) -> One:
    """A connection that has said nothing yet."""
    one = One(ends)
    assert idle.admits(3)
    idle.awaits(one, seconds)
    return one


async def test_in_time() -> None:
    """Whoever keeps us waiting ends when its time is over, each at its own, and nobody before or twice."""
    idle, ends = Idle(), list[tuple[str, One]]()
    loop = asyncio.get_running_loop()
    began = loop.time()
    first = start(idle, ends)
    busy = start(idle, ends)
    idle.leave(busy)
    await until(lambda: loop.time() >= began + WITHIN / 2)
    second = start(idle, ends)

    await until(lambda: ends)
    assert [("late", first)] == ends
    assert loop.time() >= began + WITHIN
    await until(lambda: len(ends) > 1)

    assert [("late", first), ("late", second)] == ends
    assert loop.time() >= began + WITHIN * 1.5
    assert not len(idle)


async def test_begun_again() -> None:
    """A connection whose next request begins waits from then on, behind those who wait already."""
    idle, ends = Idle(), list[tuple[str, One]]()
    one, other = start(idle, ends), start(idle, ends)

    idle.leave(one)
    idle.keeps(one)
    idle.awaits(one, WITHIN)
    await until(lambda: len(ends) == 2)

    assert [("late", other), ("late", one)] == ends


async def test_one_place() -> None:
    """A connection has one place, whatever becomes of it; what is awaited of it stays so while it does not take."""
    idle, ends = Idle(), list[tuple[str, One]]()
    one = One(ends)
    idle.keeps(one)

    idle.dismisses(one)
    idle.keeps(one)
    dismissed = len(idle._leaving), len(idle)
    idle.awaits(one, WITHIN)
    idle.dismisses(one)
    awaited = one in idle, len(idle)

    assert ((1, 1), (True, 1)) == (dismissed, awaited)
    await until(lambda: ends)
    assert [("late", one)] == ends
    assert not len(idle)


async def test_awaited_again() -> None:
    """Who is awaited anew does not keep the others beyond their time."""
    idle, ends = Idle(), list[tuple[str, One]]()
    loop = asyncio.get_running_loop()
    one, other = start(idle, ends, 0.1), start(idle, ends, 0.1)
    began = loop.time()
    await until(lambda: loop.time() > began + 0.05)

    idle.awaits(one, 60)
    await until(lambda: ends)

    assert [("late", other)] == ends
    assert [True, False] == [found in idle for found in (one, other)]
    idle.leave(one)


async def test_one_timer() -> None:
    """However many wait, one timer serves them all."""
    idle, ends = Idle(), list[tuple[str, One]]()
    for _ in range(50):
        start(idle, ends)
    timer = idle._timer

    for _ in range(50):
        start(idle, ends)

    assert timer is idle._timer
    await until(lambda: len(ends) == 100)
    assert None is idle._timer


async def test_oldest_goes() -> None:
    """Over the cap the one that has said nothing for longest gives its place to the newest."""
    idle, ends = Idle(most=3), list[tuple[str, One]]()
    ones = [start(idle, ends, 60) for _ in range(5)]

    assert [("outnumbered", one) for one in ones[:2]] == ends
    assert [False, False, True, True, True] == [one in idle for one in ones]


async def test_longest_list_gives() -> None:
    """A flood of one kind takes from its own: a few who are between two requests, or leave, stay whoever else comes."""
    idle, ends = Idle(most=10), list[tuple[str, One]]()
    kept, leaving = [One(ends) for _ in range(3)], [One(ends) for _ in range(3)]
    for one in kept:
        idle.keeps(one)
    for one in leaving:
        idle.dismisses(one)

    silent = [One(ends) for _ in range(100)]
    for one in silent:
        assert idle.admits(3)
        idle.awaits(one, 60)

    assert 10 == len(idle)
    assert [("outnumbered", one) for one in silent[:96]] == ends


async def test_no_descriptor() -> None:
    """At the edge of descriptors somebody gives his place to each who comes; where nobody is idle, there is none."""
    idle, ends = Idle(edge=100), list[tuple[str, One]]()
    one = start(idle, ends)

    assert idle.admits(99)
    assert not ends
    assert idle.admits(100)
    assert [("outnumbered", one)] == ends
    assert not idle.admits(100)
    assert idle.admits(99)


async def test_scarce() -> None:
    """For a while after descriptors were scarce each newcomer takes a place, whatever number he has."""
    idle, ends = Idle(edge=100, scarce=WITHIN), list[tuple[str, One]]()
    ones = [start(idle, ends, 60) for _ in range(20)]
    loop = asyncio.get_running_loop()

    for fd in (100, 20, 21, 22):
        assert idle.admits(fd)
        idle.awaits(One(ends), 60)
    over = loop.time() + WITHIN

    assert [("outnumbered", one) for one in ones[:4]] == ends
    await until(lambda: loop.time() >= over)
    start(idle, ends, 60)
    assert (4, 21) == (len(ends), len(idle))


async def test_scarce_for_few() -> None:
    """Where descriptors are scarce those few who are about to ask do not take the place of each other."""
    idle, ends = Idle(edge=100), list[tuple[str, One]]()

    assert not idle.admits(100)
    for _ in range(8):
        start(idle, ends, 60)

    assert not ends
    start(idle, ends, 60)
    assert 1 == len(ends)


@given(st.lists(st.sampled_from(["new", "kept", "told", "gone"]), max_size=200))
async def test_always_room(steps: list[str]) -> None:
    """Whatever the others do, who comes is let in, costs one of them its place at most, and nobody ends twice."""
    idle, ends = Idle(most=4), list[tuple[str, One]]()
    ones = list[One]()
    for step in steps:
        before = len(idle), len(ends)
        if step == "new" or not ones:
            assert idle.admits(3)
            ones.append(One(ends))
            idle.awaits(ones[-1], 60)
            assert (max(before[0], min(4, before[0] + 1)), len(ends)) == (len(idle), before[1] + (before[0] >= 4))
            continue
        one = ones.pop(0)
        ended = ("outnumbered", one) in ends
        idle.leave(one)
        idle.gone(one)
        if step != "gone" and not ended:
            (idle.keeps if step == "kept" else idle.dismisses)(one)
            ones.append(one)

    assert len(ends) == len(set(ends))
