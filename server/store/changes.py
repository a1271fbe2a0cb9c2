"""The logs of a site, read by consumer groups: changes of facts, and the history of what was read.

A change is before and after of one ticket's facts; keep.lua appends it together with the snapshot. Here entries are read,
acknowledged after their effect (so every effect must be idempotent), taken over from a consumer that died, and parked
when one cannot be processed. Reads never block: polling is enough, and a blocked connection would hide a dead one.
"""

import json
from dataclasses import dataclass
from typing import Any

from redis.exceptions import ResponseError

from server.model import EventId, SiteId, TicketId
from server.redis.client import RedisClient
from server.store.keys import Keys


@dataclass(frozen=True, slots=True)
class Change:
    """One entry of the log: `before` None = a new ticket, `after` None = a deleted one; `v` is the version of the read."""

    entry: str
    ticket: TicketId
    event: EventId | None
    v: int
    before: dict[str, Any] | None
    after: dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class Batch:
    """Entries for this consumer, and how many the stream has trimmed that were not acknowledged."""

    changes: tuple[Change, ...]
    lost: int = 0


class Log:
    """A consumer of one log of all sites: *group* is its consumer group, *consumer* this process's fixed name in it."""

    def __init__(self, redis: RedisClient, stream: str, group: str, consumer: str) -> None:
        self.redis = redis
        self.keys = Keys(redis.namespace)
        self.stream = stream
        self.group = group
        self.consumer = consumer

    async def entries(self, site: SiteId, most: int = 100) -> list[tuple[str, dict[str, str]]]:
        """Take up to *most* new entries: the id and the fields of each. A missing group is created at 0: it misses no earlier one."""
        command = ("XREADGROUP", "GROUP", self.group, self.consumer, "COUNT", most, "STREAMS", self._key(site), ">")
        answer = await self._grouped(site, *command)
        return [(entry, fields) for _, entries in answer or () for entry, fields in entries]

    async def ack(self, site: SiteId, *entries: str) -> None:
        """Acknowledge entries whose effect is done."""
        if entries:
            await self.redis.do("XACK", self._key(site), self.group, *entries)

    async def take_over(
        self, site: SiteId, idle: float, most: int = 100
    ) -> tuple[list[tuple[str, dict[str, str]]], int]:
        """Take over entries that any consumer took more than *idle* seconds ago and has not acknowledged.

        Answers them as `entries` does, and how many of such entries the stream has trimmed.
        """
        command = ("XAUTOCLAIM", self._key(site), self.group, self.consumer, round(idle * 1000), "0-0", "COUNT", most)
        _, entries, deleted = await self._grouped(site, *command)
        return list(entries), len(deleted)

    def _key(self, site: SiteId) -> str:
        return self.keys.key(site, self.stream)

    async def _grouped(self, site: SiteId, *command: str | int) -> Any:
        try:
            return await self.redis.do(*command)
        except ResponseError as error:
            if not str(error).startswith("NOGROUP") and "no such key" not in str(error):
                raise
        await self._create(site)
        return await self.redis.do(*command)

    async def _create(self, site: SiteId) -> None:
        try:
            await self.redis.do("XGROUP", "CREATE", self._key(site), self.group, "0", "MKSTREAM")
        except ResponseError as error:
            if not str(error).startswith("BUSYGROUP"):
                raise


class Changes(Log):
    """A consumer of the changes of facts of all sites."""

    def __init__(self, redis: RedisClient, group: str, consumer: str) -> None:
        super().__init__(redis, "changes", group, consumer)

    async def read(self, site: SiteId, most: int = 100) -> Batch:
        """Take up to *most* new entries."""
        return Batch(tuple(_change(entry, fields) for entry, fields in await self.entries(site, most)))

    async def reclaim(self, site: SiteId, idle: float, most: int = 100) -> Batch:
        """Take over entries that any consumer took more than *idle* seconds ago and has not acknowledged."""
        entries, lost = await self.take_over(site, idle, most)
        return Batch(tuple(_change(entry, fields) for entry, fields in entries), lost)

    async def park(self, site: SiteId, change: Change, reason: str) -> None:
        """Set aside an entry that cannot be processed, with the reason, and acknowledge it."""
        parked = self.keys.key(site, self.group, "parked")
        await self.redis.do("HSET", parked, change.entry, f"{change.ticket} {reason}")
        await self.ack(site, change.entry)

    async def missed(self, site: SiteId) -> bool:
        """Whether the stream was trimmed beyond what this group has read, so that all snapshots must be compared instead.

        A new group may have missed anything. Call it before `read`, which hides the loss on some servers, and call
        `caught_up` after the comparison: other servers would report the loss for ever.
        """
        _, read, dropped = await self._position(site)
        return read is None or read < dropped

    async def caught_up(self, site: SiteId) -> None:
        """All snapshots were compared, which makes up for every entry that was trimmed until now."""
        last, read, dropped = await self._position(site)
        position = ("XGROUP", "SETID", self._key(site), self.group, last)
        await self.redis.do(*position, "ENTRIESREAD", max(read or 0, dropped))

    async def _position(self, site: SiteId) -> tuple[str, int | None, int]:
        """The last entry of the stream that this group was given, how many it was given, and how many were trimmed."""
        stream = self._key(site)
        if not (found := await self._group(site)):
            await self._create(site)
            found = await self._group(site)
        info = await self.redis.do("XINFO", "STREAM", stream)
        return found["last-delivered-id"], found["entries-read"], info["entries-added"] - info["length"]

    async def _group(self, site: SiteId) -> dict[str, Any]:
        groups = await self._grouped(site, "XINFO", "GROUPS", self._key(site))
        return next((group for group in groups if group["name"] == self.group), {})


def _change(entry: str, fields: dict[str, str]) -> Change:
    before, after = fields.get("before"), fields.get("after")
    return Change(
        entry,
        TicketId(fields["ticket"]),
        EventId(fields["event"]) if fields["event"] else None,
        int(fields["v"]),
        json.loads(before) if before else None,
        json.loads(after) if after else None,
    )
