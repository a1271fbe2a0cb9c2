"""Brings one ticket to a target: the newest snapshot against the record as the target has it now.

In: a claimed ticket. Out: an Outcome, which is also remembered, and when the ticket is due again. Nothing is believed but a later
read: after each write the record is found again, and what is not as it was written is parked. Every write is preceded by a
look-up by the Wix id, and by an extension of both leases.
"""

import random
from collections.abc import Callable
from dataclasses import replace

from server import logs, metrics
from server.errors import (
    LeaseLost,
    TargetForbidden,
    TargetRefused,
    TargetUnauthorized,
    TargetUnavailable,
    TargetUnsure,
)
from server.model import EventId
from server.store.definitions import StoredDefinition
from server.store.leases import Lease
from server.store.sync_due import Claimed
from server.store.sync_records import StoredRecord
from server.store.timing import DAY
from server.sync.applied import applied_json, applied_of
from server.sync.finder import Finder
from server.sync.mapped_events import MappedEvents
from server.sync.mapping import Mode, TargetSettings
from server.sync.model import (
    Deleted,
    FieldChange,
    Kind,
    Missing,
    Operation,
    Outcome,
    Reason,
    State,
    Unfit,
    Wanted,
)
from server.sync.plan import Found, plan_ticket
from server.sync.planner import Planner
from server.sync.stores import Stores
from server.sync.target_faults import TargetFaults
from server.sync.targets.target import Target
from server.sync.work import NOTHING_MORE, Allowed, HeldLeases, Settled, Work
from server.sync.writer import Writer

TRIES = 8
"""Tries in a row after which a ticket is parked that the target could not take."""
READ_AGAIN = 5.0
"""Seconds until a ticket of which no read is stored is looked at again."""

log = logs.logger("sync")


