"""Sync as it is deployed, with everything real: the local Wix, Valkey, processes of the product, and pretix behind a proxy.

    sync          a SyncRig: `await sync.add_event(30)`, `await sync.apply(event)`, `await sync.serve()`, `await sync.equal()`
    sync_alone    the same with a pretix of its own, to kill and restore

SYNC_TEST_SIZE is the size of the scenarios in tenths: 1 in CI, 10 by hand.
"""

import asyncio
import json
import os
import random
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from sandbox.model import Ticket
from tests.rig.deployment import Deployment
from tests.rig.http_proxy import Exchange, HttpProxy, http_proxy
from tests.rig.key_table import unlisted
from tests.rig.pretix import PretixServer, PretixServers
from tests.rig.pretix_equal import differences, doubles, half_made
from tests.rig.process import Command, Run
from tests.rig.redis import RedisServer, Servers
from tests.rig.server import until
from tests.rig.wix import WixRig

SIZE = int(os.environ.get("SYNC_TEST_SIZE", "1"))
"""Tenths of the full size."""
TARGET = "box"
RECONCILE = 10
"""Seconds within which a lost webhook does no harm."""
IN_TIME = 5.0
"""Seconds within which an edit in Wix is in pretix."""
PATIENCE = 120.0

FILE = """
format = 1
[targets.{target}]
kind = "pretix"
url = "{url}"
organizer = "{organizer}"
token_env = "BOX_TOKEN"
allow_http = true
allow_private = true
requests_per_minute = 6000
events = {{ {events} }}
{more}
"""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a command printed, and its exit status."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The last line as JSON."""
        return json.loads(self.out.splitlines()[-1])

    def __str__(self) -> str:
        return f"exit status {self.status}\n{self.out}\n{self.err}"


@dataclass(frozen=True, slots=True)
class SyncedEvent:
    """An event of Wix and its event in pretix; *deleted* are ids of tickets that were deleted."""

    id: str
    slug: str
    pretix: str
    deleted: list[str] = field(default_factory=list)


