"""A consumer of the log of changes, and a check that no change was lost or duplicated.

In: Redis, read through a consumer group while Redis is killed and cut off. Out: all changes in order, and what is wrong
with them: the changes of each ticket must be an unbroken chain with rising versions, from no facts to the current ones,
and all facts must have been true at some time: those of the ticket and those of its event, each by itself, since they are
read at different times.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from bench.chaos.recorder import Facts, FactsOverTime, canonical
from server.errors import RedisUnavailable
from server.model import SiteId
from server.redis.client import RedisClient, Use
from server.store.changes import Changes

POLL_EVERY = 0.5
GROUP, READER = "chaos", "chaos"
IDLE = 5.0
"""Seconds until an unacknowledged entry is claimed again."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One change: the facts before and after; None for no facts."""

    ticket: str
    v: int
    before: Facts | None
    after: Facts | None


class ChangeConsumer:
    """The consumer. *entries* has each change once, by its id in the stream."""

    def __init__(self, url: str, site: str) -> None:
        self.entries: dict[str, Entry] = {}
        self.redelivered = 0
        """How often an entry was delivered again, which at-least-once delivery allows."""
        self.dropped = 0
        """Entries that the stream dropped before they were acknowledged."""
        self.unavailable = 0
        self._store = RedisClient(url, Use.WORK)
        self._changes = Changes(self._store, GROUP, READER)
        self._site = SiteId(site)

    @property
    def ordered(self) -> list[Entry]:
        """All changes in the stream's order; an entry that was lost on its way arrives later, so they are sorted."""
        return [
            self.entries[id_] for id_ in sorted(self.entries, key=lambda id_: [int(part) for part in id_.split("-")])
        ]

    def is_current(self, facts: Mapping[str, FactsOverTime]) -> bool:
        """Whether the last change of each ticket has its current facts."""
        last = {entry.ticket: entry.after for entry in self.ordered}
        return all(ticket in last and last[ticket] == over_time.now for ticket, over_time in facts.items())

    async def run(self) -> None:
        """Read and acknowledge for ever; while Redis is unavailable, try again."""
        while True:
            try:
                await self.read()
            except RedisUnavailable:
                self.unavailable += 1
            await asyncio.sleep(POLL_EVERY)

    async def read(self) -> int:
        """Read all available entries; return how many were new."""
        before = len(self.entries)
        while True:
            taken = await self._changes.reclaim(self._site, IDLE)
            self.dropped += taken.lost
            fresh = await self._changes.read(self._site)
            batch = (*taken.changes, *fresh.changes)
            for change in batch:
                self.redelivered += change.entry in self.entries
                before_, after = canonical(change.before), canonical(change.after)
                self.entries[change.entry] = Entry(change.ticket, change.v, before_, after)
            await self._changes.ack(self._site, *(change.entry for change in batch))
            if not batch:
                return len(self.entries) - before

    async def aclose(self) -> None:
        """Close the connections."""
        await self._store.aclose()


def chain_errors(entries: Iterable[Entry], facts: Mapping[str, FactsOverTime]) -> Sequence[str]:
    """The errors in these changes, given each ticket's facts over time; none if no change was lost or duplicated."""
    last: dict[str, Entry] = {}
    wrong: list[str] = []
    for entry in entries:
        former = last.get(entry.ticket)
        ticket = entry.ticket
        if former is None and entry.before is not None:
            wrong.append(f"{ticket}: its first change has a before")
        elif former is not None and former.after != entry.before:
            again = (entry.before, entry.after) == (former.before, former.after)
            wrong.append(f"{ticket}: version {entry.v} {'doubles' if again else 'does not go on from'} {former.v}")
        if former is not None and former.v >= entry.v:
            wrong.append(f"{ticket}: version {entry.v} comes after {former.v}")
        if entry.before == entry.after:
            wrong.append(f"{ticket}: version {entry.v} changes nothing")
        if ticket not in facts or not facts[ticket].were(entry.after):
            wrong.append(f"{ticket}: version {entry.v} has facts that the world never had")
        last[ticket] = entry
    for ticket, over_time in facts.items():
        if ticket not in last:
            wrong.append(f"{ticket}: no change ever came")
        elif last[ticket].after != over_time.now:
            wrong.append(f"{ticket}: the last change is not the present")
    return wrong
