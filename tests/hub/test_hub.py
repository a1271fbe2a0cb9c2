import asyncio
import contextlib
import itertools
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterator

from hypothesis import given
from hypothesis import strategies as st

from server import metrics, wire
from server.hub.hub import MAX_AUDIENCE, Hub, write
from server.hub.topics import Audience, Topic
from server.hub.unconfirmed import Unconfirmed
from server.model import TicketId
from server.store.keys import channel
from server.wire import Close
from tests.rig.fake_reader import definition
from tests.rig.hub_rig import SITE_ID, FakeViewer, HubRig, shows
from tests.rig.server import OTHER, SITE, TICKET, until


class Wire(FakeViewer):
    """A viewer with a socket: what the kernel did not take is remembered."""

    def __init__(self) -> None:
        super().__init__()
        self.rests: list[bytes] = []
        self.same_rules, self.theirs = socket.socketpair()
        self.same_rules.setblocking(False)
        self.theirs.setblocking(False)

    def write_rest(self, rest: bytes) -> None:
        self.rests.append(rest)

    def close(self) -> None:
        self.same_rules.close()
        self.theirs.close()


async def changed(hub: Hub, ticket: str, v: int, unsold: int) -> Topic:
    """Let a counter come, as the feed does."""
    topic = hub._topic(SITE_ID, TicketId(ticket))
    topic.read()
    topic.take(f'{{"v":{v},"unsold":{unsold}}}', hub.now() + 60)
    hub.update(topic)
    return topic


async def test_changes_are_merged(redis_url: str) -> None:
    """Law 7: A hundred changes at once are a few writes, at most one frame a ticket in each, and end on the last."""
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


async def test_first_change_at_once() -> None:
    """The first change is written in the same turn, those that follow within the flush time together after it."""
    hub = Hub()
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


async def test_same_bytes_for_an_audience() -> None:
    """Who watches the same tickets is one audience, and gets the same bytes in one write; others get only theirs."""
    hub = Hub()
    running = asyncio.create_task(hub.run())
    both, one = [Wire(), Wire()], Wire()
    for viewer in both:
        hub.audience(SITE_ID, [TicketId(TICKET), TicketId(OTHER)]).add_fast(viewer.same_rules, viewer)
    hub.audience(SITE_ID, [TicketId(OTHER)]).add_fast(one.same_rules, one)

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
    data = os.urandom(4096)
    sent = 0
    while not full.rests:
        write([full.same_rules, free.same_rules], [full, free], data)
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
                full.same_rules.send(b"x" * size)

    assert 1 == write([full.same_rules], [full], b"frame")

    assert [b"frame"] == full.rests
    full.close()


def test_dead_socket_is_dropped() -> None:
    """A socket whose other end is gone is dropped, and the next one is written to."""
    dead, alive = Wire(), Wire()
    dead.theirs.close()

    assert 1 == write([dead.same_rules, alive.same_rules], [dead, alive], b"frame")

    assert "dead" == dead.dropped
    assert b"frame" == alive.theirs.recv(100)
    dead.close()
    alive.close()


def test_number_of_another_is_not_written_to() -> None:
    """A closed connection's descriptor may be another's at once: what is written to the old one does not come there."""
    old, new = Wire(), Wire()
    line = socket.SocketType(new.same_rules.family, new.same_rules.type, new.same_rules.proto, new.same_rules.fileno())
    line.detach()

    assert 0 == write([line], [old], b"frame")

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
            audience.add_fast(line, FakeViewer())
        yield
        for line in lines:
            line.detach()


async def turns_until_received(viewer: Wire) -> int:
    turns = 0
    while not received(viewer):
        turns += 1
        await asyncio.sleep(0)
    return turns


@contextlib.asynccontextmanager
async def audiences(number: int) -> AsyncIterator[tuple[Hub, list[Audience]]]:
    """A hub that runs, and so many full audiences of the same two tickets, in the order in which they are written to."""
    hub = Hub()
    running = asyncio.create_task(hub.run())
    await asyncio.sleep(0)
    with contextlib.ExitStack() as stack:
        for _ in range(number):
            audience = hub.audience(SITE_ID, [TicketId(TICKET), TicketId(OTHER)])
            stack.enter_context(crowd(audience, MAX_AUDIENCE))
        yield hub, list(audience.topics[0].audiences)
    running.cancel()
    await asyncio.wait({running})


def replace(audience: Audience, viewer: Wire) -> None:
    """Let somebody come in the place of one of a crowd."""
    del audience.fast[next(iter(audience.fast))]
    audience.add_fast(viewer.same_rules, viewer)


