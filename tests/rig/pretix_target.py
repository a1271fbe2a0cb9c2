"""The target of pretix in one event of a real pretix, through a proxy that counts and spoils its requests.

`on_pretix` is a fixture: a factory, `await on_pretix()` makes an event of its own. `bring` does what sync does with one ticket: find,
plan, write, and plan again.
"""

import dataclasses
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from typing import Any
from uuid import uuid4

import pytest
from pydantic import SecretStr

from server.model import TicketId
from server.sync.mapping import Rule, TargetSettings
from server.sync.model import Applied, Kind, Operation, Record, TargetEvent, Unfit, Value, Wanted, WantedOption
from server.sync.plan import Found, Rules, plan_ticket
from server.sync.targets.pretix.target import Pretix
from tests.rig.http_proxy import Exchange, HttpProxy, http_proxy
from tests.rig.pretix import PretixServer

RULES = (
    Rule("name", "name", language="en"),
    Rule("description", "description", language="en"),
    Rule("internal_name", template="{name} · wix:{id}"),
    Rule("default_price", "price"),
)
OPTION_RULES = (Rule("value", "option.name", language="en"), Rule("default_price", "option.price"))


def new_id() -> TicketId:
    """A Wix id that no other ticket has."""
    return TicketId(str(uuid4()))


def wanted(
    ticket: str = "", *options: WantedOption, initial: Mapping[str, Value] | None = None, **fields: Any
) -> Wanted:
    """A ticket, called Seat unless it says otherwise; a field that is ... is left out."""
    id_ = ticket or new_id()
    name = str(fields.get("name", "Seat"))
    base: dict[str, Any] = {
        "name": name,
        "internal_name": f"{name} · wix:{id_}",
        "description": "",
        "default_price": "25.00",
        "active": True,
        "limit": 60,
        **fields,
    }
    kept = {one: value for one, value in base.items() if value is not ...}
    return Wanted(TicketId(id_), name, kept, dict(initial or {}), options, frozenset({"EUR"}))


def changed(one: Wanted, *options: WantedOption, **fields: Value) -> Wanted:
    """The same ticket with other values; *options* take the place of all, if there are any."""
    return dataclasses.replace(one, fields={**one.fields, **fields}, options=options or one.options)


def option(name: str, price: str = "10.00", id_: str = "", **fields: Value) -> WantedOption:
    """A pricing option; its id is made of its name unless it is given."""
    return WantedOption(id_ or f"option-{name}", name, {"value": name, "default_price": price, **fields})


async def free() -> None:
    """A budget without end, and a lease that is always there."""


