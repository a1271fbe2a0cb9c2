import asyncio
import errno
from contextlib import aclosing, suppress

import pytest
from redis.exceptions import (
    AuthenticationError,
    BusyLoadingError,
    NoPermissionError,
    ReadOnlyError,
    ResponseError,
)
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import (
    TimeoutError as RedisTimeoutError,
)

from server import metrics
from server.errors import RedisUnavailable, RedisUnfit
from server.redis.client import RedisClient, Use
from server.redis.faults import read_response, translate_errors
from server.redis.node import Node

AWAY = [
    RedisTimeoutError("Timeout reading from localhost:6379"),
    AuthenticationError("invalid username-password pair"),
    BusyLoadingError("Redis is loading the dataset in memory"),
    NoPermissionError("this user has no permissions to run the 'set' command"),
    ReadOnlyError("You can't write against a read only replica.", status_code="READONLY"),
    ResponseError("OOM command not allowed when used memory > 'maxmemory'."),
    ResponseError("CLUSTERDOWN The cluster is down"),
    RuntimeError("unable to perform operation on <TCPTransport>; the handler is closed"),
    ConnectionRefusedError(111, "Connection refused"),
]

OURS = [
    ResponseError("WRONGTYPE Operation against a key holding the wrong kind of value"),
    ResponseError("unknown command 'NONSENSE'"),
    RuntimeError("Event loop is closed"),
    KeyError("counter"),
]


@pytest.mark.parametrize("error", AWAY, ids=str)
async def test_unavailable_errors(error: Exception) -> None:
    """An error that means that Redis takes no commands becomes RedisUnavailable, and is counted by the call."""
    before = metrics.store_faults.labels("mark")._value.get()

    with pytest.raises(RedisUnavailable, match="did not take mark") as caught, translate_errors("mark"):
        raise error

    assert error is caught.value.__cause__
    assert before + 1 == metrics.store_faults.labels("mark")._value.get()


@pytest.mark.parametrize("error", OURS, ids=str)
async def test_bugs_are_raised_unchanged(error: Exception) -> None:
    """An error that is a bug is raised unchanged."""
    with pytest.raises(type(error)) as caught, translate_errors("mark"):
        raise error

    assert error is caught.value


async def test_refused_beginning() -> None:
    """What Redis refuses at the beginning of each connection becomes RedisUnfit: no retry helps."""
    with pytest.raises(RedisUnfit, match="Redis has no database of the number"), translate_errors("mark"):
        raise ResponseError("DB index is out of range")


async def test_swallowed_cancel() -> None:
    """A cancellation that was swallowed by the block still ends the task."""

    async def call() -> str:
        with translate_errors("mark"), suppress(asyncio.CancelledError):
            await asyncio.sleep(60)
        return "went on"

    task = asyncio.create_task(call())
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait({task})

    assert task.cancelled()


async def test_cancel_during_command(redis_url: str) -> None:
    """A task that is cancelled at any moment of a command ends, and does not go on as if nothing had happened."""

    async def forever(store: RedisClient) -> None:
        while True:
            await store.do("PING")

    async with aclosing(RedisClient(redis_url, Use.WORK)) as store:
        for turns in range(60):
            task = asyncio.create_task(forever(store))
            for _ in range(turns % 20):
                await asyncio.sleep(0)
            task.cancel()

            await asyncio.wait({task}, timeout=2)

            assert task.cancelled()


async def test_read_response(redis_url: str) -> None:
    """A response is returned, a time-out without one is None, and a dead connection is an error and not None."""
    async with aclosing(Node(redis_url, 1, 1, pipeline_scripts=False)) as node:
        connection = await node.pool.get_connection()
        await connection.send_command("PING")

        assert "PONG" == await read_response(connection, 1)
        assert await read_response(connection, 0.05) is None
        connection._reader.set_exception(TimeoutError(errno.ETIMEDOUT, "timed out"))
        with pytest.raises(RedisConnectionError, match="dead"):
            await read_response(connection, 1)

        await connection.disconnect(nowait=True)
        await node.pool.release(connection)
