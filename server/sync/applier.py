"""Brings one ticket to a target: the newest snapshot against the record as the target has it now.

In: a claimed ticket. Out: an Outcome, which is also remembered, and when the ticket is due again. Nothing is believed but a later
read: after each write the record is found again, and what is not as it was written is parked. Every write is preceded by a
look-up by the Wix id, and by an extension of both leases.
"""

import hashlib
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from server import logs, metrics
from server.errors import (
    TargetError,
    TargetForbidden,
    TargetRefused,
    TargetUnauthorized,
    TargetUnavailable,
    TargetUnsure,
)
from server.model import EventId, SiteId, TicketId
from server.store.leases import Lease
from server.store.sync_due import Claimed
from server.store.sync_records import FollowedEvent, StoredRecord
from server.store.timing import DAY
from server.sync.applied import applied_json, applied_of
from server.sync.deactivations import Deactivations
from server.sync.mapped_events import MappedEvent, MappedEvents
from server.sync.mapping import Mode, TargetSettings
from server.sync.model import (
    Deleted,
    Kind,
    Missing,
    Operation,
    Outcome,
    Reason,
    Record,
    State,
    TargetEvent,
    Unfit,
    Value,
    Wanted,
)
from server.sync.plan import Found, plan_ticket
from server.sync.planner import Planner
from server.sync.stores import Stores
from server.sync.targets.target import Target

TRIES = 8
"""Tries in a row after which a ticket is parked that the target could not take."""
FIRST_WAIT, LONGEST_WAIT = 1.0, 300.0
"""Seconds: between two tries lies a random time, of which the most doubles from the first to the longest (full jitter)."""
LOOK_AGAIN = 60.0
"""Seconds for which a creation without an answer may still come to its end: something else is not created meanwhile."""
NEW_ATTEMPT = 120.0
"""Seconds after which a creation without an answer is tried as a new one: a key may stay locked when the target died."""
READ_AGAIN = 5.0
"""Seconds until a ticket of which no read is stored is looked at again."""
EVENT_KEPT = 60.0
"""Seconds for which the target's event (its currency) is not read again."""

log = logs.logger("sync")


@dataclass(frozen=True, slots=True)
class Allowed:
    """What a person has allowed beyond what happens by itself."""

    adopt: bool = False
    replace: bool = False
    deactivate: bool = False


NOTHING_MORE = Allowed()


@dataclass(frozen=True, slots=True)
class Settled:
    """What became of a ticket, and in how many seconds it is due again (None: not before it is marked)."""

    outcome: Outcome
    again: float | None = None


class _Leases:
    """Both leases under which a ticket is written: the target's and the ticket's."""

    def __init__(self, stores: Stores, lease: Lease, claimed: Claimed) -> None:
        self._stores = stores
        self._lease = lease
        self.claimed = claimed
        self.writes = 0

    async def before_write(self) -> None:
        """Extend both; raises LeaseLost."""
        await self._lease.extend()
        self.claimed = await self._stores.due.extend(self.claimed)
        self.writes += 1


@dataclass(slots=True)
class _Pass:
    """One ticket on its way: what is remembered of it, and what may be written."""

    site: SiteId
    ticket: TicketId
    event: MappedEvent
    info: TargetEvent
    memory: StoredRecord
    leases: _Leases
    allowed: Allowed
    began: float
    marked: list[str] = field(default_factory=list)


