"""Versions of the widget's file: pages that pin one by its hash get it for a year, also from processes of another version.

In: the file of each process. Out: the file of a hash, only if it has that hash, so that nobody who writes to Redis can have other pages
run a script of theirs. Every method raises RedisUnavailable when Redis does not take its command.
"""

from server.redis.client import RedisClient
from server.snippet import hash_of
from server.store.keys import Keys
from server.store.timing import DAY

KEPT_FOR = 400 * DAY
"""Seconds for which a file is kept after a process last had it: a year, and a month in which pages may be changed."""


class WidgetFiles:
    """The files, in Redis."""

    def __init__(self, redis: RedisClient) -> None:
        self._redis = redis
        self._keys = Keys(redis.namespace)

    async def keep(self, body: bytes) -> None:
        """Keep this file for KEPT_FOR from now on."""
        await self._redis.do("SET", self._keys.widget(hash_of(body)), body.decode(), "EX", KEPT_FOR)

    async def find(self, wanted: str) -> bytes | None:
        """The file with this hash; None where there is none."""
        text: str | None = await self._redis.do("GET", self._keys.widget(wanted))
        # Bytes that are no text were replaced when they were read, and so have another hash.
        return body if text is not None and hash_of(body := text.encode()) == wanted else None
