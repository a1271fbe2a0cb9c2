"""What notify remembers of events: since when they are announced, and what web processes and status have to know of them.

Every method raises RedisUnavailable when Redis does not take its command. Times are in seconds since 1970.
"""

from collections.abc import Mapping

from server.model import EventId, SiteId
from server.redis.client import RedisClient
from server.store import scripts
from server.store.keys import Keys
from server.wire import encodable


class NotifyEvents:
    """The events of all sites."""

    def __init__(self, redis: RedisClient) -> None:
        self.redis = redis
        self.keys = Keys(redis.namespace)

    async def switched_on(self, site: SiteId, event: EventId) -> float:
        """When notify was first switched on for an event, which is now where it never was."""
        return float(await self.redis.run(scripts.NOTIFY_SWITCH_ON, [self.keys.notify(site, "events")], [event]))

    async def known(self, site: SiteId) -> set[EventId]:
        """Every event for which notify was ever switched on."""
        return {EventId(str(one)) for one in await self.redis.do("HKEYS", self.keys.notify(site, "events"))}

    async def facts(self, site: SiteId, event: EventId) -> Mapping[str, str]:
        """What `set` wrote; empty where nothing is known."""
        return dict(await self.redis.do("HGETALL", self._key(site, event)))

    async def set(self, site: SiteId, event: EventId, **fields: str | float | None) -> None:
        """Remember these of the fields that the table in store/__init__.py names; None = forget it. True is written as 1."""
        kept = {name: value for name, value in fields.items() if value is not None}
        if gone := [name for name in fields if name not in kept]:
            await self.redis.do("HDEL", self._key(site, event), *gone)
        if kept:
            await self.redis.do(
                "HSET", self._key(site, event), *(part for pair in kept.items() for part in _texts(*pair))
            )

    def _key(self, site: SiteId, event: EventId) -> str:
        return self.keys.notify(site, "event", event)


def _texts(name: str, value: str | float) -> tuple[str, str]:
    text = encodable(value) if isinstance(value, str) else repr(int(value) if isinstance(value, bool) else value)
    return name, text
