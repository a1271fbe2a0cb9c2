"""Waiting for the end of a process."""

import asyncio

import pytest

from server.timed_event import TimedEvent


async def test_wait_ends_with_the_process_or_its_time() -> None:
    """A round begins after so many seconds, and not at all once the process ends."""
    stopping = TimedEvent()
    assert not await stopping.within(0.01)

    waiting = asyncio.create_task(stopping.within(60))
    await asyncio.sleep(0)
    stopping.set()
    assert await asyncio.wait_for(waiting, 1)
    assert await stopping.within(0.0) or stopping.is_set()


async def test_call_ends_with_its_answer_or_the_process() -> None:
    """A call is answered, or its error raised; once the process ends it is cancelled, and there is no answer."""
    stopping, ended = TimedEvent(), []

    async def answers() -> int:
        return 42

    async def fails() -> int:
        raise ZeroDivisionError

    async def hangs() -> int:
        try:
            await asyncio.sleep(60)
        finally:
            ended.append("cancelled")
        return 0

    assert 42 == await stopping.unless(answers())
    with pytest.raises(ZeroDivisionError):
        await stopping.unless(fails())
    waiting = asyncio.create_task(stopping.unless(hangs()))
    await asyncio.sleep(0)
    stopping.set()
    assert await asyncio.wait_for(waiting, 1) is None
    assert ["cancelled"] == ended
