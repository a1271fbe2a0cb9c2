"""A deployment with notify in one process, for tests of several sites or several deployments.

gala = Gala(wix)                                        the event "spring-gala" of a site; its ticket goes on sale tomorrow
tenant = NotifyTenant(command, url, settings, relay)    starts nothing: `await tenant.serve(gala)`
gala.start_sale()
"""

import time
from collections.abc import Iterable
from email.message import EmailMessage
from pathlib import Path
from urllib.parse import urlsplit

import httpx
from redis.asyncio import Redis

from sandbox.model import Price, Pricing
from tests.rig.deployment import Deployment
from tests.rig.process import Command, Run
from tests.rig.redis import free_port
from tests.rig.sale_deployment import PATIENCE, Answer
from tests.rig.server import until
from tests.rig.smtp_server import Relay
from tests.rig.wix import WixRig

SLUG = "spring-gala"
DAY = 86_400.0


class Gala:
    """An event of a site with one ticket."""

    def __init__(self, wix: WixRig) -> None:
        now = time.time()
        wix.knobs.turn(rate_limit=100_000)
        self.wix = wix
        self.event = wix.world.create_event("Spring Gala", now + 60 * DAY, now + 61 * DAY, "Europe/Berlin", slug=SLUG)
        self.ticket = wix.world.create(
            self.event.id,
            name="Seat",
            limit=100,
            start=now + DAY,
            pricing=Pricing.FIXED,
            prices=(Price("45.00", "EUR"),),
            end=now + 50 * DAY,
        ).id

    def start_sale(self, seconds: float = 5.0) -> None:
        """Have the sale start after so many seconds."""
        self.wix.world.update(self.ticket, start=float(int(time.time() + seconds) + 1))


class NotifyTenant:
    """A deployment: its notify.toml is to be written to `file`. `url` is where its pages are."""

    def __init__(
        self, command: Run, redis_url: str, wix: dict[str, str], relay: Relay, folder: Path, *, prefix: str, **more: str
    ) -> None:
        folder.mkdir(exist_ok=True)
        port = free_port()
        self.prefix, self.relay, self.file = prefix, relay, folder / "notify.toml"
        self.url = f"http://127.0.0.1:{port}"
        self.deployment = Deployment(
            command,
            redis_url,
            wix,
            REDIS_PREFIX=prefix,
            NOTIFY_FILE=str(self.file),
            NOTIFY_SMTP_URL=relay.url,
            NOTIFY_FROM="news@example.org",
            NOTIFY_SENDER_NAME="Example Hall",
            NOTIFY_POSTAL_ADDRESS="1 Example Street, Exampleton",
            PUBLIC_URL=self.url,
            PORT=str(port),
            RECONCILE="5",
            **more,
        )

    async def serve(self, *galas: Gala) -> Command:
        """Start the process, and wait until these events are switched on: sales that start from then on are announced."""
        process = self.deployment.start("serve")
        url = await process.url()
        for one in galas:
            one.wix.send_to(url)

        async def switched_on() -> bool:
            async with Redis.from_url(self.deployment.redis_url, decode_responses=True) as redis:
                found = [await redis.hlen(f"{self.prefix}:{{{one.wix.site}}}:notify:events") for one in galas]
            return [1] * len(galas) == found

        await until(switched_on, PATIENCE)
        return process

    async def cli(self, *words: str) -> Answer:
        """Run one `ticket-counter notify` command to its end."""
        command = self.deployment.start("notify", *words, LOG_LEVEL="WARNING")
        status, _ = await command.ended(PATIENCE)
        return Answer(status, command.out, command.err)

    async def done(self, number: int) -> list[dict[str, object]]:
        """Wait until so many campaigns are kept and all of them are done; answers them."""
        found: list[dict[str, object]] = []

        async def holds() -> bool:
            nonlocal found
            answer = await self.cli("status", "--json")
            found = answer.json["campaigns"]
            return ["done"] * number == [one["state"] for one in found]

        try:
            await until(holds, PATIENCE)
        except AssertionError:
            raise AssertionError(f"{found}\n{self.deployment.log[-3000:]}") from None
        return found

    def to(self, address: str) -> list[EmailMessage]:
        """The mails that somebody got."""
        return [one.message for one in self.relay.to(address)]

    def recipients(self) -> list[str]:
        """Who got mails, as often as they did."""
        return sorted(one.recipient for one in self.relay.mails)

    async def leave(self, mail: EmailMessage) -> None:
        """Press the button of a mail program."""
        link = str(mail["List-Unsubscribe"]).strip().split(">")[0].strip("<")
        assert link.startswith(self.url)
        async with httpx.AsyncClient(base_url=self.url, trust_env=False) as client:
            answer = await client.post(urlsplit(link).path, data={"List-Unsubscribe": "One-Click"})
        assert 200 == answer.status_code, answer.text


def people(*names: str) -> Iterable[str]:
    """Addresses of these names."""
    return [f"{one}@example.com" for one in names]
