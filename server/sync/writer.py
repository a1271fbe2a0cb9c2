"""Writes one operation to a target.

In: an operation, and what was found. Out: the memory of the ticket afterwards; nothing that the target answers to a write is believed,
so the caller reads again. A creation is remembered before it is sent, and looked for until it is known what became of it.
"""

import hashlib
from collections.abc import Callable
from dataclasses import replace

from server.errors import TargetRefused, TargetUnsure
from server.store.sync_records import StoredRecord
from server.sync.deactivations import Deactivations
from server.sync.model import Kind, Operation, Record, Wanted
from server.sync.plan import Found
from server.sync.stores import Stores
from server.sync.targets.target import Target
from server.sync.work import Work

LOOK_AGAIN = 60.0
"""Seconds for which a creation without an answer may still come to its end: something else is not created meanwhile."""
NEW_ATTEMPT = 120.0
"""Seconds after which a creation without an answer is tried as a new one: a key may stay locked when the target died."""


class Writer:
    """Writes to one target. *clock* gives seconds since 1970. Methods raise RedisUnavailable, LeaseLost, and what the target raises."""

    def __init__(
        self,
        name: str,
        target: Target,
        stores: Stores,
        deactivations: Deactivations,
        *,
        clock: Callable[[], float],
    ) -> None:
        self.name = name
        self.target = target
        self.stores = stores
        self.deactivations = deactivations
        self._clock = clock

    def waits(self, work: Work, wanted: Wanted) -> float:
        """Seconds for which nothing may be created, since something else was sent and may still come to be."""
        waited = self._clock() - work.memory.unsure_at
        if work.memory.unsure_at and work.memory.unsure_of != _digest(wanted) and waited < LOOK_AGAIN:
            return LOOK_AGAIN - waited
        return 0.0

    async def create(self, work: Work, wanted: Wanted) -> None:
        """Create the record."""
        memory, now = work.memory, self._clock()
        if memory.unsure_at and now - memory.unsure_at >= NEW_ATTEMPT:
            memory = _known(memory)
        # Stored before it is sent: a process that is killed meanwhile leaves the knowledge that a record may come to be.
        work.memory = replace(
            memory,
            unsure_at=memory.unsure_at or now,
            unsure_of=_digest(wanted),
            event=work.event.event,
            name=wanted.name,
        )
        await self._remember(work)
        attempt = f"{work.ticket}:{work.memory.attempt}"
        try:
            key = await self.target.create(work.event.target_event, wanted, attempt, work.leases.before_write)
        except TargetRefused:
            work.memory = _known(work.memory)
            raise
        except TargetUnsure as error:
            if error.replayed:
                work.memory = _known(work.memory)
                await self._remember(work)
            raise
        work.memory = replace(_known(work.memory), record=key)

    async def replace(self, work: Work, record: Record, wanted: Wanted) -> None:
        """Take a record off sale, take the id from it, and create a new one."""
        await self.target.deactivate(work.event.target_event, record, work.leases.before_write)
        await self.target.mark(work.event.target_event, record, None, work.leases.before_write)
        await self.create(work, wanted)

    async def adopt(self, work: Work, record: Record) -> None:
        """Give a record the id; what else it should be is written by an update."""
        await self.target.mark(work.event.target_event, record, work.ticket, work.leases.before_write)
        work.memory = replace(work.memory, record=record.key)

    async def update(self, work: Work, found: Found, wanted: Wanted, operation: Operation) -> None:
        """Write what the operation names."""
        if found.bearing and operation.kind is Kind.UPDATE:
            before_write = work.leases.before_write
            await self.target.update(work.event.target_event, found.bearing[0], wanted, operation, before_write)

    async def deactivate(self, work: Work, record: Record, *, delete: bool) -> None:
        """Take a record off sale, or delete it."""
        await self.target.deactivate(work.event.target_event, record, work.leases.before_write, delete=delete)
        await self.deactivations.count(work.event, work.ticket)
        work.memory = replace(work.memory, removed=True)

    async def _remember(self, work: Work) -> None:
        await self.stores.records.write(work.site, self.name, work.ticket, work.memory)


def _digest(wanted: Wanted) -> str:
    return hashlib.sha256(repr(wanted).encode()).hexdigest()[:16]


def _known(memory: StoredRecord) -> StoredRecord:
    """It is known what became of the creation: the next one is another."""
    return replace(memory, attempt=memory.attempt + 1, unsure_at=0.0, unsure_of="")
