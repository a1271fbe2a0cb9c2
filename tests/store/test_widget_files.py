from collections.abc import AsyncIterator
from contextlib import aclosing

import pytest

from server.redis.client import RedisClient, Use
from server.snippet import hash_of
from server.store.widget_files import KEPT_FOR, WidgetFiles
from tests.rig.redis import RedisServer

BODY = "customElements.define('ticket-counter', class {}) // naïve ✓\n".encode()


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[RedisClient]:
    async with aclosing(RedisClient(redis_url, Use.WORK)) as found:
        yield found


async def test_file_is_kept_for_more_than_a_year(redis: RedisClient) -> None:
    """A file is found by its hash, byte for byte, and is kept for more than a year after it was last kept."""
    files = WidgetFiles(redis)
    await files.keep(BODY)

    assert BODY == await files.find(hash_of(BODY))
    assert KEPT_FOR - 60 < await redis.do("TTL", f"tc:widget:{hash_of(BODY)}") <= KEPT_FOR
    assert KEPT_FOR > 366 * 86_400


async def test_unknown_hash_has_no_file(redis: RedisClient) -> None:
    """Of a hash that no process has had there is no file."""
    assert await WidgetFiles(redis).find("0" * 16) is None


async def test_file_with_another_hash_is_not_served(redis: RedisClient, redis_shared: RedisServer) -> None:
    """Bytes that do not have the hash, such as a script that somebody wrote there, are not served."""
    files, key = WidgetFiles(redis), f"tc:widget:{hash_of(BODY)}"
    found = []
    for wrong in ("alert(1)", "", BODY.decode() + " ", BODY.decode()[:-1]):
        await redis.do("SET", key, wrong)
        found.append(await files.find(hash_of(BODY)))
    redis_shared.ask("EVAL", f"redis.call('SET', '{key}', string.char(255, 254))", 0)
    found.append(await files.find(hash_of(BODY)))

    assert [None] * 5 == found
