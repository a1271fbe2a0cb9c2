import asyncio
import contextlib
import os
import socket
from collections.abc import Iterator

from server import metrics, wire
from server.hub import SLICE, Hub, write
from server.model import TicketId
from server.topics import Audience, Socket, Topic
from tests.rig.hub import SITE_ID, Rig, Screen
from tests.rig.reads import definition
from tests.rig.server import OTHER, TICKET, until


class Wire(Screen):
    """A viewer with a socket: what the kernel did not take is remembered."""

    def __init__(self) -> None:
        super().__init__()
        self.rests: list[bytes] = []
        self.ours, self.theirs = socket.socketpair()
        self.ours.setblocking(False)
        self.theirs.setblocking(False)

    def behind(self, rest: bytes) -> None:
        self.rests.append(rest)

    def close(self) -> None:
        self.ours.close()
        self.theirs.close()


async def changed(hub: Hub, ticket: str, v: int, unsold: int) -> Topic:
    """Let a counter come, as the feed does."""
    topic = hub._topic(SITE_ID, TicketId(ticket))
    topic.open = True
    topic.take(f'{{"v":{v},"unsold":{unsold}}}', hub.now() + 60)
    hub.decide(topic)
    return topic


async def test_changes_are_merged(redis_url: str) -> None:
    """Law 7: A hundred changes at once are a few writes, at most one frame a ticket in each, and end on the last."""
    async with Rig(redis_url) as rig:
        await rig.reads.read(definition(TICKET, 500), definition(OTHER, 500))
        screen, _ = rig.watch(TICKET, OTHER)
        await until(lambda: screen.unsolds.count(500) >= 2)
        before = len(screen.writes)
        version = await rig.reads.version()

        for step in range(100):
            await rig.reads.read(definition(TICKET, 400 - step), definition(OTHER, 400 - step), version=version + step)

        await until(lambda: screen.unsolds.count(301) == 2)
        assert len(screen.writes) - before < 50
        assert all(len(write) <= 2 for write in screen.writes)


