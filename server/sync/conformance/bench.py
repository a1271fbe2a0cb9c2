"""What a check gets: the target, and what it needs of it beyond the Protocol, each part of which a target may not offer.

A test of a target subclasses Bench and writes those methods that it can; checks that need another are skipped by its name.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from enum import StrEnum
from itertools import count
from typing import Any
from uuid import uuid4

from server.errors import LeaseLost
from server.model import EventId, TicketId
from server.sync.conformance.expectation import NotOffered, Stopped, expect
from server.sync.conformance.samples import facts
from server.sync.definition import source
from server.sync.mapping import TargetSettings
from server.sync.model import Applied, Deleted, Fields, Kind, Operation, Record, Unfit, Wanted
from server.sync.plan import Found, Rules, plan_ticket
from server.sync.targets.target import Target

BETWEEN = 0.2
"""Seconds between two look-ups of a record that may appear later."""


class Fault(StrEnum):
    """What a bench may be able to do to one request on its way."""

    REFUSED = "400"
    UNAUTHORIZED = "401"
    FORBIDDEN = "403"
    TOO_LATE = "408"
    TOO_MANY = "429, Retry-After: 7"
    BROKEN = "500"
    DOWN = "503"
    REDIRECT = "301"
    HTML = "200 with a page of HTML"
    NOT_JSON = "200 with half a JSON text"
    CUT = "the connection ends within the answer"
    SILENT = "no answer, nothing done"
    LOST = "done, and the answer is lost"
    LATE = "no answer, and done only later"


class Meter:
    """The budget and the lease of a target, as the checks use them: they count, and they can end both.

    `paid` counts requests, `writes` those that the target said would write. `stop_at`: the request before which our process ends.
    """

    def __init__(self) -> None:
        self.paid = 0
        self.writes = 0
        self.stop_at: int | None = None
        self.lease_lost = False
        self._interrupts: dict[int, Callable[[], Awaitable[None]]] = {}

    def interrupt(self, request: int, run: Callable[[], Awaitable[None]]) -> None:
        """Have *run* run before the *request*-th request from now, from 1."""
        self._interrupts[self.paid + request] = run

    async def pay(self) -> None:
        """What the target calls before each request."""
        self.paid += 1
        if self.stop_at is not None and self.paid >= self.stop_at:
            raise Stopped
        if run := self._interrupts.pop(self.paid, None):
            await run()

    async def before_write(self) -> None:
        """What the target calls before each request that writes."""
        if self.lease_lost:
            raise LeaseLost("conformance: the lease was lost")
        self.writes += 1


class Bench:
    """One target, one of its events, and what a check may do there beyond the Protocol.

    `page`: how many records the target's list has on one page, None where it has no pages. `appears_within`: seconds after which
    a created record is found. `set_aside`: fields that the target does not keep at all, which no further check compares.
    `faults`: what `fail` can do. `single_fields`: an update writes no field that the plan does not name, and not all that the mapping
    has. `id_in`: mapped fields that hold the Wix id too, so they change with it.
    """

    page: int | None = None
    appears_within: float = 0.0
    faults: frozenset[Fault] = frozenset()
    single_fields: bool = True
    id_in: frozenset[str] = frozenset()

    def __init__(self, target: Target, settings: TargetSettings, event: str, meter: Meter) -> None:
        self.target = target
        self.settings = settings
        self.event = event
        self.meter = meter
        self.made: dict[TicketId, str | None] = {}
        self.set_aside: set[str] = set()
        self.applied: dict[TicketId, Applied] = {}
        self._attempts = count(1)

    # --- what a target may not offer

    async def other_event(self) -> str:
        """A second event of the target."""
        raise NotOffered("a second event")

    async def by_hand(self, name: str) -> str:
        """Make a record in the target by hand, without our id; answers its key."""
        raise NotOffered("a record made by hand")

    async def edit(self, key: str, fields: Mapping[str, Any]) -> None:
        """Change mapped fields in the target by hand."""
        raise NotOffered("an edit by hand")

    async def copy(self, key: str, event: str) -> str:
        """Copy a record with all that it has, as a person does, to this event; answers the copy's key."""
        raise NotOffered("a copy of a record")

    async def sell(self, key: str, option: str | None = None) -> None:
        """Sell one ticket of a record, of the option with this key where it has options."""
        raise NotOffered("a sold ticket")

    async def add_unmapped(self, key: str) -> None:
        """Give a record what no mapping names: other languages, custom fields."""
        raise NotOffered("a field that no mapping names")

    async def unmapped(self, key: str) -> object:
        """All of a record that no mapping names, as a value to compare."""
        raise NotOffered("a field that no mapping names")

    async def fail(self, fault: Fault, *, writes: bool) -> None:
        """Have the next request that writes, or that reads, meet this fault; only those of `faults`."""
        raise NotOffered("faults")

    async def settled(self) -> None:
        """Wait until a request of `Fault.LATE` has had its effect."""
        raise NotOffered("faults")

    async def requests(self) -> int:
        """How many requests the target has received so far."""
        raise NotOffered("a count of requests")

    # --- what every bench has

    async def ticket(self) -> TicketId:
        """The id of a ticket that nobody has yet."""
        return TicketId(str(uuid4()))

    async def wanted(self, ticket: TicketId, **changes: Any) -> Wanted:
        """What a ticket should be at the target, in the target's form; *changes* as `samples.facts` takes them.

        Raises NotOffered where the mapping or the target has no place for it.
        """
        found = await self.fitted(ticket, **changes)
        if isinstance(found, Unfit):
            raise NotOffered(f"such a ticket ({found.text})")
        return found

    async def fitted(self, ticket: TicketId, **changes: Any) -> Wanted | Unfit:
        """The same, or why the mapping or the target has no place for it."""
        event = await self.target.event(self.event)
        changes.setdefault("currency", event.currency or "EUR")
        found = self.mapped(ticket, facts(ticket, **changes))
        if not isinstance(found, Unfit):
            found = self.target.fit(found, event)
        return found if isinstance(found, Unfit) else replace(found, fields=self._kept(found.fields))

    def _kept(self, fields: Fields) -> Fields:
        return {name: value for name, value in fields.items() if name not in self.set_aside}

    def mapped(self, ticket: TicketId, of: Mapping[str, Any]) -> Wanted | Unfit:
        """What the mapping makes of these facts."""
        return self.settings.wanted(
            source(ticket, EventId("3f1c6f39-0000-4000-8000-000000000001"), of, unsold=3, read_at=1.0)
        )

    async def find(self, ticket: TicketId, key: str | None = None) -> list[Record]:
        """The records that bear this id; waits as long as one may need to appear."""
        until = time.monotonic() + self.appears_within
        while True:
            found = await self.target.find(self.event, ticket, key)
            if found or time.monotonic() >= until:
                return found
            await asyncio.sleep(BETWEEN)

    async def plan(self, wanted: Wanted | Deleted) -> Operation | None:
        """What sync would do now; None: nothing."""
        found = await self.find(wanted.ticket)
        return plan_ticket(wanted, Found(tuple(found)), self.applied.get(wanted.ticket), self.rules)

    @property
    def rules(self) -> Rules:
        """What a plan may do."""
        return Rules(changes_options=self.target.abilities.changes_options)

    async def create(self, wanted: Wanted, attempt: str | None = None) -> str:
        """Create a record; the same *attempt* is the same try."""
        attempt = attempt or f"conformance-{wanted.ticket}-{next(self._attempts)}"
        self.made[wanted.ticket] = None
        key = await self.target.create(self.event, wanted, attempt, self.meter.before_write)
        self.made[wanted.ticket] = key
        return key

    async def bring(self, wanted: Wanted, attempt: str | None = None) -> Operation | None:
        """Do what sync does with a ticket: look it up, plan, write what the plan says; answers the plan that was carried out."""
        found = await self.target.find(self.event, wanted.ticket, self.made.get(wanted.ticket))
        if not found:  # a search may miss one
            found = [one for one in await self.target.list(self.event) if one.ticket == wanted.ticket]
        operation = plan_ticket(wanted, Found(tuple(found)), self.applied.get(wanted.ticket), self.rules)
        if operation is None or operation.kind is Kind.CONFLICT:
            return operation
        if operation.kind is Kind.CREATE:
            await self.create(wanted, attempt)
        else:
            await self.target.update(self.event, found[0], wanted, operation, self.meter.before_write)
        self.applied[wanted.ticket] = Applied(0.0, wanted.fields, {one.id: one.fields for one in wanted.options})
        return operation

    async def one(self, ticket: TicketId, done: str) -> Record:
        """The one record that bears this id, after what was *done*."""
        found = await self.find(ticket)
        expect(len(found) == 1, done, "one record with its id", keys(found))
        return found[0]


def keys(records: Sequence[Record]) -> str:
    """Records as a check says which it saw."""
    return f"{len(records)} ({', '.join(one.key for one in records)})" if records else "none"
