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

WITHIN = 0.3


@asynccontextmanager
async def piped(url: str) -> AsyncIterator[Pipeline]:
    """A pipeline to this Redis, whose connections are as the store has them."""
    errors: tuple[Any, ...] = (RedisConnectionError, RuntimeError)
    again = Retry(NoBackoff(), 1, supported_errors=errors)
    client = Redis.from_url(url, retry=again, decode_responses=True, socket_timeout=WITHIN, socket_connect_timeout=0.3)
    async with aclosing(client):
        pipeline = Pipeline(client.connection_pool, WITHIN)
        yield pipeline
        await pipeline.aclose()


@asynccontextmanager
async def scripted() -> AsyncIterator[tuple[FakeRedis, Pipeline]]:
    """A pipeline to a Redis that does as it is told."""
    async with fake_redis.running() as redis, piped(f"redis://127.0.0.1:{redis.port}/0") as pipeline:
        yield redis, pipeline


def ask(pipeline: Pipeline, *words: str) -> list[asyncio.Future[Any]]:
    """Ask for the echo of each word, all in this turn of the loop."""
    return [pipeline.execute("ECHO", word) for word in words]


async def heard(answers: list[asyncio.Future[Any]]) -> list[Any]:
    """What became of each: its answer, or its error's type."""
    found = await asyncio.gather(*answers, return_exceptions=True)
    return [type(one) if isinstance(one, BaseException) else one for one in found]


# -- sharing --


async def test_one_round_trip_for_many(redis_url: str) -> None:
    """What is asked in one turn of the loop costs Redis one read, and each gets its own answer."""
    words = [f"word {n}" for n in range(MAX_BATCH)]
    async with piped(redis_url) as pipeline, aclosing(Redis.from_url(redis_url)) as look:

        async def reads() -> int:
            return int((await look.info("stats"))["total_reads_processed"])

        await pipeline.execute("PING")
        before = await reads()
        counting = await reads() - before

        answers = await heard(ask(pipeline, *words))

        # One read, besides that of the look itself, while the pool has nothing to greet.
        assert words == answers
        assert counting + 1 == await reads() - before - counting


async def test_what_waits_goes_together() -> None:
    """Law 1: What is asked while Redis answers, in whatever turns, waits for no more than that, and goes out at once."""
    async with scripted() as (redis, pipeline):
        redis.hold()
        first = ask(pipeline, "first")
        await until(lambda: redis.asked == ["first"])
        meanwhile = []
        for n in range(20):
            meanwhile += ask(pipeline, f"{n}")
            await asyncio.sleep(0)

        redis.go_on()

        assert ["first", *(f"{n}" for n in range(20))] == await heard([*first, *meanwhile])
        assert (20, 1) == (redis.most, redis.connections)


async def test_no_more_than_some_milliseconds() -> None:
    """However many wait, so many go out at once, in the order in which they came."""
    words = [f"{n}" for n in range(2 * MAX_BATCH + 50)]
    async with scripted() as (redis, pipeline):
        assert words == await heard(ask(pipeline, *words))

        assert words == redis.asked
        assert MAX_BATCH >= redis.most


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["echo", "error", "cancel", "late"]), st.integers(0, 2)), max_size=30))
def test_each_gets_its_own(redis_shared: RedisServer, steps: list[tuple[str, int]]) -> None:
    """Whoever asks what, fails, or leaves at any time, each of the others gets the answer to what it asked."""

    async def go() -> None:
        async with piped(redis_shared.url) as pipeline:
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

            assert expected == await heard(answers)

    asyncio.run(go())


async def test_who_left_is_not_asked_for() -> None:
    """What nobody waits for any more is not sent."""
    async with scripted() as (redis, pipeline):
        left, stayed = ask(pipeline, "left", "stayed")
        left.cancel()

        assert "stayed" == await stayed
        assert ["stayed"] == redis.asked


# -- faults --


async def test_cut_in_the_middle() -> None:
    """After a closed connection those without an answer are asked once more, on a new one; those with one are not."""
    async with scripted() as (redis, pipeline):
        redis.cut(after=2)

        assert ["a", "b", "c", "d"] == await heard(ask(pipeline, "a", "b", "c", "d"))

        assert ["a", "b", "c", "d", "c", "d"] == redis.asked
        assert 2 == redis.connections


async def test_cut_twice() -> None:
    """A connection that is closed twice is an error for those without an answer, and for nobody after them."""
    async with scripted() as (redis, pipeline):
        await pipeline.execute("ECHO", "before")
        redis.hold()
        answers = ask(pipeline, "a", "b", "c")
        await until(lambda: redis.asked[-1] == "c")
        redis.cut(after=1)
        redis.go_on()
        await answers[0]
        redis.cut(after=0)

        assert ["a", RedisConnectionError, RedisConnectionError] == await heard(answers)
        assert ["after"] == await heard(ask(pipeline, "after"))


async def test_silence() -> None:
    """A Redis that stops answering costs those without an answer their time, once, and no answer of it comes later."""
    async with scripted() as (redis, pipeline):
        redis.hush(after=1)
        began = time.monotonic()

        assert ["a", TimeoutError, TimeoutError] == await heard(ask(pipeline, "a", "b", "c"))

        assert WITHIN <= time.monotonic() - began < 2 * WITHIN
        redis.speak()
        assert ["d", "e"] == await heard(ask(pipeline, "d", "e"))
        assert ["a", "b", "c", "d", "e"] == redis.asked


