"""Reads all events and tickets of a site from Redis, for a command.

In: a site. Out: its events with their tickets, as the last reads of a worker left them, and how old those are. Every method raises
RedisUnavailable.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from server.catalog import listed
from server.catalog.listed import ListedEvent, ListedTicket
from server.chunks import chunks
from server.counter import State
from server.model import EventId, SiteId
from server.store.definitions import Definitions, StoredDefinition
from server.store.events import Events
from server.store.schedule import READ_AT_ONCE, Schedule
from server.store.timing import seconds
from server.store.wix_faults import WixFault, lasting_fault


@dataclass(frozen=True, slots=True)
class StoredSite:
    """The *events* of a site, and the seconds since the oldest read of them; 0 = there is none."""

    events: tuple[ListedEvent, ...]
    age: float


class StoredCatalog:
    """What Redis has."""

    def __init__(self, schedule: Schedule) -> None:
        self._schedule = schedule
        self._definitions = Definitions(schedule.redis)
        self._events = Events(schedule.redis, schedule.timing)

    async def lag(self, site: SiteId) -> float | None:
        """By how many seconds a worker is late with what is due first, 0 or less = in time.

        None where Redis does not have every ticket of the site: it was not listed yet, or only watched tickets are tracked.
        """
        redis, keys = self._schedule.redis, self._schedule.keys
        everything, complete = await redis.do("HMGET", keys.key(site, "site"), "all", "complete")
        if everything != "1" or complete != "1":
            return None
        due = keys.key(site, "due")
        first = await redis.do("ZRANGE", due, 0, 0)
        at = await redis.do("ZSCORE", due, first[0]) if first else None
        return 0.0 if at is None else await self._now() - seconds(float(at))

    async def fault(self, site: SiteId) -> WixFault | None:
        """Why Wix cannot be read at present; None where it can."""
        return await lasting_fault(self._schedule.redis, site)

    async def read(self, site: SiteId) -> StoredSite:
        """All that is stored of a site; deleted tickets are left out."""
        read = await self._definitions.read_all(site, await self._schedule.tracked(site))
        found = [one for one in read if one.facts is not None]
        of_event: dict[EventId, list[StoredDefinition]] = {}
        for one in found:
            if one.event is not None:
                of_event.setdefault(one.event, []).append(one)
        events = []
        for ids in chunks(sorted(of_event), READ_AT_ONCE):
            facts = (await self._events.stored(site, ids)).facts
            for id_ in ids:
                tickets = [_ticket(one, facts.get(id_)) for one in of_event[id_]]
                events.append(listed.event(site, id_, facts.get(id_), tickets))
        now = await self._now()
        return StoredSite(tuple(events), max((now - one.read_at for one in found), default=0.0))

    async def _now(self) -> float:
        at, us = await self._schedule.redis.do("TIME")
        return float(at) + seconds(float(us))


def _ticket(one: StoredDefinition, of_event: Mapping[str, Any] | None) -> tuple[ListedTicket, Mapping[str, Any]]:
    """The ticket, and its facts."""
    facts = one.facts or {}
    state = one.counter.get("state")
    shown = State(state) if state in set(State) else State.UNKNOWN
    return listed.ticket(one.ticket, facts, of_event, shown, one.unsold), facts
