import asyncio
from collections.abc import Awaitable, Callable

from hypothesis import given
from hypothesis import strategies as st

from server import metrics, wire
from server.counter import Rules
from server.hub.hub import Hub
from server.hub.topics import Audience, Topic
from server.hub.unconfirmed import Unconfirmed
from server.model import TicketId
from server.wire import Close
from tests.rig.counter_text import counter_text
from tests.rig.default_keys import KEYS, channel
from tests.rig.fake_reader import definition
from tests.rig.hub_rig import SITE_ID, FakeViewer, HubRig, changed, shows, tickets_of
from tests.rig.server import OTHER, SITE, TICKET, until


async def test_audience_size_is_limited() -> None:
    """A viewer joins an audience that is not full; if all are full, a new one begins; one without viewers ends."""
    hub = Hub(KEYS, Rules(), max_audience=2)
    viewers = [FakeViewer() for _ in range(6)]
    one, same, two, too = (hub.join(viewer, SITE_ID, (TicketId(TICKET),)) for viewer in viewers[:4])
    assert one is same
    assert two is too
    assert one is not two

    hub.leave(one, viewers[0])
    assert one is hub.join(viewers[4], SITE_ID, (TicketId(TICKET),))
    three = hub.join(viewers[5], SITE_ID, (TicketId(TICKET),))
    assert {one, two, three} == one.tickets[0].audiences
    assert set(viewers[1:]) == set(hub.viewers)
    assert 5 == len(hub)

    hub.leave(two, viewers[2])
    hub.leave(two, viewers[3])
    assert {one, three} == one.tickets[0].audiences
    assert three is hub.join(viewers[0], SITE_ID, (TicketId(TICKET),))


async def test_topics_linger(redis_url: str) -> None:
    """A topic without viewers is kept for a while, so that a reload of a page finds it open, and is then forgotten."""
    hub = Hub(KEYS, Rules(), linger=0.05)
    closed = list[Topic]()
    hub.closed = closed.append
    topic = await changed(hub, TICKET, 1, 9)
    viewer = FakeViewer()
    audience = hub.join(viewer, SITE_ID, (TicketId(TICKET),))

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
    return viewer, hub.join(
        viewer, SITE_ID, tuple(TicketId(f"99999999-aaaa-4aaa-8aaa-{number:012}") for number in numbers)
    )


def unconfirmed_numbers(hub: Hub) -> list[int]:
    """The numbers of the unconfirmed topics, in the order in which they would be closed."""
    assert set(hub.unconfirmed) <= set(hub.topics.values())
    return [int(ticket[-12:]) for ticket in tickets_of(hub.unconfirmed)]


async def test_unconfirmed_topic_lingers_shortly() -> None:
    """An unconfirmed topic lingers for a moment only; one that is confirmed meanwhile lingers as long as any other."""
    hub = Hub(KEYS, Rules(), linger=60, unconfirmed_linger=0.05)
    closed = list[Topic]()
    hub.closed = closed.append
    viewer, audience = join_invented(hub, 1)
    [invented] = audience.tickets
    late, watching = FakeViewer(), hub.audience(SITE_ID, (TicketId(TICKET),))
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
        hub.join(FakeViewer(), SITE_ID, (TicketId(ticket),))
    was = await changed(hub, TICKET, 1, 9)

    for ticket in (TICKET, OTHER):
        topic = hub._ticket_topic(SITE_ID, TicketId(ticket))
        topic.read()
        topic.take(counter_text(2, ticket=ticket, hidden=True), 0.0)
        hub.update(topic)

    assert counter_text(2, hidden=True) == was.shown
    assert [OTHER] == tickets_of(hub.unconfirmed)


async def test_oldest_unconfirmed_topic_is_closed_over_the_limit() -> None:
    """Law 9: Over the limit the viewers of the oldest unconfirmed topics are closed first, and no other viewers."""
    hub = Hub(KEYS, Rules(), unconfirmed=Unconfirmed(3))
    before = metrics.refused.labels("unknown_tickets")._value.get()
    real = FakeViewer()
    hub.join(real, SITE_ID, (TicketId(TICKET),))
    await changed(hub, TICKET, 1, 9)
    first, both, third = join_invented(hub, 1)[0], join_invented(hub, 2, 1)[0], join_invented(hub, 3)[0]

    fourth = join_invented(hub, 4)[0]
    new = FakeViewer()
    hub.join(new, SITE_ID, (TicketId(OTHER),))
    await changed(hub, OTHER, 1, 8)

    assert [None, Close.FULL, Close.FULL] == [viewer.code for viewer in (real, first, both)]
    assert [None, None, None] == [viewer.code for viewer in (third, fourth, new)]
    assert [wire.bye(*wire.CROWDED_RETRY_MS)] == first.writes[-1]
    assert [3, 4] == unconfirmed_numbers(hub)
    assert before + 2 == metrics.refused.labels("unknown_tickets")._value.get()
    assert {TICKET, OTHER} < set(tickets_of(hub.topics.values()))


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
            here.append((viewer, hub.join(viewer, SITE_ID, tuple(tickets))))
        elif what == "socket":
            leaver = LeavingViewer(hub)
            leaver.audience = hub.join(leaver, SITE_ID, tuple(tickets))
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
            assert all(hub.topics[topic.channel] is topic and audience in topic.audiences for topic in audience.tickets)
        assert set(opened) - set(closed) == set(hub.topics.values())
        assert len(closed) == len(set(closed))


async def test_known_counter_is_shown_at_once() -> None:
    """A viewer that joins a topic whose counter is known gets it before anything else happens."""
    hub = Hub(KEYS, Rules())
    await changed(hub, TICKET, 1, 9)
    viewer = FakeViewer()

    hub.join(viewer, SITE_ID, (TicketId(TICKET), TicketId(OTHER)))

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