class SyncRig:
    """Everything of one test. `pretix` is asked by the test itself; the product only knows the `proxy`."""

    def __init__(
        self, *, wix: WixRig, pretix: PretixServer, proxy: HttpProxy, redis: RedisServer, command: Run, folder: Path
    ) -> None:
        self.wix = wix
        self.pretix = pretix
        self.proxy = proxy
        self.redis = redis
        self.events: list[SyncedEvent] = []
        self.file = folder / "sync.toml"
        self.more = ""
        self.deployment = Deployment(
            command,
            redis.url,
            wix.settings(),
            SYNC_FILE=str(self.file),
            BOX_TOKEN=pretix.token,
            RECONCILE=str(RECONCILE),
            LOG_LEVEL="DEBUG",
        )
        self.write_file()

    def write_file(self, more: str | None = None) -> None:
        """Write sync.toml for all events; *more* are further lines of the target, which stay."""
        self.more = self.more if more is None else more
        events = ", ".join(f'"{one.id}" = "{one.pretix}"' for one in self.events)
        self.file.write_text(
            FILE.format(
                target=TARGET, url=self.proxy.url, organizer=self.pretix.organizer, events=events, more=self.more
            )
        )

    async def add_event(self, tickets: int, title: str = "Gala", currency: str = "EUR") -> SyncedEvent:
        """Make an event with tickets of all kinds over the control API, and one of pretix for it; processes must not run yet."""
        made = await self.control("POST", "/events", {"title": title})
        await self.control("POST", f"/events/{made['id']}/fill", {"tickets": tickets, "currency": currency})
        found = SyncedEvent(made["id"], made["slug"], await self.pretix.new_event(currency, name=title))
        self.events.append(found)
        self.write_file()
        return found

    # -- Wix --

    async def control(self, method: str, path: str, body: Any = None) -> Any:
        """One request to the control API of the local Wix; answers its JSON."""
        answer = await self.wix.http.request(method, f"/sandbox{path}", json=body)
        assert 200 == answer.status_code, answer.text
        return answer.json()

    def tickets(self, event: SyncedEvent, kind: str | None = None) -> list[Ticket]:
        """The tickets of an event now, or those of a kind of sandbox/seed.py."""
        return [one for one in self.wix.world.tickets_of(event.id) if kind in (None, one.kind)]

    async def edit(self, ticket: str, **members: Any) -> None:
        """Change a ticket in Wix."""
        await self.control("PATCH", f"/tickets/{ticket}", members)

    async def delete(self, event: SyncedEvent, ticket: str) -> None:
        """Delete a ticket in Wix."""
        await self.control("DELETE", f"/tickets/{ticket}")
        event.deleted.append(ticket)

    # -- the product --

    async def serve(self, workers: int = 1, **more: str) -> str:
        """Start a web process and workers; webhooks go there. Answers its address."""
        for _ in range(workers):
            self.deployment.worker(**more)
        url = await self.deployment.web(**more)
        self.wix.send_to(url)
        return url

    async def known(self) -> None:
        """Wait until every ticket of our events has been read from Wix."""
        tickets = [ticket.id for event in self.events for ticket in self.tickets(event)]
        site = self.wix.site
        await until(lambda: self._all_stored(site, tickets), PATIENCE)

    async def cli(self, *words: str, seconds: float = PATIENCE) -> Answer:
        """Run one `ticket-counter sync` command to its end."""
        command = self.start("sync", *words)
        status, _ = await command.ended(seconds)
        return Answer(status, command.out, command.err)

    def start(self, *words: str) -> Command:
        """Start one command, and do not wait for it."""
        return self.deployment.start(*words, LOG_LEVEL="WARNING")

    async def plan(self, event: SyncedEvent) -> Any:
        """The plan of an event as JSON."""
        answer = await self.cli("plan", event.id, "--to", TARGET, "--json")
        assert 0 == answer.status, str(answer)
        return answer.json

    async def apply(self, event: SyncedEvent, *options: str, status: int = 0) -> Any:
        """Apply an event without a question; answers the last line's JSON."""
        answer = await self.cli("apply", event.id, "--to", TARGET, "--yes", "--json", *options)
        assert status == answer.status, str(answer)
        return answer.json

    async def apply_all(self) -> None:
        """Apply every event once; from then on they are followed."""
        for event in self.events:
            await self.apply(event)

    # -- what is proven --

    async def differences(self) -> list[str]:
        """Every difference between Wix and pretix, over all events."""
        return [
            line
            for event in self.events
            for line in await differences(self.pretix, event.pretix, self.tickets(event), event.deleted)
        ]

    async def doubles(self) -> list[str]:
        """Wix ids that stand twice in an event of pretix."""
        return [id_ for event in self.events for id_ in await doubles(self.pretix, event.pretix)]

    async def half_made(self) -> list[str]:
        """Items that are on sale and not complete."""
        return [line for event in self.events for line in await half_made(self.pretix, event.pretix)]

    async def equal(self, seconds: float = PATIENCE) -> float:
        """Wait until pretix is one to one with Wix; answers for how long. Fails with the differences."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        while found := await self.differences():
            if loop.time() - began > seconds:
                status = await self.cli("parked")
                raise AssertionError(
                    f"after {seconds} s there are {len(found)} differences:\n" + "\n".join(found[:20]) + f"\n{status}"
                )
            await asyncio.sleep(0.1)
        return loop.time() - began

    async def quiet(self, seconds: float = 2.0) -> None:
        """Wait until the product has sent nothing to pretix for so many seconds."""
        number, since = len(self.proxy.exchanges), asyncio.get_running_loop().time()

        def still() -> bool:
            nonlocal number, since
            now = asyncio.get_running_loop().time()
            if len(self.proxy.exchanges) != number or self.proxy.at_work:
                number, since = len(self.proxy.exchanges), now
            return now - since > seconds

        await until(still, PATIENCE)

    async def wait_for_calls(self, kind: str, number: int, seconds: float) -> None:
        """Wait until Wix has been asked so often."""
        await until(lambda: len(self.wix.calls(kind)) >= number, seconds)

    async def parked_as(self, state: str, ticket: str, seconds: float = PATIENCE) -> Any:
        """Wait until a ticket is parked in this state; answers what `sync parked --json` says of it."""

        async def found() -> Any:
            rows = (await self.cli("parked", "--json")).json["parked"]
            return next((one for one in rows if (one["ticket"], one["state"]) == (ticket, state)), None)

        return await until(found, seconds)

    @property
    def written(self) -> int:
        """How many requests that write pretix was sent so far."""
        return len(self.proxy.writes)

    async def _all_stored(self, site: str, tickets: Sequence[str]) -> bool:
        return None not in await self.deployment.stored(site, tickets, "read_at")


def record_of(exchange: Exchange) -> str | None:
    """Which record of pretix a request writes: an item with its variations, or, of what is made, the ticket whose id it has."""
    if found := re.search(r"/events/([^/]+)/items/(\d+)/", exchange.path):
        return f"item {found[2]} of {found[1]}"
    body = exchange.json
    if isinstance(body, dict) and (named := re.search(r"wix:([0-9a-f-]{36})", json.dumps(body))):
        return f"ticket {named[1]}"
    if found := re.search(r"/events/([^/]+)/quotas/(\d+)/", exchange.path):
        return f"quota {found[2]} of {found[1]}"
    return None


def random_edit(rng: random.Random, rig: SyncRig, event: SyncedEvent) -> tuple[str, dict[str, Any]]:
    """One random change of one random ticket that pretix can take: its id, and members as Wix's Update has them."""
    ticket = rng.choice(rig.tickets(event))
    number = rng.randrange(1, 10_000)
    changes: list[dict[str, Any]] = [
        {"name": f"{rng.choice(('Seat', 'Siège', 'Sitz', 'מושב', '座席'))} {number}"},
        {"initialLimit": rng.choice((None, 0, number))},
        {"hidden": not ticket.hidden},
        {"salePeriod": {"startDate": f"20{rng.randrange(20, 30)}-01-01T10:00:00Z", "endDate": "2060-01-01T10:00:00Z"}},
        {"salePeriod": {"displayNotOnSale": not ticket.shown_early}},
        {"sortIndex": rng.randrange(200)},
        {"pricingMethod": priced(ticket, rng)},
    ]
    return ticket.id, rng.choice(changes)


