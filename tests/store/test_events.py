from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import pytest

from server.counter import Rules
from server.model import Event, EventId
from server.redis.listener import Listener
from server.store.budget import Priority
from server.store.events import Delay, Events
from server.store.timing import Timing
from tests.rig.default_keys import WAKE, key
from tests.rig.server import SITE
from tests.rig.stored_site import EVENT, SITE_ID, A, B, C, StoredSite, about
from tests.rig.time_travel import elapse

SECOND = EventId("0b5f1a2e-4444-4444-8444-00000000e002")
TWO_DAYS = 172_800
OPEN: dict[str, Any] = {"registration": {"status": "OPEN_TICKETS"}}
PAUSED: dict[str, Any] = {"registration": {"registrationPaused": True}}


def event(id_: str = EVENT, slug: str | None = "fair", **facts: Any) -> Event:
    return Event(EventId(id_), slug=slug, facts={"id": id_, "slug": slug, **facts})


@pytest.fixture
async def events(site: StoredSite) -> Events:
    """The events of a site that tracks every ticket, of which A and B belong to an event that was never read."""
    await site.knows(A, B)
    return Events(site.store)


async def version(site: StoredSite) -> int:
    """Begin a read; answers its version."""
    found = await site.schedule.spend(SITE_ID, Priority.HINTED)
    assert isinstance(found, int)
    return found


async def snapshot(site: StoredSite, id_: str = EVENT) -> dict[str, str]:
    return dict(await site.store.do("HGETALL", key(SITE, "event_snapshot", id_)))


async def slugs(site: StoredSite) -> dict[str, str]:
    return dict(await site.store.do("HGETALL", key(SITE, "slugs")))


async def next_text(listener: Listener) -> str:
    """The next text on the channel, which comes after the confirmation that it was subscribed to."""
    while True:
        message = await listener.receive(5)
        assert message is not None, "nothing was published"
        if message.text is not None:
            return str(message.text)


# -- what is stored --


async def test_event_is_stored_as_read(site: StoredSite, events: Events) -> None:
    """What was read of an event is answered as it was; an event that was never read is told from it."""
    assert 1 == await events.keep(SITE_ID, await version(site), [EVENT], [event(**OPEN)])

    found = await events.stored(SITE_ID, [EVENT, SECOND, EVENT])

    assert {EVENT: {"id": EVENT, "slug": "fair", **OPEN}} == found.facts
    assert {SECOND} == found.unread
    assert {"fair": EVENT} == await slugs(site)


async def test_events_of_other_rules_are_read_again(site: StoredSite, events: Events) -> None:
    """An event that was read before the site got its rules is to be read first, and what is known of it is answered."""
    await events.keep(SITE_ID, await version(site), [EVENT], [event(**OPEN)])
    assert frozenset() == (await events.stored(SITE_ID, [EVENT])).unread

    await site.schedule.add_site(SITE_ID, Rules(low_at=3), everything=True)

    found = await events.stored(SITE_ID, [EVENT])
    assert {EVENT: {"id": EVENT, "slug": "fair", **OPEN}} == found.facts
    assert {EVENT} == found.unread


async def test_rules_of_the_future_have_no_event_read_again(site: StoredSite, events: Events) -> None:
    """Law 4: After Redis's clock was set back, an event is not read with each ticket because the rules are of the future."""
    await events.keep(SITE_ID, await version(site), [EVENT], [event(**OPEN)])
    await site.store.do("HSET", key(SITE, "site"), "rules_at", await site.now() + 3_600_000_000)

    assert frozenset() == (await events.stored(SITE_ID, [EVENT])).unread


async def test_left_out_until_it_is_answered(site: StoredSite, events: Events) -> None:
    """Whether the last accepted answer left an event out is stored; what it was before stays, and an older answer changes nothing."""
    await events.keep(SITE_ID, early := await version(site), [EVENT], [event(**OPEN)])
    assert "0" == (await snapshot(site))["left_out"]

    assert 0 == await events.keep(SITE_ID, await version(site), [EVENT, SECOND], [])
    assert ["1", "1"] == [(await snapshot(site, one))["left_out"] for one in (EVENT, SECOND)]
    assert {EVENT: {"id": EVENT, "slug": "fair", **OPEN}} == (await events.stored(SITE_ID, [EVENT])).facts
    await events.keep(SITE_ID, early, [EVENT], [event(**OPEN)])
    assert "1" == (await snapshot(site))["left_out"]

    assert 0 == await events.keep(SITE_ID, await version(site), [EVENT], [event(**OPEN)])
    assert "0" == (await snapshot(site))["left_out"]