class Applier:
    """Brings tickets to one target. *chance* gives numbers in [0, 1), *clock* seconds since 1970 by Redis."""

    def __init__(
        self,
        settings: TargetSettings,
        target: Target,
        stores: Stores,
        *,
        chance: Callable[[], float] = random.random,
        clock: Callable[[], float],
    ) -> None:
        self.settings = settings
        self.target = target
        self.stores = stores
        self.planner = Planner(settings, target, stores, clock=clock)
        self.events = MappedEvents(settings, stores.definitions)
        self.deactivations = self.planner.deactivations
        self.faults = TargetFaults(settings.name, target, stores, chance=chance, clock=clock)
        self._writer = Writer(settings.name, target, stores, self.deactivations, clock=clock)
        self._clock = clock
        self._finder = Finder(target, clock=clock)

    async def bring(self, claimed: Claimed, lease: Lease, allowed: Allowed = NOTHING_MORE) -> Outcome:
        """Bring a claimed ticket to the target, remember what became of it, and settle the claim.

        Raises RedisUnavailable, LeaseLost; no error of the target, but for a person TargetForbidden: no ticket of the event would
        fare better.
        """
        leases = HeldLeases(self.stores, lease, claimed)
        memory = await self.stores.records.read(claimed.site, self.settings.name, claimed.ticket)
        stored = await self.stores.definitions.read(claimed.site, claimed.ticket)
        try:
            settled = await self._bring(memory, stored, leases, allowed)
        except (LeaseLost, TargetForbidden):
            # If the claim is still ours, nobody has to wait for its end.
            await self.stores.due.settle(leases.claimed, 0.0)
            raise
        await self.stores.due.settle(leases.claimed, settled.again)
        metrics.sync_tickets.labels(self.settings.name, settled.outcome.state).inc()
        return settled.outcome

    async def _bring(
        self, memory: StoredRecord, stored: StoredDefinition | None, leases: HeldLeases, allowed: Allowed
    ) -> Settled:
        site, ticket, name = leases.claimed.site, leases.claimed.ticket, self.settings.name
        nothing = Operation(Kind.UPDATE, ticket, memory.name, memory.record or None, Reason.NOT_KNOWN)
        event_id = (stored.event if stored else None) or EventId(memory.event)
        event = await self.events.of(site, event_id) if event_id else None
        if event is None:
            return Settled(Outcome(nothing, State.EQUAL, "its event is not one of the target's"))
        if stored is None:
            # Nothing is known of it, so nothing is done: Wix is asked, and a 404 would be stored as one.
            await self.planner.ask_for(site, [ticket])
            return Settled(Outcome(nothing, State.DUE, "not read from Wix yet"), READ_AGAIN)
        followed = (await self.stores.records.followed(site, name)).get(event.event)
        if not allowed.by_person and not event.is_followed(followed):
            # An apply that was interrupted leaves its ticket to the person who runs it again.
            return Settled(Outcome(nothing, State.DUE, "its event is followed after its first apply"))
        if followed and (wait := followed.wait_until - self._clock()) > 0 and not allowed.by_person:
            return Settled(Outcome(nothing, State.DUE, followed.error), wait)
        work = Work(site, ticket, event, followed, memory, leases, allowed)
        return await self._bring_known(work, stored)

    async def _bring_known(self, work: Work, stored: StoredDefinition) -> Settled:
        """Bring a ticket of which a read is stored; a fault of the target decides when it is tried again."""
        event = work.event.target_event
        try:
            settled = await self._compare(work, self.planner.wanted(stored, await self._finder.event(event)))
        except TargetForbidden as error:
            if work.allowed.by_person:
                raise
            wait = await self.faults.forbidden(work.event, work.followed, error)
            return Settled(Outcome(work.nothing, State.DUE, str(error)), wait)
        except TargetUnauthorized as error:
            await self.faults.pause(error)
            return Settled(Outcome(work.nothing, State.DUE, str(error)), 0.0)
        except TargetUnavailable as error:
            if await self.faults.is_of_target(error, event):
                await self.faults.pause(error)
                return Settled(Outcome(work.nothing, State.DUE, str(error)), 0.0)
            return await self._try_later(work, error)
        await self.faults.over(work.event, work.followed, work.latency)
        return settled

    # -- one ticket --

    async def _compare(self, work: Work, wanted: Wanted | Deleted | Unfit) -> Settled:
        """Compare, and write what differs if that may be."""
        found = await self._finder.found(work, wanted)
        operation = self._plan(work, wanted, found)
        if operation is None:
            return await self._equal(work, wanted, found)
        if self.settings.mode is Mode.OBSERVE:
            return await self._remember(work, Outcome(operation, State.DIFFERS, "the target is only observed"))
        replacing = operation.reason is Reason.NEEDS_REPLACING and work.allowed.replace
        adopting = operation.kind is Kind.ADOPT and work.allowed.adopt
        if operation.kind in {Kind.CONFLICT, Kind.ADOPT} and not (replacing or adopting):
            return await self._conflict(work, operation)
        try:
            early = await self._write(work, wanted, found, operation)
        except TargetRefused as error:
            text = str(error) if str(error.status) in str(error) else f"{error.status} {error}"
            return await self._park(work, Outcome(operation, State.REFUSED, text, operation.record))
        return early or await self._verify(work, wanted, operation)

    async def _write(
        self, work: Work, wanted: Wanted | Deleted | Unfit, found: Found, operation: Operation
    ) -> Settled | None:
        """Write an operation; answers what became of it where that is not to be seen in the target."""
        if isinstance(wanted, Unfit):
            return None
        if isinstance(wanted, Deleted):
            return await self._deactivate(work, found, operation)
        if operation.kind in {Kind.CREATE, Kind.CONFLICT} and (wait := self._writer.waits(work, wanted)):
            text = "an earlier creation was not answered, and may still come to its end"
            return await self._remember(work, Outcome(operation, State.DUE, text), again=wait, tries=work.memory.tries)
        match operation.kind:
            case Kind.CREATE:
                await self._writer.create(work, wanted)
            case Kind.CONFLICT:  # it needs replacing, and a person has said so
                await self._writer.replace(work, found.bearing[0], wanted)
            case Kind.ADOPT:
                await self._writer.adopt(work, found.same_name[0])
                found = await self._finder.found(work, wanted)
                if rest := self._plan(work, wanted, found):
                    await self._writer.update(work, found, wanted, rest)
            case _:
                await self._writer.update(work, found, wanted, operation)
        return None

    async def _deactivate(self, work: Work, found: Found, operation: Operation) -> Settled | None:
        """Take the record of a deleted ticket off sale, unless that many at once need a person."""
        record = found.bearing[0]
        if not work.allowed.deactivate and (number := await self.deactivations.refused(work.event, work.ticket)):
            text = f"{number} records of the event would be taken off sale: a person has to say the number"
            outcome = Outcome(operation, State.LIMIT, text, record.key)
            return await self._park(work, outcome, f"sync apply --deactivate {number}")
        await self._writer.deactivate(work, record, delete=self.planner.rules(work.memory).delete)
        return None

    async def _verify(self, work: Work, wanted: Wanted | Deleted | Unfit, operation: Operation) -> Settled:
        """Read what was written; park what is not as it was written."""
        found = await self._finder.written(work)
        if isinstance(wanted, Wanted) and not found.bearing:
            raise TargetUnsure("the record that was just written is not found", replayed=True)
        rest = self._plan(work, wanted, found)
        if rest is None:
            settled = await self._equal(work, wanted, found, operation)
            log.info(
                "applied", **self._ids(work), kind=operation.kind, reason=operation.reason, record=work.memory.record
            )
            return settled
        if rest.kind in {Kind.CONFLICT, Kind.ADOPT}:
            return await self._conflict(work, rest)
        written = {one.name for one in _changes(operation)}
        lost = [f"wrote {one.name} {one.wix!r}, reads {_read(one)}" for one in _changes(rest) if one.name in written]
        text = "; ".join(lost) or "what was written is not what is read"
        return await self._park(work, Outcome(rest, State.NOT_KEPT, text, work.memory.record or None))

    def _plan(self, work: Work, wanted: Wanted | Deleted | Unfit, found: Found) -> Operation | None:
        return plan_ticket(
            wanted, found, applied_of(work.memory, self.settings.digest), self.planner.rules(work.memory)
        )

    # -- what became of it --

    async def _equal(
        self, work: Work, wanted: Wanted | Deleted | Unfit, found: Found, operation: Operation | None = None
    ) -> Settled:
        """The record is as it should be: remember what it is."""
        key = found.bearing[0].key if found.bearing else None
        done = operation or Operation(Kind.UPDATE, work.ticket, work.memory.name, key, Reason.NOT_KNOWN)
        work.memory = replace(work.memory, record=key or "", unsure_at=0.0, unsure_of="")
        if isinstance(wanted, Wanted):
            applied = applied_json(wanted)
            work.memory = replace(
                work.memory, applied=applied, applied_at=self._clock(), name=wanted.name, removed=False
            )
        state = State.GONE if isinstance(wanted, Deleted) and key is None else State.EQUAL
        return await self._remember(work, Outcome(done, state, record=key))

    async def _conflict(self, work: Work, operation: Operation) -> Settled:
        state = State.MAPPING if operation.reason is Reason.MAPPING else State.CONFLICT
        return await self._park(work, Outcome(operation, state, operation.text, operation.record), operation.cure)

    async def _park(self, work: Work, outcome: Outcome, cure: str = "") -> Settled:
        """Set aside until a person, or a change, helps."""
        tries = work.memory.tries + 1
        settled = await self._remember(work, outcome, again=float(DAY), cure=cure, tries=tries)
        log.warning("parked", **self._ids(work), state=outcome.state, error=outcome.text, hint=cure or None)
        return settled

    async def _try_later(self, work: Work, error: TargetUnavailable) -> Settled:
        """Only this ticket has no usable answer: it is tried again, and parked after many tries."""
        tries = work.memory.tries + 1
        unsure = isinstance(error, TargetUnsure) or work.memory.unsure_at > 0
        state = State.DUE if tries < TRIES else State.UNSURE if unsure else State.REFUSED
        again = self.faults.wait(tries) if state is State.DUE else float(DAY)
        log.warning("target_fault", **self._ids(work), tries=tries, error=str(error))
        return await self._remember(work, Outcome(work.nothing, state, str(error)), again=again, tries=tries)

    async def _remember(
        self, work: Work, outcome: Outcome, *, again: float | None = None, cure: str = "", tries: int = 0
    ) -> Settled:
        """Remember what became of the ticket."""
        memory = work.memory
        same = memory.state == outcome.state and memory.text == outcome.text
        work.memory = replace(
            memory,
            event=work.event.event,
            name=outcome.operation.name or memory.name,
            state=outcome.state,
            state_at=memory.state_at if same else self._clock(),
            text=outcome.text,
            cure=cure,
            tries=tries,
            digest=self.settings.digest,
        )
        await self.stores.records.write(work.site, self.settings.name, work.ticket, work.memory)
        return Settled(outcome, again)

    def _ids(self, work: Work) -> dict[str, str]:
        return {"target": self.settings.name, "site": work.site, "id": work.ticket}


def _changes(operation: Operation) -> list[FieldChange]:
    return [*operation.fields, *(change for option in operation.options for change in option.fields)]


def _read(change: FieldChange) -> str:
    return change.target.value if isinstance(change.target, Missing) else repr(change.target)
