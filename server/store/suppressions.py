"""Who opted out, by keyed hashes of addresses: it outlives every import into a marketing tool, and every change of keys.

In: the hashes of an address, one for each key of NOTIFY_KEYS (`KeyRing.hashes`). Out: whether it is suppressed. What is written
never expires. Every method raises RedisUnavailable when Redis does not take its command.
"""

from collections.abc import Sequence

from server.model import SiteId
from server.redis.client import RedisClient
from server.store import scripts
from server.store.keys import Keys
from server.wire import encodable


class Suppressions:
    """The suppressions of all sites."""

    def __init__(self, redis: RedisClient) -> None:
        self.redis = redis
        self.keys = Keys(redis.namespace)

    async def add(self, site: SiteId, hashes: Sequence[str], reason: str) -> None:
        """Whoever has these hashes gets nothing from now on; the first *reason* stays."""
        await self._run(site, "add", encodable(reason), hashes)

    async def has(self, site: SiteId, hashes: Sequence[str]) -> bool:
        """Whether one of these hashes is suppressed; all of them are then."""
        return await self._run(site, "has", "", hashes)

    async def remove(self, site: SiteId, hashes: Sequence[str]) -> bool:
        """Whoever has these hashes may get messages again; answers whether they were suppressed."""
        return await self._run(site, "remove", "", hashes)

    async def key_ids(self, site: SiteId) -> set[str]:
        """The ids of the keys that suppressions were written with: without one of them some cannot be found."""
        return set(await self.redis.do("HKEYS", self.keys.notify(site, "suppression_keys")))

    async def _run(self, site: SiteId, how: str, reason: str, hashes: Sequence[str]) -> bool:
        keys = [self.keys.notify(site, "suppressed"), self.keys.notify(site, "suppression_keys")]
        return bool(await self.redis.run(scripts.NOTIFY_SUPPRESS, keys, [how, reason, *hashes]))
