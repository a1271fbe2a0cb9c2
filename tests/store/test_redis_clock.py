"""Redis's time in a process."""

import time
from contextlib import aclosing

import pytest

from server.redis.client import RedisClient, Use
from server.store.redis_clock import RedisClock


async def test_time_is_that_of_redis(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine whose clock is wrong has the right time once it has asked."""
    right = time.time()
    monkeypatch.setattr(time, "time", lambda: right + 5000)
    async with aclosing(RedisClient(redis_url, Use.WORK)) as redis:
        clock = RedisClock(redis)
        assert clock() > right + 4000

        await clock.ask()

        seconds, micro = await redis.do("TIME")
        assert abs(clock() - int(seconds) - int(micro) / 1e6) < 0.5
        assert clock() <= clock()
