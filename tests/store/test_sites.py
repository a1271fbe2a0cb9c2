import asyncio
from collections.abc import Callable, Collection
from contextlib import aclosing

import pytest
from structlog.testing import capture_logs

from server.counter import Rules
from server.errors import RedisUnavailable
from server.model import SiteId, SiteOrigin
from server.redis.client import RedisClient, Use
from server.store.budget import Priority
from server.store.claims import Listing
from server.store.schedule import Schedule
from server.store.site_records import SiteRecords
from server.store.sites import FORGET_AFTER, Sites
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


# -- where sites come from --


async def origin(schedule: Schedule, site: SiteId) -> SiteOrigin | None:
    """Why a known site is known."""
    found = await SiteRecords(schedule.redis).read(site)
    assert found is not None
    return found.origin


async def reloads(found: Sites, number: int = FORGET_AFTER + 1) -> frozenset[SiteId]:
    """The known sites after so many reloads."""
    for _ in range(number):
        await found.reload()
    return found.known


async def test_site_goes_that_is_taken_out_of_the_settings(schedule: Schedule) -> None:
    """A site that is known only from WIX_SITES goes when no process has it there any more: a worker removes it and says so."""
    await sites(schedule, [OURS, OTHER]).start()
    worker = sites(schedule, [OURS], check_each=True)
    await worker.start(include_known=True)

    assert {OURS, OTHER} == await reloads(worker, FORGET_AFTER)
    with capture_logs() as logs:
        assert {OURS} == await worker.reload()

    assert {OURS} == await schedule.sites()
    assert [("site_removed", OTHER)] == [(one["event"], one["site"]) for one in logs]
    assert f"ticket-counter sites add {OTHER}" in logs[0]["hint"]
    assert {OURS} == await reloads(worker)


async def test_only_a_worker_removes_sites(schedule: Schedule) -> None:
    """A web process never removes a site, whatever its settings are."""
    await sites(schedule, [OTHER]).start()

    assert {OURS, OTHER} == await reloads(sites(schedule, [OURS]), 2 * FORGET_AFTER)


async def test_site_stays_while_a_process_has_it_in_its_settings(schedule: Schedule) -> None:
    """While any process that runs has a site in its settings, no worker with other settings removes it; after it, one does."""
    old = sites(schedule, [OTHER])
    await old.start()
    worker = sites(schedule, [OURS], check_each=True)
    await worker.start(include_known=True)
    for _ in range(2 * FORGET_AFTER):
        await old.reload()
        assert {OURS, OTHER} == await worker.reload()

    assert {OURS} == await reloads(worker)


@pytest.mark.parametrize("why", [SiteOrigin.INSTALLED, SiteOrigin.ADDED])
@pytest.mark.parametrize("first", [True, False])
async def test_site_with_another_reason_stays(schedule: Schedule, why: SiteOrigin, first: bool) -> None:
    """A site that also installed the app, or was added by hand, stays when it is taken out of WIX_SITES, in whatever order."""
    if first:
        await schedule.add_site(OTHER, Rules(), everything=True, origin=why)
    await sites(schedule, [OTHER]).start()
    if not first:
        await schedule.add_site(OTHER, Rules(), everything=True, origin=why)
    assert why == await origin(schedule, OTHER)

    assert {OURS, OTHER} == await reloads(sites(schedule, [OURS], check_each=True), 2 * FORGET_AFTER)


async def test_site_of_an_older_version_stays(schedule: Schedule, store: RedisClient) -> None:
    """A site that an older version stored has no origin, gets none by standing in WIX_SITES, and stays when it is taken out."""
    await schedule.add_site(OTHER, Rules(), everything=True)
    await sites(schedule, [OTHER]).start()
    assert await origin(schedule, OTHER) is None
    assert await store.do("HGET", key(OTHER, "site"), "in_settings_at")

    assert {OURS, OTHER} == await reloads(sites(schedule, [OURS], check_each=True), 2 * FORGET_AFTER)


async def test_site_of_a_later_version_stays(schedule: Schedule, store: RedisClient) -> None:
    """An origin that only a later version knows is left as it is, and its site stays."""
    await schedule.add_site(OTHER, Rules(), everything=True)
    await store.do("HSET", key(OTHER, "site"), "origin", "invited")
    await sites(schedule, [OTHER]).start()

    assert {OTHER} == await reloads(sites(schedule, check_each=True), 2 * FORGET_AFTER)
    assert "invited" == await store.do("HGET", key(OTHER, "site"), "origin")


async def test_origin_comes_back_after_data_loss(schedule: Schedule, store: RedisClient) -> None:
    """After Redis lost its data a site is again what it was: an installed one outlasts WIX_SITES, another does not."""
    await schedule.add_site(INSTALLED, Rules(), everything=True, origin=SiteOrigin.INSTALLED)
    await schedule.add_site(OTHER, Rules(), everything=True)
    found = sites(schedule, [OURS, INSTALLED], check_each=True)
    await found.start()
    await found.reload()

    await store.do("FLUSHALL")
    await found.reload()

    assert [SiteOrigin.SETTINGS, SiteOrigin.INSTALLED, None] == [
        await origin(schedule, site) for site in (OURS, INSTALLED, OTHER)
    ]


async def test_removed_site_of_the_settings_comes_back_from_there(schedule: Schedule) -> None:
    """A site that removed the app while it stands in WIX_SITES comes back, and only from there."""
    await schedule.add_site(OURS, Rules(), everything=True, origin=SiteOrigin.INSTALLED)
    found = sites(schedule, [OURS], check_each=True)
    await found.reload()
    await schedule.remove_site(OURS)

    assert {OURS} == await found.reload()

    assert SiteOrigin.SETTINGS == await origin(schedule, OURS)


async def test_removal_is_taken_back_by_who_has_it(schedule: Schedule) -> None:
    """A process that said last moment that a site stands in its settings wins over a worker that is about to remove it."""
    await sites(schedule, [OTHER]).start()
    worker = sites(schedule, check_each=True)
    await reloads(worker, FORGET_AFTER)
    before = (await SiteRecords(schedule.redis).read(OTHER) or pytest.fail("unknown")).in_settings_at
    await sites(schedule, [OTHER]).reload()

    assert not await schedule.remove_site(OTHER, in_settings_at=before)
    assert {OTHER} == await worker.reload() == await schedule.sites()


async def test_unavailable_master_delays_no_removal_of_others(breakable: Cluster) -> None:
    """While the master of a site hangs, that site stays and no line of it comes from a web process; others are removed."""
    many = [SiteId(f"00000000-1111-4111-8111-{number:012}") for number in range(12)]
    hangs = next(master for master in breakable.masters if breakable.owner(SITES) is not master)
    breakable.flush()
    async with aclosing(RedisClient(breakable.url, Use.INGEST)) as store:
        schedule = Schedule(store)
        its = {site for site in many if breakable.owner(key(site, "site")) is hangs}
        await sites(schedule, many).start()
        worker, web = sites(schedule, check_each=True), sites(schedule, its)
        await web.start()
        await worker.reload()
        hangs.freeze()
        try:
            assert its == await reloads(worker)
            with capture_logs() as logs:
                assert its == await web.reload()
            assert [] == logs
        finally:
            hangs.thaw()
