"""The product as it is deployed where it announces sales: the local Wix, Valkey, a mail relay, processes of the product.

sales    a SaleDeployment, whose subscribers stand in a CSV file, and whose workers have short waits

sales.subscribe(["reader@example.com"])
event = await sales.add_event()
await sales.serve()
await sales.start_sale(event)
await sales.reached(event, "done")
told = await sales.told(event)
"""

import asyncio
import json
import os
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest

from server.keyring import KeyRing, Purpose, new_key
from tests.rig.campaign_status import Told
from tests.rig.deployment import Deployment
from tests.rig.key_table import unlisted
from tests.rig.process import PROGRAM, Command, Run
from tests.rig.quick_worker import quick
from tests.rig.redis import RedisServer, Servers
from tests.rig.report import report
from tests.rig.server import until
from tests.rig.smtp_server import Relay, Slow, TakenMail, relay
from tests.rig.wix import WixRig

PER_SECOND = 25.0
"""The pace, as it is where notify.toml does not say another."""
RECONCILE = 10
PATIENCE = 120.0
EVERY = 0.1
"""Seconds between two looks at what is stored: several of these tests share a machine."""
EVERY = 0.1
"""Seconds between two looks at what is stored: several of these tests share a machine."""
A_DAY = 86_400.0

FILE = """
format = 1
{general}
[mail]
per_second = {per_second}
[tools.lists]
{tool}
"""

EVENT = """
[events.{slug}]
tool = "lists"
{audience}push = {push}
"""


@dataclass(slots=True)
class AnnouncedEvent:
    """An event of Wix whose sale is announced, perhaps to a list, and to browsers if `push`; `start` of the sale in seconds since 1970."""

    id: str
    slug: str
    list_id: str
    start: float
    tickets: tuple[str, ...]
    push: bool = False
    title: str = ""


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