async def test_nothing_asked_is_nothing_stored(site: StoredSite, events: Events) -> None:
    """A read of no event stores none, whatever was answered."""
    before = await site.keys()

    assert 0 == await events.keep(SITE_ID, 1, [], [event()])
    assert before == await site.keys()


async def test_read_that_began_later_wins(site: StoredSite, events: Events) -> None:
    """Law 2: Whatever the order of the answers, the read of an event that began later is kept."""
    early, late = await version(site), await version(site)
    assert 1 == await events.keep(SITE_ID, late, [EVENT], [event(**PAUSED)])

    assert 0 == await events.keep(SITE_ID, early, [EVENT], [event(**OPEN, slug="old")])
    assert 0 == await events.keep(SITE_ID, late, [EVENT], [event(**OPEN)])

    assert {EVENT: {"id": EVENT, "slug": "fair", **PAUSED}} == (await events.stored(SITE_ID, [EVENT])).facts
    assert {"fair": EVENT} == await slugs(site)


async def test_event_left_out_keeps_its_facts(site: StoredSite, events: Events) -> None:
    """An event that an answer leaves out, as it does drafts, keeps its facts and its slug; its tickets are not read for it."""
    await events.keep(SITE_ID, await version(site), [EVENT], [event(**OPEN)])
    await site.settle(await site.lot())
    later = await version(site)

    assert 0 == await events.keep(SITE_ID, later, [EVENT], [])

    assert {EVENT: {"id": EVENT, "slug": "fair", **OPEN}} == (await events.stored(SITE_ID, [EVENT])).facts
    assert str(later) == (await snapshot(site))["version"]
    assert {"fair": EVENT} == await slugs(site)
    assert {A: about(2), B: about(2)} == await site.scores()


async def test_event_that_was_always_left_out_counts_as_read(site: StoredSite, events: Events) -> None:
    """An event of which Wix told nothing was read: it is not asked for again with each ticket."""
    assert 0 == await events.keep(SITE_ID, await version(site), [EVENT], [])

    found = await events.stored(SITE_ID, [EVENT])

    assert ({EVENT: None}, frozenset()) == (found.facts, found.unread)
    assert {} == await site.scores()


async def test_event_that_was_not_asked_for_is_not_stored(site: StoredSite, events: Events) -> None:
    """An event that an answer has without having been asked for is not stored."""
    await events.keep(SITE_ID, await version(site), [EVENT], [event(), event(SECOND, "other")])

    assert {} == await snapshot(site, SECOND)
    assert {"fair": EVENT} == await slugs(site)


# -- tickets of an event that has changed --


async def test_changed_facts_have_the_tickets_read(site: StoredSite, events: Events) -> None:
    """A change of an event makes all its tickets due at once, with the reads that follow a hint, and wakes the workers."""
    await site.mark(A, B)
    await site.settle(await site.lot())
    await site.passes(60)
    await site.settle(await site.lot())
    assert {A: about(300), B: about(300)} == await site.scores()

    async with site.store.listener() as listener:
        await listener.subscribe_all_nodes(WAKE)
        assert 1 == await events.keep(SITE_ID, await version(site), [EVENT], [event(**PAUSED)])
        assert SITE == await next_text(listener)

    assert {A: about(0), B: about(0)} == await site.scores()
    lot = await site.lot()
    assert ({A, B}, Priority.HINTED) == (set(lot.tickets), lot.priority)
    await site.settle(lot)
    assert {A: about(2), B: about(2)} == await site.scores()


async def test_same_facts_change_nothing(site: StoredSite, events: Events) -> None:
    """A read that found an event as it was has no ticket read."""
    await events.keep(SITE_ID, await version(site), [EVENT], [event(**OPEN)])
    await site.settle(await site.lot())

    assert 0 == await events.keep(SITE_ID, await version(site), [EVENT], [event(**OPEN)])

    assert {A: about(2), B: about(2)} == await site.scores()


async def test_changed_event_leaves_other_tickets_alone(site: StoredSite, events: Events) -> None:
    """Only the tickets of an event that has changed are read, and a number of changed events is answered."""
    assert 1 == await events.keep(SITE_ID, await version(site), [SECOND], [event(SECOND, "other")])
    assert {} == await site.scores()

    assert 2 == await events.keep(SITE_ID, await version(site), [EVENT, SECOND], [event(), event(SECOND, "third")])
    assert {A, B} == set(await site.scores())


