"""The log of changes as a consumer gets it that acknowledges, and whether anything of it was lost or doubled.

In: Redis, read through a group of the run's own while it is killed and cut off. Out: every change in its order, and
what is wrong with them: each ticket's changes must be an unbroken chain, from nothing over facts that the world had to
those it has, with rising versions.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from bench.chaos.recorder import canonical
from bench.chaos.timeline import Timeline
from server.errors import RedisUnavailable
from server.model import SiteId
from server.redis.client import RedisClient, Use
from server.store.changes import Changes

POLL_EVERY = 0.5
GROUP, READER = "chaos", "chaos"
IDLE = 5.0
"""Seconds after which what was taken and not acknowledged is taken again."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One change: the facts before and after as canonical texts, None for none."""

    ticket: str
    v: int
    before: str | None
    after: str | None


class ChangeConsumer:
    """The consumer. *entries* are by their ids in the stream, each once, however often it was given."""

    def __init__(self, url: str, site: str) -> None:
        self.entries: dict[str, Entry] = {}
        self.redelivered = 0
        """How often an entry was given that was here already: at least once means that it may be."""
        self.dropped = 0
        """Entries that the stream lost before they were acknowledged."""
        self.unavailable = 0
        self._store = RedisClient(url, Use.WORK)
        self._changes = Changes(self._store, GROUP, READER)
        self._site = SiteId(site)

    @property
    def ordered(self) -> list[Entry]:
        """Every change in the stream's order: what was given and lost on its way comes again, and late."""
        return [
            self.entries[id_] for id_ in sorted(self.entries, key=lambda id_: [int(part) for part in id_.split("-")])
        ]

    def is_current(self, facts: Mapping[str, Timeline]) -> bool:
        """Whether the last change of each ticket is what it is now."""
        last = {entry.ticket: entry.after for entry in self.ordered}
        return all(ticket in last and last[ticket] == past.now for ticket, past in facts.items())

    async def run(self) -> None:
        """Read and acknowledge for ever; a Redis that is away is waited for."""
        while True:
            try:
                await self.read()
            except RedisUnavailable:
                self.unavailable += 1
            await asyncio.sleep(POLL_EVERY)

    async def read(self) -> int:
        """Take what there is; answers how many were new."""
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


def chain_errors(entries: Iterable[Entry], facts: Mapping[str, Timeline]) -> Sequence[str]:
    """What is wrong with these changes, given the facts that each ticket had: nothing, if none was lost or doubled."""
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
        if ticket not in facts or not facts[ticket].allowed_spans(entry.after):
            wrong.append(f"{ticket}: version {entry.v} has facts that the world never had")
        last[ticket] = entry
    for ticket, past in facts.items():
        if ticket not in last:
            wrong.append(f"{ticket}: no change ever came")
        elif last[ticket].after != past.now:
            wrong.append(f"{ticket}: the last change is not the present")
    return wrong
