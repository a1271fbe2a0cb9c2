"""Compares one event with a target: every stored definition with the records that the target has.

In: an event, the stored snapshots, one complete list of the target's records. Out: a Comparison, whose `plan` is what would be
done. It writes nothing, neither to the target nor to Redis, but asks for reads of tickets of which none is stored.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from server.model import EventId, SiteId, TicketId
from server.store.definitions import StoredDefinition
from server.store.sync_records import StoredRecord
from server.sync import definition
from server.sync.applied import applied_of
from server.sync.deactivations import Deactivations
from server.sync.mapped_events import MappedEvent
from server.sync.mapping import OnDelete, TargetSettings
from server.sync.model import (
    Deleted,
    Kind,
    Operation,
    Plan,
    Reason,
    Record,
    TargetEvent,
    Unfit,
    Wanted,
)
from server.sync.plan import Found, Rules, plan_ticket
from server.sync.stores import Stores
from server.sync.targets.target import Target


@dataclass(frozen=True, slots=True)
class Compared:
    """One ticket: what it should be, the records found, what is remembered, and what is to be done (None: nothing)."""

    ticket: TicketId
    wanted: Wanted | Deleted | Unfit
    found: Found
    memory: StoredRecord
    operation: Operation | None


@dataclass(frozen=True, slots=True)
class Comparison:
    """A whole event: its tickets in the order of the plan, and that plan."""

    event: MappedEvent
    tickets: tuple[Compared, ...]
    records: tuple[Record, ...]
    plan: Plan


@dataclass(slots=True)
class _Read:
    """What was read of Wix: when the oldest was, and how many of them are not known."""

    oldest: float | None = None
    unread: int = 0
    tickets: dict[TicketId, Wanted | Deleted | Unfit] = field(default_factory=dict)
    elsewhere: set[TicketId] = field(default_factory=set)


class Planner:
    """Plans for one target; *clock* gives seconds since 1970."""

    def __init__(self, settings: TargetSettings, target: Target, stores: Stores, *, clock: Callable[[], float]) -> None:
        self.settings = settings
        self.target = target
        self.stores = stores
        self.deactivations = Deactivations(settings, stores, clock=clock)
        self._clock = clock

    async def compare(self, event: MappedEvent) -> Comparison:
        """Compare an event. Raises RedisUnavailable, and what the target's `event` and `list` raise."""
        info = await self.target.event(event.target_event)
        records = tuple(await self.target.list(event.target_event))
        listed_at = self._clock()
        read = await self._read(event, records, info)
        bearing, nameless = _by_ticket(records), _by_name(records)
        compared = []
        for ticket, wanted in read.tickets.items():
            memory = await self.stores.records.read(event.site, self.settings.name, ticket)
            same_name = nameless.get(wanted.name, ()) if isinstance(wanted, Wanted) else ()
            found = Found(tuple(bearing.get(ticket, ())), tuple(same_name))
            operation = plan_ticket(wanted, found, applied_of(memory, self.settings.digest), self.rules(memory))
            compared.append(Compared(ticket, wanted, found, memory, operation))
        compared = _one_adoption_each(compared)
        copies = tuple(_copied(one) for one in records if one.ticket in read.elsewhere)
        operations = sorted((one.operation for one in compared if one.operation), key=_order)
        closing = sum(one.kind is Kind.DEACTIVATE for one in operations)
        known = sum(bool(one.ticket) for one in records)
        person = await self.deactivations.need_a_person(event, closing, known) if closing else False
        plan = Plan(
            target=self.settings.name,
            site=event.site,
            event=event.event,
            title=event.title,
            target_event=info,
            read_at=read.oldest,
            target_read_at=listed_at,
            operations=(*operations, *copies),
            equal=sum(one.operation is None and bool(one.found.bearing) for one in compared),
            left_alone=sum(not one.ticket for one in records),
            unread=read.unread,
            deactivate=closing if person else None,
            notes=tuple(f"{one.name} ({one.key}): {note}" for one in records for note in one.notes if one.ticket),
        )
        return Comparison(event, tuple(compared), records, plan)

    def rules(self, memory: StoredRecord) -> Rules:
        """What a plan may do, by the target's abilities and settings."""
        abilities = self.target.abilities
        delete = self.settings.on_delete is OnDelete.DELETE and abilities.deletes and not memory.removed
        return Rules(changes_options=abilities.changes_options, delete=delete)

    def wanted(self, stored: StoredDefinition, info: TargetEvent) -> Wanted | Deleted | Unfit:
        """What a ticket should be at the target, in the target's own form."""
        if stored.facts is None:
            return Deleted(stored.ticket)
        source = definition.source(
            stored.ticket, stored.event or EventId(""), stored.facts, unsold=stored.unsold, read_at=stored.read_at
        )
        wanted = self.settings.wanted(source)
        return wanted if isinstance(wanted, Unfit) else self.target.fit(wanted, info)

    async def ask_for(self, site: SiteId, tickets: Sequence[TicketId]) -> None:
        """Have tickets read from Wix of which no read is stored."""
        if tickets:
            await self.stores.schedule.watch(site, tickets)

    async def _read(self, event: MappedEvent, records: Sequence[Record], info: TargetEvent) -> _Read:
        """The tickets of the event, and those whose id a record bears."""
        of_event = await self.stores.definitions.of_event(event.site, event.event)
        borne = [TicketId(one.ticket) for one in records if one.ticket]
        found, unread = _Read(), []
        for ticket in dict.fromkeys((*of_event, *borne)):
            stored = await self.stores.definitions.read(event.site, ticket)
            if stored is None:
                unread.append(ticket)
            elif not await self._is_of(event, stored):
                found.elsewhere.add(ticket)
            else:
                found.tickets[ticket] = self.wanted(stored, info)
                found.oldest = min(found.oldest or stored.read_at, stored.read_at)
        await self.ask_for(event.site, unread)
        found.unread = len(unread)
        return found

    async def _is_of(self, event: MappedEvent, stored: StoredDefinition) -> bool:
        """Whether a ticket is, or was, one of this event; of one that Wix never had in our time, our own memory decides."""
        if stored.event is None:
            memory = await self.stores.records.read(event.site, self.settings.name, stored.ticket)
            return memory.event == event.event
        return stored.event == event.event


