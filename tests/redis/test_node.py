import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ReadOnlyError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from server.redis.node import UNRESPONSIVE_AFTER, Node
from tests.rig import fake_redis
from tests.rig.certificates import Authority
from tests.rig.fake_redis import FakeRedis
from tests.rig.redis import RedisServer
from tests.rig.server import until
from tests.rig.tcp_proxy import tcp_proxy

Server = Callable[..., RedisServer]

WRITE = "return redis.call('INCR', KEYS[1])"


def node(url: str, *, answer: float = 1.0, pipeline_scripts: bool = False) -> Node:
    return Node(url, answer, 0.3, pipeline_scripts=pipeline_scripts)


@asynccontextmanager
async def scripted() -> AsyncIterator[tuple[FakeRedis, Node]]:
    """A node on a Redis whose failures the test controls."""
    async with fake_redis.running() as redis, aclosing(node(f"redis://127.0.0.1:{redis.port}/0")) as found:
        yield redis, found


@pytest.mark.parametrize("pipeline_scripts", [True, False])
async def test_commands_and_scripts(redis_url: str, pipeline_scripts: bool) -> None:
    """Commands and scripts are answered with and without a pipeline, and an error is raised unchanged."""
    async with aclosing(node(redis_url, pipeline_scripts=pipeline_scripts)) as redis:
        assert await redis.execute("SET", "key", 7)
        assert "7" == await redis.execute("GET", "key")
        assert [8, 9] == list(await asyncio.gather(*(redis.execute("EVAL", WRITE, 1, "key") for _ in range(2))))
        with pytest.raises(ResponseError, match="unknown command"):
            await redis.execute("NONSENSE")


async def test_scripts_share_a_round_trip(redis_url: str) -> None:
    """Ten scripts at the same time are one round trip with a pipeline, and ten without."""
    async with aclosing(node(redis_url, pipeline_scripts=True)) as sharing, aclosing(node(redis_url)) as alone:

        async def reads(redis: Node) -> int:
            """How often the server reads for ten scripts."""
            await asyncio.gather(*(redis.execute("EVAL", WRITE, 1, "key") for _ in range(10)))
            before = (await alone.client.info("stats"))["total_reads_processed"]
            await asyncio.gather(*(redis.execute("EVAL", WRITE, 1, "key") for _ in range(10)))
            return int((await alone.client.info("stats"))["total_reads_processed"]) - int(before) - 1

        assert (1, 10) == (await reads(sharing), await reads(alone))


@pytest.mark.parametrize("pipeline_scripts", [True, False])
async def test_master_becomes_replica(redis_server: Server, pipeline_scripts: bool) -> None:
    """After a master has become a replica, the next command goes to the server that is behind the address now."""
    old, new = redis_server(), redis_server()
    async with (
        tcp_proxy("127.0.0.1", old.port) as link,
        aclosing(node(f"redis://127.0.0.1:{link.port}/0", pipeline_scripts=pipeline_scripts)) as redis,
    ):
        assert 1 == await redis.execute("EVAL", WRITE, 1, "key")

        old.ask("REPLICAOF", "127.0.0.1", new.port)
        link.target = ("127.0.0.1", new.port)

        with pytest.raises(ReadOnlyError):
            await redis.execute("EVAL", WRITE, 1, "key")
        new.ask("SET", "key", 41)
        assert 42 == await redis.execute("EVAL", WRITE, 1, "key")


async def test_unresponsive_node_fails_fast(redis_server: Server) -> None:
    """Commands to a node that has not answered for a while fail fast, until it answers."""
    server = redis_server()
    async with aclosing(node(server.url, answer=10)) as redis:
        await redis.execute_or_fail_fast("PING")
        server.freeze()
        began = time.monotonic()
        asked = asyncio.create_task(redis.execute_or_fail_fast("PING"))
        await until(lambda: redis.unresponsive)

        assert UNRESPONSIVE_AFTER <= time.monotonic() - began
        with pytest.raises(RedisTimeoutError, match="not answered"):
            await redis.execute_or_fail_fast("PING")

        server.thaw()
        assert await asked
        assert not redis.unresponsive


async def test_unresponsive_after_timeout(redis_server: Server) -> None:
    """After a time-out one command at a time tries the node, and others fail fast until it answers."""
    server = redis_server()
    async with aclosing(node(server.url, answer=0.2)) as redis:
        await redis.execute_or_fail_fast("PING")
        server.freeze()
        with pytest.raises(RedisTimeoutError):
            await redis.execute_or_fail_fast("PING")

        before = redis.unresponsive
        asked = asyncio.create_task(redis.execute_or_fail_fast("PING"))
        await asyncio.sleep(0)
        assert (False, True) == (before, redis.unresponsive)
        with pytest.raises(RedisTimeoutError):
            await asked

        server.thaw()
        asked = asyncio.create_task(redis.execute_or_fail_fast("NONSENSE"))
        with pytest.raises(ResponseError):
            await asked
        asked = asyncio.create_task(redis.execute_or_fail_fast("PING"))
        await asyncio.sleep(0)
        assert not redis.unresponsive
        await asked


async def test_refused_connection(redis_server: Server) -> None:
    """A server that refuses connections is not unresponsive: each command fails at once anyway."""
    server = redis_server()
    async with aclosing(node(server.url)) as redis:
        server.kill()
        for _ in range(2):
            with pytest.raises(RedisConnectionError):
                await redis.execute_or_fail_fast("PING")
            assert not redis.unresponsive


async def test_close_over_tls(redis_server: Server, tmp_path: Path) -> None:
    """A server that hangs neither delays nor fails the end of a process, though TLS waits for its answer."""
    authority = Authority(tmp_path / "ca")
    async with (
        tcp_proxy("127.0.0.1", redis_server().port, authority.sign("redis").server()) as ends_tls,
        tcp_proxy("127.0.0.1", ends_tls.port) as cable,
    ):
        hanging = node(f"rediss://127.0.0.1:{cable.port}?ssl_ca_certs={authority.file}")
        assert await hanging.execute("PING")
        cable.silence()
        began = time.monotonic()
        await hanging.aclose()

        assert 0.3 <= time.monotonic() - began < 1


async def test_execute_asking() -> None:
    """A command on a slot that is being imported follows ASKING on the same connection."""
    async with scripted() as (redis, found):
        assert "key" == await found.execute_asking("GET", "key")
        assert "other" == await found.execute("GET", "other")

        assert ["ASKING", "key", "other"] == redis.asked
        assert (2, 1) == (redis.most, redis.connections)


async def test_execute_asking_fails() -> None:
    """If ASKING fails, the second answer is not taken for the answer to the next command."""
    async with scripted() as (redis, found):
        redis.error = "LOADING it is"
        with pytest.raises(RedisConnectionError):
            await found.execute_asking("GET", "key")
        redis.error = "ERR not here"
        with pytest.raises(ResponseError):
            await found.execute_asking("GET", "key")
        redis.error = ""

        answers: list[Any] = [await found.execute("GET", word) for word in "abc"]

        assert ["a", "b", "c"] == answers


async def test_bytes_that_are_no_text(redis_url: str) -> None:
    """Bytes that are not UTF-8 are read as a text that is nobody's name, and raise nothing."""
    async with aclosing(node(redis_url)) as redis, Redis.from_url(redis_url) as other:
        await other.set("key", b"\xff\xfe\x00")

        assert "\ufffd\ufffd\x00" == await redis.execute("GET", "key")
