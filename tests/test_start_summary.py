import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import pytest
from structlog.testing import capture_logs

from server import start_summary
from server.model import Hint, SaleStatus, SiteId
from server.redis.client import RedisClient, Use
from server.start_summary import StartSummary
from server.store.schedule import Schedule
from server.store.wix_faults import written
from tests.rig.default_keys import key
from tests.rig.fake_reader import FakeReader, definition
from tests.rig.process import Run
from tests.rig.redis import free_port
from tests.rig.server import OTHER, SITE, TICKET, until
from tests.rig.settings import valid_settings
from tests.rig.wix import WixRig, sandbox_site

FOREIGN = SiteId("5f0e4d3c-1111-4111-8111-00000000b002")
LISTENS_AT = "http://127.0.0.1:8123"
APP: dict[str, Any] = {"public_url": "https://counter.example", "root_path": "/c"}


@pytest.fixture
async def reads(redis_url: str) -> AsyncIterator[FakeReader]:
    """A reader of the site, which is known and not listed yet."""
    async with aclosing(FakeReader(redis_url, SITE)) as found:
        await found.schedule.add_site(found.site, found.rules, everything=True)
        yield found


async def listed(reads: FakeReader, site: str = SITE) -> None:
    await reads.store.do("HSET", key(site, "site"), "complete", 1)


async def track(reads: FakeReader, *tickets: str) -> None:
    for one in tickets:
        await reads.store.do("ZADD", key(SITE, "due"), 1, one)


async def summary(schedule: Schedule, within: float = 0.1, **given: Any) -> list[str]:
    """The lines that are shown."""
    shown: list[str] = []
    settings = valid_settings(**{"wix_public_key": sandbox_site().public_line, **given})
    await StartSummary(settings, schedule, LISTENS_AT, shown.append, within).run()
    return [line for text in shown for line in text.split("\n")]


async def test_all_that_a_person_has_to_know(reads: FakeReader) -> None:
    """The summary has the version, the address, where Wix sends webhooks, the sites, the tickets, and HTML for a page."""
    await track(reads, TICKET, OTHER)
    await reads.read(definition(TICKET, 3, status=SaleStatus.ENDED), definition(OTHER, 3, name="Standing\x1b[2J"))
    await listed(reads)
    await reads.schedule.mark(SiteId(SITE), Hint("order"), "wix.events.v1.order_confirmed")

    blank, first, *lines, last = await summary(reads.schedule, **APP)

    assert ("", "") == (blank, last)
    assert first.startswith("  ticket-counter ")
    assert first.endswith(" runs at https://counter.example/c")
    assert [
        "  Webhooks  https://counter.example/c/webhooks/wix (the callback URL for the Webhooks page of your app at dev.wix.com)",
        f"  Sites     {SITE}",
        "  Tickets   2: `ticket-counter tickets` lists them",
        '  Page      <script async src="https://counter.example/c/widget/v1/ticket-counter.js"></script>',
        f'            <ticket-counter ticket="{OTHER}">Standing [2J</ticket-counter>',
    ] == lines


async def test_first_listing_is_waited_for(reads: FakeReader) -> None:
    """The summary comes once every ticket is listed, and not before."""
    running = asyncio.create_task(summary(reads.schedule, 60))
    await asyncio.sleep(0.1)
    assert not running.done()

    await listed(reads)

    assert "  Tickets   none yet: create them in Wix, under Events" in await running


async def test_listing_that_does_not_come(reads: FakeReader) -> None:
    """Without a listing the summary comes all the same, and says where to look."""
    lines = await summary(reads.schedule)

    told = "what keeps it from that is said beside the site, or in its log"
    assert f"  Tickets   not listed yet: a worker lists them, and {told}" in lines


async def test_only_watched_tickets(reads: FakeReader) -> None:
    """Where only watched tickets are tracked, nothing is waited for."""
    assert "  Tickets   those that have viewers (TRACK=watched)" in await summary(reads.schedule, 60, track="watched")


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ({}, f"{LISTENS_AT}/webhooks/wix, which Wix cannot reach: set PUBLIC_URL to the public https address"),
        ({"wix_public_key": None}, "refused: set WIX_PUBLIC_KEY, from the Webhooks page of your app at dev.wix.com"),
        (
            {"wix_api_key": "key", "wix_app_id": None, "wix_app_secret": None},
            "none: Wix sends them to apps only, and with an API key numbers change within WATCH_EVERY",
        ),
    ],
)
async def test_webhooks_that_cannot_come(reads: FakeReader, given: dict[str, Any], line: str) -> None:
    """Where no webhook can come, the summary says why and what to do."""
    await listed(reads)

    assert f"  Webhooks  {line}" in await summary(reads.schedule, **given)


