import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from errno import ETIMEDOUT
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import BusyLoadingError, ReadOnlyError, ResponseError
from redis.exceptions import ConnectionError as RedisConnectionError

from server.redis.pipeline import MAX_BATCH, Pipeline
from tests.rig import fake_redis
from tests.rig.fake_redis import FakeRedis
from tests.rig.redis import RedisServer
from tests.rig.server import until

TIMEOUT = 0.3


@asynccontextmanager
async def open_pipeline(url: str) -> AsyncIterator[Pipeline]:
    """A pipeline to this Redis, with connections like the driver's."""
    errors: tuple[Any, ...] = (RedisConnectionError, RuntimeError)
    retry = Retry(NoBackoff(), 1, supported_errors=errors)
    client = Redis.from_url(url, retry=retry, decode_responses=True, socket_timeout=TIMEOUT, socket_connect_timeout=0.3)
    async with aclosing(client):
        pipeline = Pipeline(client.connection_pool, TIMEOUT)
        yield pipeline
        await pipeline.aclose()


@asynccontextmanager
async def scripted() -> AsyncIterator[tuple[FakeRedis, Pipeline]]:
    """A pipeline to a Redis whose failures the test controls."""
    async with fake_redis.running() as redis, open_pipeline(f"redis://127.0.0.1:{redis.port}/0") as pipeline:
        yield redis, pipeline


def echo(pipeline: Pipeline, *words: str) -> list[asyncio.Future[Any]]:
    """Queue an ECHO of each word, all in this iteration of the loop."""
    return [pipeline.execute("ECHO", word) for word in words]


async def results(answers: list[asyncio.Future[Any]]) -> list[Any]:
    """The result of each: its answer, or the type of its error."""
    found = await asyncio.gather(*answers, return_exceptions=True)
    return [type(one) if isinstance(one, BaseException) else one for one in found]


# -- sharing --


async def test_one_round_trip_for_many(redis_url: str) -> None:
    """Commands queued in one iteration of the loop cost Redis one read, and each gets its own answer."""
    words = [f"word {n}" for n in range(MAX_BATCH)]
    async with open_pipeline(redis_url) as pipeline, aclosing(Redis.from_url(redis_url)) as client:

        async def reads() -> int:
            return int((await client.info("stats"))["total_reads_processed"])

        await pipeline.execute("PING")
        before = await reads()
        reads_of_info = await reads() - before

        answers = await results(echo(pipeline, *words))

        # One read besides that of INFO itself; the pool has its connection already.
        assert words == answers
        assert reads_of_info + 1 == await reads() - before - reads_of_info


async def test_queued_commands_share_a_write() -> None:
    """Law 1: Commands that are queued while Redis answers are sent in one write as soon as it has answered."""
    async with scripted() as (redis, pipeline):
        redis.hold()
        first = echo(pipeline, "first")
        await until(lambda: redis.asked == ["first"])
        meanwhile = []
        for n in range(20):
            meanwhile += echo(pipeline, f"{n}")
            await asyncio.sleep(0)

        redis.go_on()

        assert ["first", *(f"{n}" for n in range(20))] == await results([*first, *meanwhile])
        assert (20, 1) == (redis.most, redis.connections)


async def test_batch_size_is_limited() -> None:
    """However many commands are queued, a batch has at most MAX_BATCH, in the order in which they came."""
    words = [f"{n}" for n in range(2 * MAX_BATCH + 50)]
    async with scripted() as (redis, pipeline):
        assert words == await results(echo(pipeline, *words))

        assert words == redis.asked
        assert MAX_BATCH >= redis.most


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["echo", "error", "cancel", "late"]), st.integers(0, 2)), max_size=30))
def test_each_gets_its_own_answer(redis_shared: RedisServer, steps: list[tuple[str, int]]) -> None:
    """Whatever other commands do, fail or be cancelled at any time, each gets the answer to its own."""

    async def go() -> None:
        async with open_pipeline(redis_shared.url) as pipeline:
            expected: list[Any] = []
            answers: list[asyncio.Future[Any]] = []
            for number, (what, turns) in enumerate(steps):
                command = ("NONSENSE", f"{number}") if what == "error" else ("ECHO", f"{number}")
                answers.append(pipeline.execute(*command))
                expected.append({"error": ResponseError, "echo": f"{number}"}.get(what, asyncio.CancelledError))
                if what == "cancel":
                    answers[-1].cancel()
                for _ in range(turns):
                    await asyncio.sleep(0)
                if what == "late" and not answers[-1].cancel():
                    expected[-1] = f"{number}"

            assert expected == await results(answers)

    asyncio.run(go())


