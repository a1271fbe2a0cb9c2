import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing

import pytest
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from server.model import SiteId
from server.redis.client import RedisClient, Use
from server.refresh.status import StatusReporter
from server.store.worker_status import WorkerSays, WorkerStatus
from tests.rig.default_keys import key
from tests.rig.redis import Servers
from tests.rig.server import SITE, until


def reporter(redis: RedisClient) -> StatusReporter:
    return StatusReporter(WorkerStatus(redis), lambda: [SiteId(SITE)], "1.2.3", every=0.02)


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[RedisClient]:
    async with aclosing(RedisClient(redis_url, Use.WORK)) as found:
        yield found


async def test_worker_says_that_it_is_alive(redis: RedisClient) -> None:
    """A worker says its version until it is told to stop, and is ready as long as Redis takes that."""
    found = reporter(redis)
    before = found.redis_answers
    running = asyncio.create_task(found.run())
    said = await until(WorkerStatus(redis).read)
    ready = await until(lambda: found.redis_answers and found.running)
    found.stop()
    await running

    assert (False, WorkerSays("1.2.3", 0), True, False) == (before, said, ready, found.running)


async def test_worker_counts_sites_without_answers_of_wix(redis: RedisClient) -> None:
    """A worker says, and counts in a metric, for how many sites Wix does not answer, and when it answers again."""
    found = reporter(redis)
    running = asyncio.create_task(found.run())
    await redis.do("HSET", key(SITE, "reads"), "faults", 5)
    await until(lambda: found.silent_wix)
    said, metric = await WorkerStatus(redis).read(), REGISTRY.get_sample_value("ticketcounter_silent_wix_sites")
    await redis.do("HSET", key(SITE, "reads"), "faults", 0)
    await until(lambda: not found.silent_wix)
    found.stop()
    await running

    assert (WorkerSays("1.2.3", 1), 1.0) == (said, metric)
    assert WorkerSays("1.2.3", 0) == await WorkerStatus(redis).read()


async def test_worker_without_redis_is_not_ready(redis_server: Servers) -> None:
    """While Redis is unavailable a worker is not ready and goes on trying; the log has one line of that, and one at its end."""
    server = redis_server()
    async with aclosing(RedisClient(server.url, Use.WORK)) as client:
        found = reporter(client)
        running = asyncio.create_task(found.run())
        await until(lambda: found.redis_answers)
        with capture_logs() as logs:
            server.kill()
            await until(lambda: not found.redis_answers)
            server.start()
            await until(lambda: found.redis_answers)
        found.stop()
        await running

    assert ["store_unavailable", "store_unavailable_no_more"] == [one["event"] for one in logs]