async def test_no_site(redis_url: str) -> None:
    """Without a site the summary says how one becomes known."""
    async with aclosing(RedisClient(redis_url, Use.WORK)) as redis:
        lines = await summary(Schedule(redis))

    assert (
        "  Sites     none yet: set WIX_SITES to your app instance id and restart, or install the app on your site"
        == lines[3]
    )
    assert 5 == len(lines)


async def test_several_sites(reads: FakeReader) -> None:
    """With several sites the example names its own, and of many sites only some are named and looked at."""
    sites = [SITE, *(f"ffffffff-1111-4111-8111-{number:012}" for number in range(start_summary.MOST_SITES))]
    for site in sites:
        await reads.schedule.add_site(SiteId(site), reads.rules, everything=True)
        await listed(reads, site)
    await track(reads, TICKET)
    await reads.read(definition(TICKET, 3))

    lines = await summary(reads.schedule)

    assert f"  Sites     {', '.join(sites[:3])} and 18 more: `ticket-counter sites` lists them" in lines
    assert "  Tickets   `ticket-counter tickets` lists them" in lines
    assert f'            <ticket-counter ticket="{TICKET}" site="{SITE}">General admission</ticket-counter>' in lines


async def test_faults_are_beside_their_site(reads: FakeReader) -> None:
    """What is wrong with a site stands below it, and sites without a fault share a line."""
    well = SiteId("ffffffff-1111-4111-8111-000000000001")
    for site in (SiteId(SITE), FOREIGN, well):
        await reads.schedule.add_site(site, reads.rules, everything=True)
        await listed(reads, site)
    await reads.schedule.pause(SiteId(SITE), None, 0.0, written("Wix answered 401 to token", "copy both again"))
    for site in (SiteId(SITE), well):
        await reads.schedule.mark(site, Hint("order"), "wix.events.v1.order_confirmed")

    lines = await summary(reads.schedule, **APP)
    with capture_logs() as said:
        await summary(reads.schedule, log_form="json", **APP)

    told = (
        "no webhook yet, so sales show late: set the callback URL above on the Webhooks page of the app; the log says "
    )
    told += "`first_webhook` when one comes"
    at = lines.index(f"  Sites     {SITE}")
    assert [
        "              - Wix answered 401 to token: copy both again",
        f"            {FOREIGN}",
        f"              - {told}",
        f"            {well}",
    ] == lines[at + 1 : at + 5]
    [started] = [one for one in said if one["event"] == "started"]
    assert f"{SITE}, {FOREIGN}, {well}" == started["sites"]
    assert [f"{SITE}: Wix answered 401 to token: copy both again", f"{FOREIGN}: {told}"] == started["faults"]


async def test_many_faulty_sites(reads: FakeReader) -> None:
    """Of many sites with faults some are told, and how many more there are."""
    sites = [SITE, *(f"ffffffff-1111-4111-8111-{number:012}" for number in range(start_summary.MOST_FAULTY + 1))]
    for site in sites:
        await reads.schedule.add_site(SiteId(site), reads.rules, everything=True)
        await listed(reads, site)

    lines = await summary(reads.schedule, **APP)

    assert start_summary.MOST_FAULTY == sum("  - no webhook yet" in line for line in lines)
    assert "            and 2 more with faults: `ticket-counter doctor` tells them" in lines


async def test_redis_that_is_unavailable() -> None:
    """While Redis is unavailable the summary has what the settings say."""
    async with aclosing(RedisClient(f"redis://127.0.0.1:{free_port()}/0", Use.WORK)) as redis:
        assert f"  Sites     {SITE}" in await summary(Schedule(redis))


async def test_json_log(reads: FakeReader) -> None:
    """Where the log is JSON, the summary is one line of it."""
    await listed(reads)

    with capture_logs() as said:
        assert [] == await summary(reads.schedule, log_form="json")

    [line] = [one for one in said if one["event"] == "started"]
    assert (LISTENS_AT, SITE) == (line["address"], line["sites"])
    assert "page" not in line


@pytest.mark.parametrize("words", [("serve",), ("web", "--processes", "2")])
async def test_summary_of_a_process(command: Run, redis_url: str, wix: WixRig, words: tuple[str, ...]) -> None:
    """A server shows its summary once, however many processes it has, and an end before that is as any other."""
    given = {name.upper(): value for name, value in wix.settings().items()}
    worker = command("worker", REDIS_URL=redis_url, **given) if words[0] == "web" else None
    process = command(*words, **given, **({"REDIS_URL": redis_url} if worker else {}))
    await process.says("  Tickets   8: `ticket-counter tickets` lists them\n")
    await until(lambda: " listening " in process.err)

    assert 1 == process.err.count("runs at http://127.0.0.1:")
    assert 0 == (await process.stop())[0]


async def test_end_before_the_summary(command: Run, redis_url: str) -> None:
    """A process that ends while the summary waits for a listing ends as any other."""
    process = command("web", REDIS_URL=redis_url)
    await process.url()

    assert 0 == (await process.stop())[0]
    assert "Traceback" not in process.err
