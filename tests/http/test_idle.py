import asyncio

from hypothesis import given
from hypothesis import strategies as st

from server.http.idle import Idle
from tests.rig.server import until

WITHIN = 0.05
"""Seconds for a request, here."""


class Connection:
    """A connection that records how it ended."""

    def __init__(self, ends: list[tuple[str, "Connection"]]) -> None:
        self.ends = ends

    def timed_out(self) -> None:
        """Record a time-out."""
        self.ends.append(("timed_out", self))

    def evict(self) -> None:
        """Record an eviction."""
        self.ends.append(("evicted", self))


def connect(idle: Idle, ends: list[tuple[str, Connection]], seconds: float = WITHIN) -> Connection:
    """A connection that has sent nothing yet."""
    one = Connection(ends)
    assert idle.admit(3)
    idle.add_incomplete(one, seconds)
    return one


async def test_incomplete_request_times_out_once() -> None:
    """An incomplete request times out after its own time, not before and not twice."""
    idle, ends = Idle(), list[tuple[str, Connection]]()
    loop = asyncio.get_running_loop()
    began = loop.time()
    first = connect(idle, ends)
    busy = connect(idle, ends)
    idle.remove(busy)
    await until(lambda: loop.time() >= began + WITHIN / 2)
    second = connect(idle, ends)

    await until(lambda: ends)
    assert [("timed_out", first)] == ends
    assert loop.time() >= began + WITHIN
    await until(lambda: len(ends) > 1)

    assert [("timed_out", first), ("timed_out", second)] == ends
    assert loop.time() >= began + WITHIN * 1.5
    assert not len(idle)


async def test_timeout_of_next_request() -> None:
    """The next request's time-out starts with that request, behind those that wait already."""
    idle, ends = Idle(), list[tuple[str, Connection]]()
    one, other = connect(idle, ends), connect(idle, ends)

    idle.remove(one)
    idle.add_keep_alive(one)
    idle.add_incomplete(one, WITHIN)
    await until(lambda: len(ends) == 2)

    assert [("timed_out", other), ("timed_out", one)] == ends


async def test_one_place_per_connection() -> None:
    """A connection is in one list at a time; its time-out goes on while it does not read its response."""
    idle, ends = Idle(), list[tuple[str, Connection]]()
    one = Connection(ends)
    idle.add_keep_alive(one)

    idle.add_closing(one)
    idle.add_keep_alive(one)
    closing = len(idle._closing), len(idle)
    idle.add_incomplete(one, WITHIN)
    idle.add_closing(one)
    incomplete = one in idle, len(idle)

    assert ((1, 1), (True, 1)) == (closing, incomplete)
    await until(lambda: ends)
    assert [("timed_out", one)] == ends
    assert not len(idle)


async def test_timeout_started_again() -> None:
    """A time-out that is started again does not delay those of others."""
    idle, ends = Idle(), list[tuple[str, Connection]]()
    loop = asyncio.get_running_loop()
    one, other = connect(idle, ends, 0.1), connect(idle, ends, 0.1)
    began = loop.time()
    await until(lambda: loop.time() > began + 0.05)

    idle.add_incomplete(one, 60)
    await until(lambda: ends)

    assert [("timed_out", other)] == ends
    assert [True, False] == [found in idle for found in (one, other)]
    idle.remove(one)


async def test_one_timer_for_all() -> None:
    """Connection timer serves all time-outs."""
    idle, ends = Idle(), list[tuple[str, Connection]]()
    for _ in range(50):
        connect(idle, ends)
    timer = idle._timer

    for _ in range(50):
        connect(idle, ends)

    assert timer is idle._timer
    await until(lambda: len(ends) == 100)
    assert None is idle._timer


async def test_oldest_is_evicted() -> None:
    """Over the limit the connection that has been silent for longest is evicted."""
    idle, ends = Idle(most=3), list[tuple[str, Connection]]()
    ones = [connect(idle, ends, 60) for _ in range(5)]

    assert [("evicted", one) for one in ones[:2]] == ends
    assert [False, False, True, True, True] == [one in idle for one in ones]


async def test_longest_list_is_evicted_from() -> None:
    """A flood of one kind evicts its own: the few that are in keep-alive, or are closing, stay."""
    idle, ends = Idle(most=10), list[tuple[str, Connection]]()
    keep_alive, closing = [Connection(ends) for _ in range(3)], [Connection(ends) for _ in range(3)]
    for one in keep_alive:
        idle.add_keep_alive(one)
    for one in closing:
        idle.add_closing(one)

    silent = [Connection(ends) for _ in range(100)]
    for one in silent:
        assert idle.admit(3)
        idle.add_incomplete(one, 60)

    assert 10 == len(idle)
    assert [("evicted", one) for one in silent[:96]] == ends


async def test_reserved_descriptor() -> None:
    """A new connection with a reserved descriptor evicts an idle one; if there is none, it is refused."""
    idle, ends = Idle(first_reserved=100), list[tuple[str, Connection]]()
    one = connect(idle, ends)

    assert idle.admit(99)
    assert not ends
    assert idle.admit(100)
    assert [("evicted", one)] == ends
    assert not idle.admit(100)
    assert idle.admit(99)


async def test_scarce_descriptors() -> None:
    """For a while after descriptors were scarce each new connection evicts one, whatever its descriptor."""
    idle, ends = Idle(first_reserved=100, scarce_for=WITHIN), list[tuple[str, Connection]]()
    ones = [connect(idle, ends, 60) for _ in range(20)]
    loop = asyncio.get_running_loop()

    for fd in (100, 20, 21, 22):
        assert idle.admit(fd)
        idle.add_incomplete(Connection(ends), 60)
    over = loop.time() + WITHIN

    assert [("evicted", one) for one in ones[:4]] == ends
    await until(lambda: loop.time() >= over)
    connect(idle, ends, 60)
    assert (4, 21) == (len(ends), len(idle))


async def test_scarce_descriptors_few_idle() -> None:
    """While descriptors are scarce a few idle connections are not evicted: they are about to send their request."""
    idle, ends = Idle(first_reserved=100), list[tuple[str, Connection]]()

    assert not idle.admit(100)
    for _ in range(8):
        connect(idle, ends, 60)

    assert not ends
    connect(idle, ends, 60)
    assert 1 == len(ends)


@given(st.lists(st.sampled_from(["new", "keep-alive", "closing", "closed"]), max_size=200))
async def test_limit_holds(steps: list[str]) -> None:
    """In any order of events a new connection is admitted, evicts at most one, and no connection is evicted twice."""
    idle, ends = Idle(most=4), list[tuple[str, Connection]]()
    ones = list[Connection]()
    for step in steps:
        before = len(idle), len(ends)
        if step == "new" or not ones:
            assert idle.admit(3)
            ones.append(Connection(ends))
            idle.add_incomplete(ones[-1], 60)
            assert (max(before[0], min(4, before[0] + 1)), len(ends)) == (len(idle), before[1] + (before[0] >= 4))
            continue
        one = ones.pop(0)
        ended = ("evicted", one) in ends
        idle.remove(one)
        idle.remove_closing(one)
        if step != "closed" and not ended:
            (idle.add_keep_alive if step == "keep-alive" else idle.add_closing)(one)
            ones.append(one)

    assert len(ends) == len(set(ends))