async def test_only_tickets_watched_within_a_day_are_read(watched: StoredSite) -> None:
    """Where only watched tickets are tracked, a change of their event has those read that were watched within a day."""
    events = Events(watched.store)
    await watched.knows(A, B, C)
    await watched.watch(A)
    await watched.passes(86_400 + 60)
    await watched.watch(B)
    for ticket in (A, B):
        await watched.store.do("ZREM", key(SITE, "due"), ticket)

    assert 1 == await events.keep(SITE_ID, await version(watched), [EVENT], [event()])

    assert {B: about(0)} == await watched.scores()


async def test_ticket_that_is_due_already_wakes_nobody(site: StoredSite, events: Events) -> None:
    """A change of an event whose tickets are due already publishes nothing: a wake-up would be in vain."""
    await site.mark(A, B)
    async with site.store.listener() as listener:
        await listener.subscribe_all_nodes(WAKE)
        await events.keep(SITE_ID, await version(site), [EVENT], [event()])
        await site.store.do("PUBLISH", WAKE, "the next message")
        assert "the next message" == await next_text(listener)


# -- slugs --


async def test_renamed_slug(site: StoredSite, events: Events) -> None:
    """An event whose slug is renamed is found by the new one, and by the old one no more."""
    await events.keep(SITE_ID, await version(site), [EVENT], [event(slug="fair")])

    await events.keep(SITE_ID, await version(site), [EVENT], [event(slug="summer-fair")])

    assert {"summer-fair": EVENT} == await slugs(site)


async def test_slug_that_another_event_takes(site: StoredSite, events: Events) -> None:
    """A slug that another event has taken stays with that one, when the event that had it is read again."""
    await events.keep(SITE_ID, await version(site), [EVENT, SECOND], [event(slug="fair"), event(SECOND, "other")])

    await events.keep(SITE_ID, await version(site), [SECOND], [event(SECOND, "fair")])
    assert {"fair": SECOND} == await slugs(site)
    await events.keep(SITE_ID, await version(site), [EVENT], [event(slug="old-fair")])

    assert {"fair": SECOND, "old-fair": EVENT} == await slugs(site)


async def test_swapped_slugs_in_one_read(site: StoredSite, events: Events) -> None:
    """Two events that have swapped their slugs are each found by its own, in one read too."""
    await events.keep(SITE_ID, await version(site), [EVENT, SECOND], [event(slug="a"), event(SECOND, "b")])

    await events.keep(SITE_ID, await version(site), [EVENT, SECOND], [event(slug="b"), event(SECOND, "a")])

    assert {"b": EVENT, "a": SECOND} == await slugs(site)


async def test_event_without_a_slug(site: StoredSite, events: Events) -> None:
    """An event without a slug is found by none, and one that loses its slug by none any more."""
    await events.keep(SITE_ID, await version(site), [SECOND], [event(SECOND, None)])
    await events.keep(SITE_ID, await version(site), [EVENT], [event(slug="fair")])

    await events.keep(SITE_ID, await version(site), [EVENT], [event(slug=None)])

    assert {} == await slugs(site)
    assert "" == (await snapshot(site))["slug"]


# -- how long, and for which sites --


async def test_removed_site_stores_nothing(site: StoredSite, events: Events) -> None:
    """After the app was removed nothing is stored of an event, and nothing delayed: an answer in flight comes too late."""
    late = await version(site)
    await site.schedule.remove_site(SITE_ID)
    before = await site.keys()

    assert 0 == await events.keep(SITE_ID, late, [EVENT, SECOND], [event()])
    await events.failed(SITE_ID)

    assert before == await site.keys()
    assert Delay(lasts=False, faults=0) == await events.delay(SITE_ID)


async def test_snapshot_expires_only_where_not_everything_is_tracked(site: StoredSite, events: Events) -> None:
    """The snapshot of an event is kept for ever where every ticket is tracked, and else for two days after its last read."""
    await events.keep(SITE_ID, await version(site), [EVENT], [event()])
    assert -1 == await site.ttl("event_snapshot", EVENT)

    await site.add_site(everything=False)
    await events.keep(SITE_ID, await version(site), [EVENT], [event()])
    assert TWO_DAYS - 60 < await site.ttl("event_snapshot", EVENT) <= TWO_DAYS

    await site.add_site(everything=True)
    await events.keep(SITE_ID, await version(site), [EVENT], [])
    assert -1 == await site.ttl("event_snapshot", EVENT)


