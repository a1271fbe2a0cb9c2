import asyncio
from collections.abc import Callable, Collection
from contextlib import aclosing

import pytest
from structlog.testing import capture_logs

from server.counter import Rules
from server.errors import RedisUnavailable
from server.model import SiteId
from server.redis.client import RedisClient, Use
from server.store.budget import Priority
from server.store.claims import Listing
from server.store.schedule import Schedule
from server.store.sites import Sites
from tests.rig.cluster import Cluster
from tests.rig.default_keys import SITES, key
from tests.rig.redis import RedisServer
from tests.rig.server import until

OURS, INSTALLED, OTHER = (SiteId(f"5f0e4d3c-1111-4111-8111-00000000b00{number}") for number in range(3))


def sites(schedule: Schedule, given: Collection[SiteId] = (), *, check_each: bool = False) -> Sites:
    return Sites(schedule, given, Rules(), everything=True, check_each=check_each)


@pytest.fixture
async def schedule(store: RedisClient) -> Schedule:
    """The schedules of an empty Redis."""
    return Schedule(store)


async def test_start_adds_sites_of_the_settings(schedule: Schedule) -> None:
    """The sites of the settings are added at the start; those that Redis has already are left unchanged."""
    await schedule.add_site(OTHER, Rules(low_at=3), everything=True)
    found = sites(schedule, [OURS])

    await found.start()

    assert {OURS, OTHER} == await found.reload()
    assert [Rules().hash, Rules(low_at=3).hash] == [await schedule.rules(site) for site in (OURS, OTHER)]


async def test_thorough_start_adds_stored_sites_too(schedule: Schedule) -> None:
    """A worker adds the sites that Redis has too, under its own rules."""
    await schedule.add_site(OTHER, Rules(low_at=3), everything=True)

    await sites(schedule, [OURS]).start(include_known=True)

    assert [Rules().hash] * 2 == [await schedule.rules(site) for site in (OURS, OTHER)]


async def test_sites_are_restored_after_data_loss(schedule: Schedule, store: RedisClient) -> None:
    """After Redis lost its data every known site is restored, from the settings or not, and listed again."""
    found = sites(schedule, [OURS])
    await found.start()
    await schedule.add_site(INSTALLED, Rules(), everything=True)
    await found.reload()

    await store.do("FLUSHALL")
    with capture_logs() as logs:
        assert {OURS, INSTALLED} == await found.reload()

    assert {OURS, INSTALLED} == await schedule.sites()
    assert {OURS, INSTALLED} == {one["site"] for one in logs if one["event"] == "site_unknown_to_redis"}
    for site in (OURS, INSTALLED):
        assert isinstance(await schedule.claim(site, Rules()), Listing)


@pytest.mark.parametrize("read", [True, False])
async def test_removed_site_stays_removed(schedule: Schedule, store: RedisClient, read: bool) -> None:
    """A removed site stays removed in every process, whether it was ever read or not."""
    found = sites(schedule, [OURS])
    await found.start()
    await schedule.add_site(INSTALLED, Rules(), everything=True)
    await found.reload()
    if read:
        await schedule.spend(INSTALLED, Priority.REST)

    await schedule.remove_site(INSTALLED)

    for _ in range(2):
        assert {OURS} == await found.reload()
    assert await schedule.rules(INSTALLED) is None
    assert 0 < await store.do("TTL", key(INSTALLED, "reads")) <= 2 * 86_400

    await schedule.add_site(INSTALLED, Rules(), everything=True)
    assert {OURS, INSTALLED} == await found.reload()
    await store.do("FLUSHALL")
    assert {OURS, INSTALLED} == await found.reload()


async def test_sites_are_restored_after_partial_data_loss(schedule: Schedule, store: RedisClient) -> None:
    """When one master of a cluster lost its data its sites are restored, and all are if it held the list."""
    found = sites(schedule, check_each=True)
    for site in (OURS, OTHER):
        await schedule.add_site(site, Rules(), everything=True)
    await found.reload()
    await store.do("DEL", key(OURS, "site"), key(OURS, "due"), key(OURS, "reads"))

    assert {OURS, OTHER} == await found.reload()

    assert Rules().hash == await schedule.rules(OURS)

    await store.do("DEL", SITES)
    assert {OURS, OTHER} == await found.reload()
    assert {OURS, OTHER} == await schedule.sites()


async def test_start_with_a_hanging_master(breakable: Cluster) -> None:
    """A hanging master prevents no start, delays the others once, and gets its sites when it is back."""
    many = [SiteId(f"00000000-1111-4111-8111-{number:012}") for number in range(60)]
    hangs = next(master for master in breakable.masters if breakable.owner(SITES) is not master)
    breakable.flush()
    async with aclosing(RedisClient(breakable.url, Use.INGEST)) as store:
        found = sites(Schedule(store), many, check_each=True)
        its = {site for site in many if breakable.owner(key(site, "site")) is hangs}
        await store.do("PING")
        hangs.freeze()
        try:
            began = asyncio.get_running_loop().time()
            await found.start()
            assert set(many) == await found.reload()
            assert set(many) - its == await found.schedule.sites()
            assert 5 > asyncio.get_running_loop().time() - began
        finally:
            hangs.thaw()

        async def all_known() -> bool:
            await found.reload()
            return set(many) == await found.schedule.sites()

        await until(all_known)


async def test_start_without_the_list_of_sites(breakable: Cluster) -> None:
    """While the master that has the list of sites hangs, a process starts with the sites of its settings."""
    many = [SiteId(f"00000000-1111-4111-8111-{number:012}") for number in range(60)]
    hangs = breakable.owner(SITES)
    breakable.flush()
    async with aclosing(RedisClient(breakable.url, Use.INGEST)) as store:
        others = [site for site in many if breakable.owner(key(site, "site")) is not hangs]
        found, without = sites(Schedule(store), others), sites(Schedule(store))
        await store.do("PING")
        hangs.freeze()
        try:
            await found.start(include_known=True)
            assert set(others) == found.known
            for ask in (found.reload(), without.start(include_known=True)):
                with pytest.raises(RedisUnavailable):
                    await ask
        finally:
            hangs.thaw()

        async def all_listed() -> bool:
            try:
                return set(others) == await found.reload() == await found.schedule.sites()
            except RedisUnavailable:
                return False

        await until(all_listed)


async def test_start_and_reload_fail_without_redis(redis_server: Callable[..., RedisServer]) -> None:
    """Without Redis both start and reload fail, and known sites are not forgotten."""
    server = redis_server()
    async with aclosing(RedisClient(server.url, Use.INGEST)) as store:
        found = sites(Schedule(store), [OURS])
        await found.start()
        await Schedule(store).add_site(INSTALLED, Rules(), everything=True)
        await found.reload()

        server.kill()
        for ask in (found.start, found.reload):
            with pytest.raises(RedisUnavailable):
                await ask()
        server.folder = server.folder.parent / "another"
        server.start()

        assert {OURS, INSTALLED} == await found.reload()
