import asyncio
import contextlib
import itertools
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterator

from hypothesis import given
from hypothesis import strategies as st

from server import metrics, wire
from server.counter import Rules
from server.hub.hub import MAX_AUDIENCE, Hub, write
from server.hub.topics import Audience, Topic
from server.hub.unconfirmed import Unconfirmed
from server.model import TicketId
from server.wire import Close
from tests.rig.counter_text import counter_text
from tests.rig.default_keys import KEYS, channel
from tests.rig.fake_reader import definition
from tests.rig.hub_rig import SITE_ID, FakeViewer, HubRig, shows
from tests.rig.server import OTHER, SITE, TICKET, until


class SocketViewer(FakeViewer):
    """A viewer with a socket; it records the bytes that the kernel did not take."""

    def __init__(self) -> None:
        super().__init__()
        self.rests: list[bytes] = []
        self.server_end, self.client_end = socket.socketpair()
        self.server_end.setblocking(False)
        self.client_end.setblocking(False)

    def write_rest(self, rest: bytes) -> None:
        self.rests.append(rest)

    def close(self) -> None:
        self.server_end.close()
        self.client_end.close()


async def changed(hub: Hub, ticket: str, v: int, unsold: int) -> Topic:
    """Give the hub a counter with this version and number, as the feed does."""
    topic = hub._topic(SITE_ID, TicketId(ticket))
    topic.read()
    assert topic.take(counter_text(v, unsold, ticket), hub.now() + 60)
    hub.update(topic)
    return topic


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
    hub.join(viewer, SITE_ID, [TicketId(TICKET), TicketId(OTHER)])
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
        hub.audience(SITE_ID, [TicketId(TICKET), TicketId(OTHER)]).add_fast(viewer.server_end, viewer)
    hub.audience(SITE_ID, [TicketId(OTHER)]).add_fast(one.server_end, one)

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


def received(viewer: SocketViewer) -> bool:
    try:
        return bool(viewer.client_end.recv(1, socket.MSG_PEEK))
    except BlockingIOError:
        return False


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
            audience = hub.audience(SITE_ID, [TicketId(TICKET), TicketId(OTHER)])
            stack.enter_context(more_viewers(audience, MAX_AUDIENCE))
        yield hub, list(audience.topics[0].audiences)
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
        hub.join(FakeViewer(), SITE_ID, [TicketId(TICKET), TicketId(f"99999999-aaaa-4aaa-8aaa-{number:012}")])
    await changed(hub, TICKET, 1, 9)

    flush, turns = asyncio.create_task(hub._flush()), 0
    while not flush.done():
        await asyncio.sleep(0)
        turns += 1

    assert 5 <= turns <= 20


async def test_audience_size_is_limited() -> None:
    """A viewer joins an audience that is not full; if all are full, a new one begins; one without viewers ends."""
    hub = Hub(KEYS, Rules(), max_audience=2)
    viewers = [FakeViewer() for _ in range(6)]
    one, same, two, too = (hub.join(viewer, SITE_ID, [TicketId(TICKET)]) for viewer in viewers[:4])
    assert one is same
    assert two is too
    assert one is not two

    hub.leave(one, viewers[0])
    assert one is hub.join(viewers[4], SITE_ID, [TicketId(TICKET)])
    three = hub.join(viewers[5], SITE_ID, [TicketId(TICKET)])
    assert {one, two, three} == one.topics[0].audiences
    assert set(viewers[1:]) == set(hub.viewers)
    assert 5 == len(hub)

    hub.leave(two, viewers[2])
    hub.leave(two, viewers[3])
    assert {one, three} == one.topics[0].audiences
    assert three is hub.join(viewers[0], SITE_ID, [TicketId(TICKET)])


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

        await until(lambda: received(first))
        topic = await changed(hub, TICKET, 8, 1)
        await until(lambda: received(last))
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
            writes.append((self, {topic.ticket for topic in topics}))

    hub = Hub(KEYS, Rules(), max_audience=1)
    here = [RecordingViewer() for _ in range(5)]
    for viewer in here:
        hub.join(viewer, SITE_ID, [TicketId(TICKET), TicketId(OTHER)])
    changes, starts = list[tuple[int, str]](), [0]

    flush = asyncio.create_task(hub._flush())
    for tickets in [*steps, *[list[str]()] * 30]:
        for ticket in tickets:
            changes.append((len(writes), ticket))
            await changed(hub, ticket, len(changes), len(changes))
        await asyncio.sleep(0)
        if flush.done():
            starts.append(len(writes))
            flush = asyncio.create_task(hub._flush())
    await flush

    assert not hub._work.is_set()
    for start, ticket in changes:
        assert set(here) == {
            viewer for viewer, changed_tickets in writes[start : start + len(here)] if ticket in changed_tickets
        }
    for start, end in itertools.pairwise([*starts, len(writes)]):
        assert end - start == len({viewer for viewer, _ in writes[start:end]})


