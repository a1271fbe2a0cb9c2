"""What is stored of a site itself: why it is known, and whether it stands in the settings of a process that runs.

In: sites. Out: a SiteRecord, or None for an unknown site.
"""

from dataclasses import dataclass

from server.model import SiteId, SiteOrigin
from server.redis.client import RedisClient
from server.store import scripts
from server.store.claims import LISTING
from server.store.keys import Keys


@dataclass(frozen=True, slots=True)
class SiteRecord:
    """A known site; `rules` is the hash of those of its counters, `everything` whether every ticket is read.

    `in_settings_at` is Redis's time in microseconds, as text, when a process last said that the site stands in its WIX_SITES;
    "" = none ever did.
    """

    rules: str
    everything: bool
    origin: SiteOrigin | None
    in_settings_at: str


@dataclass(frozen=True, slots=True)
class StoredSite:
    """A known site with what is stored of it: how many `tickets` are tracked, and whether they were ever all listed.

    `heard_at`: when its newest webhook came, in seconds since 1970 by Redis's clock; None = never.
    """

    site: SiteId
    record: SiteRecord
    tickets: int
    listed: bool
    heard_at: float | None


class SiteRecords:
    """The records of all sites. Every method raises RedisUnavailable."""

    def __init__(self, redis: RedisClient) -> None:
        self.redis = redis
        self.keys = Keys(redis.namespace)

    async def read(self, site: SiteId) -> SiteRecord | None:
        """What is stored of the site."""
        key = self.keys.key(site, "site")
        return _record(await self.redis.do("HMGET", key, "rules", "all", "origin", "in_settings_at"))

    async def find(self, site: SiteId) -> StoredSite | None:
        """A site with what is stored of it."""
        record = await self.read(site)
        if record is None:
            return None
        listed = await self.redis.do("HGET", self.keys.key(site, "site"), "complete")
        due = await self.redis.do("ZRANGE", self.keys.key(site, "due"), 0, -1)
        heard = await self.redis.do("HGET", self.keys.key(site, "heard"), "at")
        tickets = sum(ticket != LISTING for ticket in due)
        return StoredSite(site, record, tickets, listed == "1", int(heard) / 1e6 if heard else None)

    async def in_settings(self, site: SiteId) -> SiteRecord | None:
        """The same, where the site stands in the settings of this process, which is noted."""
        return _record(await self.redis.run(scripts.IN_SETTINGS, [self.keys.key(site, "site")], []))


def _record(found: list[str | None] | None) -> SiteRecord | None:
    if found is None or found[0] is None:
        return None
    rules, everything, origin, in_settings_at = found
    # A later version may know other origins.
    known = SiteOrigin(origin) if origin in set(SiteOrigin) else None
    return SiteRecord(rules or "", everything == "1", known, in_settings_at or "")
