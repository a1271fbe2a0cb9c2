"""A site whose tickets are brought to a model of a target: what Wix says, one worker's parts, and the target.

rig.says(ticket, name="…", price="…")   a read of Wix is stored
await rig.bring(ticket)                  one pass of the applier
rig.target                               the model (model_target.py)
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, Self

from pydantic import SecretStr

from server.counter import Rules
from server.model import EventId, SiteId, TicketId
from server.store.sync_records import FollowedEvent, StoredRecord
from server.sync.applier import Applier
from server.sync.audit import Audit
from server.sync.mapped_events import MappedEvent
from server.sync.mapping import Rule, TargetSettings
from server.sync.model import Outcome
from server.sync.stores import Stores
from server.sync.work import NOTHING_MORE, Allowed
from tests.rig.fake_reader import EVENT, FakeReader, definition
from tests.rig.model_target import ModelTarget
from tests.rig.server import SITE
from tests.rig.wix import ManualClock

NAME = "box"
TARGET_EVENT = "ev1"
EVENT_ID = EventId(EVENT)
SITE_ID = SiteId(SITE)
OTHER_EVENT = EventId("0b5f1a2e-4444-4444-8444-00000000e002")

SETTINGS = TargetSettings(
    name=NAME,
    kind="model",
    url="https://box.example.org",
    secret=SecretStr("a-secret-of-no-one"),
    events={EVENT: TARGET_EVENT, OTHER_EVENT: "ev2"},
    rules=(
        Rule("name", source="name"),
        Rule("price", source="price"),
        Rule("limit", source="limit"),
        Rule("active", source="hidden", convert="not"),
        Rule("note", constant="from Wix", initial=True),
    ),
    options=(Rule("name", source="option.name"), Rule("price", source="option.price")),
)


def ticket_id(number: int) -> TicketId:
    """A ticket definition id."""
    return TicketId(f"11111111-bbbb-4bbb-8bbb-{number:012}")


def facts_of(
    ticket: str,
    *,
    name: str = "General admission",
    price: str = "25.00",
    options: dict[str, tuple[str, str]] | None = None,
    limit: int | None = 100,
    hidden: bool = False,
    currency: str = "EUR",
    event: EventId = EVENT_ID,
) -> dict[str, Any]:
    """A definition as Wix's JSON; *options*: name and price by option id."""
    method: dict[str, Any] = {"fixedPrice": {"value": price, "currency": currency}}
    if options is not None:
        details = [
            {"optionId": id_, "name": its, "price": {"value": amount, "currency": currency}}
            for id_, (its, amount) in options.items()
        ]
        method = {"pricingOptions": {"optionDetails": details}}
    found = {"id": ticket, "eventId": event, "name": name, "hidden": hidden, "pricingMethod": method}
    return {**found, "limited": False} if limit is None else {**found, "limited": True, "initialLimit": limit}


class ApplierRig:
    """One site, one target, one worker; the clock of sync is moved by hand, that of Redis is not."""

    def __init__(self, redis_url: str, settings: TargetSettings, target: ModelTarget) -> None:
        self.reader = FakeReader(redis_url, SITE)
        self.settings = settings
        self.target = target
        self.clock = ManualClock()
        self.stores = Stores.of(self.reader.store)
        self.applier = self.new_applier()
        self.chance = 0.5

    @classmethod
    @asynccontextmanager
    async def on(
        cls, redis_url: str, settings: TargetSettings = SETTINGS, target: ModelTarget | None = None
    ) -> AsyncIterator[Self]:
        """The rig on this Redis, with its site, of which every ticket is tracked, and its first event, which is followed."""
        rig = cls(redis_url, settings, target or ModelTarget(steps=True))
        try:
            await rig.reader.schedule.add_site(SITE_ID, Rules(), everything=True)
            await rig.reader.store.do("HSET", rig.stores.due.keys.key(SITE_ID, "site"), "complete", 1)
            await rig.follow()
            yield rig
        finally:
            await rig.reader.aclose()

    def new_applier(self, **changes: Any) -> Applier:
        """The applier of another process, with other settings where *changes* has them."""
        settings = replace(self.settings, **changes)
        return Applier(settings, self.target, self.stores, chance=lambda: self.chance, clock=self.clock)

    @property
    def event(self) -> MappedEvent:
        """The first event, with that of the target."""
        return MappedEvent(SITE_ID, EVENT_ID, "", TARGET_EVENT, self.settings.place(TARGET_EVENT))

    async def follow(self, event: EventId = EVENT_ID, target_event: str = TARGET_EVENT) -> None:
        """The event was applied once."""
        followed = FollowedEvent(event, target_event, "Gala", self.clock(), self.settings.place(target_event))
        await self.stores.records.follow(SITE_ID, NAME, followed)

    async def says(self, ticket: TicketId, *, unsold: int | None = 3, event: EventId = EVENT_ID, **facts: Any) -> None:
        """Wix was read, and says this of the ticket."""
        its = facts_of(ticket, event=event, **facts)
        await self.reader.read(definition(ticket, unsold, event=event, name=its["name"], facts=its))

    async def deletes(self, *tickets: TicketId) -> None:
        """Wix answered 404 for these."""
        for one in tickets:
            await self.reader.delete(one)

    async def bring(
        self, ticket: TicketId, allowed: Allowed = NOTHING_MORE, *, applier: Applier | None = None
    ) -> Outcome:
        """Bring one ticket, as a worker or a command does."""
        async with self.stores.leases.held(SETTINGS.server) as lease:
            claimed = await self.stores.due.claim(SITE_ID, NAME, ticket)
            assert claimed is not None, "no other process has it"
            return await (applier or self.applier).bring(claimed, lease, allowed)

    async def memory(self, ticket: TicketId) -> StoredRecord:
        """What is remembered of a ticket."""
        return await self.stores.records.read(SITE_ID, NAME, ticket)

    async def due_in(self, ticket: TicketId) -> float | None:
        """Seconds until it is due, by Redis's clock; None = not before it is marked."""
        at = await self.reader.store.do("ZSCORE", self.stores.due.keys.sync(SITE_ID, NAME, "due"), ticket)
        if at is None:
            return None
        now, micro = await self.reader.store.do("TIME")
        return float(at) / 1e6 - int(now) - int(micro) / 1e6

    async def flush(self) -> None:
        """All that sync remembers is lost; what was read of Wix is not."""
        for name in await self.reader.store.do("KEYS", "tc:*sync*"):
            await self.reader.store.do("DEL", name)

    def audit(self) -> Audit:
        """The audits of a process."""
        return Audit(self.applier, lambda: [SITE_ID], clock=self.clock)

    def record(self, ticket: TicketId, event: str = TARGET_EVENT) -> Any:
        """The one record that bears the id, as the model stores it."""
        [found] = [one for one in self.target.stored[event].values() if one.ticket == ticket]
        return found
