"""A ticketing system in memory, with the Protocol of targets, which fails where its settings say so; nothing of it is random.

ModelTarget    the target; `put`, `edit`, `copy`, `clear` and `sell` are what a person does in it by hand
Fault          what may happen to its n-th request
Killed         our process ended here: no `except Exception` sees it
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum, auto
from functools import partial
from itertools import count

from server.errors import TargetForbidden, TargetRefused, TargetUnauthorized, TargetUnavailable, TargetUnsure
from server.model import TicketId
from server.sync.model import (
    Fields,
    Kind,
    Operation,
    OptionChange,
    Reason,
    Record,
    RecordOption,
    TargetEvent,
    Unfit,
    Value,
    Wanted,
    WantedOption,
)
from server.sync.targets.target import Abilities, BeforeWrite, Pay

Effect = Callable[[], None]

ACTIVE = "active"
"""The field that says whether a record is on sale; a record without it is on sale once it is complete."""


class Killed(BaseException):
    """The process that made the request ended."""


class Fault(Enum):
    """What happens to one request. After `LOST`, `LATE` and `KILLED_AFTER` its effect is there all the same."""

    REFUSED = auto()  # 400, nothing written
    UNAVAILABLE = auto()  # 503, nothing written; a write is unsure
    UNAUTHORIZED = auto()  # 401
    FORBIDDEN = auto()  # 403 to a read of the event; a write is refused
    LOST = auto()  # the effect, but no answer
    LATE = auto()  # no answer, and the effect only `late` requests later
    KILLED = auto()  # our process ends before the request is sent
    KILLED_AFTER = auto()  # our process ends before the answer is read


@dataclass(slots=True)
class Stored:
    """One record as the model stores it. `orders`: how many tickets it sold; `foreign`: what others keep in it."""

    key: str
    ticket: str
    name: str
    fields: dict[str, Value]
    options: list[RecordOption] = field(default_factory=list)
    complete: bool = True
    orders: int = 0
    foreign: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Write:
    """One request that wrote: the method of the Protocol, the record's key, and what was written."""

    method: str
    key: str
    what: str


async def free() -> None:
    """A budget without end, or a lease that nobody else takes."""


