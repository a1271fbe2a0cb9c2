from collections.abc import AsyncIterator
from contextlib import aclosing

import pytest

from server.model import SiteId
from server.redis.client import RedisClient, Use
from server.store.worker_status import ALIVE_FOR, FAULTS_IN_A_ROW, WorkerSays, WorkerStatus
from tests.rig.default_keys import key
from tests.rig.redis import Servers
from tests.rig.server import SITE

FOREIGN = SiteId("5f0e4d3c-1111-4111-8111-00000000b777")


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[RedisClient]:
    async with aclosing(RedisClient(redis_url, Use.WORK)) as found:
        yield found


async def test_what_a_worker_says_is_read(redis: RedisClient) -> None:
    """Every process reads what a worker said last, and nothing where none has said anything."""
    status = WorkerStatus(redis)
    before = await status.read()
    await status.write(WorkerSays("1.2.3", 0))
    await status.write(WorkerSays("1.2.4", 2))

    assert before is None
    assert WorkerSays("1.2.4", 2) == await status.read()


async def test_what_a_worker_says_expires(redis: RedisClient) -> None:
    """A worker that says nothing more is forgotten by itself, however it ended."""
    await WorkerStatus(redis).write(WorkerSays("1.2.3", 0))

    left = await redis.do("TTL", "tc:worker")

    assert ALIVE_FOR - 5 < left <= ALIVE_FOR


@pytest.mark.parametrize("text", ["", "no JSON", "[]", "7", '{"version": "2"}', '{"version": "2", "silent_wix": null}'])
async def test_worker_of_another_version_is_alive(redis: RedisClient, text: str) -> None:
    """A worker that says something else than this version knows is alive all the same."""
    await redis.do("SET", "tc:worker", text)

    assert WorkerSays("", 0) == await WorkerStatus(redis).read()


@pytest.mark.parametrize(("faults", "expected"), [(0, 0), (FAULTS_IN_A_ROW - 1, 0), (FAULTS_IN_A_ROW, 1), (50, 1)])
async def test_wix_is_silent_after_faults_in_a_row(redis: RedisClient, faults: int, expected: int) -> None:
    """Wix counts as not answering for a site after some faults in a row, whichever worker met them."""
    await redis.do("HSET", key(SITE, "reads"), "faults", faults)

    assert expected == await WorkerStatus(redis).silent_wix([SiteId(SITE), FOREIGN])


async def test_unavailable_part_of_redis_tells_nothing_of_wix(redis_server: Servers) -> None:
    """A site whose part of Redis does not answer is not counted as one for which Wix does not answer."""
    server = redis_server()
    server.ask("HSET", key(SITE, "reads"), "faults", 9)
    server.ask("HSET", key(FOREIGN, "reads"), "faults", 9)
    server.ask("ACL", "SETUSER", "default", "resetkeys", f"~{key(SITE, 'reads')}")
    async with aclosing(RedisClient(server.url, Use.WORK)) as client:
        assert 1 == await WorkerStatus(client).silent_wix([SiteId(SITE), FOREIGN])