async def test_read_event_gets_a_due_time(site: StoredSite, events: Events) -> None:
    """An event that was read with a first ticket of its is read again after RECONCILE; a due time that it has already stays."""
    await events.keep(SITE_ID, await version(site), [EVENT], [event()])
    assert {EVENT: about(300)} == await site.scores("events_due")
    await elapse(site.store, SITE_ID, 100)

    await events.keep(SITE_ID, await version(site), [EVENT], [event()])

    assert {EVENT: about(200)} == await site.scores("events_due")


async def test_event_that_nobody_watches_gets_no_due_time(watched: StoredSite) -> None:
    """Where only watched tickets are tracked, an event that nobody watches is not read again by itself."""
    events = Events(watched.store)
    await watched.knows(A)
    await events.keep(SITE_ID, await version(watched), [EVENT], [event()])
    assert {} == await watched.scores("events_due")
    await watched.watch(A)
    await watched.store.do("DEL", key(SITE, "events_due"))

    await events.keep(SITE_ID, await version(watched), [EVENT], [event()])

    assert {EVENT: about(300)} == await watched.scores("events_due")


async def test_read_at_is_never_in_the_future(site: StoredSite, events: Events) -> None:
    """After a clock was set back versions are in the future; the time of a read of an event never is."""
    await events.keep(SITE_ID, await site.now() + 10**9, [EVENT], [event()])

    assert int((await snapshot(site))["read_at"]) <= await site.now()


# -- delays --


async def delayed(site: StoredSite) -> float:
    """Seconds for which reads of events are delayed."""
    until = await site.store.do("HGET", key(SITE, "site"), "events_not_before")
    return (int(until) - await site.now()) / 1e6


async def test_each_fault_delays_longer(site: StoredSite, events: Events) -> None:
    """Reads of events are delayed longer with each fault in a row: 4 s, 8 s, 16 s, and never longer than RECONCILE."""
    assert Delay(lasts=False, faults=0) == await events.delay(SITE_ID)
    lengths = []
    for fault in range(1, 9):
        await events.failed(SITE_ID)
        lengths.append(await delayed(site))
        assert Delay(lasts=True, faults=fault) == await events.delay(SITE_ID)

    assert [about(one) for one in (4, 8, 16, 32, 64, 128, 256, 300)] == lengths


async def test_delay_ends_by_itself(site: StoredSite, events: Events) -> None:
    """When a delay has passed events may be read again, but the faults are remembered until a read succeeds."""
    await events.failed(SITE_ID)
    await site.passes(5)
    assert Delay(lasts=False, faults=1) == await events.delay(SITE_ID)

    await events.keep(SITE_ID, await version(site), [EVENT], [])

    assert Delay(lasts=False, faults=0) == await events.delay(SITE_ID)


async def test_good_read_ends_a_delay(site: StoredSite, events: Events) -> None:
    """A read that succeeds ends the delay, though it had not passed."""
    await events.failed(SITE_ID)

    await events.keep(SITE_ID, await version(site), [EVENT], [event()])

    assert Delay(lasts=False, faults=0) == await events.delay(SITE_ID)


async def test_missing_permission_delays_without_a_fault(site: StoredSite, events: Events) -> None:
    """Without the permission events are tried again after RECONCILE, and no fault is counted: those before are forgotten."""
    await events.failed(SITE_ID)
    await events.forbidden(SITE_ID)

    assert Delay(lasts=True, faults=0) == await events.delay(SITE_ID)
    assert about(300) == await delayed(site)


@pytest.fixture
async def clustered_site(cluster_url: str) -> AsyncIterator[StoredSite]:
    """A site in a cluster, of which A and B are known."""
    async with aclosing(StoredSite(cluster_url)) as found:
        await found.add_site()
        await found.knows(A, B)
        yield found


async def test_events_in_a_cluster(clustered_site: StoredSite) -> None:
    """In a cluster all keys of a site's events are in one slot: a change is stored, and its tickets are due."""
    events = Events(clustered_site.store, Timing(reconcile=100))

    assert 1 == await events.keep(SITE_ID, await version(clustered_site), [EVENT, SECOND], [event()])
    await events.failed(SITE_ID)

    found = await events.stored(SITE_ID, [EVENT, SECOND])
    assert ({EVENT, SECOND}, None) == (set(found.facts), found.facts[SECOND])
    assert Delay(lasts=True, faults=1) == await events.delay(SITE_ID)
    assert {A, B} == set(await clustered_site.scores())
