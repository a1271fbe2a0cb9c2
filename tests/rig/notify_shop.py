"""The commands of notify on real parts: events in Redis as a worker has read them, a CSV file, and a mail relay.

notify_shop    two events of the local Wix: tickets of "spring-gala" are on sale, those of "autumn-ball" will be in two days
"""

import json
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest

from sandbox.model import Price, Pricing
from server.campaign import Campaign, ChannelName, RowState, State
from server.keyring import KeyRing, Purpose
from server.model import EventId, SiteId
from server.redis.client import RedisClient, Use
from server.store.campaigns import Campaigns
from server.store.definitions import Definitions
from server.store.outbox import Outbox
from server.wire import guid
from tests.rig.campaigns import campaign
from tests.rig.commands import Commands, logs_as_before
from tests.rig.redis import RedisServer
from tests.rig.server import until
from tests.rig.smtp_server import Relay, relay
from tests.rig.wix import WixRig
from tests.rig.worker_rig import running_worker

DAY = 86_400.0
PEOPLE = tuple(f"reader{number}@people.example" for number in range(60))
NOTIFY_TOML = """format = 1
[tools.readers]
kind = "csv"
file = "readers.csv"
[events.spring-gala]
tool = "readers"
[events.autumn-ball]
tool = "readers"
push = true
"""
KEY, OLD_KEY = "n" * 43, "o" * 43
VAPID = "hySELwhGF2sZtmR7nlsLQ3Wa4HLceOWfAsITOaRyeV4"


class NotifyShop(Commands):
    """A folder with notify.toml and readers.csv, the Redis that has the events, and the relay."""

    def __init__(self, folder: Path, redis: RedisServer, wix: WixRig, relay_: Relay) -> None:
        super().__init__(
            "notify",
            folder,
            {
                "REDIS_URL": redis.url,
                "NOTIFY_KEYS": f"{KEY},{OLD_KEY}",
                "NOTIFY_VAPID_KEYS": VAPID,
                "NOTIFY_SMTP_URL": relay_.url,
                "NOTIFY_FROM": "news@example.org",
                "NOTIFY_SENDER_NAME": "Example Hall",
                "NOTIFY_POSTAL_ADDRESS": "1 Example Street, Exampleton",
                "PUBLIC_URL": "https://tickets.example.org",
            },
        )
        self.redis = redis
        self.relay = relay_
        self.site = SiteId(wix.site)
        self.keyring = KeyRing([KEY, OLD_KEY])
        self.events: dict[str, EventId] = {}
        self.tickets: dict[str, str] = {}
        """Ids by name."""

    async def json(self, *words: str, status: int = 0) -> dict[str, Any]:
        """The one object that a command prints with --json."""
        found, out, errors = await self.run(*words, "--json")
        assert status == found, errors
        (line,) = out.splitlines()
        return dict(json.loads(line))

    def subscribe(self, people: Sequence[str]) -> None:
        """The subscribers of the file."""
        (self.folder / "readers.csv").write_text("email,language\n" + "".join(f"{one},de\n" for one in people))

    def campaign(self, **changes: Any) -> Campaign:
        """A campaign of "spring-gala", as the worker opens it."""
        ids = {"site": self.site, "event": self.events["spring-gala"], "tickets": (self.tickets["Early bird"],)}
        return campaign(**{**ids, "key": self.keyring.ids[0], **changes})

    def row(self, one: Campaign, address: str, channel: ChannelName = ChannelName.MAIL) -> str:
        """The row of a recipient."""
        return self.keyring.hash(Purpose.ROW, one.name, channel, address, key=one.key)

    async def opened(self, store: RedisClient, **changes: Any) -> Campaign:
        """A campaign that is open."""
        found = await Campaigns(store).open(self.campaign(**changes))
        assert found is not None
        return found

    async def sent(
        self,
        store: RedisClient,
        one: Campaign,
        rows: dict[str, tuple[RowState, str]],
        channel: ChannelName = ChannelName.MAIL,
    ) -> Outbox:
        """What a worker has done of a campaign: each recipient's state, and why."""
        outbox = Outbox(store, one, channel, "worker")
        assert await outbox.take()
        await outbox.note(State.SENDING, total=len(PEOPLE), passes=1)
        for address, (state, reason) in rows.items():
            row = self.row(one, address, channel)
            await outbox.claim(row, ())
            if state is not RowState.CLAIMED:
                await outbox.mark(row, state, reason, next_try=time.time() + 300 if state is RowState.WAITING else None)
        return outbox

    def mail(self) -> EmailMessage:
        """The only mail that the relay took."""
        (found,) = self.relay.answered
        return found.message


@pytest.fixture
async def notify_shop(
    redis_url: str, redis_shared: RedisServer, wix: WixRig, tmp_path: Path
) -> AsyncIterator[NotifyShop]:
    """The events are read; nothing was announced, and no worker runs."""
    now = time.time() // 60 * 60
    events = {"spring-gala": "Spring Gala", "autumn-ball": "Autumn Ball"}
    made = {}
    for slug, title in events.items():
        made[slug] = wix.world.create_event(title, now + 60 * DAY, now + 61 * DAY, "Europe/Berlin", slug=slug)
    starts = {
        "Early bird": ("spring-gala", now - 600),
        "Balcony": ("spring-gala", now + 1200),
        "Ball, early": ("autumn-ball", now + 2 * DAY),
        "Ball, late": ("autumn-ball", now + 2 * DAY + 1800),
    }
    with relay() as mail_relay:
        shop = NotifyShop(tmp_path, redis_shared, wix, mail_relay)
        for name, (slug, start) in starts.items():
            shop.tickets[name] = wix.world.create(
                made[slug].id,
                name=name,
                limit=100,
                start=start,
                pricing=Pricing.FIXED,
                prices=(Price("45.00", "EUR"),),
                end=now + 50 * DAY,
            ).id
        shop.events = {slug: EventId(guid(one.id) or one.id) for slug, one in made.items()}
        async with running_worker(redis_url, wix) as worker:
            await worker.add_site(wix.site, everything=True)
            definitions = Definitions(worker.store)

            async def read() -> bool:
                for event in shop.events.values():
                    ids = await definitions.of_event(shop.site, event)
                    stored = [await definitions.read(shop.site, one) for one in ids]
                    if len(stored) != 2 or not all(one and "event" in (one.facts or {}) for one in stored):
                        return False
                return True

            await until(read)
        (tmp_path / "notify.toml").write_text(NOTIFY_TOML)
        shop.subscribe(PEOPLE)
        with logs_as_before():
            yield shop


@pytest.fixture
async def shop_store(notify_shop: NotifyShop) -> AsyncIterator[RedisClient]:
    """A worker's client of the shop's Redis."""
    async with aclosing(RedisClient(notify_shop.redis.url, Use.WORK)) as found:
        yield found
