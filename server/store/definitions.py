"""What is stored of ticket definitions and their events, for stages that bring them elsewhere.

In: ids. Out: the facts of the last accepted read, or that Wix answered 404. It reads snapshots and writes none. Every method
raises RedisUnavailable when Redis does not take its command.
"""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from server.chunks import chunks
from server.model import EventId, Pace, SiteId, TicketId
from server.redis.client import RedisClient
from server.store.keys import Keys
from server.store.timing import seconds
from server.wire import guid

CONNECTIONS = 4
"""Tickets that are asked for at once: each takes a connection, of which a process that serves visitors has few."""


@dataclass(frozen=True, slots=True)
class StoredDefinition:
    """The last accepted read of a ticket: `facts` None = Wix answered 404. `read_at` in seconds since 1970.

    `counter` is what visitors are shown of it: parsed JSON, {} = nothing yet.
    """

    ticket: TicketId
    event: EventId | None
    facts: dict[str, Any] | None
    unsold: int | None
    read_at: float
    counter: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """An event, as far as it is stored: `left_out` = Wix's last answer did not have it."""

    event: EventId
    title: str
    left_out: bool


class Definitions:
    """The stored definitions of all sites."""

    def __init__(self, redis: RedisClient) -> None:
        self.redis = redis
        self.keys = Keys(redis.namespace)

    async def read_all(self, site: SiteId, tickets: Sequence[TicketId]) -> list[StoredDefinition]:
        """What is stored of these tickets; those of which nothing is known are left out."""
        found: list[StoredDefinition | None] = []
        for some in chunks(tickets, CONNECTIONS):
            found += await asyncio.gather(*(self.read(site, one) for one in some))
        return [one for one in found if one is not None]

    async def read(self, site: SiteId, ticket: TicketId) -> StoredDefinition | None:
        """What is stored of a ticket; None where no read of it is stored, so that nothing is known."""
        key = self.keys.key(site, "ticket", ticket)
        event, facts, unsold, read_at, pace, counter = await self.redis.do(
            "HMGET", key, "event", "facts", "unsold", "read_at", "pace", "counter"
        )
        if pace is None:
            return None
        known = json.loads(facts) if facts else None
        if known is None and pace not in {Pace.DEAD, Pace.NEVER}:
            return None
        return StoredDefinition(
            ticket,
            EventId(event) if event else None,
            known,
            int(unsold) if unsold else None,
            seconds(float(read_at or 0)),
            json.loads(counter) if counter else {},
        )

    async def of_event(self, site: SiteId, event: EventId) -> Sequence[TicketId]:
        """Every ticket of an event that is known now."""
        found = await self.redis.do("SMEMBERS", self.keys.key(site, "event", event))
        return sorted(TicketId(one) for one in found)

    async def find_event(self, site: SiteId, name: str) -> StoredEvent | None:
        """The event with this id or slug; None where none is known of this site."""
        event = guid(name) or await self.redis.do("HGET", self.keys.key(site, "slugs"), name)
        return await self.event(site, EventId(event)) if event else None

    async def event(self, site: SiteId, event: EventId) -> StoredEvent | None:
        """The event with this id; None where neither it nor a ticket of it is known."""
        found = await self.redis.do(
            "HMGET", self.keys.key(site, "event_snapshot", event), "facts", "left_out", "read_at"
        )
        facts, left_out, read_at = found
        if read_at is None and not await self.redis.do("EXISTS", self.keys.key(site, "event", event)):
            return None
        title = str((json.loads(facts) if facts else {}).get("title") or "")
        return StoredEvent(event, title, left_out == "1")

    async def slug(self, site: SiteId, event: EventId) -> str | None:
        """The slug of an event, where it is known."""
        found: str | None = await self.redis.do("HGET", self.keys.key(site, "event_snapshot", event), "slug")
        return found or None

    async def listed(self, site: SiteId) -> bool:
        """Whether every ticket of the site was listed and stored once."""
        return bool(await self.redis.do("HGET", self.keys.key(site, "site"), "complete") == "1")
