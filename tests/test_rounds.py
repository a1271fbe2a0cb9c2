"""The rounds of a task in the background."""

import asyncio

import pytest
from structlog.testing import capture_logs

from server import logs, rounds
from server.errors import LeaseLost, RedisUnavailable
from server.logs import RepeatedWarning
from server.rounds import repeat
from server.timed_event import TimedEvent

log = logs.logger("test")


async def run(
    *ends: float | Exception, retry: float = 0.0, after_bug: float | None = 0.0, **options: type
) -> list[str]:
    """Run rounds that end like this, the last one with the end of the process; answers the events that were logged, in order."""
    left, stopping = list(ends), TimedEvent()

    async def once() -> float:
        end = left.pop(0)
        if not left:
            stopping.set()
        if isinstance(end, Exception):
            raise end
        return end

    with capture_logs() as lines:
        await repeat(
            once,
            stopping,
            warning=RepeatedWarning(log, "store_unavailable"),
            key="things",
            on_bug=lambda error: log.error("bug", error=str(error)),
            retry=retry,
            after_bug=after_bug,
            expected=(options.get("expected", RedisUnavailable),),
            target="box",
        )
    assert [] == left
    assert all(line["target"] == "box" for line in lines if line["event"] != "bug")
    return [line["event"] for line in lines]


async def test_redis_that_is_away_is_warned_of_once() -> None:
    """A fault that lasts is one line, and its end is another."""
    away = RedisUnavailable("down")

    assert ["store_unavailable", "store_unavailable_no_more"] == await run(0.0, away, away, 0.0, 0.0)


async def test_bug_does_not_end_the_rounds() -> None:
    """After a bug, which is told each time, the next round comes."""
    assert ["bug", "bug"] == await run(ValueError("one"), KeyError("two"), 0.0)


async def test_error_that_is_not_expected_is_a_bug() -> None:
    """Which errors are no bug is said by the task."""
    assert ["bug"] == await run(LeaseLost("gone"), 0.0)
    assert ["store_unavailable", "store_unavailable_no_more"] == await run(LeaseLost("gone"), 0.0, expected=LeaseLost)


async def test_end_of_the_process_ends_a_wait() -> None:
    """A round is not waited for that is an hour away."""
    stopping = TimedEvent()

    async def once() -> float:
        asyncio.get_running_loop().call_soon(stopping.set)
        return 3600.0

    async with asyncio.timeout(5):
        await repeat(
            once, stopping, warning=RepeatedWarning(log, "unused"), key="things", on_bug=lambda _: None, retry=3600.0
        )


async def test_wait_after_a_bug_is_the_common_one_where_none_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a wait of its own a task waits `AFTER_BUG`."""
    monkeypatch.setattr(rounds, "AFTER_BUG", 0.0)

    async with asyncio.timeout(5):
        assert ["bug"] == await run(ValueError("one"), 0.0, after_bug=None)


async def test_other_tasks_have_their_turn_between_rounds() -> None:
    """A wait of 0 lets others run, so that a task with much to do does not stop the counter."""
    turns: list[int] = []
    asyncio.get_running_loop().call_soon(turns.append, 1)

    await run(0.0, 0.0, 0.0)

    assert [1] == turns
