import asyncio
import contextlib
import itertools
import os
import socket
from collections.abc import AsyncIterator, Collection, Iterator

from hypothesis import given
from hypothesis import strategies as st

from server import metrics
from server.counter import Rules
from server.hub.flush import write
from server.hub.hub import MAX_AUDIENCE, Hub
from server.hub.topics import Audience, Topic
from server.model import TicketId
from tests.rig.default_keys import KEYS
from tests.rig.fake_reader import definition
from tests.rig.hub_rig import SITE_ID, FakeViewer, HubRig, SocketViewer, changed, received, tickets_of
from tests.rig.server import OTHER, TICKET, until


async def test_changes_are_merged(redis_url: str) -> None:
    """Law 7: A hundred changes at once are a few writes with at most one frame per ticket each, ending on the last."""
    async with HubRig(redis_url) as rig:
        await rig.reads.read(definition(TICKET, 500), definition(OTHER, 500))
        viewer, _ = rig.watch(TICKET, OTHER)
        await until(lambda: viewer.unsolds.count(500) >= 2)
        before = len(viewer.writes)
        version = await rig.reads.version()

        for step in range(100):
            await rig.reads.read(definition(TICKET, 400 - step), definition(OTHER, 400 - step), version=version + step)

        await until(lambda: viewer.unsolds.count(301) == 2)
        assert len(viewer.writes) - before < 50
        assert all(len(write) <= 2 for write in viewer.writes)


