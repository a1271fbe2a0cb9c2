"""The end of a process, as its loops see it: they wait for it between two rounds."""

import asyncio


class Stopping(asyncio.Event):
    """Set once, when the process ends."""

    async def within(self, seconds: float) -> bool:
        """Wait for it, for so many seconds at most; answers whether the process ends."""
        try:
            async with asyncio.timeout(seconds):
                return await self.wait()
        except TimeoutError:
            return False