class Applier:
    """Brings tickets to one target. *chance* gives numbers in [0, 1), *clock* seconds since 1970."""

    def __init__(
        self,
        settings: TargetSettings,
        target: Target,
        stores: Stores,
        *,
        chance: Callable[[], float] = random.random,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.settings = settings
        self.target = target
        self.stores = stores
        self.planner = Planner(settings, target, stores, clock=clock)
        self.events = MappedEvents(settings, stores.definitions)
        self.deactivations = Deactivations(settings, stores, clock=clock)
        self._chance = chance
        self._clock = clock
        self._infos: dict[str, tuple[float, TargetEvent]] = {}

    async def bring(self, claimed: Claimed, lease: Lease, allowed: Allowed = NOTHING_MORE) -> Outcome:
        """Bring a claimed ticket to the target, remember what became of it, and settle the claim.

        Raises RedisUnavailable, LeaseLost; no error of the target.
        """
        leases = _Leases(self.stores, lease, claimed)
        memory = await self.stores.records.read(claimed.site, self.settings.name, claimed.ticket)
        settled = await self._bring(claimed, memory, leases, allowed)
        await self.stores.due.settle(leases.claimed, settled.again)
        metrics.sync_tickets.labels(self.settings.name, settled.outcome.state).inc()
        return settled.outcome

    async def _bring(self, claimed: Claimed, memory: StoredRecord, leases: _Leases, allowed: Allowed) -> Settled:
        site, ticket = claimed.site, claimed.ticket
        stored = await self.stores.definitions.read(site, ticket)
        event_id = (stored.event if stored else None) or EventId(memory.event)
        event = await self.events.of(site, event_id) if event_id else None
        nothing = Operation(Kind.UPDATE, ticket, memory.name, memory.record or None, Reason.NOT_KNOWN)
        if event is None:
            return Settled(Outcome(nothing, State.EQUAL, "its event is not one of the target's"))
        if stored is None:
            # Nothing is known of it, so nothing is done: Wix is asked, and a 404 would be stored as one.
            await self.planner.ask_for(site, [ticket])
            return Settled(Outcome(nothing, State.DUE, "not read from Wix yet"), READ_AGAIN)
        followed = (await self.stores.records.followed(site, self.settings.name)).get(event.event)
        if followed and (wait := followed.wait_until - self._clock()) > 0 and allowed is NOTHING_MORE:
            return Settled(Outcome(nothing, State.DUE, followed.error), wait)
        try:
            info = await self._info(event.target_event)
            wanted = self.planner.wanted(stored, info)
            work = _Pass(site, ticket, event, info, memory, leases, allowed, self._clock())
            settled = await self._compare_and_apply(work, wanted)
        except TargetForbidden as error:
            return Settled(Outcome(nothing, State.DUE, str(error)), await self._forbidden(event, followed, error))
        except TargetUnauthorized as error:
            await self._pause(error)
            return Settled(Outcome(nothing, State.DUE, str(error)), 0.0)
        except TargetUnavailable as error:
            return await self._unavailable(site, ticket, event, nothing, error)
        if followed and followed.faults:
            await self.stores.records.follow(
                site, self.settings.name, replace(followed, faults=0, error="", wait_until=0.0)
            )
        await self.stores.targets.answered(self.settings.name, self._clock(), self._clock() - work.began)
        return settled

    # -- one ticket --

    async def _compare_and_apply(self, work: _Pass, wanted: Wanted | Deleted | Unfit) -> Settled:
        found = await self._found(work, wanted)
        operation = self._plan(work, wanted, found)
        if operation is None:
            return await self._equal(work, wanted, found)
        if self.settings.mode is Mode.OBSERVE:
            return await self._remember(work, Outcome(operation, State.DIFFERS, "the target is only observed"))
        if operation.kind is Kind.CONFLICT and not self._may_replace(work, operation):
            return await self._conflict(work, operation)
        if operation.kind is Kind.ADOPT and not work.allowed.adopt:
            return await self._conflict(work, operation)
        try:
            return await self._apply(work, wanted, found, operation)
        except TargetRefused as error:
            return await self._refused(work, operation, error)

    async def _apply(
        self, work: _Pass, wanted: Wanted | Deleted | Unfit, found: Found, operation: Operation
    ) -> Settled:
        """Write, and read again."""
        event, before_write = work.event.target_event, work.leases.before_write
        record = found.bearing[0] if found.bearing else None
        match operation.kind, wanted:
            case Kind.CREATE, Wanted():
                early = await self._create(work, wanted, operation)
                if early:
                    return early
            case Kind.CONFLICT, Wanted():  # needs replacing, and a person has said so
                if record:
                    await self.target.deactivate(event, record, before_write)
                    await self.target.mark(event, record, None, before_write)
                early = await self._create(work, wanted, operation)
                if early:
                    return early
            case Kind.ADOPT, Wanted():
                adopted = found.same_name[0]
                await self.target.mark(event, adopted, work.ticket, before_write)
                work.memory = replace(work.memory, record=adopted.key)
                found = await self._found(work, wanted)
                if found.bearing and (rest := self._plan(work, wanted, found)) and rest.kind is Kind.UPDATE:
                    await self.target.update(event, found.bearing[0], wanted, rest, before_write)
            case Kind.UPDATE, Wanted() if record:
                await self.target.update(event, record, wanted, operation, before_write)
            case Kind.DEACTIVATE, Deleted() if record:
                if not work.allowed.deactivate and (text := await self.deactivations.refused(work.event, work.ticket)):
                    cure = f"sync apply --deactivate {await self.deactivations.pending(work.event, work.ticket)}"
                    return await self._park(work, Outcome(operation, State.LIMIT, text, record.key), cure)
                delete = self.planner.rules(work.memory).delete
                await self.target.deactivate(event, record, before_write, delete=delete)
                await self.deactivations.count(work.event, work.ticket)
                work.memory = replace(work.memory, removed=True)
        return await self._verify(work, wanted, operation)

    async def _create(self, work: _Pass, wanted: Wanted, operation: Operation) -> Settled | None:
        """Create the record; answers what became of the ticket where it has to wait for an earlier creation."""
        memory, now = work.memory, self._clock()
        digest = hashlib.sha256(repr(wanted).encode()).hexdigest()[:16]
        if memory.unsure_at:
            waited = now - memory.unsure_at
            if digest != memory.unsure_of and waited < LOOK_AGAIN:
                text = "an earlier creation was not answered, and may still come to its end"
                return await self._remember(
                    work, Outcome(operation, State.DUE, text), again=LOOK_AGAIN - waited, kept=True
                )
            if waited >= NEW_ATTEMPT:
                memory = replace(memory, attempt=memory.attempt + 1, unsure_at=0.0)
        # Stored before it is sent: a process that is killed meanwhile leaves the knowledge that a record may come to be.
        work.memory = replace(memory, unsure_at=memory.unsure_at or now, unsure_of=digest, event=work.event.event)
        await self._write_memory(work)
        try:
            key = await self.target.create(
                work.event.target_event, wanted, f"{work.ticket}:{work.memory.attempt}", work.leases.before_write
            )
        except TargetRefused:
            work.memory = replace(work.memory, attempt=work.memory.attempt + 1, unsure_at=0.0, unsure_of="")
            raise
        except TargetUnsure as error:
            if error.replayed:
                work.memory = replace(work.memory, attempt=work.memory.attempt + 1, unsure_at=0.0, unsure_of="")
                await self._write_memory(work)
            raise
        work.memory = replace(work.memory, record=key, attempt=work.memory.attempt + 1, unsure_at=0.0, unsure_of="")
        return None

    async def _verify(self, work: _Pass, wanted: Wanted | Deleted | Unfit, operation: Operation) -> Settled:
        """Read what was written; park what is not as it was written."""
        found = await self._found(work, wanted, listing=False)
        if isinstance(wanted, Wanted) and not found.bearing:
            raise TargetUnsure("the record that was just written is not found", replayed=True)
        rest = self._plan(work, wanted, found)
        if rest is None:
            log.info(
                "applied", **self._ids(work), kind=operation.kind, reason=operation.reason, record=work.memory.record
            )
            return await self._equal(work, wanted, found, operation)
        if rest.kind in {Kind.CONFLICT, Kind.ADOPT}:
            return await self._conflict(work, rest)
        wrote = {change.name for change in (*operation.fields, *(f for o in operation.options for f in o.fields))}
        kept = [c for c in (*rest.fields, *(f for o in rest.options for f in o.fields)) if c.name in wrote]
        text = (
            "; ".join(f"wrote {c.name} {c.wix!r}, reads {_read(c.target)}" for c in kept)
            or "it is not as it was written"
        )
        return await self._park(work, Outcome(rest, State.NOT_KEPT, text, work.memory.record or None))

    # -- what is found --

    async def _found(self, work: _Pass, wanted: Wanted | Deleted | Unfit, *, listing: bool = True) -> Found:
        """The records that concern the ticket. Before something is created the whole event is listed: a search may miss one."""
        target, event = self.target, work.event.target_event
        bearing = await target.find(event, work.ticket, work.memory.record or None)
        if bearing or not listing or not isinstance(wanted, Wanted):
            return Found(tuple(bearing))
        records = await target.list(event)
        bearing = [one for one in records if one.ticket == work.ticket]
        same_name = tuple(one for one in records if not one.ticket and one.name == wanted.name)
        return Found(tuple(bearing), () if work.allowed.replace else same_name)

    def _plan(self, work: _Pass, wanted: Wanted | Deleted | Unfit, found: Found) -> Operation | None:
        return plan_ticket(wanted, found, applied_of(work.memory), self.planner.rules(work.memory))

    def _may_replace(self, work: _Pass, operation: Operation) -> bool:
        return work.allowed.replace and operation.reason is Reason.NEEDS_REPLACING

    async def _info(self, event: str) -> TargetEvent:
        known = self._infos.get(event)
        if known is None or self._clock() - known[0] > EVENT_KEPT:
            known = self._infos[event] = (self._clock(), await self.target.event(event))
        return known[1]

    # -- what became of it --

    async def _equal(
        self, work: _Pass, wanted: Wanted | Deleted | Unfit, found: Found, operation: Operation | None = None
    ) -> Settled:
        """The record is as it should be: remember what it is."""
        record: Record | None = found.bearing[0] if found.bearing else None
        done = operation or Operation(
            Kind.UPDATE, work.ticket, work.memory.name, record.key if record else None, Reason.NOT_KNOWN
        )
        if isinstance(wanted, Wanted):
            work.memory = replace(
                work.memory, applied=applied_json(wanted), applied_at=self._clock(), name=wanted.name, removed=False
            )
        work.memory = replace(work.memory, record=record.key if record else "", unsure_at=0.0, unsure_of="", tries=0)
        return await self._remember(work, Outcome(done, State.EQUAL, record=record.key if record else None))

    async def _conflict(self, work: _Pass, operation: Operation) -> Settled:
        state = State.MAPPING if operation.reason is Reason.MAPPING else State.CONFLICT
        return await self._park(work, Outcome(operation, state, operation.text, operation.record), operation.cure)

    async def _refused(self, work: _Pass, operation: Operation, error: TargetRefused) -> Settled:
        text = f"{error.status} {error}" if str(error.status) not in str(error) else str(error)
        return await self._park(work, Outcome(operation, State.REFUSED, text, operation.record))

    async def _park(self, work: _Pass, outcome: Outcome, cure: str = "") -> Settled:
        """Set aside until a person, or a change, helps."""
        settled = await self._remember(work, outcome, again=float(DAY), cure=cure, tries=work.memory.tries + 1)
        log.warning("parked", **self._ids(work), state=outcome.state, error=outcome.text, hint=cure or None)
        return settled

    async def _remember(
        self,
        work: _Pass,
        outcome: Outcome,
        *,
        again: float | None = None,
        cure: str = "",
        tries: int = 0,
        kept: bool = False,
    ) -> Settled:
        """Remember what became of the ticket; *kept*: what is remembered of tries stays."""
        same = work.memory.state == outcome.state and work.memory.text == outcome.text
        work.memory = replace(
            work.memory,
            event=work.event.event,
            name=outcome.operation.name or work.memory.name,
            state=outcome.state,
            state_at=work.memory.state_at if same else self._clock(),
            text=outcome.text,
            cure=cure,
            tries=work.memory.tries if kept else tries,
            digest=self.settings.digest,
        )
        await self._write_memory(work)
        return Settled(outcome, again)

    async def _write_memory(self, work: _Pass) -> None:
        await self.stores.records.write(work.site, self.settings.name, work.ticket, work.memory)

    # -- faults --

    async def _unavailable(
        self, site: SiteId, ticket: TicketId, event: MappedEvent, nothing: Operation, error: TargetUnavailable
    ) -> Settled:
        """No usable answer: if the target answers nothing at all it waits, else this ticket is tried again later."""
        if error.status == 429 or not await self._answers(event.target_event):
            await self._pause(error)
            return Settled(Outcome(nothing, State.DUE, str(error)), 0.0)
        memory = await self.stores.records.read(site, self.settings.name, ticket)
        tries = memory.tries + 1
        parked = tries >= TRIES
        unsure = isinstance(error, TargetUnsure) or memory.unsure_at > 0
        state = (State.UNSURE if unsure else State.REFUSED) if parked else State.DUE
        memory = replace(
            memory,
            event=event.event,
            state=state,
            state_at=memory.state_at if memory.state == state else self._clock(),
            text=str(error),
            cure="",
            tries=tries,
            digest=self.settings.digest,
        )
        await self.stores.records.write(site, self.settings.name, ticket, memory)
        log.warning("target_fault", target=self.settings.name, site=site, id=ticket, tries=tries, error=str(error))
        return Settled(Outcome(nothing, state, str(error)), float(DAY) if parked else self._wait(tries, LONGEST_WAIT))

    async def _answers(self, event: str) -> bool:
        """Whether the target answers anything at all."""
        try:
            await self.target.event(event)
        except TargetForbidden:
            return True
        except TargetError:
            return False
        return True

    async def _pause(self, error: TargetError) -> None:
        """The target is down, refuses our credentials, or asks for less: it waits, and no ticket is parked."""
        faults = await self.stores.targets.failed(self.settings.name, str(error), self._clock())
        named = error.retry_after if isinstance(error, TargetUnavailable) else None
        wait = max(0.2, self._wait(faults, 60.0)) if named is None else min(named, 600.0)
        await self.stores.targets.wait(self.settings.name, self._clock() + wait)
        metrics.sync_pauses.labels(self.settings.name).inc()
        log.warning("target_waits", target=self.settings.name, seconds=round(wait, 1), faults=faults, error=str(error))

    async def _forbidden(self, event: MappedEvent, followed: FollowedEvent | None, error: TargetForbidden) -> float:
        """The target does not let us read this event: only the event waits. Answers the seconds."""
        faults = (followed.faults if followed else 0) + 1
        wait = max(1.0, self._wait(faults + 3, 600.0))
        if followed:
            changed = replace(followed, faults=faults, error=str(error), wait_until=self._clock() + wait)
            await self.stores.records.follow(event.site, self.settings.name, changed)
        log.warning("event_forbidden", target=self.settings.name, site=event.site, id=event.event, error=str(error))
        return wait

    def _wait(self, tries: int, longest: float) -> float:
        return self._chance() * min(longest, FIRST_WAIT * 2.0 ** min(tries, 20))

    def _ids(self, work: _Pass) -> dict[str, str]:
        return {"target": self.settings.name, "site": work.site, "id": work.ticket}


def _read(value: Value | Missing) -> str:
    return value.value if isinstance(value, Missing) else repr(value)