async def test_topics_linger(redis_url: str) -> None:
    """A topic without viewers is kept for a while, so that a reload of a page finds it open, and is then forgotten."""
    hub = Hub(KEYS, Rules(), linger=0.05)
    closed = list[Topic]()
    hub.closed = closed.append
    topic = await changed(hub, TICKET, 1, 9)
    viewer = FakeViewer()
    audience = hub.join(viewer, SITE_ID, [TicketId(TICKET)])

    hub.close_idle()
    assert [] == closed
    hub.leave(audience, viewer)
    hub.close_idle()
    assert [] == closed
    assert {} == hub._audiences
    await until(lambda: _closed_by_now(hub, closed))
    assert [topic] == closed
    assert {} == hub.topics


def _closed_by_now(hub: Hub, closed: list[Topic]) -> list[Topic]:
    """Close idle topics; the topics that have been closed by now."""
    hub.close_idle()
    return closed


# -- unconfirmed tickets --


def join_invented(hub: Hub, *numbers: int) -> tuple[FakeViewer, Audience]:
    """A viewer of invented tickets."""
    viewer = FakeViewer()
    return viewer, hub.join(viewer, SITE_ID, [TicketId(f"99999999-aaaa-4aaa-8aaa-{number:012}") for number in numbers])


def unconfirmed_numbers(hub: Hub) -> list[int]:
    """The numbers of the unconfirmed topics, in the order in which they would be closed."""
    assert set(hub.unconfirmed) <= set(hub.topics.values())
    return [int(topic.ticket[-12:]) for topic in hub.unconfirmed]


async def test_unconfirmed_topic_lingers_shortly() -> None:
    """An unconfirmed topic lingers for a moment only; one that is confirmed meanwhile lingers as long as any other."""
    hub = Hub(KEYS, Rules(), linger=60, unconfirmed_linger=0.05)
    closed = list[Topic]()
    hub.closed = closed.append
    viewer, audience = join_invented(hub, 1)
    [invented] = audience.topics
    late, watching = FakeViewer(), hub.audience(SITE_ID, [TicketId(TICKET)])
    hub.leave(watching, late)

    hub.leave(audience, viewer)
    topic = await changed(hub, TICKET, 1, 9)
    await until(lambda: _closed_by_now(hub, closed))

    assert [invented] == closed
    assert {topic.channel: topic} == hub.topics
    assert [] == unconfirmed_numbers(hub)


async def test_gone_does_not_confirm_a_ticket() -> None:
    """A topic whose first state is gone stays unconfirmed; one that had another state before is confirmed."""
    hub = Hub(KEYS, Rules())
    for ticket in (TICKET, OTHER):
        hub.join(FakeViewer(), SITE_ID, [TicketId(ticket)])
    was = await changed(hub, TICKET, 1, 9)

    for ticket in (TICKET, OTHER):
        topic = hub.topics[hub._topic(SITE_ID, TicketId(ticket)).channel]
        topic.read()
        topic.take(counter_text(2, ticket=ticket, hidden=True), 0.0)
        hub.update(topic)

    assert counter_text(2, hidden=True) == was.shown
    assert [OTHER] == [topic.ticket for topic in hub.unconfirmed]


