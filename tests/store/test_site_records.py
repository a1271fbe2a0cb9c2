from server.counter import Rules
from server.model import SiteOrigin
from server.redis.client import RedisClient
from server.store.schedule import Schedule
from server.store.site_records import SiteRecord, SiteRecords
from tests.rig.default_keys import key
from tests.rig.stored_site import SITE_ID, A, B, StoredSite


async def test_record_of_a_site(store: RedisClient) -> None:
    """A record says why a site is known, and when a process last had it in its settings."""
    await Schedule(store).add_site(SITE_ID, Rules(), everything=True, origin=SiteOrigin.INSTALLED)
    records = SiteRecords(store)

    assert SiteRecord(Rules().hash, True, SiteOrigin.INSTALLED, "") == await records.read(SITE_ID)

    said = await records.in_settings(SITE_ID)
    assert said is not None
    assert said == await records.read(SITE_ID)
    assert await store.do("HGET", key(SITE_ID, "site"), "in_settings_at") == said.in_settings_at != ""


async def test_unknown_site_has_no_record(store: RedisClient) -> None:
    """An unknown site has no record, and to say that it stands in the settings leaves no trace of it."""
    records = SiteRecords(store)

    assert await records.read(SITE_ID) is None
    assert await records.in_settings(SITE_ID) is None
    assert [] == await store.do("KEYS", "*")


async def test_origin_of_a_later_version_is_none_here(store: RedisClient) -> None:
    """An origin that this version does not know is read as none."""
    await Schedule(store).add_site(SITE_ID, Rules(), everything=True)
    await store.do("HSET", key(SITE_ID, "site"), "origin", "invited")

    assert SiteRecord(Rules().hash, True, None, "") == await SiteRecords(store).read(SITE_ID)


async def test_what_is_stored_of_a_site(store: RedisClient, redis_url: str) -> None:
    """A site is found with the number of its tickets, whether they were listed, and when its newest webhook came."""
    records = SiteRecords(store)
    assert await records.find(SITE_ID) is None

    site = StoredSite(redis_url)
    try:
        await site.add_site()
        new = await records.find(SITE_ID)
        await site.schedule.listing_done(await site.listing())
        await site.watch(A, B)
        await site.mark(A)
        used, now = await records.find(SITE_ID), await site.now()
    finally:
        await site.aclose()

    assert new is not None
    assert (SITE_ID, 0, False, None) == (new.site, new.tickets, new.listed, new.heard_at)
    assert used is not None
    assert used.heard_at is not None
    assert (2, True) == (used.tickets, used.listed)
    assert 0 <= now / 1e6 - used.heard_at < 60
