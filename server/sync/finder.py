"""Finds what a target has of one ticket.

In: a ticket, and the key that its record is remembered to have. Out: the records that bear its id, or have its name and no id. Before
something is created the whole event is listed, as a target's search may miss a record.
"""

import time
from collections.abc import Callable, Sequence

from server.sync.model import Deleted, Record, TargetEvent, Unfit, Wanted
from server.sync.plan import Found
from server.sync.targets.target import Target
from server.sync.work import Work

KEPT = 60.0
"""Seconds for which the target's event (its currency) is not read again, and for which one list serves for several creations."""


class Finder:
    """Finds records of one target. *clock* gives seconds since 1970. Methods raise what the target's reads raise."""

    def __init__(self, target: Target, *, clock: Callable[[], float]) -> None:
        self.target = target
        self._clock = clock
        self._events: dict[str, tuple[float, TargetEvent]] = {}
        self._lists: dict[str, tuple[float, Sequence[Record]]] = {}

    async def event(self, event: str) -> TargetEvent:
        """The target's event, at most a minute old."""
        known = self._events.get(event)
        if known is None or self._clock() - known[0] > KEPT:
            known = self._events[event] = (self._clock(), await self.target.event(event))
        return known[1]

    async def written(self, work: Work) -> Found:
        """The records that bear the ticket's id now."""
        began = time.monotonic()
        bearing = await self.target.find(work.event.target_event, work.ticket, work.memory.record or None)
        work.latency = time.monotonic() - began
        return Found(tuple(bearing))

    async def found(self, work: Work, wanted: Wanted | Deleted | Unfit) -> Found:
        """The same, and where there is none, what else the event has of the ticket."""
        found = await self.written(work)
        if found.bearing or not isinstance(wanted, Wanted):
            return found
        records = await self._list(work)
        bearing = tuple(one for one in records if one.ticket == work.ticket)
        same_name = tuple(one for one in records if not one.ticket and one.name == wanted.name)
        return Found(bearing, () if work.allowed.replace else same_name)

    async def _list(self, work: Work) -> Sequence[Record]:
        """All records of the event: of a ticket that had a record as they are now, as somebody may have taken its id."""
        event = work.event.target_event
        known = self._lists.get(event)
        if known is None or work.memory.record or self._clock() - known[0] > KEPT:
            known = self._lists[event] = (self._clock(), await self.target.list(event))
        return known[1]