async def test_others_work_meanwhile() -> None:
    """While thousands are written to, the loop turns: nothing else waits for the last of them."""
    last = Wire()
    async with audiences(4) as (hub, everyone):
        replace(everyone[-1], last)
        await changed(hub, TICKET, 1, 9)
        assert await turns_until_received(last) >= 3
    last.close()


async def test_small_audiences_let_others_work() -> None:
    """A thousand who each watch something else besides cost more than a thousand alike: the loop turns now and then."""
    hub = Hub()
    for number in range(1000):
        hub.join(FakeViewer(), SITE_ID, [TicketId(TICKET), TicketId(f"99999999-aaaa-4aaa-8aaa-{number:012}")])
    await changed(hub, TICKET, 1, 9)

    flush, turns = asyncio.create_task(hub._flush()), 0
    while not flush.done():
        await asyncio.sleep(0)
        turns += 1

    assert 5 <= turns <= 20


async def test_no_audience_is_too_large() -> None:
    """Who comes joins those with room, and only where all are full begins another; one that all have left ends."""
    hub = Hub(max_audience=2)
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


async def test_who_falls_behind_during_a_flush() -> None:
    """Law 7: Who falls behind while others are written to is told too, once; who has caught up by then is written to."""
    first, behind, again, left = some = [Wire() for _ in range(4)]
    before = metrics.ws_frames._value.get()
    async with audiences(2) as (hub, [written, next_]):
        replace(written, first)
        for viewer in (behind, again, left):
            replace(next_, viewer)

        topic = await changed(hub, TICKET, 7, 0)
        await turns_until_received(first)
        next_.add_slow(behind.same_rules, behind)
        next_.add_slow(again.same_rules, again)
        next_.add_fast(again.same_rules, again)
        hub.leave(next_, left, left.same_rules)
        await until(lambda: received(again))

    assert [[topic.shown]] == behind.writes
    assert topic.ws == again.theirs.recv(4096)
    assert [] == first.writes + again.writes + left.writes
    assert [False, False] == [received(viewer) for viewer in (behind, left)]
    assert before + 2 * MAX_AUDIENCE - 2 == metrics.ws_frames._value.get()
    for viewer in some:
        viewer.close()


async def test_change_during_a_flush() -> None:
    """What changes while others are written to goes along to the rest in one write, and to the others once, after it."""
    first, last = Wire(), Wire()
    async with audiences(2) as (hub, everyone):
        for audience, viewer in zip(everyone, (first, last), strict=True):
            replace(audience, viewer)

        topic = await changed(hub, TICKET, 7, 0)
        await turns_until_received(first)
        other = await changed(hub, OTHER, 7, 3)
        await turns_until_received(last)
        assert topic.ws == first.theirs.recv(4096)
        assert topic.ws + other.ws == last.theirs.recv(4096)

        await until(lambda: received(first))
        topic = await changed(hub, TICKET, 8, 1)
        await until(lambda: received(last))
        assert other.ws + topic.ws == first.theirs.recv(4096)
        assert topic.ws == last.theirs.recv(4096)
    first.close()
    last.close()


@given(st.lists(st.lists(st.sampled_from((TICKET, OTHER)), max_size=2), max_size=12))
async def test_no_change_waits_for_two_flushes(steps: list[list[str]]) -> None:
    """Law 7: Whenever changes come, each is with everyone within as many writes as there are audiences.

    And none is written to twice in a flush: whatever changes how often, a viewer gets one write in each.
    """
    writes: list[tuple[FakeViewer, set[str]]] = []

    class Watching(FakeViewer):
        def show(self, topics: Collection[Topic]) -> None:
            writes.append((self, {topic.ticket for topic in topics}))

    hub = Hub(max_audience=1)
    here = [Watching() for _ in range(5)]
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
        assert set(here) == {viewer for viewer, told in writes[start : start + len(here)] if ticket in told}
    for start, end in itertools.pairwise([*starts, len(writes)]):
        assert end - start == len({viewer for viewer, _ in writes[start:end]})


async def test_topics_linger(redis_url: str) -> None:
    """A topic without viewers is kept for a while, so that a reload finds it warm, and is forgotten then."""
    hub = Hub(linger=0.05)
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
    await until(lambda: _look(hub, closed))
    assert [topic] == closed
    assert {} == hub.topics


def _look(hub: Hub, closed: list[Topic]) -> list[Topic]:
    """What has been closed by now."""
    hub.close_idle()
    return closed