async def test_oldest_unconfirmed_topic_is_closed_over_the_limit() -> None:
    """Law 9: Over the limit the viewers of the oldest unconfirmed topics are closed first, and no other viewers."""
    hub = Hub(KEYS, Rules(), unconfirmed=Unconfirmed(3))
    before = metrics.refused.labels("unknown_tickets")._value.get()
    real = FakeViewer()
    hub.join(real, SITE_ID, [TicketId(TICKET)])
    await changed(hub, TICKET, 1, 9)
    first, both, third = join_invented(hub, 1)[0], join_invented(hub, 2, 1)[0], join_invented(hub, 3)[0]

    fourth = join_invented(hub, 4)[0]
    new = FakeViewer()
    hub.join(new, SITE_ID, [TicketId(OTHER)])
    await changed(hub, OTHER, 1, 8)

    assert [None, Close.FULL, Close.FULL] == [viewer.code for viewer in (real, first, both)]
    assert [None, None, None] == [viewer.code for viewer in (third, fourth, new)]
    assert [wire.bye(*wire.CROWDED_RETRY_MS)] == first.writes[-1]
    assert [3, 4] == unconfirmed_numbers(hub)
    assert before + 2 == metrics.refused.labels("unknown_tickets")._value.get()
    assert {TICKET, OTHER} < {topic.ticket for topic in hub.topics.values()}


async def test_all_viewers_of_a_topic_over_the_limit_are_closed() -> None:
    """A topic over the limit is closed after all its viewers are, whichever audience they are in."""
    hub = Hub(KEYS, Rules(), max_audience=1, unconfirmed=Unconfirmed(2))
    first = [join_invented(hub, 1)[0] for _ in range(3)]
    join_invented(hub, 2)
    join_invented(hub, 3)

    assert [Close.FULL] * 3 == [viewer.code for viewer in first]
    assert [2, 3] == unconfirmed_numbers(hub)


async def test_unwatched_unconfirmed_topic_is_closed_first() -> None:
    """Over the limit, unconfirmed topics that are only polled are closed before those that have viewers."""
    hub = Hub(KEYS, Rules(), unconfirmed=Unconfirmed(3))
    watching = join_invented(hub, 1)[0]
    for number in range(2, 100):
        poller, audience = join_invented(hub, number)
        hub.leave(audience, poller)

    assert None is watching.code
    assert 3 == len(hub.topics)
    assert 1 == unconfirmed_numbers(hub)[-1]


async def test_invented_tickets_have_few_subscriptions_in_redis(redis_url: str) -> None:
    """Law 9: However many invented tickets are requested, subscriptions stay few and real tickets stay right."""
    async with HubRig(redis_url, unconfirmed=Unconfirmed(20), unconfirmed_linger=0.2) as rig:
        await rig.reads.read(definition(TICKET, 3), definition(OTHER, 4))
        viewer, _ = rig.watch()
        await shows(viewer, unsold=3)

        async def subscribed() -> int:
            return len(await rig.store.do("PUBSUB", "CHANNELS", f"{channel(SITE, '')}*"))

        asked = [join_invented(rig.hub, *range(10 * turn, 10 * turn + 10)) for turn in range(100)]
        late, _ = rig.watch(OTHER)
        await shows(late, unsold=4)
        assert len(rig.hub.topics) <= 22
        await until(lambda: _count_is(subscribed, 12))
        assert 99 == sum(Close.FULL == viewer.code for viewer, _ in asked)
        await rig.reads.read(definition(TICKET, 2))
        await shows(viewer, unsold=2)

        for one, audience in asked:
            rig.hub.leave(audience, one)
        await until(lambda: _count_is(subscribed, 2))


async def _count_is(count: Callable[[], Awaitable[int]], wanted: int) -> bool:
    return await count() == wanted


async def test_late_leave_of_a_closed_viewer() -> None:
    """A viewer that leaves some time after it was closed does not affect viewers that joined the same ticket since."""
    hub = Hub(KEYS, Rules(), unconfirmed=Unconfirmed(2))
    sent, old = join_invented(hub, 1)
    join_invented(hub, 2)
    join_invented(hub, 3)
    again, new = join_invented(hub, 1)

    hub.leave(old, sent)

    assert (Close.FULL, None) == (sent.code, again.code)
    assert old is not new
    assert [new] == hub._audiences[new.wanted]
    assert {new} == new.topics[0].audiences
    assert hub.topics[new.topics[0].channel] is new.topics[0]