async def test_left_in_the_middle() -> None:
    """Who leaves while Redis answers does not take the answer of the one behind."""
    async with scripted() as (redis, pipeline):
        redis.hold()
        answers = ask(pipeline, "a", "b", "c")
        await until(lambda: len(redis.asked) == 3)
        answers[1].cancel()
        redis.go_on()

        assert ["a", asyncio.CancelledError, "c"] == await heard(answers)
        assert ["d"] == await heard(ask(pipeline, "d"))


async def test_refused_for_now() -> None:
    """A Redis that loads its data is an error for all who ask, and is asked anew by those who come after."""
    async with scripted() as (redis, pipeline):
        redis.error = "LOADING Redis is loading the dataset in memory"
        assert [BusyLoadingError] * 3 == await heard(ask(pipeline, "a", "b", "c"))

        redis.error = ""
        assert ["d"] == await heard(ask(pipeline, "d"))


async def test_demoted() -> None:
    """Who became a replica is left after its answers: behind its address another one may be the master by now."""
    async with scripted() as (redis, pipeline):
        redis.error = "READONLY You can't write against a read only replica."
        assert [ReadOnlyError] * 2 == await heard(ask(pipeline, "a", "b"))

        redis.error = ""
        assert ["c"] == await heard(ask(pipeline, "c"))
        assert ["d"] == await heard(ask(pipeline, "d"))
        assert (["a", "b", "c", "d"], 2) == (redis.asked, redis.connections)


async def test_nobody_there(redis_server: Callable[..., RedisServer]) -> None:
    """While no connection is to be had everyone who asks hears of it at once, however many; after that all is well."""
    server = redis_server()
    async with piped(server.url) as pipeline:
        assert ["a"] == await heard(ask(pipeline, "a"))
        server.kill()
        for _ in ("on a connection that has just ended", "where there is none"):
            assert {RedisConnectionError} == set(await heard(ask(pipeline, *"b" * (MAX_BATCH + 1))))

        server.start()
        assert ["c"] == await heard(ask(pipeline, "c"))


async def test_restarted(redis_server: Callable[..., RedisServer]) -> None:
    """That Redis was restarted meanwhile is nobody's error."""
    server = redis_server()
    async with piped(server.url) as pipeline:
        assert ["a"] == await heard(ask(pipeline, "a"))
        server.restart()

        assert ["b", "c"] == await heard(ask(pipeline, "b", "c"))


async def test_reset_while_idle() -> None:
    """That a connection was reset while nobody used it is nobody's error."""
    async with scripted() as (redis, pipeline):
        assert ["a"] == await heard(ask(pipeline, "a"))
        [idle] = pipeline._pool._available_connections
        redis.reset()
        await until(idle._reader.exception)

        assert ["b", "c"] == await heard(ask(pipeline, "b", "c"))
        assert (["a", "b", "c"], 2) == (redis.asked, redis.connections)


async def test_dead_link() -> None:
    """An answer that the kernel gave up is asked for once more, on a new connection, and is never taken for a null."""
    async with scripted() as (redis, pipeline):
        redis.hold()
        answers = ask(pipeline, "a", "b")
        await until(lambda: len(redis.asked) == 2)
        [link] = pipeline._pool._in_use_connections

        # As a transport tells what its socket said; nobody can make a link of one machine die.
        link._reader.set_exception(TimeoutError(ETIMEDOUT, "Connection timed out"))
        redis.go_on()

        assert ["a", "b"] == await heard(answers)
        assert (["a", "b"] * 2, 2) == (redis.asked, redis.connections)


async def test_null(redis_url: str) -> None:
    """Nothing is an answer as any other."""
    async with piped(redis_url) as pipeline:
        assert [None, "a"] == await heard([pipeline.execute("GET", "nowhere"), *ask(pipeline, "a")])


async def test_ended_from_outside() -> None:
    """Whoever waits while the asking is ended, be it sent or not, hears of it, and who asks after that is answered."""
    async with scripted() as (redis, pipeline):
        redis.hold()
        answers = ask(pipeline, "a", "b")
        await until(lambda: len(redis.asked) == 2)
        answers += ask(pipeline, "c")
        assert pipeline._running is not None

        pipeline._running.cancel()

        assert [RedisConnectionError] * 3 == await heard(answers)
        redis.go_on()
        assert ["d"] == await heard(ask(pipeline, "d"))


async def test_close_waits_for_answers() -> None:
    """To close is to let those who wait have their answers."""
    async with scripted() as (redis, pipeline):
        redis.hold()
        answers = ask(pipeline, "a", "b")
        closing = asyncio.create_task(pipeline.aclose())
        await until(lambda: len(redis.asked) == 2)
        assert not closing.done()

        redis.go_on()
        await closing

        assert [True, True] == [one.done() for one in answers]
        assert ["a", "b"] == await heard(answers)


@pytest.mark.parametrize("words", [("SET", "key", "ü\r\n"), ("SET", "key", "")])
async def test_any_text(redis_url: str, words: tuple[str, ...]) -> None:
    """A word may be any text: line breaks and letters of every alphabet come back as they were."""
    async with piped(redis_url) as pipeline:
        assert "OK" == await pipeline.execute(*words)
        assert words[-1] == await pipeline.execute("GET", "key")


async def test_numbers(redis_url: str) -> None:
    """A number is sent as its text."""
    async with piped(redis_url) as pipeline:
        assert ["7", "0.5"] == [await pipeline.execute("ECHO", one) for one in (7, 0.5)]
