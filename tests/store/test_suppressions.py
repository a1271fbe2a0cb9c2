import asyncio

from server.model import SiteId
from server.redis.client import RedisClient
from server.store.suppressions import Suppressions
from tests.rig.campaigns import SITE
from tests.rig.default_keys import key


async def test_suppression_is_found_under_each_key(anywhere: RedisClient) -> None:
    """Whoever opted out is found under each key of the time, and under a new one from the first look on."""
    suppressions = Suppressions(anywhere)
    assert not await suppressions.has(SITE, ["k2.a", "k1.a"])
    await suppressions.add(SITE, ["k2.a", "k1.a"], "opted out")

    assert await suppressions.has(SITE, ["k1.a"])
    assert not await suppressions.has(SITE, ["k3.a"])
    assert await suppressions.has(SITE, ["k3.a", "k2.a"])
    assert await suppressions.has(SITE, ["k3.a"])
    assert not await suppressions.has(SITE, ["k2.b", "k1.b"])
    assert not await suppressions.has(SiteId("other"), ["k2.a"])


async def test_keys_of_suppressions_are_known(store: RedisClient) -> None:
    """Which keys are needed to find all suppressions is known, and how many hashes each has made."""
    suppressions = Suppressions(store)
    assert set() == await suppressions.key_ids(SITE)
    await asyncio.gather(*(suppressions.add(SITE, [f"k1.{n % 5}"], "opted out") for n in range(20)))
    await suppressions.add(SITE, ["k2.0", "k1.0"], "again")

    assert {"k1", "k2"} == await suppressions.key_ids(SITE)
    assert {"k1": "5", "k2": "1"} == await store.do("HGETALL", key(SITE, "notify", "suppression_keys"))


async def test_suppression_is_ended(anywhere: RedisClient) -> None:
    """One person's suppression is removed under every key; others stay, and a key that none is left of is not needed."""
    suppressions = Suppressions(anywhere)
    await suppressions.add(SITE, ["k2.a", "k1.a"], "opted out")
    await suppressions.add(SITE, ["k2.b"], "opted out")

    assert await suppressions.remove(SITE, ["k2.a", "k1.a"])
    assert not await suppressions.remove(SITE, ["k2.a", "k1.a"])
    assert not await suppressions.has(SITE, ["k2.a", "k1.a"])
    assert await suppressions.has(SITE, ["k2.b"])
    assert {"k2"} == await suppressions.key_ids(SITE)


async def test_first_reason_stays(store: RedisClient) -> None:
    """Why and when somebody opted out first is kept for good, also under another key."""
    suppressions = Suppressions(store)
    await suppressions.add(SITE, ["k1.a"], "opted out by link \ud83c")
    await suppressions.add(SITE, ["k2.a", "k1.a"], "complained")

    found = await store.do("HGETALL", key(SITE, "notify", "suppressed"))
    assert found["k1.a"] == found["k2.a"]
    assert found["k1.a"].startswith("opted out by link \N{REPLACEMENT CHARACTER} 1")
    assert -1 == await store.do("TTL", key(SITE, "notify", "suppressed"))
