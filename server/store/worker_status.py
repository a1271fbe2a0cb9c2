"""What workers last said of themselves: that one is alive, its version, and for how many sites Wix does not answer.

In: what a worker says every few seconds. Out: the same for every process, until it expires by Redis's clock. Each worker counts the
faults of all sites, whichever worker met them, so any of several may have written it.
"""

import asyncio
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass

from server.errors import RedisUnavailable
from server.model import SiteId
from server.redis.client import RedisClient
from server.store.keys import Keys

SAID_EVERY = 5.0
"""Seconds between two times that a worker says that it is alive."""
ALIVE_FOR = 30
"""Seconds after which a worker that has said nothing counts as lost; longer than a restart takes."""
FAULTS_IN_A_ROW = 3
"""Faults of Wix in a row after which it counts as not answering for a site: some ten seconds of back-off."""
CONCURRENCY = 4
"""Sites that are asked for at once: each takes a connection."""


@dataclass(frozen=True, slots=True)
class WorkerSays:
    """What a worker said: its version, and of how many sites Wix has not answered for some time."""

    version: str
    silent_wix: int


class WorkerStatus:
    """What workers say, in Redis. Each method raises RedisUnavailable."""

    def __init__(self, redis: RedisClient) -> None:
        self._redis = redis
        self._keys = Keys(redis.namespace)

    async def write(self, said: WorkerSays) -> None:
        """Say it; it is forgotten after ALIVE_FOR."""
        await self._redis.do("SET", self._keys.worker, json.dumps(asdict(said)), "EX", ALIVE_FOR)

    async def read(self) -> WorkerSays | None:
        """What was said last; None where no worker is alive."""
        text = await self._redis.do("GET", self._keys.worker)
        if text is None:
            return None
        try:
            found = json.loads(text)
            return WorkerSays(str(found["version"]), int(found["silent_wix"]))
        except (ValueError, TypeError, KeyError):
            return WorkerSays("", 0)  # of a version that says it differently, and is alive all the same

    async def silent_wix(self, sites: Iterable[SiteId]) -> int:
        """For how many of these sites Wix does not answer, or refuses to; those on a part of Redis that is unavailable do not count."""
        slots = asyncio.Semaphore(CONCURRENCY)

        async def faults(site: SiteId) -> int:
            async with slots:
                try:
                    return int(await self._redis.do("HGET", self._keys.key(site, "reads"), "faults") or 0)
                except RedisUnavailable:
                    return 0

        return sum(found >= FAULTS_IN_A_ROW for found in await asyncio.gather(*map(faults, sites)))
