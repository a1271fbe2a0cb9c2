"""Leases: the right to write to a target, which one process has at a time, or as many as the target can bear.

In: the name of a target and how many may write to it at once. Out: a Lease, which is extended before each write, or LeaseLost.
A lease lasts longer than any request: a request whose sender was killed may still be executed, and no other process writes meanwhile.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from uuid import uuid4

from server.errors import LeaseLost, RedisUnavailable
from server.redis.client import RedisClient
from server.store import scripts
from server.store.keys import Keys
from server.store.timing import micros

LASTS = 30.0
"""Seconds that a lease lasts after it was taken or extended: three times the longest request."""
ASK_EVERY = 0.05
REMEMBERED = 2.0
"""Seconds between two questions of one who waits, and after which one that stopped asking has lost its place."""


class Lease:
    """The right to write to a target, until it ends by itself `LASTS` seconds after the last `extend`."""

    def __init__(self, redis: RedisClient, keys: list[str], token: str) -> None:
        self._redis = redis
        self._keys = keys
        self.token = token

    async def take(self) -> bool:
        """Take the lease if it is free and no other asked before; else remember that this one waits."""
        return await self._ask("take")

    async def try_take(self) -> bool:
        """Take the lease if it is free and no other waits for it; this one does not wait either."""
        return await self._ask("try")

    async def extend(self) -> None:
        """Hold it for `LASTS` seconds from now; raises LeaseLost where another has it, or may have."""
        began = time.monotonic()
        if not await self._ask("extend") or time.monotonic() - began > LASTS / 3:
            raise LeaseLost("another process writes to this target now, since this one did not for too long")

    async def release(self) -> None:
        """Give it back, or wait for it no longer; while Redis is unavailable it ends by itself."""
        with suppress(RedisUnavailable):
            await self._ask("release")

    async def _ask(self, how: str) -> bool:
        arguments: list[str | int] = [how, self.token, micros(LASTS), micros(REMEMBERED)]
        return bool(await self._redis.run(scripts.LEASE, self._keys, arguments))


class Leases:
    """The leases of targets: *parallel* of each, numbered from 0."""

    def __init__(self, redis: RedisClient) -> None:
        self.redis = redis
        self.keys = Keys(redis.namespace)

    def lease(self, target: str, number: int | str = 0) -> Lease:
        """One of a target's leases, which is not taken yet."""
        names = [self.keys.target(target, "lease", str(number)), self.keys.target(target, "lease_queue", str(number))]
        return Lease(self.redis, names, uuid4().hex)

    @asynccontextmanager
    async def held(self, target: str, number: int = 0) -> AsyncIterator[Lease]:
        """Wait for a lease in the order of asking, and hold it as long as the block. Raises RedisUnavailable."""
        lease = self.lease(target, number)
        try:
            while not await lease.take():  # noqa: ASYNC110 - what it waits for is in another process
                await asyncio.sleep(ASK_EVERY)
            yield lease
        finally:
            await lease.release()
