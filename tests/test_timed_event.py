"""Waiting for the end of a process."""

import asyncio

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