def priced(ticket: Ticket, rng: random.Random) -> dict[str, Any]:
    """Other prices of a ticket, in Wix's form: of one with options the first is renamed, and the last one may be new."""
    currency = ticket.prices[0].currency

    def money() -> dict[str, str]:
        return {"value": f"{rng.randrange(1, 500)}.{rng.randrange(100):02}", "currency": currency}

    if ticket.pricing.value != "options":
        return {rng.choice(("fixedPrice", "guestPrice")): money()}
    kept = ticket.prices[: max(1, len(ticket.prices) - rng.randrange(2))]
    options: list[dict[str, Any]] = [
        {"optionId": one.option, "name": one.name, "price": {"value": one.value, "currency": currency}} for one in kept
    ]
    options[0] |= {"name": f"Option {rng.randrange(1000)}", "price": money()}
    if rng.random() < 0.5 and len(options) < 8:
        options.append({"name": f"New {rng.randrange(1000)}", "price": money()})
    return {"pricingOptions": {"optionDetails": options}}


@pytest.fixture
async def sync(
    wix: WixRig, pretix: PretixServer, redis_server: Servers, command: Run, tmp_path: Path
) -> AsyncIterator[SyncRig]:
    """A deployment with sync, without events yet, and with the pretix that tests share."""
    async with _rig(wix, pretix, redis_server(), command, tmp_path) as found:
        yield found


@pytest.fixture
async def sync_alone(
    wix: WixRig, pretix_server: PretixServers, redis_server: Servers, command: Run, tmp_path: Path
) -> AsyncIterator[SyncRig]:
    """The same with a pretix of its own, which may be killed and restored."""
    async with _rig(wix, pretix_server(), redis_server(), command, tmp_path) as found:
        yield found


@asynccontextmanager
async def _rig(
    wix: WixRig, pretix: PretixServer, redis: RedisServer, command: Run, folder: Path
) -> AsyncIterator[SyncRig]:
    wix.knobs.turn(rate_limit=100_000)
    async with http_proxy(pretix.url) as proxy:
        yield SyncRig(wix=wix, pretix=pretix, proxy=proxy, redis=redis, command=command, folder=folder)
    assert [] == unlisted(redis.port)
