from collections.abc import AsyncIterator
from contextlib import aclosing

import pytest

from server.redis.client import RedisClient, Use
from server.store.untrusted_peers import KEPT_FOR, MOST, UntrustedPeersStore
from tests.rig.default_keys import KEYS

KEY = KEYS.untrusted_peers


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[RedisClient]:
    async with aclosing(RedisClient(redis_url, Use.WORK)) as found:
        yield found


async def test_peers_are_remembered_for_an_hour(redis: RedisClient) -> None:
    """Each peer is remembered, whichever process saw it, for an hour in one key."""
    assert {} == await UntrustedPeersStore(redis).read()

    await UntrustedPeersStore(redis).add(["10.0.0.1"])
    await UntrustedPeersStore(redis).add(["10.0.0.2", "10.0.0.1"])

    found = await UntrustedPeersStore(redis).read()
    assert {"10.0.0.1", "10.0.0.2"} == found.keys()
    assert all(0 <= age < 5 for age in found.values())
    assert KEPT_FOR - 5 < await redis.do("TTL", KEY) <= KEPT_FOR
    assert [KEY] == await redis.do("KEYS", "*")


async def test_older_peers_are_forgotten(redis: RedisClient) -> None:
    """A peer of more than an hour ago is none, though another one keeps the key; of many the newest are kept."""
    seconds, _ = await redis.do("TIME")
    old = f'{{"10.0.0.1": {int(seconds) - KEPT_FOR}, "10.0.0.2": {int(seconds) - KEPT_FOR + 60}}}'
    await redis.do("SET", KEY, old)

    assert {"10.0.0.2"} == (await UntrustedPeersStore(redis).read()).keys()
    await UntrustedPeersStore(redis).add([f"10.1.0.{number}" for number in range(MOST)])
    assert {f"10.1.0.{number}" for number in range(MOST)} == (await UntrustedPeersStore(redis).read()).keys()


@pytest.mark.parametrize("text", ["[]", "nonsense", '{"10.0.0.1": null}'])
async def test_words_of_another_version_are_none(redis: RedisClient, text: str) -> None:
    """What another version wrote differently is as if nothing were there, and is replaced."""
    await redis.do("SET", KEY, text)

    assert {} == await UntrustedPeersStore(redis).read()
    await UntrustedPeersStore(redis).add(["10.0.0.1"])
    assert ["10.0.0.1"] == list(await UntrustedPeersStore(redis).read())
