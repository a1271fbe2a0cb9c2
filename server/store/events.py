"""The events of a site: what was read of each, and which of them have to be read before their tickets can be shown.

In: events as Wix answered them, with the version of the read. Out: the events that are stored, and which are not. A change of
an event has its tickets read again (lua/keep_events.lua), since only a read of a ticket writes its counter.
"""

import asyncio
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from server.model import Event, EventId, SiteId
from server.redis.client import RedisClient
from server.store import scripts
from server.store.keys import Keys
from server.store.schedule import TICKETS
from server.store.timing import DAY, TWO_DAYS, Timing, micros
from server.wire import canonical


@dataclass(frozen=True, slots=True)
class StoredEvents:
    """Of some events: the facts of those that were read, None where Wix told nothing, and those that are to be read first.

    The latter were never read, or too long ago, or before the site got its rules: meanwhile no worker may have read events.
    """

    facts: dict[EventId, dict[str, Any] | None]
    unread: frozenset[EventId]


@dataclass(frozen=True, slots=True)
class Delay:
    """Whether reads of a site's events have to wait, and after how many faults in a row: 0 = they are forbidden."""

    lasts: bool
    faults: int


class Events:
    """The events in Redis. Every method raises RedisUnavailable when Redis does not take its command."""

    def __init__(self, redis: RedisClient, timing: Timing | None = None) -> None:
        self.redis = redis
        self.keys = Keys(redis.namespace)
        self.timing = timing or Timing()

    async def stored(self, site: SiteId, events: Iterable[EventId]) -> StoredEvents:
        """What is stored of these events."""
        ids = tuple(dict.fromkeys(events))
        keys = [self.keys.key(site, "site"), *(self.keys.key(site, "event_snapshot", id_) for id_ in ids)]
        too_old = micros(self.timing.reconcile + self.timing.max_stale)
        found = dict(zip(ids, await self.redis.run(scripts.STORED_EVENTS, keys, [too_old]), strict=True))
        return StoredEvents(
            {id_: json.loads(facts) if facts else None for id_, (_, known, facts) in found.items() if known},
            frozenset(id_ for id_, (old, _, _) in found.items() if old),
        )

    async def keep(self, site: SiteId, version: int, asked: Sequence[EventId], answered: Iterable[Event]) -> int:
        """Store a read of the events *asked* for, of which some were *answered*; answers how many have changed."""
        if not asked:
            return 0
        found = {one.id: one for one in answered}
        names = ("site", *TICKETS, "events_due", "events_watched", "shown_watched", "slugs")
        keys = [self.keys.key(site, name) for name in names]
        args: list[str | int] = [
            version,
            TWO_DAYS,
            micros(DAY),
            micros(self.timing.reconcile),
            self.keys.wake,
            self.redis.publish_command,
            self.keys.event_channel(site, ""),
        ]
        for id_ in asked:
            one = found.get(id_)
            keys += [self.keys.key(site, "event_snapshot", id_), self.keys.key(site, "event", id_)]
            args += [id_, canonical(one.facts) if one else "", (one.slug or "") if one else ""]
        kept: list[int] = await self.redis.run(scripts.KEEP_EVENTS, keys, args)
        return sum(done & 2 > 0 for done in kept)

    async def delay(self, site: SiteId) -> Delay:
        """What delays the site's reads of events."""
        (until, faults), (now, _) = await asyncio.gather(
            self.redis.do("HMGET", self.keys.key(site, "site"), "events_not_before", "events_faults"),
            self.redis.do("TIME"),
        )
        return Delay(int(until or 0) > int(now) * 1_000_000, int(faults or 0))

    async def failed(self, site: SiteId) -> None:
        """A read failed through a fault of Wix: the next one comes later, and later still with each fault in a row."""
        await self._delay(site, fault=True)

    async def forbidden(self, site: SiteId) -> None:
        """The app may not read events: it tries again after `Timing.reconcile`."""
        await self._delay(site, fault=False)

    async def _delay(self, site: SiteId, *, fault: bool) -> None:
        await self.redis.run(
            scripts.DELAY_EVENTS, [self.keys.key(site, "site")], [int(fault), micros(self.timing.reconcile)]
        )
