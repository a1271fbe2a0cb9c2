import time
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from importlib.metadata import version

from redis.asyncio import Redis

from server.doctor import worker
from server.doctor.deployment import Deployment
from server.model import SiteId
from server.redis.client import RedisClient, Use
from server.store.schedule import Schedule
from server.store.worker_status import WorkerSays, WorkerStatus
from tests.rig.default_keys import key
from tests.rig.doctor import faults, found_by, levels
from tests.rig.server import SITE
from tests.rig.settings import valid_settings

VERSION = version("ticket-counter")


@asynccontextmanager
async def deployed(
    redis_url: str, *, known: bool = True, alive: str = VERSION, **given: int
) -> AsyncIterator[Deployment]:
    """A deployment with a Redis, which knows the site or not."""
    async with aclosing(Deployment(valid_settings(redis_url=redis_url, **given))) as deployment:
        deployment.redis = RedisClient(redis_url, Use.WORK)
        if known:
            await Schedule(deployment.redis).add_site(SiteId(SITE), valid_settings().rules, everything=True)
        if alive:
            await WorkerStatus(deployment.redis).write(WorkerSays(alive, 0))
        yield deployment


async def due_for(redis_url: str, seconds: float) -> None:
    """Make all that is due at a site due since so many seconds."""
    async with Redis.from_url(redis_url) as redis:
        await redis.zadd(key(SITE, "due"), {"*": (time.time() - seconds) * 1e6})


async def test_worker_that_keeps_up(redis_url: str) -> None:
    """While nothing has been due for long, a worker reads what is due."""
    async with deployed(redis_url) as deployment:
        assert ["ok"] == levels(await found_by(worker.check, deployment))


async def test_worker_that_is_lost(redis_url: str) -> None:
    """Where no worker has said that it is alive, that is the fault, whatever is due."""
    async with deployed(redis_url, alive="") as deployment:
        await due_for(redis_url, 120)
        (fault,) = faults(await found_by(worker.check, deployment))

    assert fault.startswith("no worker is alive")


async def test_worker_without_answers_of_wix(redis_url: str) -> None:
    """A worker that Wix does not answer is a fault, whatever is due."""
    async with deployed(redis_url) as deployment:
        assert deployment.redis is not None
        await WorkerStatus(deployment.redis).write(WorkerSays(VERSION, 2))
        (fault,) = faults(await found_by(worker.check, deployment))

    assert "Wix fails for 2 sites" in fault


async def test_worker_of_another_version(redis_url: str) -> None:
    """A worker of another version than the installed one is told."""
    async with deployed(redis_url, alive="0.0.1") as deployment:
        assert ["ok", "notice"] == levels(await found_by(worker.check, deployment))


async def test_worker_that_lags(redis_url: str) -> None:
    """What has been due for long and is not read is a fault with its seconds, but not while its site is paused."""
    async with deployed(redis_url) as deployment:
        await due_for(redis_url, 120)
        (fault,) = faults(await found_by(worker.check, deployment))
        assert "due for 120 s" in fault
        async with Redis.from_url(redis_url) as redis:
            await redis.hset(key(SITE, "reads"), "paused_until", int((time.time() + 60) * 1e6))
        assert [] == faults(await found_by(worker.check, deployment))


async def test_worker_that_never_came(redis_url: str) -> None:
    """A Redis without any site has seen no worker, or has another prefix."""
    async with deployed(redis_url, known=False) as deployment:
        (fault,) = faults(await found_by(worker.check, deployment))

    assert "no worker has added a site" in fault


async def test_rules_that_differ(redis_url: str) -> None:
    """Rules other than those of the worker are a fault: web processes with them show nothing."""
    async with deployed(redis_url, low_at=3) as deployment:
        (fault,) = faults(await found_by(worker.check, deployment))

    assert "LOW_AT" in fault


async def test_no_redis() -> None:
    """Without Redis nothing is known of workers, and nothing is said."""
    assert [] == await found_by(worker.check, Deployment(valid_settings()))