STEPS = st.lists(
    st.tuples(st.sampled_from(["join", "join", "socket", "leave", "learn", "wait"]), st.integers(0, 11)), max_size=60
)


class LeavingViewer(FakeViewer):
    """A viewer that leaves as soon as it is closed, as a WebSocket does."""

    def __init__(self, hub: Hub) -> None:
        super().__init__()
        self.hub = hub
        self.audience: Audience | None = None

    def bye(self, text: str, code: Close = Close.RESTART) -> None:
        super().bye(text, code)
        assert self.audience is not None
        self.hub.leave(self.audience, self)


@given(STEPS)
async def test_any_sequence_of_joins_and_leaves_keeps_unconfirmed_topics_bounded(steps: list[tuple[str, int]]) -> None:
    """Law 9: However viewers join, leave and get counters, unconfirmed topics are few and no audience is left over."""
    hub = Hub(KEYS, Rules(), linger=0, unconfirmed_linger=0, unconfirmed=Unconfirmed(4))
    opened, closed = list[Topic](), list[Topic]()
    hub.opened, hub.closed = opened.append, closed.append
    here: list[tuple[FakeViewer, Audience]] = []
    for what, number in steps:
        tickets = [TicketId(f"99999999-aaaa-4aaa-8aaa-{one % 8:012}") for one in range(number, number + 1 + number % 3)]
        if what == "join":
            viewer = FakeViewer()
            here.append((viewer, hub.join(viewer, SITE_ID, tickets)))
        elif what == "socket":
            leaver = LeavingViewer(hub)
            leaver.audience = hub.join(leaver, SITE_ID, tickets)
            here.append((leaver, leaver.audience))
        elif what == "leave" and here:
            viewer, audience = here.pop(number % len(here))
            hub.leave(audience, viewer)
        elif what == "learn" and number < 3:
            await changed(hub, tickets[0], 1, 9)
        elif what == "wait":
            hub.close_idle()
        inside = {audience for viewer, audience in here if viewer.code is None}

        assert len(hub.unconfirmed) <= 4
        assert set(hub.unconfirmed) == {topic for topic in hub.topics.values() if not topic.confirmed}
        assert inside == {audience for alike in hub._audiences.values() for audience in alike}
        for audience in inside:
            assert all(hub.topics[topic.channel] is topic and audience in topic.audiences for topic in audience.topics)
        assert set(opened) - set(closed) == set(hub.topics.values())
        assert len(closed) == len(set(closed))


async def test_known_counter_is_shown_at_once() -> None:
    """A viewer that joins a topic whose counter is known gets it before anything else happens."""
    hub = Hub(KEYS, Rules())
    await changed(hub, TICKET, 1, 9)
    viewer = FakeViewer()

    hub.join(viewer, SITE_ID, [TicketId(TICKET), TicketId(OTHER)])

    assert [[counter_text(1, 9)]] == viewer.writes
    assert 1 == len(hub)
    assert [viewer] == hub.viewers


async def test_every_viewer_gets_heartbeats(redis_url: str) -> None:
    """Every viewer gets a heartbeat again and again, whether anything changes or not."""
    async with HubRig(redis_url, beat_every=0.05) as rig:
        viewers = [rig.watch()[0] for _ in range(3)]

        await until(lambda: all(viewer.beats > 1 for viewer in viewers))


async def test_viewers_are_closed_in_waves(redis_url: str) -> None:
    """Law 11: Viewers are closed in waves, each with a time at which to come back."""
    async with HubRig(redis_url) as rig:
        viewers = [rig.watch()[0] for _ in range(30)]

        def notified() -> int:
            return sum(any("bye" in write[0] for write in viewer.writes) for viewer in viewers)

        ending = asyncio.create_task(rig.hub.close_all(500, 5000, 0.5))
        await until(notified)
        assert notified() < 30
        await ending

        assert 30 == notified()