def _by_ticket(records: Sequence[Record]) -> dict[str, list[Record]]:
    found: dict[str, list[Record]] = {}
    for one in records:
        if one.ticket:
            found.setdefault(one.ticket, []).append(one)
    return found


def _by_name(records: Sequence[Record]) -> dict[str, list[Record]]:
    found: dict[str, list[Record]] = {}
    for one in records:
        if not one.ticket and one.name:
            found.setdefault(one.name, []).append(one)
    return found


def _one_adoption_each(compared: Sequence[Compared]) -> list[Compared]:
    """Two tickets of one name may not both adopt the one record that has it."""
    wanted_by: dict[str, int] = {}
    for one in compared:
        if one.operation and one.operation.kind is Kind.ADOPT and one.operation.record:
            wanted_by[one.operation.record] = wanted_by.get(one.operation.record, 0) + 1
    return [one if not _contested(one.operation, wanted_by) else _conflicting(one) for one in compared]


def _contested(operation: Operation | None, wanted_by: dict[str, int]) -> bool:
    return (
        operation is not None
        and operation.kind is Kind.ADOPT
        and operation.record is not None
        and wanted_by[operation.record] > 1
    )


def _conflicting(one: Compared) -> Compared:
    operation = one.operation
    if operation is None or operation.record is None:
        return one
    conflict = Operation(
        Kind.CONFLICT,
        operation.ticket,
        operation.name,
        None,
        Reason.SAME_NAME,
        others=(operation.record,),
        text=f"record {operation.record} has its name and no id, and so has another ticket",
        cure=f"sync adopt {operation.ticket} --record {operation.record} (for one of the two)",
    )
    return Compared(one.ticket, one.wanted, one.found, one.memory, conflict)


def _copied(record: Record) -> Operation:
    return Operation(
        Kind.CONFLICT,
        record.ticket,
        record.name,
        record.key,
        Reason.COPIED,
        text=f"record {record.key} bears the id of a ticket of another event: it looks like a copy, and is left alone",
        cure="clear its Wix id in the target",
    )


_RANK = {Kind.CREATE: 0, Kind.ADOPT: 0, Kind.UPDATE: 0, Kind.CONFLICT: 1, Kind.DEACTIVATE: 2}


def _order(operation: Operation) -> tuple[int, str, str]:
    """What closes comes last, by the sum; the rest by name."""
    return (_RANK[operation.kind], operation.name, operation.ticket)
