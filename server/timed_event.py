"""An event that a loop waits for between two rounds, such as the end of its process."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

_T = TypeVar("_T")


class TimedEvent(asyncio.Event):
    """An asyncio.Event that can be waited for within a time, or beside a call."""

    async def within(self, seconds: float) -> bool:
        """Wait for it, for so many seconds at most; answers whether it is set."""
        try:
            async with asyncio.timeout(seconds):
                return await self.wait()
        except TimeoutError:
            return False

    async def unless(self, call: Coroutine[Any, Any, _T]) -> _T | None:
        """What the call answers or raises; once the event is set the call is cancelled, and the answer is None."""
        calling = asyncio.create_task(call)
        waiting = asyncio.create_task(self.wait())
        try:
            await asyncio.wait({calling, waiting}, return_when=asyncio.FIRST_COMPLETED)
            return calling.result() if calling.done() else None
        finally:
            for task in (calling, waiting):
                task.cancel()
            await asyncio.wait({calling, waiting})