class SaleDeployment:
    """Everything of one test; `program` is that of its workers."""

    def __init__(
        self, *, wix: WixRig, relay: Relay, redis: RedisServer, command: Run, folder: Path, **secrets: str
    ) -> None:
        self.wix = wix
        self.relay = relay
        self.redis = redis
        self.events: list[AnnouncedEvent] = []
        self.program = PROGRAM
        self.per_second = PER_SECOND
        self.general = ""
        self.file = folder / "notify.toml"
        key = new_key()
        self.keyring = KeyRing([key])
        self.deployment = Deployment(
            command,
            redis.url,
            wix.settings(),
            NOTIFY_FILE=str(self.file),
            NOTIFY_KEYS=key,
            NOTIFY_SMTP_URL=relay.url,
            NOTIFY_FROM="news@example.org",
            NOTIFY_SENDER_NAME="Example Hall",
            NOTIFY_POSTAL_ADDRESS="1 Example Street, Exampleton",
            PUBLIC_URL="https://tickets.example.org",
            RECONCILE=str(RECONCILE),
            LOG_LEVEL="INFO",
            **secrets,
        )

    @property
    def tool(self) -> str:
        """The lines of notify.toml that say which tool it is."""
        return 'kind = "csv"\nfile = "readers.csv"'

    def subscribe(self, people: Iterable[str], languages: Mapping[str, str] | None = None) -> None:
        """The subscribers of the file, and the languages of some."""
        file = self.file.with_name("readers.csv")
        lines = [f"{one},{(languages or {}).get(one, '')}\n" for one in people]
        file.write_text("email,language\n" + "".join(lines))
        os.utime(file, (time.time() - 60, time.time() - 60))  # a file that has just changed is waited for

    def write_file(self) -> None:
        """Write notify.toml for all events; `general` are lines of its beginning."""
        text = FILE.format(general=self.general, per_second=self.per_second, tool=self.tool)
        for one in self.events:
            audience = f'list = "{one.list_id}"\n' if one.list_id else ""
            text += EVENT.format(slug=one.slug, audience=audience, push=str(one.push).lower())
        self.file.write_text(text)

    # -- Wix --

    async def control(self, method: str, path: str, body: Any = None) -> Any:
        """One request to the control API of the local Wix; answers its JSON."""
        answer = await self.wix.http.request(method, f"/sandbox{path}", json=body)
        assert 200 == answer.status_code, answer.text
        return answer.json()

    async def add_event(
        self, list_id: str = "", *, tickets: int = 1, title: str = "Spring Gala", limit: int = 1000, push: bool = False
    ) -> AnnouncedEvent:
        """Make an event whose tickets go on sale tomorrow, and name it in notify.toml; processes must not run yet."""
        made = await self.control("POST", "/events", {"title": title})
        start = _whole(time.time() + A_DAY)
        ids = []
        for number in range(tickets):
            definition = {
                "eventId": made["id"],
                "name": f"Seat {number + 1}",
                "feeType": "FEE_INCLUDED",
                "pricingMethod": {"fixedPrice": {"value": "25.00", "currency": "EUR"}},
                "initialLimit": limit,
                "salePeriod": period(start),
            }
            ids.append((await self.control("POST", "/tickets", definition))["ticket"])
        found = AnnouncedEvent(made["id"], made["slug"], list_id, start, tuple(ids), push, title)
        self.events.append(found)
        self.write_file()
        return found

    async def start_sale(self, event: AnnouncedEvent, seconds: float = 5.0) -> None:
        """Have the sale start after so many seconds, and wait until the product knows it; it must be running."""
        await self.move_sale(event, time.time() + seconds)

        async def known() -> bool:
            facts = await self.deployment.stored(self.wix.site, event.tickets, "facts")
            return all(wix_time(event.start)[:19] in (one or "") for one in facts)

        await until(known, PATIENCE, every=EVERY)

    async def move_sale(self, event: AnnouncedEvent, start: float) -> None:
        """Have the sale of all tickets start at this time, in seconds since 1970, which may be over."""
        event.start = _whole(start)
        await self.edit(event, salePeriod=period(event.start))

    async def act(self, event: AnnouncedEvent, what: str) -> None:
        """`cancel`, `pause`, `open` and so on."""
        await self.control("POST", f"/events/{event.id}/{what}")

    async def shown(self, event: AnnouncedEvent, state: str) -> None:
        """Wait until this is the state of all tickets of an event, as visitors see them."""

        async def holds() -> bool:
            counters = await self.deployment.stored(self.wix.site, event.tickets, "counter")
            return {state} == {json.loads(one or "{}").get("state") for one in counters}

        await until(holds, PATIENCE, every=EVERY)

    async def read_since(self, event: AnnouncedEvent, at: float) -> None:
        """Wait until all tickets of an event were read after this time, in seconds since 1970."""

        async def holds() -> bool:
            read = await self.deployment.stored(self.wix.site, event.tickets, "read_at")
            return all(float(one or 0) > at * 1e6 for one in read)

        await until(holds, PATIENCE, every=EVERY)

    async def edit(self, event: AnnouncedEvent, **members: Any) -> None:
        """Change all tickets of an event in Wix."""
        for ticket in event.tickets:
            await self.control("PATCH", f"/tickets/{ticket}", members)

    # -- the product --

    async def serve(self, workers: int = 1, **more: str) -> str:
        """Start a web process and workers, and wait until all tickets and events are known; answers the address."""
        for _ in range(workers):
            self.worker(**more)
        url = await self.deployment.web(**more)
        self.wix.send_to(url)
        tickets = [ticket for event in self.events for ticket in event.tickets]
        await until(lambda: self._all_stored(tickets), PATIENCE, every=EVERY)
        await until(self._switched_on, PATIENCE, every=EVERY)
        return url

    def worker(self, **more: str) -> Command:
        """Start one more worker."""
        return self.deployment.worker(program=self.program, **more)

    async def cli(self, *words: str, seconds: float = PATIENCE, **more: str) -> Answer:
        """Run one `ticket-counter notify` command to its end."""
        command = self.deployment.start("notify", *words, **{"LOG_LEVEL": "WARNING", **more})
        status, _ = await command.ended(seconds)
        return Answer(status, command.out, command.err)

    async def status(self, campaign: str = "") -> Any:
        """What `notify status --json` says."""
        answer = await self.cli("status", *([campaign] if campaign else []), "--json")
        assert answer.out, str(answer)
        return answer.json

    async def told(self, event: AnnouncedEvent) -> Told:
        """What `notify status` says of an event's newest campaign; while it runs, what stays so meanwhile."""
        name = (await self.campaigns(event))[-1]
        text, answer = await asyncio.gather(self.cli("status", name), self.cli("status", name, "--json", "--exit-code"))
        assert 0 == text.status, str(text)
        assert answer.out, str(answer)
        found = Told(text.out, answer.json, answer.status)
        assert found.mail["waiting"] in {0, found.not_sent}
        report(f"{name}: {found.mail['state']}, {found.counts}, {found.not_sent} not sent")
        return found

    async def halfway(self, number: int) -> None:
        """Wait until the relay has so many mails; from then on it is slow, until `relay.off()`, so that there is time for a change."""
        await until(lambda: len(self.mails) >= number, PATIENCE)
        self.relay.on("mail", Slow(2.0))

    async def answered(self, event: AnnouncedEvent) -> None:
        """Wait until nothing is in flight."""

        async def holds() -> bool:
            return "0" == (await self.campaign(event)).get("claimed")

        await until(holds, PATIENCE, every=EVERY)

    async def ended(self, event: AnnouncedEvent, seconds: float = PATIENCE) -> Told:
        """Wait until a worker has ended the newest campaign of an event, at whatever end; answers what is said of it."""

        async def holds() -> bool:
            return "ended_at" in await self.campaign(event)

        await until(holds, seconds, every=EVERY)
        return await self.told(event)

    async def done(self, event: AnnouncedEvent, seconds: float = PATIENCE) -> Told:
        """Wait until the newest campaign of an event is done; answers what is said of it: everyone is accounted for."""
        await self.reached(event, "done", seconds)
        found = await self.told(event)
        assert ("done", "done", 0) == (found.json["state"], found.mail["state"], found.not_sent), found.text
        return found

    def let_pass(self, seconds: float) -> None:
        """Let so much time pass for notify: move what it remembers of events and campaigns into the past; no worker may run."""
        for key in self._keys("events"):
            for event in self.redis.ask("HKEYS", key):
                self.redis.ask("HINCRBYFLOAT", key, event, str(-seconds))
        for key in self._keys("campaign:*"):
            for name in ("start", "deadline", "opened_at"):
                self.redis.ask("HINCRBYFLOAT", key, name, str(-seconds))

    def end_window(self, seconds: float) -> None:
        """Have the time of all campaigns be over in so many seconds."""
        for key in self._keys("campaign:*"):
            self.redis.ask("HSET", key, "deadline", repr(time.time() + seconds))

    # -- what is proven --

    @property
    def mails(self) -> list[TakenMail]:
        """The mails that the relay took."""
        return list(self.relay.mails)

    @property
    def mails_by_address(self) -> Counter[str]:
        """How many mails each address got."""
        return Counter(one.recipient for one in self.mails)

    def mails_about(self, event: AnnouncedEvent) -> Counter[str]:
        """How many mails about an event each address got, by the title in the subject."""
        return Counter(one.recipient for one in self.mails if event.title in str(one.message["Subject"]))

    def texts_to(self, recipient: str) -> list[str]:
        """The text of each mail to this address, decoded."""
        return [text_of(one.message) for one in self.relay.to(recipient)]

    async def campaigns(self, event: AnnouncedEvent) -> list[str]:
        """The names of an event's campaigns, the oldest first."""
        names = [str(name) for key in self._keys("campaigns") for name in self.redis.ask("ZRANGE", key, "0", "-1")]
        return [name for name in names if name.startswith(f"{event.slug}@")]

    async def campaign(self, event: AnnouncedEvent, channel: str = "mail") -> Mapping[str, str]:
        """The run of an event's newest campaign, as it is stored: state, sent, failed, …; empty where there is none."""
        names = await self.campaigns(event)
        return await self._hash("run", names[-1], channel) if names else {}

    async def unknown(self, event: AnnouncedEvent) -> set[str]:
        """The rows of an event's newest campaign that were handed over and not answered, as they stand in Message-IDs."""
        name = (await self.campaigns(event))[-1]
        return {row for key in self._keys(f"unknown:{name}:mail") for row in self.redis.ask("SMEMBERS", key)}

    async def rows(self, event: AnnouncedEvent, addresses: Iterable[str]) -> dict[str, str]:
        """The row of each of these addresses in an event's newest campaign."""
        name = (await self.campaigns(event))[-1]
        return {one: self.keyring.hash(Purpose.ROW, name, "mail", one) for one in addresses}

    async def reached(
        self, event: AnnouncedEvent, state: str, seconds: float = PATIENCE, channel: str = "mail"
    ) -> Mapping[str, str]:
        """Wait until the newest campaign of an event is in this state; answers its run."""
        found: Mapping[str, str] = {}

        async def holds() -> bool:
            nonlocal found
            found = await self.campaign(event, channel)
            return found.get("state") == state

        try:
            await until(holds, seconds, every=EVERY)
        except AssertionError:
            logs = "".join(f"\n{one.words[0]}:\n{one.err[-3000:]}" for one in self.deployment.processes)
            raise AssertionError(f"after {seconds} s it is {found}{logs}") from None
        return found

    def too_quick(self, seconds: float = 5.0) -> list[tuple[float, int]]:
        """The spans of so many seconds in which more mails came than the pace allows, with how many: one second's worth may wait."""
        times = sorted(one.at for one in self.mails)
        most = self.per_second * (seconds + 1) + 1
        found = []
        for number, at in enumerate(times):
            within = sum(1 for other in times[number : number + int(most) + 50] if other < at + seconds)
            if within > most:
                found.append((at, within))
        return found

    def memory(self, command: Command) -> float:
        """MB that a process holds now."""
        pages = int(Path(f"/proc/{command.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 1e6

    async def _all_stored(self, tickets: list[str]) -> bool:
        return None not in await self.deployment.stored(self.wix.site, tickets, "read_at")

    def _switched_on(self) -> bool:
        """Whether the product has noted since when each event is announced: sales that start from then on are."""
        return [len(self.events)] == [self.redis.ask("HLEN", key) for key in self._keys("events")]

    def _keys(self, ending: str) -> list[str]:
        return [str(key) for key in self.redis.ask("KEYS", f"*:notify:{ending}")]

    async def _hash(self, *parts: str) -> Mapping[str, str]:
        found: dict[str, str] = {}
        for key in self._keys(":".join(parts)):
            found.update(self.redis.ask("HGETALL", key))
        return found


def _whole(seconds: float) -> float:
    """The next whole second: Wix has no parts of them."""
    return float(int(seconds) + 1)


def period(start: float) -> dict[str, Any]:
    """A sale from then on, which is shown before."""
    return {"startDate": wix_time(start), "endDate": "2060-01-01T00:00:00Z", "displayNotOnSale": True}


def text_of(mail: EmailMessage) -> str:
    """The text part of a mail."""
    part = mail.get_body(("plain",))
    assert part is not None
    return str(part.get_content())


def time_of(text: str) -> float:
    """A time of a command's JSON."""
    return datetime.fromisoformat(text).timestamp()


def wix_time(seconds: float) -> str:
    """A time as Wix writes it."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@pytest.fixture
async def sales(wix: WixRig, redis_server: Servers, command: Run, tmp_path: Path) -> AsyncIterator[SaleDeployment]:
    """A deployment without events yet, whose subscribers stand in a CSV file."""
    redis = redis_server()
    wix.knobs.turn(rate_limit=100_000)
    with relay() as relaying:
        found = SaleDeployment(wix=wix, relay=relaying, redis=redis, command=command, folder=tmp_path)
        found.program = quick()
        yield found
    assert [] == unlisted(redis.port)