async def test_first_change_is_written_at_once() -> None:
    """The first change is written at once; those that follow within the flush time are written together after it."""
    hub = Hub(KEYS, Rules())
    running = asyncio.create_task(hub.run())
    viewer = FakeViewer()
    hub.join(viewer, SITE_ID, (TicketId(TICKET), TicketId(OTHER)))
    began = hub.now()

    await changed(hub, TICKET, 1, 9)
    await until(lambda: len(viewer.writes) == 1)
    first = hub.now() - began
    for v in range(2, 12):
        await changed(hub, TICKET, v, 10 - v // 2)
        await changed(hub, OTHER, v, v)
    await until(lambda: len(viewer.writes) == 2)

    assert first < 0.04
    assert [1, 2] == [len(write) for write in viewer.writes]
    assert {5, 11} == set(viewer.unsolds[1:])
    running.cancel()
    await asyncio.wait({running})


async def test_audience_gets_the_same_bytes_in_one_write() -> None:
    """Viewers of the same tickets are one audience and get the same bytes in one write; others get only theirs."""
    hub = Hub(KEYS, Rules())
    running = asyncio.create_task(hub.run())
    both, one = [SocketViewer(), SocketViewer()], SocketViewer()
    for viewer in both:
        hub.audience(SITE_ID, (TicketId(TICKET), TicketId(OTHER))).add_fast(viewer.server_end, viewer)
    hub.audience(SITE_ID, (TicketId(OTHER),)).add_fast(one.server_end, one)

    ticket = await changed(hub, TICKET, 1, 9)
    other = await changed(hub, OTHER, 1, 8)
    await until(lambda: received(one))

    assert other.ws == one.client_end.recv(4096)
    assert {ticket.ws + other.ws} == {viewer.client_end.recv(4096) for viewer in both}
    assert 2 == len(hub._audiences)
    for viewer in (*both, one):
        viewer.close()
    running.cancel()
    await asyncio.wait({running})


def test_rest_of_a_partly_sent_frame_is_kept() -> None:
    """A viewer whose socket takes only a part of a frame is handed the exact rest; others are not delayed."""
    full, free = SocketViewer(), SocketViewer()
    data = os.urandom(4096)
    sent = 0
    while not full.rests:
        write([full.server_end, free.server_end], [full, free], data)
        sent += 1

    taken = b""
    while received(full):
        taken += full.client_end.recv(1 << 20)
    assert data * sent == taken + full.rests[0]
    assert data == free.client_end.recv(4096)
    full.close()
    free.close()


def test_full_socket_does_not_block() -> None:
    """A viewer whose socket takes nothing at all is handed the whole frame."""
    full = SocketViewer()
    for size in (4096, 1):
        with contextlib.suppress(BlockingIOError):
            while True:
                full.server_end.send(b"x" * size)

    assert 1 == write([full.server_end], [full], b"frame")

    assert [b"frame"] == full.rests
    full.close()


def test_dead_socket_is_dropped() -> None:
    """A socket whose other end is closed is dropped, and the next one is written to."""
    dead, alive = SocketViewer(), SocketViewer()
    dead.client_end.close()

    assert 1 == write([dead.server_end, alive.server_end], [dead, alive], b"frame")

    assert "dead" == dead.dropped
    assert b"frame" == alive.client_end.recv(100)
    dead.close()
    alive.close()


def test_reused_file_descriptor_is_not_written_to() -> None:
    """When a closed connection's file descriptor is reused, frames for the old connection do not reach the new one."""
    old, new = SocketViewer(), SocketViewer()
    line = socket.SocketType(new.server_end.family, new.server_end.type, new.server_end.proto, new.server_end.fileno())
    line.detach()

    assert 0 == write([line], [old], b"frame")

    assert "dead" == old.dropped
    assert not received(new)
    old.close()
    new.close()


@contextlib.contextmanager
def more_viewers(audience: Audience, size: int) -> Iterator[None]:
    """Add so many viewers that take everything and share one file descriptor: what UDP cannot hold is lost."""
    with socket.socket(type=socket.SOCK_DGRAM) as sink, socket.socket(type=socket.SOCK_DGRAM) as source:
        sink.bind(("127.0.0.1", 0))
        source.connect(sink.getsockname())
        source.setblocking(False)
        lines = [socket.SocketType(source.family, source.type, source.proto, source.fileno()) for _ in range(size)]
        for line in lines:
            audience.add_fast(line, FakeViewer())
        yield
        for line in lines:
            line.detach()


async def turns_until_received(viewer: SocketViewer) -> int:
    turns = 0
    while not received(viewer):
        turns += 1
        await asyncio.sleep(0)
    return turns


@contextlib.asynccontextmanager
async def full_audiences(number: int) -> AsyncIterator[tuple[Hub, list[Audience]]]:
    """A running hub and so many full audiences of the same two tickets, in the order in which they are written to."""
    hub = Hub(KEYS, Rules())
    running = asyncio.create_task(hub.run())
    await asyncio.sleep(0)
    with contextlib.ExitStack() as stack:
        for _ in range(number):
            audience = hub.audience(SITE_ID, (TicketId(TICKET), TicketId(OTHER)))
            stack.enter_context(more_viewers(audience, MAX_AUDIENCE))
        yield hub, list(audience.tickets[0].audiences)
    running.cancel()
    await asyncio.wait({running})


def replace_viewer(audience: Audience, viewer: SocketViewer) -> None:
    """Replace one of the audience's viewers with this one."""
    del audience.fast[next(iter(audience.fast))]
    audience.add_fast(viewer.server_end, viewer)


async def test_loop_turns_during_a_large_flush() -> None:
    """While thousands of viewers are written to, the event loop turns: other tasks do not wait for the last write."""
    last = SocketViewer()
    async with full_audiences(4) as (hub, everyone):
        replace_viewer(everyone[-1], last)
        await changed(hub, TICKET, 1, 9)
        assert await turns_until_received(last) >= 3
    last.close()


async def test_loop_turns_during_a_flush_of_small_audiences() -> None:
    """A thousand audiences of one viewer cost more than one audience of a thousand, so the loop turns in between."""
    hub = Hub(KEYS, Rules())
    for number in range(1000):
        hub.join(FakeViewer(), SITE_ID, (TicketId(TICKET), TicketId(f"99999999-aaaa-4aaa-8aaa-{number:012}")))
    await changed(hub, TICKET, 1, 9)

    flush, turns = asyncio.create_task(hub.flush.write_once()), 0
    while not flush.done():
        await asyncio.sleep(0)
        turns += 1

    assert 5 <= turns <= 20


async def test_viewer_that_falls_behind_during_a_flush() -> None:
    """Law 7: A viewer that falls behind during a flush gets each change once; one that caught up is written to."""
    first, behind, again, left = some = [SocketViewer() for _ in range(4)]
    before = metrics.ws_frames._value.get()
    async with full_audiences(2) as (hub, [written, next_]):
        replace_viewer(written, first)
        for viewer in (behind, again, left):
            replace_viewer(next_, viewer)

        topic = await changed(hub, TICKET, 7, 0)
        await turns_until_received(first)
        next_.add_slow(behind.server_end, behind)
        next_.add_slow(again.server_end, again)
        next_.add_fast(again.server_end, again)
        hub.leave(next_, left, left.server_end)
        await until(lambda: received(again))

    assert [[topic.shown]] == behind.writes
    assert topic.ws == again.client_end.recv(4096)
    assert [] == first.writes + again.writes + left.writes
    assert [False, False] == [received(viewer) for viewer in (behind, left)]
    assert before + 2 * MAX_AUDIENCE - 2 == metrics.ws_frames._value.get()
    for viewer in some:
        viewer.close()


async def test_change_during_a_flush() -> None:
    """A change during a flush joins the write of the audiences still to come; the others get it once after it."""
    first, last = SocketViewer(), SocketViewer()
    async with full_audiences(2) as (hub, everyone):
        for audience, viewer in zip(everyone, (first, last), strict=True):
            replace_viewer(audience, viewer)

        topic = await changed(hub, TICKET, 7, 0)
        await turns_until_received(first)
        other = await changed(hub, OTHER, 7, 3)
        await turns_until_received(last)
        assert topic.ws == first.client_end.recv(4096)
        assert topic.ws + other.ws == last.client_end.recv(4096)

        await until(lambda: received(first) and not hub.flush._work.is_set())
        topic = await changed(hub, TICKET, 8, 1)
        await until(lambda: received(last) and not hub.flush._work.is_set())
        assert other.ws + topic.ws == first.client_end.recv(4096)
        assert topic.ws == last.client_end.recv(4096)
    first.close()
    last.close()


@given(st.lists(st.lists(st.sampled_from((TICKET, OTHER)), max_size=2), max_size=12))
async def test_no_change_waits_for_two_flushes(steps: list[list[str]]) -> None:
    """Law 7: Whenever changes come, each reaches every viewer within as many writes as there are audiences.

    No viewer is written to twice in one flush, however often something changes.
    """
    writes: list[tuple[FakeViewer, set[str]]] = []

    class RecordingViewer(FakeViewer):
        def show(self, topics: Collection[Topic]) -> None:
            writes.append((self, set(tickets_of(topics))))

    hub = Hub(KEYS, Rules(), max_audience=1)
    here = [RecordingViewer() for _ in range(5)]
    for viewer in here:
        hub.join(viewer, SITE_ID, (TicketId(TICKET), TicketId(OTHER)))
    changes, starts = list[tuple[int, str]](), [0]

    flush = asyncio.create_task(hub.flush.write_once())
    for tickets in [*steps, *[list[str]()] * 30]:
        for ticket in tickets:
            changes.append((len(writes), ticket))
            await changed(hub, ticket, len(changes), len(changes))
        await asyncio.sleep(0)
        if flush.done():
            starts.append(len(writes))
            flush = asyncio.create_task(hub.flush.write_once())
    await flush

    assert not hub.flush._work.is_set()
    for start, ticket in changes:
        assert set(here) == {
            viewer for viewer, changed_tickets in writes[start : start + len(here)] if ticket in changed_tickets
        }
    for start, end in itertools.pairwise([*starts, len(writes)]):
        assert end - start == len({viewer for viewer, _ in writes[start:end]})
