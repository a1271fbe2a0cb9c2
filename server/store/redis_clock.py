"""Redis's time in this process, between two questions for it.

In: Redis's TIME, asked for from time to time. Out: seconds since 1970 by Redis's clock, so that times which several machines store
and compare are those of one clock. It is right but for half a round trip, and for what the clocks drift between two questions.
"""

import time

from server.redis.client import RedisClient


class RedisClock:
    """Call it for the time; before the first `ask` it is this machine's."""

    def __init__(self, redis: RedisClient) -> None:
        self._redis = redis
        self._ahead = time.time() - time.monotonic()

    def __call__(self) -> float:
        """Seconds since 1970."""
        return time.monotonic() + self._ahead

    async def ask(self) -> None:
        """Ask Redis for its time. Raises RedisUnavailable."""
        before = time.monotonic()
        seconds, micro = await self._redis.do("TIME")
        self._ahead = int(seconds) + int(micro) / 1e6 - (before + time.monotonic()) / 2