async def test_cancelled_command_is_not_sent() -> None:
    """A command that is cancelled before it is sent is not sent."""
    async with scripted() as (redis, pipeline):
        left, stayed = echo(pipeline, "left", "stayed")
        left.cancel()

        assert "stayed" == await stayed
        assert ["stayed"] == redis.asked


# -- faults --


async def test_closed_between_answers() -> None:
    """Commands without an answer when the connection closes are sent once more on a new one; answered ones are not."""
    async with scripted() as (redis, pipeline):
        redis.cut(after=2)

        assert ["a", "b", "c", "d"] == await results(echo(pipeline, "a", "b", "c", "d"))

        assert ["a", "b", "c", "d", "c", "d"] == redis.asked
        assert 2 == redis.connections


async def test_closed_twice() -> None:
    """A connection that is closed twice is an error for the commands without an answer, and not for later ones."""
    async with scripted() as (redis, pipeline):
        await pipeline.execute("ECHO", "before")
        redis.hold()
        answers = echo(pipeline, "a", "b", "c")
        await until(lambda: redis.asked[-1] == "c")
        redis.cut(after=1)
        redis.go_on()
        await answers[0]
        redis.cut(after=0)

        assert ["a", RedisConnectionError, RedisConnectionError] == await results(answers)
        assert ["after"] == await results(echo(pipeline, "after"))


async def test_timeout_reaches_all_waiting_commands() -> None:
    """When Redis stops answering, commands without an answer time out, and no late answer goes to another command."""
    async with scripted() as (redis, pipeline):
        redis.hush(after=1)
        began = time.monotonic()

        assert ["a", TimeoutError, TimeoutError] == await results(echo(pipeline, "a", "b", "c"))

        assert TIMEOUT <= time.monotonic() - began < 2 * TIMEOUT
        redis.speak()
        assert ["d", "e"] == await results(echo(pipeline, "d", "e"))
        assert ["a", "b", "c", "d", "e"] == redis.asked


async def test_cancel_between_answers() -> None:
    """A command that is cancelled while Redis answers does not take the answer of the next."""
    async with scripted() as (redis, pipeline):
        redis.hold()
        answers = echo(pipeline, "a", "b", "c")
        await until(lambda: len(redis.asked) == 3)
        answers[1].cancel()
        redis.go_on()

        assert ["a", asyncio.CancelledError, "c"] == await results(answers)
        assert ["d"] == await results(echo(pipeline, "d"))


async def test_loading_server() -> None:
    """While Redis loads its data all commands fail; those that come later are sent again and succeed."""
    async with scripted() as (redis, pipeline):
        redis.error = "LOADING Redis is loading the dataset in memory"
        assert [BusyLoadingError] * 3 == await results(echo(pipeline, "a", "b", "c"))

        redis.error = ""
        assert ["d"] == await results(echo(pipeline, "d"))


async def test_master_becomes_replica() -> None:
    """The connection to a former master is closed after its answers: its address may lead to the new master."""
    async with scripted() as (redis, pipeline):
        redis.error = "READONLY You can't write against a read only replica."
        assert [ReadOnlyError] * 2 == await results(echo(pipeline, "a", "b"))

        redis.error = ""
        assert ["c"] == await results(echo(pipeline, "c"))
        assert ["d"] == await results(echo(pipeline, "d"))
        assert (["a", "b", "c", "d"], 2) == (redis.asked, redis.connections)