class ModelTarget:
    """The model.

    Settings, all of which may be changed while it is used:

    `faults`: by the number of the request, from 1. `next`: that of the next request that writes (True), or reads. `refuses`:
    tickets whose writes it refuses, with its words. `rewrites`: what it makes of a field's value as it stores it; `fits`: the
    same, but `fit` knows of it. `ignores`: fields that it answers with success and does not store. `copies_ids`: whether `copy`
    copies our id. `steps`: whether each field is a request of its own. `late`: after how many further requests a `Fault.LATE`
    has its effect. `page`: how many records its list has on a page. `currency`: that of each event.
    """

    def __init__(
        self,
        *,
        events: tuple[str, ...] = ("ev1", "ev2"),
        abilities: Abilities | None = None,
        currency: str | None = "EUR",
        faults: Mapping[int, Fault] | None = None,
        refuses: Mapping[str, str] | None = None,
        rewrites: Mapping[str, Callable[[Value], Value]] | None = None,
        fits: Mapping[str, Callable[[Value], Value]] | None = None,
        ignores: frozenset[str] = frozenset(),
        copies_ids: bool = True,
        steps: bool = False,
        late: int = 2,
        page: int | None = None,
        pay: Pay = free,
    ) -> None:
        self.abilities = abilities or Abilities(parallel=1, changes_options=True, deletes=True, limits=True)
        self.currency = currency
        self.faults = dict(faults or {})
        self.refuses = dict(refuses or {})
        self.rewrites = dict(rewrites or {})
        self.fits = dict(fits or {})
        self.ignores = ignores
        self.copies_ids = copies_ids
        self.steps = steps
        self.late = late
        self.page = page
        self.next: dict[bool, Fault] = {}
        self.pay = pay
        self.stored: dict[str, dict[str, Stored]] = {event: {} for event in events}
        self.requests = 0
        self.writes: list[Write] = []
        self.at_once: dict[str, int] = {}
        self.most_at_once = 0
        self._attempts: dict[str, str] = {}
        self._delayed: list[tuple[int, Effect]] = []
        self._keys = count(1)

    # --- the Protocol

    async def event(self, event: str) -> TargetEvent:
        """Read an event; one that is not there is forbidden, as pretix answers."""
        await self._read(event)
        return TargetEvent(event, f"Event {event}", self.currency)

    def fit(self, wanted: Wanted, event: TargetEvent) -> Wanted | Unfit:
        """The values as they would be read, as far as the model says so of itself."""
        if event.currency is not None and (others := wanted.currencies - {event.currency}):
            text = f"{event.name} sells in {event.currency}, the ticket in {', '.join(sorted(others))}"
            return Unfit(wanted.ticket, wanted.name, Reason.CURRENCY, text)
        return replace(
            wanted,
            fields=_each(self.fits, wanted.fields),
            initial=_each(self.fits, wanted.initial),
            options=tuple(replace(one, fields=_each(self.fits, one.fields)) for one in wanted.options),
        )

    async def find(self, event: str, ticket: TicketId, key: str | None) -> list[Record]:
        """The records that bear this id now."""
        await self._read(event)
        return [self._record(one) for one in self.stored[event].values() if one.ticket == ticket]

    async def list(self, event: str) -> list[Record]:
        """All records, in the order of their creation, by pages where it has them."""
        found: list[Record] = []
        while True:
            await self._read(event)
            last = int(found[-1].key) if found else 0
            rest = [one for key, one in self.stored[event].items() if int(key) > last]
            found += [self._record(one) for one in rest[: self.page]]
            if not self.page or len(rest) <= self.page:
                return found

    async def create(self, event: str, wanted: Wanted, attempt: str, before_write: BeforeWrite) -> str:
        """A record that is complete with its last request; a second try with the same *attempt* answers the same key.

        With `steps` the options follow one by one, but in the first request where the target cannot add them later.
        """
        found: list[str] = []

        def made() -> None:
            known = self._attempts.get(f"{event} {attempt}")
            if known not in self.stored[event]:
                known = str(next(self._keys))
                fields = self._kept({**wanted.initial, **wanted.fields})
                self.stored[event][known] = Stored(known, wanted.ticket, wanted.name, fields, complete=False)
                self._attempts[f"{event} {attempt}"] = known
            found.append(known)

        def optioned(option: WantedOption) -> None:
            self._option(event, found[-1], option.id, option.fields)

        def completed() -> None:
            self.stored[event][found[-1]].complete = True

        options = [(f"option {one.name}", partial(optioned, one)) for one in wanted.options]
        writes: list[tuple[str, Effect]] = [(wanted.name, made), *options, ("complete", completed)]
        if not self.steps:
            writes = _together(writes)
        elif not self.abilities.changes_options:
            writes = [*_together(writes[:-1]), writes[-1]]
        for what, effect in writes:
            await self._write(event, wanted.ticket, Write("create", "".join(found[-1:]), what), effect, before_write)
        return found[-1]

    async def update(
        self, event: str, record: Record, wanted: Wanted, operation: Operation, before_write: BeforeWrite
    ) -> None:
        """Write the fields and options that the operation names, in one request or with `steps` one by one; `active` comes last."""
        writes: list[tuple[str, Effect]] = [
            (f"option {one.name}", partial(self._change_option, event, record.key, wanted, one))
            for one in operation.options
        ]
        fields = {one.name: one.wix for one in sorted(operation.fields, key=lambda one: one.name == ACTIVE)}
        if self.steps:
            writes += [(name, partial(self._change, event, record.key, {name: fields[name]})) for name in fields]
        elif fields:
            writes.append((", ".join(fields), partial(self._change, event, record.key, fields)))
        if not self.steps:
            writes = _together(writes)
        for what, effect in writes:
            await self._write(event, wanted.ticket, Write("update", record.key, what), effect, before_write)

    async def deactivate(self, event: str, record: Record, before_write: BeforeWrite, *, delete: bool = False) -> None:
        """Off sale; with *delete* deleted, where it has no orders."""

        def effect() -> None:
            one = self.stored[event].get(record.key)
            if one is None:
                return
            if delete and self.abilities.deletes and not one.orders:
                del self.stored[event][record.key]
            else:
                one.fields[ACTIVE] = False

        await self._write(
            event, record.ticket, Write("deactivate", record.key, "delete" if delete else ""), effect, before_write
        )

    async def mark(self, event: str, record: Record, ticket: TicketId | None, before_write: BeforeWrite) -> None:
        """Write our id, or clear it."""

        def effect() -> None:
            self._there(event, record.key).ticket = ticket or ""

        await self._write(event, ticket or record.ticket, Write("mark", record.key, ticket or ""), effect, before_write)

    async def aclose(self) -> None:
        """Nothing is open."""

    # --- what a person does in it

    def put(
        self, event: str, name: str, fields: Fields, *, ticket: str = "", options: tuple[RecordOption, ...] = ()
    ) -> str:
        """A record made by hand, or left there by whoever; answers its key."""
        key = str(next(self._keys))
        self.stored[event][key] = Stored(key, ticket, name, dict(fields), list(options), foreign={"note": "keep me"})
        return key

    def edit(self, event: str, key: str, **fields: Value) -> None:
        """Values changed by hand."""
        self.stored[event][key].fields.update(fields)

    def clear(self, event: str, key: str) -> None:
        """Our id removed by hand."""
        self.stored[event][key].ticket = ""

    def copy(self, event: str, key: str, to: str) -> str:
        """A copy of a record, in the same event or another; it bears our id where `copies_ids` says so."""
        one, new = self.stored[event][key], str(next(self._keys))
        ticket = one.ticket if self.copies_ids else ""
        self.stored[to][new] = replace(one, key=new, ticket=ticket, fields=dict(one.fields), options=list(one.options))
        return new

    def sell(self, event: str, key: str) -> None:
        """One order."""
        self.stored[event][key].orders += 1

    # --- inside

    async def _read(self, event: str) -> None:
        match await self._request():
            case Fault.UNAVAILABLE | Fault.LOST | Fault.LATE | Fault.REFUSED:
                raise TargetUnavailable("model: 503", status=503)
            case Fault.FORBIDDEN:
                raise TargetForbidden(f"model: 403 for {event}")
            case Fault.KILLED_AFTER:
                raise Killed
        if event not in self.stored:
            raise TargetForbidden(f"model: no event {event}")

    async def _write(self, event: str, ticket: str, write: Write, effect: Effect, before_write: BeforeWrite) -> None:
        await before_write()
        self.at_once[ticket] = self.at_once.get(ticket, 0) + 1
        self.most_at_once = max(self.most_at_once, self.at_once[ticket])
        try:
            fault = await self._request(writes=True)
            await asyncio.sleep(0)
            if fault is Fault.UNAVAILABLE:
                raise TargetUnsure("model: 503 to a write", status=503)
            if fault in {Fault.REFUSED, Fault.FORBIDDEN}:
                raise TargetRefused("model: refused", status=400 if fault is Fault.REFUSED else 403)
            if event not in self.stored:
                raise TargetRefused(f"model: no event {event}", status=404)
            if ticket in self.refuses:
                raise TargetRefused(f"model: {self.refuses[ticket]}", status=422)
            self.writes.append(write)
            if fault is Fault.LATE:
                self._delayed.append((self.requests + self.late, effect))
            else:
                effect()
            if fault in {Fault.LOST, Fault.LATE}:
                raise TargetUnsure("model: no answer to a write")
            if fault is Fault.KILLED_AFTER:
                raise Killed
        finally:
            self.at_once[ticket] -= 1

    async def _request(self, *, writes: bool = False) -> Fault | None:
        """Count and pay one request; those effects whose time has come are had before it."""
        await self.pay()
        self.requests += 1
        due = [effect for at, effect in self._delayed if at <= self.requests]
        self._delayed = [(at, effect) for at, effect in self._delayed if at > self.requests]
        for effect in due:
            effect()
        fault = self.next.pop(writes, None) or self.faults.get(self.requests)
        if fault is Fault.KILLED:
            raise Killed
        if fault is Fault.UNAUTHORIZED:
            raise TargetUnauthorized("model: 401")
        return fault

    def _record(self, one: Stored) -> Record:
        active = one.complete and one.fields.get(ACTIVE) is not False
        fields = dict(one.fields)
        if not one.complete and ACTIVE in fields:
            fields[ACTIVE] = False
        return Record(one.key, one.ticket, one.name, active, fields, tuple(one.options))

    def _there(self, event: str, key: str) -> Stored:
        if key not in self.stored[event]:
            raise TargetRefused(f"model: no record {key}", status=404)
        return self.stored[event][key]

    def _kept(self, fields: Fields) -> dict[str, Value]:
        known = _each(self.rewrites, _each(self.fits, fields))
        return {name: value for name, value in known.items() if name not in self.ignores}

    def _change(self, event: str, key: str, fields: Fields) -> None:
        one = self._there(event, key)
        one.fields.update(self._kept(fields))
        if ACTIVE in fields:
            one.complete = True

    def _option(self, event: str, key: str, option: str, fields: Fields) -> None:
        one = self._there(event, key)
        if not one.options and one.complete and not self.abilities.changes_options:
            raise TargetRefused("model: a record with one price takes no options", status=403)
        kept = self._kept(fields)
        active = kept.pop(ACTIVE, True) is not False
        for index, old in enumerate(one.options):
            if old.id == option:
                one.options[index] = replace(old, fields={**old.fields, **kept}, active=active)
                return
        one.options.append(RecordOption(str(next(self._keys)), option, kept, active))

    def _change_option(self, event: str, key: str, wanted: Wanted, change: OptionChange) -> None:
        if change.kind is Kind.CREATE:
            self._option(event, key, change.id, next(one.fields for one in wanted.options if one.id == change.id))
            return
        one = self._there(event, key)
        if change.kind is Kind.UPDATE:
            self._option(event, key, change.id, {field.name: field.wix for field in change.fields})
            return
        left = [old for old in one.options if old.id != change.id]
        if not left and not self.abilities.changes_options:
            raise TargetRefused("model: the last option cannot be removed", status=403)
        one.options = (
            [replace(old, active=False) if old.id == change.id else old for old in one.options] if one.orders else left
        )


def _together(writes: Sequence[tuple[str, Effect]]) -> list[tuple[str, Effect]]:
    def effect() -> None:
        for _, one in writes:
            one()

    return [(", ".join(what for what, _ in writes), effect)]


def _each(rules: Mapping[str, Callable[[Value], Value]], fields: Fields) -> dict[str, Value]:
    return {name: rules[name](value) if name in rules else value for name, value in fields.items()}
