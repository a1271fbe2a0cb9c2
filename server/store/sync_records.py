"""What sync remembers of each ticket at a target, and of each event that it follows there.

All of it can be thrown away: a target's records bear the Wix ids, so that keys are found again, and what was applied is then not
known until it is compared once. Every method raises RedisUnavailable when Redis does not take its command.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from server.model import EventId, SiteId, TicketId
from server.redis.client import RedisClient
from server.store import scripts
from server.store.keys import Keys
from server.wire import canonical, encodable


@dataclass(frozen=True, slots=True)
class StoredRecord:
    """What is remembered of one ticket at a target. Times are in seconds since 1970.

    `record`: its key at the target ("" = not known). `applied`: what was written last and read back, as JSON-like values, with
    `applied_at`. `state`: what became of it (sync/model.py), with `text` and `cure`, since `state_at`; `tries` in a row failed.
    `attempt`: which creation this is; `unsure_at`, `unsure_of`: a creation without an answer, and the digest of what it was.
    `digest`: of the mapping by which it was brought. `removed`: its record was taken off sale since the ticket was deleted.
    """

    event: str = ""
    name: str = ""
    record: str = ""
    applied: Mapping[str, Any] | None = None
    applied_at: float = 0.0
    state: str = ""
    state_at: float = 0.0
    text: str = ""
    cure: str = ""
    tries: int = 0
    attempt: int = 0
    unsure_at: float = 0.0
    unsure_of: str = ""
    digest: str = ""
    removed: bool = False


@dataclass(frozen=True, slots=True)
class FollowedEvent:
    """An event that was applied once, and so is kept in step. Times are in seconds since 1970.

    `target_event`: the target's, at this `place`. `wait_until`: the target did not let us read it, `faults` times in a row, with `error`.
    `audit_at`: when all of it was last compared; `left_alone` of its records bore no id of ours then, and `notes` are of others.
    """

    event: EventId
    target_event: str
    title: str
    since: float
    place: str = ""
    wait_until: float = 0.0
    faults: int = 0
    error: str = ""
    audit_at: float = 0.0
    left_alone: int = 0
    notes: tuple[str, ...] = field(default=())


class Records:
    """The memory of sync for all sites and targets."""

    def __init__(self, redis: RedisClient) -> None:
        self.redis = redis
        self.keys = Keys(redis.namespace)

    async def read(self, site: SiteId, target: str, ticket: TicketId) -> StoredRecord:
        """What is remembered of a ticket; an empty StoredRecord where nothing is."""
        found = await self.redis.do("HGETALL", self.keys.sync(site, target, "record", ticket))
        return _record(found)

    async def write(self, site: SiteId, target: str, ticket: TicketId, record: StoredRecord) -> None:
        """Remember this of a ticket, in place of what was."""
        values = {
            **asdict(replace(record, applied=None)),
            "applied": canonical(record.applied) if record.applied is not None else "",
            "removed": int(record.removed),
        }
        pairs = [part for name, value in values.items() for part in (name, _text(value))]
        keys = [self.keys.sync(site, target, "record", ticket), self.keys.sync(site, target, "states")]
        await self.redis.run(scripts.SYNC_REMEMBER, keys, [ticket, f"{record.state} {record.event}", *pairs])

    async def states(self, site: SiteId, target: str) -> dict[TicketId, tuple[str, EventId]]:
        """The state of each ticket that is remembered, and its event."""
        found = await self.redis.do("HGETALL", self.keys.sync(site, target, "states"))
        split = {ticket: text.partition(" ") for ticket, text in dict(found).items()}
        return {TicketId(ticket): (state, EventId(event)) for ticket, (state, _, event) in split.items()}

    # -- events --

    async def follow(self, site: SiteId, target: str, event: FollowedEvent) -> None:
        """Follow an event from now on."""
        await self.change_event(site, target, event.event, **{**asdict(event), "notes": list(event.notes)})
        await self.redis.do("SADD", self.keys.sync(site, target, "events"), event.event)
        await self.add_site(target, site)

    async def add_site(self, target: str, site: SiteId) -> None:
        """An event of this site is followed at the target, or will be."""
        await self.redis.do("SADD", self.keys.target(target, "sites"), site)

    async def sites(self, target: str) -> frozenset[SiteId]:
        """The sites of which an event is followed at a target, or was applied in part."""
        return frozenset(SiteId(site) for site in await self.redis.do("SMEMBERS", self.keys.target(target, "sites")))

    async def change_event(self, site: SiteId, target: str, event: EventId, /, **changes: Any) -> None:
        """Change some of what is remembered of an event; other processes may change the rest at the same time."""
        pairs = [part for name, value in changes.items() for part in (name, canonical(value))]
        await self.redis.do("HSET", self.keys.sync(site, target, "event", event), *pairs)

    async def followed(self, site: SiteId, target: str) -> dict[EventId, FollowedEvent]:
        """The events of a site that are followed at a target."""
        found = {}
        for event in sorted(await self.redis.do("SMEMBERS", self.keys.sync(site, target, "events"))):
            fields_ = dict(await self.redis.do("HGETALL", self.keys.sync(site, target, "event", event)))
            found[EventId(event)] = _event(EventId(event), fields_)
        return found

    # -- deactivations --

    async def deactivated(self, site: SiteId, target: str, event: EventId, ticket: TicketId, at: float) -> None:
        """Count a deactivation."""
        key = self.keys.sync(site, target, "deactivated", event)
        await self.redis.do("ZADD", key, at, ticket)
        await self.redis.do("EXPIRE", key, 7200)

    async def deactivations(self, site: SiteId, target: str, event: EventId, since: float) -> int:
        """How many tickets of an event were deactivated since this time."""
        return int(await self.redis.do("ZCOUNT", self.keys.sync(site, target, "deactivated", event), since, "+inf"))


def _text(value: str | float) -> str:
    """A value as Redis stores it: numbers as text from which the same number is read."""
    return encodable(value) if isinstance(value, str) else repr(value)


def _record(found: Any) -> StoredRecord:
    pairs = dict(found)
    if not pairs:
        return StoredRecord()
    applied = pairs.get("applied")
    return StoredRecord(
        event=pairs.get("event", ""),
        name=pairs.get("name", ""),
        record=pairs.get("record", ""),
        applied=json.loads(applied) if applied else None,
        applied_at=float(pairs.get("applied_at", 0)),
        state=pairs.get("state", ""),
        state_at=float(pairs.get("state_at", 0)),
        text=pairs.get("text", ""),
        cure=pairs.get("cure", ""),
        tries=int(pairs.get("tries", 0)),
        attempt=int(pairs.get("attempt", 0)),
        unsure_at=float(pairs.get("unsure_at", 0)),
        unsure_of=pairs.get("unsure_of", ""),
        digest=pairs.get("digest", ""),
        removed=pairs.get("removed") == "1",
    )


def _event(event: EventId, pairs: Mapping[str, str]) -> FollowedEvent:
    # Another version may know of more, and of less.
    known = {one.name for one in fields(FollowedEvent)}
    found = {name: json.loads(value) for name, value in pairs.items() if name in known}
    base = {"event": event, "target_event": "", "title": "", "since": 0.0}
    return FollowedEvent(**{**base, **found, "notes": tuple(found.get("notes", ()))})