# -- tickets that were never seen to be one --


def ask(hub: Hub, *numbers: int) -> tuple[FakeViewer, Audience]:
    """A viewer of tickets that somebody invented."""
    viewer = FakeViewer()
    return viewer, hub.join(viewer, SITE_ID, [TicketId(f"99999999-aaaa-4aaa-8aaa-{number:012}") for number in numbers])


def numbers(hub: Hub) -> list[int]:
    """Those of them that are topics, as they would give way."""
    assert set(hub.unconfirmed) <= set(hub.topics.values())
    return [int(topic.ticket[-12:]) for topic in hub.unconfirmed]


async def test_invented_tickets_linger_shortly() -> None:
    """A ticket that was never seen to be one lingers for a moment only; one that is seen to be while it does, as any."""
    hub = Hub(linger=60, unconfirmed_linger=0.05)
    closed = list[Topic]()
    hub.closed = closed.append
    viewer, audience = ask(hub, 1)
    [invented] = audience.topics
    late, watching = FakeViewer(), hub.audience(SITE_ID, [TicketId(TICKET)])
    hub.leave(watching, late)

    hub.leave(audience, viewer)
    topic = await changed(hub, TICKET, 1, 9)
    await until(lambda: _look(hub, closed))

    assert [invented] == closed
    assert {topic.channel: topic} == hub.topics
    assert [] == numbers(hub)


async def test_what_is_gone_is_not_proven() -> None:
    """Who is told that a ticket is gone has not shown that it ever was; who has seen one go has."""
    hub = Hub()
    for ticket in (TICKET, OTHER):
        hub.join(FakeViewer(), SITE_ID, [TicketId(ticket)])
    was = await changed(hub, TICKET, 1, 9)
    gone = '{"v":2,"state":"gone"}'

    for ticket in (TICKET, OTHER):
        topic = hub.topics[hub._topic(SITE_ID, TicketId(ticket)).channel]
        topic.read()
        topic.take(gone, 0.0)
        hub.update(topic)

    assert gone == was.shown
    assert [OTHER] == [topic.ticket for topic in hub.unconfirmed]


async def test_oldest_invention_gives_way() -> None:
    """Law 9: Over the cap those who ask for what was never seen to be a ticket go, the oldest first; no others do."""
    hub = Hub(unconfirmed=Unconfirmed(3))
    before = metrics.refused.labels("unknown_tickets")._value.get()
    real = FakeViewer()
    hub.join(real, SITE_ID, [TicketId(TICKET)])
    await changed(hub, TICKET, 1, 9)
    first, both, third = ask(hub, 1)[0], ask(hub, 2, 1)[0], ask(hub, 3)[0]

    fourth = ask(hub, 4)[0]
    new = FakeViewer()
    hub.join(new, SITE_ID, [TicketId(OTHER)])
    await changed(hub, OTHER, 1, 8)

    assert [None, Close.FULL, Close.FULL] == [viewer.code for viewer in (real, first, both)]
    assert [None, None, None] == [viewer.code for viewer in (third, fourth, new)]
    assert [wire.bye(*wire.CROWDED_RETRY_MS)] == first.writes[-1]
    assert [3, 4] == numbers(hub)
    assert before + 2 == metrics.refused.labels("unknown_tickets")._value.get()
    assert {TICKET, OTHER} < {topic.ticket for topic in hub.topics.values()}


async def test_all_who_watch_give_way() -> None:
    """A topic that has to give way is closed when everybody who watches it has been sent away, in whichever audience."""
    hub = Hub(max_audience=1, unconfirmed=Unconfirmed(2))
    first = [ask(hub, 1)[0] for _ in range(3)]
    ask(hub, 2)
    ask(hub, 3)

    assert [Close.FULL] * 3 == [viewer.code for viewer in first]
    assert [2, 3] == numbers(hub)


async def test_what_nobody_watches_gives_way_first() -> None:
    """Of what was never seen to be a ticket, that which is only polled goes before anybody who watches has to."""
    hub = Hub(unconfirmed=Unconfirmed(3))
    watching = ask(hub, 1)[0]
    for number in range(2, 100):
        poller, audience = ask(hub, number)
        hub.leave(audience, poller)

    assert None is watching.code
    assert 3 == len(hub.topics)
    assert 1 == numbers(hub)[-1]


