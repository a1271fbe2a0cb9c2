from collections.abc import AsyncIterator
from contextlib import aclosing

import pytest

from server.catalog.stored import StoredCatalog
from server.counter import State
from server.model import SiteId
from server.redis.client import RedisClient, Use
from server.store.schedule import Schedule
from tests.rig.default_keys import key
from tests.rig.fake_reader import FakeReader, definition
from tests.rig.server import OTHER, SITE, TICKET, until
from tests.rig.time_travel import elapse
from tests.rig.wix import WixRig
from tests.rig.worker_rig import WorkerRig, running_worker

SITE_ID = SiteId(SITE)


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[RedisClient]:
    """A client of the test's Redis."""
    async with aclosing(RedisClient(redis_url, Use.WORK)) as found:
        yield found


@pytest.fixture
def catalog(redis: RedisClient) -> StoredCatalog:
    """What that Redis has."""
    return StoredCatalog(Schedule(redis))


@pytest.fixture
async def worker(redis_url: str, wix: WixRig, catalog: StoredCatalog) -> AsyncIterator[WorkerRig]:
    """A worker that has listed the sandbox's site."""
    async with running_worker(redis_url, wix) as found:
        await found.add_site(wix.site, everything=True)
        await until(lambda: _listed(catalog))
        yield found


async def _listed(catalog: StoredCatalog) -> bool:
    return await catalog.lag(SITE_ID) is not None


async def test_what_a_worker_has_stored(worker: WorkerRig, wix: WixRig, catalog: StoredCatalog) -> None:
    """The stored events and tickets are those of Wix, with slugs, names and numbers, and young."""
    found = await catalog.read(SITE_ID)

    [event] = found.events
    own = wix.world.events[wix.event]
    assert (wix.event, own.title, own.slug) == (event.event, event.title, event.slug)
    by_id = {str(one.ticket): one for one in event.tickets}
    assert set(wix.tickets.values()) == set(by_id)
    assert (State.LOW, 3) == (by_id[wix.tickets["low"]].state, by_id[wix.tickets["low"]].unsold)
    assert "hidden in Wix" == by_id[wix.tickets["hidden"]].why_gone
    assert 0 <= found.age < 60


async def test_worker_in_time(worker: WorkerRig, catalog: StoredCatalog) -> None:
    """While a worker reads what is due, it is late by next to nothing."""
    lag = await catalog.lag(SITE_ID)

    assert lag is not None
    assert lag < 5


async def test_worker_that_has_ended(worker: WorkerRig, redis: RedisClient, catalog: StoredCatalog) -> None:
    """Once no worker reads any more, the time by which it is late grows."""
    worker.claimer.stop()
    await elapse(redis, SITE_ID, 600)

    lag = await catalog.lag(SITE_ID)

    assert lag is not None
    assert 250 < lag < 650


async def test_unlisted_site(redis_url: str, redis: RedisClient, catalog: StoredCatalog) -> None:
    """Of a site that was not listed, or of which only watched tickets are tracked, Redis does not have every ticket."""
    async with aclosing(FakeReader(redis_url, SITE)) as reads:
        await reads.schedule.add_site(SITE_ID, reads.rules, everything=True)
        assert await catalog.lag(SITE_ID) is None

        await redis.do("HSET", key(SITE, "site"), "complete", 1)
        assert await catalog.lag(SITE_ID) is not None

        await reads.schedule.add_site(SITE_ID, reads.rules, everything=False)
        assert await catalog.lag(SITE_ID) is None


async def test_deleted_and_unknown_tickets(redis_url: str, catalog: StoredCatalog) -> None:
    """Tickets that Wix has deleted are left out, and so are tracked ones that were never read; an empty site has none."""
    async with aclosing(FakeReader(redis_url, SITE)) as reads:
        await reads.schedule.add_site(SITE_ID, reads.rules, everything=True)
        assert () == (await catalog.read(SITE_ID)).events
        await reads.read(definition(TICKET, 3))
        await reads.read(definition(OTHER, 3))
        await reads.delete(OTHER)
        await reads.schedule.watch(SITE_ID, [TICKET, OTHER])  # type: ignore[list-item]

        found = await catalog.read(SITE_ID)

    assert [TICKET] == [one.ticket for event in found.events for one in event.tickets]