class OnPretix:
    """The target with an event of its own. `paths` of the API are below the event."""

    def __init__(self, server: PretixServer, proxy: HttpProxy, event: str, settings: TargetSettings) -> None:
        self.server = server
        self.proxy = proxy
        self.event = event
        self.settings = settings
        self.pay: Callable[[], Awaitable[None]] = free
        self.before_write: Callable[[], Awaitable[None]] = free
        self.targets: list[Pretix] = []
        self.target = self.new_target()

    def new_target(self) -> Pretix:
        """Another process's target: it remembers nothing."""

        async def pay() -> None:
            await self.pay()

        self.targets.append(Pretix(self.settings, pay))
        return self.targets[-1]

    async def use_team(self, **team: Any) -> None:
        """Use the token of a new team from now on, which may do in all events what *team* says, and nothing else."""
        token = await self.server.new_token(**team)
        self.settings = dataclasses.replace(self.settings, secret=SecretStr(token))
        self.target = self.new_target()

    async def aclose(self) -> None:
        """Close the connections of all targets."""
        for one in self.targets:
            await one.aclose()

    async def described(self) -> TargetEvent:
        """The event as the target tells it."""
        return await self.target.event(self.event)

    async def fitted(self, one: Wanted) -> Wanted:
        """A ticket in pretix's form."""
        found = self.target.fit(one, await self.described())
        assert isinstance(found, Wanted), found
        return found

    async def unfit(self, one: Wanted) -> Unfit:
        """Why a ticket has no form in pretix."""
        found = self.target.fit(one, await self.described())
        assert isinstance(found, Unfit), found
        return found

    async def plan(self, one: Wanted, *, applied: Applied | None = None, key: str | None = None) -> Operation | None:
        """What sync would do."""
        found = await self.target.find(self.event, one.ticket, key)
        rules = Rules(changes_options=self.target.abilities.changes_options)
        return plan_ticket(await self.fitted(one), Found(tuple(found)), applied, rules)

    async def bring(self, one: Wanted, *, applied: Applied | None = None, attempt: str = "1") -> Operation | None:
        """Plan, write what is planned, and see that the next plan is empty; answers the operation."""
        operation = await self.plan(one, applied=applied)
        if operation is None:
            return None
        fitted = await self.fitted(one)
        if operation.kind is Kind.CREATE:
            key = await self.target.create(self.event, fitted, attempt, self.before_write)
            assert [key] == [record.key for record in await self.target.find(self.event, one.ticket, key)]
        else:
            assert Kind.UPDATE is operation.kind, operation
            [record] = await self.target.find(self.event, one.ticket, operation.record)
            await self.target.update(self.event, record, fitted, operation, self.before_write)
        assert await self.plan(one, applied=applied) is None
        return operation

    async def record(self, ticket: str) -> Record:
        """The one record that bears this id."""
        [found] = await self.target.find(self.event, TicketId(ticket), None)
        return found

    async def item(self, ticket: str) -> dict[str, Any]:
        """The one item of pretix that bears this id, as its API has it."""
        [found] = [one for one in await self.items() if ticket in one["meta_data"].values()]
        return found

    async def items(self) -> list[dict[str, Any]]:
        """All items of the event."""
        return await self.server.all(self.event, "items")

    async def quotas(self) -> list[dict[str, Any]]:
        """All quotas of the event."""
        return await self.server.all(self.event, "quotas")

    async def api(self, method: str, path: str, json: Any = None) -> Any:
        """What somebody else does in pretix; answers its JSON."""
        answer = await self.server.api(method, self.server.path(self.event) + path, json)
        assert answer.is_success, answer.text
        return answer.json() if answer.content else None

    async def by_hand(self, name: str = "By hand", **fields: Any) -> dict[str, Any]:
        """An item that somebody has made in pretix."""
        found: dict[str, Any] = await self.api(
            "POST", "items/", {"name": {"en": name}, "default_price": "9.00", **fields}
        )
        return found

    def requests(self, number: int = 0) -> list[str]:
        """The requests after the first *number*, each as its method and its path below the event without ids and query."""
        return [_short(one, self.event) for one in self.proxy.since(number)]

    def writes(self, number: int = 0) -> list[Exchange]:
        """The requests after the first *number* that write."""
        return [one for one in self.proxy.since(number) if one.writes]

    @property
    def seen(self) -> int:
        """How many requests there were."""
        return len(self.proxy.exchanges)


def _short(one: Exchange, event: str) -> str:
    path = one.path.partition("?")[0].partition(f"/events/{event}/")[2]
    return f"{one.method} {'/'.join('N' if word.isdecimal() else word for word in path.split('/'))}"


MakeOnPretix = Callable[..., Awaitable[OnPretix]]
"""The type of the fixture `on_pretix`."""


@pytest.fixture
async def on_pretix(pretix: PretixServer) -> AsyncIterator[MakeOnPretix]:
    """Make targets, each with an event of its own; words are those of `new_event`, *server* is another than the shared one."""
    async with AsyncExitStack() as stack:

        async def make(currency: str = "EUR", *, server: PretixServer | None = None, **more: Any) -> OnPretix:
            at = server or pretix
            proxy = await stack.enter_async_context(http_proxy(at.url))
            settings = TargetSettings(
                name="pretix-main",
                kind="pretix",
                url=proxy.url,
                secret=SecretStr(at.token),
                events={},
                rules=RULES,
                options=OPTION_RULES,
                allow_http=True,
                allow_private=True,
                own={"organizer": at.organizer},
            )
            found = OnPretix(at, proxy, await at.new_event(currency, **more), settings)
            stack.push_async_callback(found.aclose)
            return found

        yield make