async def test_first_change_at_once() -> None:
    """The first change is written in the same turn, those that follow within the flush time together after it."""
    hub = Hub()
    running = asyncio.create_task(hub.run())
    screen = Screen()
    hub.join(screen, SITE_ID, [TicketId(TICKET), TicketId(OTHER)])
    began = hub.now()

    await changed(hub, TICKET, 1, 9)
    await until(lambda: len(screen.writes) == 1)
    first = hub.now() - began
    for v in range(2, 12):
        await changed(hub, TICKET, v, 10 - v // 2)
        await changed(hub, OTHER, v, v)
    await until(lambda: len(screen.writes) == 2)

    assert first < 0.04
    assert [1, 2] == [len(write) for write in screen.writes]
    assert {5, 11} == set(screen.unsolds[1:])
    running.cancel()
    await asyncio.wait({running})


async def test_same_bytes_for_an_audience() -> None:
    """Who watches the same tickets is one audience, and gets the same bytes in one write; others get only theirs."""
    hub = Hub()
    running = asyncio.create_task(hub.run())
    both, one = [Wire(), Wire()], Wire()
    for viewer in both:
        hub.audience(SITE_ID, [TicketId(TICKET), TicketId(OTHER)]).follows(viewer.ours, viewer)
    hub.audience(SITE_ID, [TicketId(OTHER)]).follows(one.ours, one)

    ticket = await changed(hub, TICKET, 1, 9)
    other = await changed(hub, OTHER, 1, 8)
    await until(lambda: received(one))

    assert other.ws == one.theirs.recv(4096)
    assert {ticket.ws + other.ws} == {viewer.theirs.recv(4096) for viewer in both}
    assert 2 == len(hub._audiences)
    for viewer in (*both, one):
        viewer.close()
    running.cancel()
    await asyncio.wait({running})


def received(viewer: Wire) -> bool:
    try:
        return bool(viewer.theirs.recv(1, socket.MSG_PEEK))
    except BlockingIOError:
        return False


def test_what_is_not_taken_is_left_behind() -> None:
    """A socket that does not take all of a frame is handed the rest, byte for byte; the others are not held up."""
    full, free = Wire(), Wire()
    fast: dict[socket.SocketType, Socket] = {viewer.ours: viewer for viewer in (full, free)}
    data = os.urandom(4096)
    sent = 0
    while not full.rests:
        write(dict(fast), list(fast), list(fast.values()), data)
        sent += 1

    taken = b""
    while received(full):
        taken += full.theirs.recv(1 << 20)
    assert data * sent == taken + full.rests[0]
    assert data == free.theirs.recv(4096)
    full.close()
    free.close()


def test_full_socket_blocks_nobody() -> None:
    """A socket that takes nothing at all is handed everything."""
    full = Wire()
    for size in (4096, 1):
        with contextlib.suppress(BlockingIOError):
            while True:
                full.ours.send(b"x" * size)

    write({full.ours: full}, [full.ours], [full], b"frame")

    assert [b"frame"] == full.rests
    full.close()


def test_dead_socket_is_dropped() -> None:
    """A socket whose other end is gone is dropped, and the next one is written to."""
    dead, alive = Wire(), Wire()
    dead.theirs.close()
    fast: dict[socket.SocketType, Socket] = {viewer.ours: viewer for viewer in (dead, alive)}

    missed = write(fast, list(fast), list(fast.values()), b"frame")

    assert "dead" == dead.dropped
    assert [dead] == missed
    assert b"frame" == alive.theirs.recv(100)
    dead.close()
    alive.close()


def test_who_left_or_lags_is_not_written_to() -> None:
    """Who has left since the list was made, or lags, gets nothing past its transport; the others do."""
    left, here = Wire(), Wire()

    missed = write({here.ours: here}, [left.ours, here.ours], [left, here], b"frame")

    assert [left] == missed
    assert not received(left)
    assert b"frame" == here.theirs.recv(100)
    left.close()
    here.close()


def test_number_of_another_is_not_written_to() -> None:
    """A closed connection's descriptor may be another's at once: what is written to the old one does not come there."""
    old, new = Wire(), Wire()
    line = socket.SocketType(new.ours.family, new.ours.type, new.ours.proto, new.ours.fileno())
    line.detach()

    write({line: old}, [line], [old], b"frame")

    assert "dead" == old.dropped
    assert not received(new)
    old.close()
    new.close()


@contextlib.contextmanager
def crowd(audience: Audience, size: int) -> Iterator[None]:
    """So many more viewers, who take everything and share one descriptor: what UDP does not hold is lost."""
    with socket.socket(type=socket.SOCK_DGRAM) as sink, socket.socket(type=socket.SOCK_DGRAM) as source:
        sink.bind(("127.0.0.1", 0))
        source.connect(sink.getsockname())
        source.setblocking(False)
        lines = [socket.SocketType(source.family, source.type, source.proto, source.fileno()) for _ in range(size)]
        for line in lines:
            audience.follows(line, Screen())
        yield
        for line in lines:
            line.detach()


async def turns_until_received(viewer: Wire) -> int:
    turns = 0
    while not received(viewer):
        turns += 1
        await asyncio.sleep(0)
    return turns


async def test_slices_let_others_work() -> None:
    """While thousands are written to, the loop turns: nothing else waits for the last of them."""
    hub = Hub()
    running = asyncio.create_task(hub.run())
    await asyncio.sleep(0)
    shared = Wire()
    audience = hub.audience(SITE_ID, [TicketId(TICKET)])

    with crowd(audience, 3 * SLICE):
        audience.follows(shared.ours, shared)
        await changed(hub, TICKET, 1, 9)
        turns = await turns_until_received(shared)

    assert turns >= 3
    shared.close()
    running.cancel()
    await asyncio.wait({running})


async def test_who_falls_behind_between_two_slices() -> None:
    """Law 7: Who falls behind while others are written to is told too, once; who has caught up by then is written to."""
    hub = Hub()
    running = asyncio.create_task(hub.run())
    await asyncio.sleep(0)
    first, behind, again, left = some = [Wire() for _ in range(4)]
    audience = hub.audience(SITE_ID, [TicketId(TICKET)])
    before = metrics.ws_frames._value.get()

    audience.follows(first.ours, first)
    with crowd(audience, SLICE):
        for viewer in (behind, again, left):
            audience.follows(viewer.ours, viewer)
        topic = await changed(hub, TICKET, 7, 0)
        await turns_until_received(first)
        audience.lags(behind.ours, behind)
        audience.lags(again.ours, again)
        audience.follows(again.ours, again)
        hub.leave(audience, left, left.ours)
        await until(lambda: received(again))

    assert [[topic.shown]] == behind.writes
    assert topic.ws == again.theirs.recv(4096)
    assert [] == first.writes + again.writes + left.writes
    assert [False, False] == [received(viewer) for viewer in (behind, left)]
    assert before + SLICE + 2 == metrics.ws_frames._value.get()
    for viewer in some:
        viewer.close()
    running.cancel()
    await asyncio.wait({running})


async def test_topics_linger(redis_url: str) -> None:
    """A topic without viewers is kept for a while, so that a reload finds it warm, and is forgotten then."""
    hub = Hub(linger=0.05)
    screen = Screen()
    audience = hub.join(screen, SITE_ID, [TicketId(TICKET)])
    [topic] = audience.topics

    assert [] == hub.close_idle()
    hub.leave(audience, screen)
    assert [] == hub.close_idle()
    assert {} == hub._audiences
    await until(lambda: hub.close_idle() == [topic])
    assert {} == hub.topics


async def test_known_is_shown_at_once() -> None:
    """Who joins a topic that is known is shown it before anything else happens."""
    hub = Hub()
    await changed(hub, TICKET, 1, 9)
    screen = Screen()

    hub.join(screen, SITE_ID, [TicketId(TICKET), TicketId(OTHER)])

    assert [[wire.with_v(1, '"unsold":9}')]] == screen.writes
    assert 1 == len(hub)
    assert [screen] == hub.viewers


async def test_beats(redis_url: str) -> None:
    """Every viewer gets a heartbeat again and again, whether anything changes or not."""
    async with Rig(redis_url, beat_every=0.05) as rig:
        screens = [rig.watch()[0] for _ in range(3)]

        await until(lambda: all(screen.beats > 1 for screen in screens))


async def test_farewell_in_waves(redis_url: str) -> None:
    """Law 11: Viewers are sent away in waves, each with a time at which to come back."""
    async with Rig(redis_url) as rig:
        screens = [rig.watch()[0] for _ in range(30)]

        def told() -> int:
            return sum(any("bye" in write[0] for write in screen.writes) for screen in screens)

        ending = asyncio.create_task(rig.hub.farewell(500, 5000, 0.5))
        await until(told)
        assert told() < 30
        await ending

        assert 30 == told()