async def test_inventions_in_redis(redis_url: str) -> None:
    """Law 9: However many invented tickets are asked for, subscriptions are bounded, soon gone, and real ones right."""
    async with HubRig(redis_url, unconfirmed=Unconfirmed(20), unconfirmed_linger=0.2) as rig:
        await rig.reads.read(definition(TICKET, 3), definition(OTHER, 4))
        viewer, _ = rig.watch()
        await shows(viewer, unsold=3)

        async def subscribed() -> int:
            return len(await rig.store.do("PUBSUB", "CHANNELS", f"{channel(SITE, '')}*"))

        asked = [ask(rig.hub, *range(10 * turn, 10 * turn + 10)) for turn in range(100)]
        late, _ = rig.watch(OTHER)
        await shows(late, unsold=4)
        assert len(rig.hub.topics) <= 22
        await until(lambda: _are(subscribed, 12))
        assert 99 == sum(Close.FULL == viewer.code for viewer, _ in asked)
        await rig.reads.read(definition(TICKET, 2))
        await shows(viewer, unsold=2)

        for one, audience in asked:
            rig.hub.leave(audience, one)
        await until(lambda: _are(subscribed, 2))


async def _are(count: Callable[[], Awaitable[int]], wanted: int) -> bool:
    return await count() == wanted


async def test_late_leave_of_one_sent_away() -> None:
    """Who leaves some time after being sent away takes nobody with it who has come for the same since."""
    hub = Hub(unconfirmed=Unconfirmed(2))
    sent, old = ask(hub, 1)
    ask(hub, 2)
    ask(hub, 3)
    again, new = ask(hub, 1)

    hub.leave(old, sent)

    assert (Close.FULL, None) == (sent.code, again.code)
    assert old is not new
    assert [new] == hub._audiences[new.wanted]
    assert {new} == new.topics[0].audiences
    assert hub.topics[new.topics[0].channel] is new.topics[0]


STEPS = st.lists(
    st.tuples(st.sampled_from(["join", "join", "socket", "leave", "learn", "wait"]), st.integers(0, 11)), max_size=60
)


class Leaver(FakeViewer):
    """A viewer that leaves as soon as it is sent away, as a socket does."""

    def __init__(self, hub: Hub) -> None:
        super().__init__()
        self.hub = hub
        self.audience: Audience | None = None

    def bye(self, text: str, code: Close = Close.RESTART) -> None:
        super().bye(text, code)
        assert self.audience is not None
        self.hub.leave(self.audience, self)


@given(STEPS)
async def test_any_crowd_of_inventions(steps: list[tuple[str, int]]) -> None:
    """Law 9: Whoever comes, leaves and learns: a bounded number of inventions, and nobody in an audience left behind."""
    hub = Hub(linger=0, unconfirmed_linger=0, unconfirmed=Unconfirmed(4))
    opened, closed = list[Topic](), list[Topic]()
    hub.opened, hub.closed = opened.append, closed.append
    here: list[tuple[FakeViewer, Audience]] = []
    for what, number in steps:
        tickets = [TicketId(f"99999999-aaaa-4aaa-8aaa-{one % 8:012}") for one in range(number, number + 1 + number % 3)]
        if what == "join":
            viewer = FakeViewer()
            here.append((viewer, hub.join(viewer, SITE_ID, tickets)))
        elif what == "socket":
            leaver = Leaver(hub)
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


async def test_known_is_shown_at_once() -> None:
    """Who joins a topic that is known is shown it before anything else happens."""
    hub = Hub()
    await changed(hub, TICKET, 1, 9)
    viewer = FakeViewer()

    hub.join(viewer, SITE_ID, [TicketId(TICKET), TicketId(OTHER)])

    assert [[wire.with_v(1, '"unsold":9}')]] == viewer.writes
    assert 1 == len(hub)
    assert [viewer] == hub.viewers


async def test_beats(redis_url: str) -> None:
    """Every viewer gets a heartbeat again and again, whether anything changes or not."""
    async with HubRig(redis_url, beat_every=0.05) as rig:
        viewers = [rig.watch()[0] for _ in range(3)]

        await until(lambda: all(viewer.beats > 1 for viewer in viewers))


async def test_farewell_in_waves(redis_url: str) -> None:
    """Law 11: Viewers are sent away in waves, each with a time at which to come back."""
    async with HubRig(redis_url) as rig:
        viewers = [rig.watch()[0] for _ in range(30)]

        def told() -> int:
            return sum(any("bye" in write[0] for write in viewer.writes) for viewer in viewers)

        ending = asyncio.create_task(rig.hub.close_all(500, 5000, 0.5))
        await until(told)
        assert told() < 30
        await ending

        assert 30 == told()
