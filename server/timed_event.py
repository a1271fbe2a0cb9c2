"""An event that a loop waits for between two rounds, such as the end of its process."""

import asyncio


class TimedEvent(asyncio.Event):
    """An asyncio.Event that can be waited for within a time."""

    async def within(self, seconds: float) -> bool:
        """Wait for it, for so many seconds at most; answers whether it is set."""
        try:
            async with asyncio.timeout(seconds):
                return await self.wait()
        except TimeoutError:
            return False
