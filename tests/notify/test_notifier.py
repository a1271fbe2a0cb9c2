"""All of notify in one process, from a sale's start at Wix to a mail at the relay."""

import asyncio
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import REGISTRY

from sandbox.model import Price, Pricing
from server import settings
from server.campaign import ChannelName, Counts, State
from server.model import SiteId, TicketId
from server.store.outbox import Outbox
from server.worker import Worker
from tests.rig.campaigns import campaign
from tests.rig.notify_models import people
from tests.rig.server import until
from tests.rig.smtp_server import Relay, relay
from tests.rig.wix import WixRig

VAPID = "hySELwhGF2sZtmR7nlsLQ3Wa4HLceOWfAsITOaRyeV4"
FILE = """format = 1
[tools.readers]
kind = "csv"
file = "readers.csv"
[events.spring-gala]
tool = "readers"
push = true
"""


@pytest.fixture
def mail_relay() -> Iterator[Relay]:
    with relay() as found:
        yield found


@pytest.fixture
def given(tmp_path: Path, mail_relay: Relay) -> dict[str, Any]:
    """The settings of a deployment that notifies, with its files."""
    (tmp_path / "notify.toml").write_text(FILE)
    (tmp_path / "readers.csv").write_text("email,language\n" + "".join(f"{one},de\n" for one in people(9)))
    return {
        "notify_file": tmp_path / "notify.toml",
        "notify_keys": "n" * 43,
        "notify_vapid_keys": VAPID,
        "notify_smtp_url": mail_relay.url,
        "notify_from": "news@example.org",
        "notify_sender_name": "Example Hall",
        "notify_postal_address": "1 Example Street, Exampleton",
        "public_url": "https://tickets.example.org",
    }


@asynccontextmanager
async def working(redis_url: str, wix: WixRig, given: dict[str, Any]) -> AsyncIterator[Worker]:
    """A worker that runs on the sandbox."""
    found = settings.load(_env_file=None, redis_url=redis_url, **{**wix.settings(), **given})
    worker = Worker(found, redis_url, reload_sites_every=0.05)
    await worker.start()
    running = asyncio.create_task(worker.run())
    try:
        yield worker
        worker.stop()
        await asyncio.wait_for(running, 10)
    finally:
        running.cancel()
        await worker.aclose()


def sale_starts(wix: WixRig, after: float) -> None:
    """An event of which one ticket goes on sale after so many seconds."""
    now = time.time()
    event = wix.world.create_event("Spring Gala", now + 86_400, now + 90_000, "Europe/Berlin", slug="spring-gala")
    wix.world.create(
        event.id,
        name="Early bird",
        limit=100,
        start=int(now + after),
        end=now + 80_000,
        pricing=Pricing.FIXED,
        prices=(Price("25.00", "EUR"),),
    )


async def test_subscribers_hear_of_a_sale_that_starts(
    redis_url: str, wix: WixRig, given: dict[str, Any], mail_relay: Relay
) -> None:
    """A sale starts, and each subscriber of the event has exactly one mail within seconds; then the campaign is done."""
    # On a busy machine a worker takes seconds to start, and what went on sale before it did is not announced.
    sale_starts(wix, 8)
    async with working(redis_url, wix, given) as worker:
        assert worker.notifier
        await until(lambda: len(mail_relay.answered) == 9, 30)
        [campaign] = await worker.notifier.runner.campaigns.of_site(SiteId(wix.site))
        outbox = Outbox(worker.redis, campaign, ChannelName.MAIL, "the-test")

        async def done() -> bool:
            return (await outbox.progress()).state is State.DONE

        await until(done)
        assert Counts(candidates=9, sent=9) == (await outbox.progress()).counts
        await worker.notifier.measure()

    assert sorted(people(9)) == sorted(one.recipient for one in mail_relay.answered)
    assert 0 == REGISTRY.get_sample_value("ticketcounter_notify_waiting", {"channel": "mail"})


async def test_pauses_and_waiting_rows_are_measured(
    redis_url: str, wix: WixRig, given: dict[str, Any], mail_relay: Relay
) -> None:
    """What waits, what is paused and how old the oldest campaign is can be seen in the metrics, which name nobody."""
    mail_relay.on("mail", "550 5.7.1 this sender may not")
    # On a busy machine a worker takes seconds to start, and what went on sale before it did is not announced.
    sale_starts(wix, 8)
    async with working(redis_url, wix, given) as worker:

        async def measured() -> bool:
            assert worker.notifier
            await worker.notifier.measure()
            paused = REGISTRY.get_sample_value("ticketcounter_notify_paused_seconds", {"server": "mail"})
            return bool(paused and REGISTRY.get_sample_value("ticketcounter_notify_waiting", {"channel": "mail"}))

        await until(measured, 30)

    assert 0 < (REGISTRY.get_sample_value("ticketcounter_notify_oldest_seconds", {"channel": "mail"}) or 0)


async def test_what_does_not_run_here_is_not_measured(redis_url: str, wix: WixRig, given: dict[str, Any]) -> None:
    """A campaign counts on the channels that its event has in notify.toml, and not at all where no event of it is named there."""
    given["notify_file"].write_text(FILE.replace("push = true", "[events.autumn-ball]\npush = true"))
    async with working(redis_url, wix, given) as worker:
        assert worker.notifier
        campaigns, now = worker.notifier.runner.campaigns, time.time()
        for name, age in (("spring-gala", 1000), ("gone", 3000)):
            one = campaign(
                site=SiteId(wix.site), name=name, event_name=name, start=now - age, tickets=(TicketId(name),)
            )
            assert await campaigns.open(one)
        await worker.notifier.measure()
        found = [
            REGISTRY.get_sample_value("ticketcounter_notify_oldest_seconds", {"channel": str(one)})
            for one in (ChannelName.MAIL, ChannelName.PUSH)
        ]

    assert [pytest.approx(1000, abs=100), 0] == found


def test_nothing_of_notify_is_imported_without_a_file(redis_url: str, wix: WixRig, tmp_path: Path) -> None:
    """A process without notify.toml imports nothing of notify, nor of the libraries that only notify needs."""
    program = (
        "import sys; import server.cli.commands, server.run, server.web; from server import settings; from server.worker import Worker;"
        f"Worker(settings.load(_env_file=None, **{wix.settings()!r}), {redis_url!r});"
        "print([name for name in ('server.cli.notify', 'server.notify', 'jinja2', 'babel', 'aiosmtplib', 'pywebpush') if name in sys.modules])"
    )
    found = subprocess.run(
        [sys.executable, "-c", program], cwd=Path(__file__).parents[2], capture_output=True, text=True, check=True
    )

    assert "[]" == found.stdout.strip()
