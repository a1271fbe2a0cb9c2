import asyncio
import time
from contextlib import aclosing
from types import SimpleNamespace

import pytest

from server.counter import Rules
from server.hub.site_lookup import SiteLookup
from server.model import Event, EventId, EventName, SiteId
from server.query import Query
from server.redis.client import RedisClient, Use
from server.store.events import Events
from server.store.schedule import Schedule
from server.store.snapshots import ReadResult, Snapshots
from server.store.ticket_sites import Has, SiteAnswer, TicketSites
from tests.rig.cluster import Cluster
from tests.rig.default_keys import key
from tests.rig.fake_reader import EVENT, FakeReader, definition
from tests.rig.redis_monitor import monitored
from tests.rig.stored_site import SITE_ID, A, B, C, StoredSite

OTHER_EVENT = "0b5f1a2e-4444-4444-8444-00000000e002"
HIDDEN = EventId("0b5f1a2e-4444-4444-8444-00000000e003")


@pytest.fixture
async def reads(redis_url: str, store: RedisClient) -> FakeReader:
    """A reader of a known site."""
    await Schedule(store).add_site(SITE_ID, Rules(), everything=True)
    found = FakeReader(redis_url, SITE_ID)
    await found.aclose()
    found.store = store
    found.schedule = Schedule(store)
    found.snapshots.redis = store
    return found


async def test_what_a_site_has(reads: FakeReader, store: RedisClient) -> None:
    """A site has the tickets that were read of it, had those that Wix deleted, and never had those that Wix did not know."""
    await reads.read(definition(A), definition(B))
    gone, never = ReadResult.deleted(B, EventId(EVENT)), ReadResult.never_there(C)
    await reads.snapshots.keep(SITE_ID, await reads.version(), [gone, never])

    answer = await TicketSites(store).ask(SITE_ID, [A, B, C])

    assert SiteAnswer(False, (Has.NOW, Has.BEFORE, Has.NEVER), ()) == answer


async def test_which_events_a_site_has(reads: FakeReader, store: RedisClient) -> None:
    """An event is found by its id and its slug; one that is not published is not one that the site has now."""
    await reads.read(definition(A))
    await Events(store).keep(
        SITE_ID, await reads.version(), [EventId(EVENT)], [Event(EventId(EVENT), slug="spring-gala")]
    )
    await Events(store).keep(SITE_ID, await reads.version(), [HIDDEN], [Event(HIDDEN)])

    names = [EventName(one) for one in (EVENT, "spring-gala", HIDDEN, OTHER_EVENT, "autumn-gala")]
    answer = await TicketSites(store).ask(SITE_ID, [A], names)

    assert answer is not None
    assert (Has.NOW,) == answer.tickets
    assert (Has.NOW, Has.NOW, Has.BEFORE, Has.NEVER, Has.NEVER) == answer.events


async def test_whether_a_site_was_listed(redis_url: str, store: RedisClient) -> None:
    """The answer tells whether the site was ever listed completely: before that, what it lacks may not have been read."""
    site = StoredSite(redis_url)
    try:
        await site.add_listed_site()
        answer = await TicketSites(store).ask(SITE_ID, [A])
    finally:
        await site.aclose()

    assert SiteAnswer(True, (Has.NEVER,), ()) == answer


async def test_a_question_is_one_round_trip_and_leaves_no_trace(
    reads: FakeReader, store: RedisClient, redis_url: str
) -> None:
    """Law 9: To ask for ids that nobody knows is one round trip, and writes nothing; of an unknown site there is no answer."""
    await TicketSites(store).ask(SITE_ID, [A])
    keys = await store.do("DBSIZE")

    async with monitored(redis_url) as commands:
        await TicketSites(store).ask(SITE_ID, [A, B, C], [EventName("x")])
        sent = [words[0] for words in await commands.all()]
    assert ["EVALSHA"] == [one for one in sent if one not in {"HELLO", "CLIENT", "ECHO"}]

    assert await TicketSites(store).ask(SiteId(OTHER_EVENT), [A]) is None
    assert keys == await store.do("DBSIZE")


async def test_sites_on_several_masters(cluster: Cluster) -> None:
    """In a cluster each site is asked on its own master, and a ticket is found on whichever it is."""
    many = [SiteId(f"00000000-1111-4111-8111-{number:012}") for number in range(12)]
    cluster.flush()
    async with aclosing(RedisClient(cluster.url, Use.WORK)) as store:
        schedule = Schedule(store)
        for site in many:
            await schedule.add_site(site, Rules(), everything=True)
        snapshots = Snapshots(store, Rules())
        await snapshots.keep(many[7], 1, [ReadResult.of(definition(A), None, Rules())])
        lookup = SiteLookup(SimpleNamespace(known=frozenset(many)), TicketSites(store), time.monotonic)
        running = asyncio.create_task(lookup.run())

        assert many[7] == await lookup.find(Query(None, (A, B)), "a")
        assert {cluster.owner(key(site, "site")) for site in many} == set(cluster.masters)

        running.cancel()
        await asyncio.wait({running})