async def test_server_down(redis_server: Callable[..., RedisServer]) -> None:
    """While there is no connection every command fails at once, however many; once Redis is back, commands work."""
    server = redis_server()
    async with open_pipeline(server.url) as pipeline:
        assert ["a"] == await results(echo(pipeline, "a"))
        server.kill()
        for _ in ("on a connection that has just ended", "where there is none"):
            assert {RedisConnectionError} == set(await results(echo(pipeline, *"b" * (MAX_BATCH + 1))))

        server.start()
        assert ["c"] == await results(echo(pipeline, "c"))


async def test_restart_while_idle(redis_server: Callable[..., RedisServer]) -> None:
    """A restart of Redis while the connection is idle causes no error."""
    server = redis_server()
    async with open_pipeline(server.url) as pipeline:
        assert ["a"] == await results(echo(pipeline, "a"))
        server.restart()

        assert ["b", "c"] == await results(echo(pipeline, "b", "c"))


async def test_reset_while_idle() -> None:
    """A connection that was reset while idle causes no error."""
    async with scripted() as (redis, pipeline):
        assert ["a"] == await results(echo(pipeline, "a"))
        [idle] = pipeline._pool._available_connections
        redis.reset()
        await until(idle._reader.exception)

        assert ["b", "c"] == await results(echo(pipeline, "b", "c"))
        assert (["a", "b", "c"], 2) == (redis.asked, redis.connections)


async def test_dead_connection() -> None:
    """Commands on a connection that the kernel gave up are sent once more on a new one; no answer becomes a null."""
    async with scripted() as (redis, pipeline):
        redis.hold()
        answers = echo(pipeline, "a", "b")
        await until(lambda: len(redis.asked) == 2)
        [link] = pipeline._pool._in_use_connections

        # As a transport reports an error of its socket; a loopback connection cannot be made to die.
        link._reader.set_exception(TimeoutError(ETIMEDOUT, "Connection timed out"))
        redis.go_on()

        assert ["a", "b"] == await results(answers)
        assert (["a", "b"] * 2, 2) == (redis.asked, redis.connections)


async def test_null_answer(redis_url: str) -> None:
    """A null is an answer like any other."""
    async with open_pipeline(redis_url) as pipeline:
        assert [None, "a"] == await results([pipeline.execute("GET", "nowhere"), *echo(pipeline, "a")])


async def test_cancelled_pipeline() -> None:
    """When the task of the pipeline is cancelled all commands, sent or not, fail, and later ones are answered."""
    async with scripted() as (redis, pipeline):
        redis.hold()
        answers = echo(pipeline, "a", "b")
        await until(lambda: len(redis.asked) == 2)
        answers += echo(pipeline, "c")
        assert pipeline._running is not None

        pipeline._running.cancel()

        assert [RedisConnectionError] * 3 == await results(answers)
        redis.go_on()
        assert ["d"] == await results(echo(pipeline, "d"))


async def test_close_waits_for_answers() -> None:
    """Closing the pipeline waits for the answers of queued commands."""
    async with scripted() as (redis, pipeline):
        redis.hold()
        answers = echo(pipeline, "a", "b")
        closing = asyncio.create_task(pipeline.aclose())
        await until(lambda: len(redis.asked) == 2)
        assert not closing.done()

        redis.go_on()
        await closing

        assert [True, True] == [one.done() for one in answers]
        assert ["a", "b"] == await results(answers)


@pytest.mark.parametrize("words", [("SET", "key", "ü\r\n"), ("SET", "key", "")])
async def test_any_text(redis_url: str, words: tuple[str, ...]) -> None:
    """An argument may be any text: line breaks and letters of every alphabet come back unchanged."""
    async with open_pipeline(redis_url) as pipeline:
        assert "OK" == await pipeline.execute(*words)
        assert words[-1] == await pipeline.execute("GET", "key")


async def test_number_is_sent_as_its_text(redis_url: str) -> None:
    """A number is sent as its text."""
    async with open_pipeline(redis_url) as pipeline:
        assert ["7", "0.5"] == [await pipeline.execute("ECHO", one) for one in (7, 0.5)]
