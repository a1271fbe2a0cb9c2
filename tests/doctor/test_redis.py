import re
from collections.abc import Callable
from contextlib import aclosing
from pathlib import Path

from server.doctor import redis
from server.doctor.deployment import Deployment
from tests.rig.doctor import faults, found_by, levels
from tests.rig.redis import RedisServer, free_port
from tests.rig.settings import valid_settings
from tests.rig.tcp_proxy import tcp_proxy


async def findings_of(url: str, **given: object) -> list[str]:
    async with aclosing(Deployment(valid_settings(redis_url=url, **given))) as deployment:
        return faults(await found_by(redis.check, deployment))


async def test_redis_that_is_right(redis_url: str) -> None:
    """A Redis with our redis.conf is right, and the deployment has it from then on."""
    async with aclosing(Deployment(valid_settings(redis_url=redis_url))) as deployment:
        assert ["ok", "ok"] == levels(await found_by(redis.check, deployment))
        assert deployment.redis is not None


async def test_redis_that_is_not_there(tmp_path: Path) -> None:
    """A Redis that does not answer is a fault, and so is a `serve` that does not run; the deployment has none then."""
    async with aclosing(Deployment(valid_settings(redis_url=f"redis://127.0.0.1:{free_port()}"))) as deployment:
        (fault,) = faults(await found_by(redis.check, deployment))
        assert "Redis" in fault
        assert deployment.redis is None
    async with aclosing(Deployment(valid_settings(data_dir=tmp_path))) as deployment:
        (fault,) = faults(await found_by(redis.check, deployment))
        assert "no `ticket-counter serve` runs" in fault


async def test_wrong_password(redis_server: Callable[..., RedisServer]) -> None:
    """A password that Redis refuses is told as such."""
    server = redis_server()
    server.ask("CONFIG", "SET", "requirepass", "right")

    (fault,) = await findings_of(f"redis://:wrong@127.0.0.1:{server.port}/0")

    assert "password" in fault


async def test_redis_that_loses_data(redis_server: Callable[..., RedisServer]) -> None:
    """A Redis without a log, or that evicts keys, is a fault with the lines of redis.conf; it is a notice where that is accepted."""
    server = redis_server(appendonly="no", maxmemory_policy="allkeys-lru")

    evicts, keeps = await findings_of(server.url)
    assert "appendonly yes" in keeps
    assert "maxmemory-policy noeviction" in evicts
    assert [] == await findings_of(server.url, allow_unsafe_redis=True)


async def test_memory_that_is_almost_full(redis_server: Callable[..., RedisServer]) -> None:
    """A Redis that uses most of its memory is a fault, before it takes nothing more."""
    server = redis_server(maxmemory="1000000")

    (fault,) = await findings_of(server.url)

    assert "MB of its memory are in use" in fault


async def test_redis_that_is_far_away(redis_server: Callable[..., RedisServer]) -> None:
    """A Redis whose round trips take too long for webhooks is a fault with the time that it takes."""
    async with tcp_proxy("127.0.0.1", redis_server().port) as proxy:
        proxy.delay = 0.05

        (fault,) = await findings_of(f"redis://127.0.0.1:{proxy.port}/0")

    assert re.fullmatch(r"it answers only within \d+ ms", fault)


async def test_url_of_another_kind_of_redis(redis_server: Callable[..., RedisServer]) -> None:
    """What the server's own check says of a Redis that cannot work is a fault in its words."""
    server = redis_server(cluster_enabled="yes")

    fault = (await findings_of(server.url))[0]

    assert "this Redis is a cluster" in fault
