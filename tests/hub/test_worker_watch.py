import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager

import pytest
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from server.hub.worker_watch import WorkerWatch
from server.redis.client import RedisClient, Use
from server.store.worker_status import WorkerSays, WorkerStatus
from tests.rig.redis import Servers
from tests.rig.server import until

KEY = "tc:worker"


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[RedisClient]:
    async with aclosing(RedisClient(redis_url, Use.WORK)) as found:
        yield found


@asynccontextmanager
async def watching(redis: RedisClient, grace: float = 60.0) -> AsyncIterator[WorkerWatch]:
    """A watch that asks often."""
    found = WorkerWatch(WorkerStatus(redis), every=0.02, grace=grace)
    await found.start()
    running = asyncio.create_task(found.run())
    try:
        yield found
    finally:
        running.cancel()
        await asyncio.wait({running})


def missing() -> float | None:
    return REGISTRY.get_sample_value("ticketcounter_missing_workers")


async def test_notices_follow_what_a_worker_says(redis: RedisClient) -> None:
    """The notices say from the start whether a worker is alive and whether Wix answers it for all sites."""
    status = WorkerStatus(redis)
    await status.write(WorkerSays("1.2.3", 0))
    async with watching(redis) as found:
        well = (found.worker_alive, found.wix_answers, missing())
        await status.write(WorkerSays("1.2.3", 1))
        await until(lambda: not found.wix_answers)
        silent = (found.worker_alive, found.wix_answers, REGISTRY.get_sample_value("ticketcounter_silent_wix_sites"))
        await redis.do("DEL", KEY)
        await until(lambda: not found.worker_alive)
        lost = (found.worker_alive, found.wix_answers, missing())

    assert [(True, True, 0.0), (True, False, 1.0), (False, True, 1.0)] == [well, silent, lost]


async def test_lost_worker_is_one_line_and_its_return_another(redis: RedisClient) -> None:
    """A web process logs once that the last worker is lost, with the cure, and once that there is one again."""
    status = WorkerStatus(redis)
    await status.write(WorkerSays("1.2.3", 0))
    with capture_logs() as logs:
        async with watching(redis) as found:
            await redis.do("DEL", KEY)
            await until(lambda: not found.worker_alive)
            await asyncio.sleep(0.1)  # some more questions
            await status.write(WorkerSays("1.2.4", 0))
            await until(lambda: found.worker_alive)

    assert ["worker_lost", "worker_back"] == [one["event"] for one in logs]
    assert "start `ticket-counter worker`" in logs[0]["hint"]
    assert "1.2.4" == logs[1]["version"]


@pytest.mark.parametrize(("grace", "expected"), [(60.0, []), (0.0, ["worker_lost"])])
async def test_worker_that_never_came_is_told_after_a_while(
    redis: RedisClient, grace: float, expected: list[str]
) -> None:
    """A worker that may still be starting is no news; one that does not come is."""
    with capture_logs() as logs:
        async with watching(redis, grace) as found:
            await asyncio.sleep(0.2)  # several questions

    assert expected == [one["event"] for one in logs]
    assert not found.worker_alive


async def test_unavailable_redis_tells_nothing_of_workers(redis_server: Servers) -> None:
    """While Redis is unavailable the notices stay as they were, and no worker is reported as lost."""
    server = redis_server()
    async with aclosing(RedisClient(server.url, Use.WORK)) as client:
        await WorkerStatus(client).write(WorkerSays("1.2.3", 0))
        with capture_logs() as logs:
            async with watching(client) as found:
                server.kill()
                await found._ask(late=True)

    assert (True, True, []) == (found.worker_alive, found.wix_answers, logs)
