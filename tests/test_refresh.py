import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from server.keys import key
from server.model import Hint, Pace, Rules, SiteId, TicketId, Timing
from server.refresh import SLOTS, Refresh
from server.schedule import Class, Listing, Lot, Schedule, Wait
from server.sites import Sites
from server.snapshots import Finding, Snapshots, Stored
from server.store.client import Store, Use
from server.wix.client import ApiKey, App, Wix
from tests.rig.elapse import elapse
from tests.rig.reads import Reads, definition
from tests.rig.redis import RedisServer
from tests.rig.scripted import Say, Scripted, running
from tests.rig.server import OTHER, SITE, TICKET, until
from tests.rig.wix import WixRig

RULES = Rules()
SAMPLE = json.loads((Path(__file__).parent / "samples" / "definitions.json").read_text())["fixed"]


class Reader:
    """Refresh and all it reads and writes, on a Redis and a Wix."""

    def __init__(self, redis_url: str, wix_url: str, app: App, timing: Timing | None = None) -> None:
        self.store = Store(redis_url, Use.WORK)
        self.schedule = Schedule(self.store, timing, chance=lambda: 0.1)
        self.wix = Wix(app, wix_url)
        self.snapshots = Snapshots(self.store, RULES, timing)
        self.sites = Sites(self.schedule, (), RULES, everything=False)
        self.refresh = Refresh(self.store, self.sites, self.snapshots, self.wix)
        self.running: asyncio.Task[None] | None = None

    async def adopt(self, site: str, *, everything: bool = False) -> None:
        await self.schedule.adopt(SiteId(site), RULES, everything=everything)

    async def shown(self, site: str, ticket: str) -> dict[str, Any]:
        found = await self.store.do("HGET", key(site, "ticket", ticket), "counter")
        return dict(json.loads(found)) if found else {}

    async def shows(self, site: str, ticket: str, **expected: Any) -> None:
        async def holds() -> bool:
            return expected.items() <= (await self.shown(site, ticket)).items()

        await until(holds)

    async def due(self, site: str, ticket: str) -> float:
        """Seconds from now until the ticket is due."""
        score = await self.store.do("ZSCORE", key(site, "due"), ticket)
        at, us = await self.store.do("TIME")
        return (float(score) - float(at) * 1e6 - float(us)) / 1e6


@asynccontextmanager
async def reading(redis_url: str, wix: WixRig, timing: Timing | None = None) -> AsyncIterator[Reader]:
    """A reader that runs on the sandbox."""
    settings = wix.settings()
    reader = Reader(redis_url, wix.url, App(settings["wix_app_id"], settings["wix_app_secret"]), timing)
    try:
        await reader.adopt(wix.site)
        reader.running = asyncio.create_task(reader.refresh.run())
        yield reader
        reader.refresh.stop()
        await reader.running
    finally:
        if reader.running is not None:
            reader.running.cancel()
        await reader.wix.aclose()
        await reader.store.aclose()


def answer(*tickets: str, next: str | None = None) -> dict[str, Any]:  # noqa: A002 - Wix's word
    """Wix's answer with these tickets, and where there are more."""
    definitions = [{**SAMPLE, "id": ticket} for ticket in tickets]
    return {"ticketDefinitions": definitions, "metadata": {"cursors": {"next": next} if next else {}}}


@asynccontextmanager
async def scripted(redis_url: str) -> AsyncIterator[tuple[Reader, Scripted]]:
    """A reader that reads only what a test claims, on a Wix that does as it is told."""
    async with running() as wix:
        reader = Reader(redis_url, wix.url, App("app", "secret"), Timing(again=0.0))
        try:
            await reader.adopt(SITE)
            yield reader, wix
        finally:
            await reader.wix.aclose()
            await reader.store.aclose()


async def claimed(reader: Reader) -> Lot:
    """What is due now, whatever the gap between two reads."""
    await reader.store.do("HDEL", key(SITE, "reads"), "last_lot")
    lot = await reader.schedule.claim(SiteId(SITE), RULES)
    assert isinstance(lot, Lot)
    return lot


async def watch(reader: Reader, site: str, *tickets: str) -> None:
    await reader.schedule.watch(SiteId(site), [TicketId(one) for one in tickets], counters=False)


async def mark(reader: Reader, site: str, *tickets: str) -> None:
    await reader.schedule.mark(SiteId(site), Hint("test", tuple(TicketId(one) for one in tickets)))


async def test_watched_is_read(redis_url: str, wix: WixRig) -> None:
    """A ticket that somebody begins to watch is read from Wix and kept, with its number and its price."""
    async with reading(redis_url, wix) as reader:
        await watch(reader, wix.site, wix.tickets["fixed"])

        await reader.shows(wix.site, wix.tickets["fixed"], state="available", unsold=120)
        assert ["query"] == [call.kind for call in wix.calls() if call.kind != "token"]


async def test_hint_is_read_again(redis_url: str, wix: WixRig) -> None:
    """A hint makes a watched ticket be read again at once, and what was sold meanwhile is kept."""
    ticket = wix.tickets["fixed"]
    async with reading(redis_url, wix) as reader:
        await watch(reader, wix.site, ticket)
        await reader.shows(wix.site, ticket, unsold=120)

        wix.world.buy(ticket, 2)
        await mark(reader, wix.site, ticket)

        await reader.shows(wix.site, ticket, unsold=118)


async def test_a_hundred_in_one_call(redis_url: str, wix: WixRig) -> None:
    """Law 4: A hundred due tickets are one call to Wix."""
    tickets = wix.sandbox.add(100)
    async with reading(redis_url, wix) as reader:
        await reader.adopt(wix.site, everything=True)
        await until(lambda: reader.schedule.tracked(SiteId(wix.site)))
        for ticket in tickets:
            await reader.shows(wix.site, ticket, unsold=1000)
        before = len(wix.calls("query"))

        for ticket in tickets:
            wix.world.buy(ticket)
        await mark(reader, wix.site, *tickets)
        for ticket in tickets:
            await reader.shows(wix.site, ticket, unsold=999)

        assert 1 == len(wix.calls("query")) - before


async def test_listing_finds_every_ticket(redis_url: str, wix: WixRig) -> None:
    """Where every ticket is wanted the site is listed page by page, and each ticket gets a snapshot and a due time."""
    tickets = wix.sandbox.add(150)
    async with reading(redis_url, wix) as reader:
        await reader.adopt(wix.site, everything=True)

        await reader.shows(wix.site, wix.tickets["low"], state="low", unsold=3)
        await reader.shows(wix.site, wix.tickets["hidden"], state="gone", unsold=None)
        for ticket in tickets:
            await reader.shows(wix.site, ticket, unsold=1000)
        assert {*tickets, *wix.tickets.values()} == set(await reader.schedule.tracked(SiteId(wix.site)))
        assert 2 == len(wix.calls("query"))


async def test_unlisted_ticket_is_looked_for(redis_url: str, wix: WixRig) -> None:
    """A tracked ticket that a full listing does not have is marked, read, and found to be deleted: a tombstone."""
    ticket = wix.tickets["fixed"]
    async with reading(redis_url, wix, Timing(again=0.1)) as reader:
        await reader.adopt(wix.site, everything=True)
        await reader.shows(wix.site, ticket, unsold=120)

        wix.world.delete(ticket)
        await reader.schedule.list_now(SiteId(wix.site))

        await reader.shows(wix.site, ticket, state="gone", unsold=None)
        assert "get" in [call.kind for call in wix.calls()]
        entries = await reader.store.do("XRANGE", key(wix.site, "changes"), "-", "+")
        last = entries[-1][1]
        fields = last if isinstance(last, dict) else dict(zip(last[::2], last[1::2], strict=True))
        assert ticket == fields["ticket"]
        assert "before" in fields
        assert "after" not in fields


async def test_never_there_costs_no_get(redis_url: str, wix: WixRig) -> None:
    """Law 9: A ticket that Wix does not know and we never did is gone for a while, without a call of its own."""
    stranger = "99999999-aaaa-4aaa-8aaa-000000000099"
    async with reading(redis_url, wix) as reader:
        await watch(reader, wix.site, stranger)

        await reader.shows(wix.site, stranger, state="gone")
        await watch(reader, wix.site, stranger)
        assert ["query"] == [call.kind for call in wix.calls() if call.kind != "token"]
        assert 0 < await reader.store.do("TTL", key(wix.site, "ticket", stranger)) <= 60


async def test_missing_once_proves_nothing(redis_url: str, reads: Reads) -> None:
    """A known ticket that one answer leaves out keeps its number and is looked for again; only Wix's own 404 ends it."""
    async with scripted(redis_url) as (reader, wix):
        await reads.read(definition(TICKET, 3))
        await watch(reader, SITE, TICKET)
        wix.say("/query", Say(200, {"ticketDefinitions": []}))
        wix.say(f"/{TICKET}", Say(404, {"message": "not found"}))
        states = []

        for _ in range(2):
            await mark(reader, SITE, TICKET)
            await reader.refresh.read(await claimed(reader))
            states.append((await reader.shown(SITE, TICKET))["state"])

        assert ["low", "gone"] == states
        assert 1 == len([one for one in wix.asked if one.method == "GET"])


@pytest.mark.parametrize(("answer", "unsold"), [(SAMPLE, 3), ({"id": TICKET}, 7)])
async def test_missing_but_there(redis_url: str, reads: Reads, answer: Any, unsold: int) -> None:
    """A known ticket that queries leave out and that is there by itself is kept as it is answered, if we can read it."""
    async with scripted(redis_url) as (reader, wix):
        await reads.read(definition(TICKET, 7))
        await watch(reader, SITE, TICKET)
        wix.say("/query", Say(200, {"ticketDefinitions": []}))
        wix.say(f"/{TICKET}", Say(200, {"ticketDefinition": answer}))

        for _ in range(2):
            await mark(reader, SITE, TICKET)
            await reader.refresh.read(await claimed(reader))

        assert unsold == (await reader.shown(SITE, TICKET))["unsold"]


@pytest.mark.parametrize("outage", ["500", "503", "429", "403", "401", "nonsense", "drop"])
async def test_fault_pauses_the_site(redis_url: str, wix: WixRig, outage: Any) -> None:
    """Law 5: While Wix fails the site is paused and asked by one call at a time; then its tickets are read as due."""
    ticket = wix.tickets["fixed"]
    async with reading(redis_url, wix) as reader:
        await watch(reader, wix.site, ticket)
        await reader.shows(wix.site, ticket, unsold=120)
        wix.knobs.turn(outage=outage, outage_of="api")
        wix.world.buy(ticket)
        before = len(wix.calls("query"))

        await mark(reader, wix.site, ticket)
        await until(lambda: reader.store.do("HGET", key(wix.site, "reads"), "paused_until"))
        failed = len(wix.calls("query")) - before
        wix.knobs.turn(outage="none")

        await reader.shows(wix.site, ticket, unsold=119)
        # One call, and the one more that a 401 is worth.
        assert 1 <= failed <= 2

        async def well() -> bool:
            return bool("0" == await reader.store.do("HGET", key(wix.site, "reads"), "faults"))

        await until(well)


async def test_retry_after_is_kept(redis_url: str, wix: WixRig) -> None:
    """A site pauses for as long as Wix says, and nothing asks it meanwhile."""
    async with reading(redis_url, wix) as reader:
        wix.knobs.turn(rate_limit=0, retry_after=120)

        await watch(reader, wix.site, wix.tickets["fixed"])
        await until(lambda: reader.store.do("HGET", key(wix.site, "reads"), "paused_until"))

        claimed = await reader.schedule.claim(SiteId(wix.site), RULES)
        assert not isinstance(claimed, Lot)
        assert 110 < getattr(claimed, "seconds", 0) <= 120
        assert 1 == len(wix.calls("query"))


async def test_other_sites_go_on(redis_url: str, wix: WixRig) -> None:
    """Law 5: A site that Wix refuses does not hold up the others."""
    stranger = "5f0e4d3c-1111-4111-8111-00000000b999"
    async with reading(redis_url, wix) as reader:
        await reader.adopt(stranger)
        await watch(reader, stranger, wix.tickets["fixed"])
        await until(lambda: reader.store.do("HGET", key(stranger, "reads"), "paused_until"))

        await watch(reader, wix.site, wix.tickets["fixed"])

        await reader.shows(wix.site, wix.tickets["fixed"], unsold=120)
        assert {} == await reader.shown(stranger, wix.tickets["fixed"])


async def test_one_refused_id_does_not_hide_the_others(redis_url: str) -> None:
    """A batch that Wix answers 400 to is read in halves, each paid for, until the one that it dislikes is alone."""
    tickets = [f"11111111-aaaa-4aaa-8aaa-00000000000{n}" for n in range(4)]
    async with scripted(redis_url) as (reader, wix):
        await watch(reader, SITE, *tickets)
        wix.say("/query", Say(400, {"message": "bad id"}))

        await reader.refresh.read(await claimed(reader))

        asked = [one.body["query"]["filter"]["id"]["$in"] for one in wix.asked if one.path.endswith("/query")]
        assert [4, 2, 1, 1, 2, 1, 1] == [len(ids) for ids in asked]
        assert 13 <= float(await reader.store.do("HGET", key(SITE, "reads"), "tokens")) < 14
        for ticket in tickets:
            assert "gone" == (await reader.shown(SITE, ticket))["state"]


async def test_a_refused_id_that_we_know_stays(redis_url: str, reads: Reads) -> None:
    """A known ticket that Wix answers 400 to, in a query or by itself, keeps its number and is due in its turn."""
    async with scripted(redis_url) as (reader, wix):
        await reads.read(definition(TICKET, 3))
        await watch(reader, SITE, TICKET)
        wix.say("/query", Say(400, {"message": "bad id"}), Say(200, {"ticketDefinitions": []}))
        wix.say(f"/{TICKET}", Say(400, {"message": "bad id"}))
        dues = []

        for _ in range(3):
            await mark(reader, SITE, TICKET)
            await reader.store.do("ZREM", key(SITE, "hinted"), TICKET)
            await reader.refresh.read(await claimed(reader))
            assert 3 == (await reader.shown(SITE, TICKET))["unsold"]
            dues.append(10 < await reader.due(SITE, TICKET) <= 15)

        assert [True, False, True] == dues
        assert 1 == len([one for one in wix.asked if one.method == "GET"])


async def test_404_to_a_query_is_a_fault(redis_url: str, reads: Reads) -> None:
    """Law 5: A 404 to a query, read or listing, is a wrong address: the site pauses, and no ticket is called gone."""
    async with scripted(redis_url) as (reader, wix):
        await reads.read(definition(TICKET, 3))
        await watch(reader, SITE, TICKET, OTHER)
        wix.say("/query", Say(404, {"message": "no such route"}))
        wix.say(f"/{TICKET}", Say(404, {"message": "no such route"}))

        for expected in (1, 2):
            await mark(reader, SITE, TICKET)
            await reader.store.do("HDEL", key(SITE, "reads"), "paused_until")
            await reader.refresh.read(await claimed(reader))
            assert str(expected) == await reader.store.do("HGET", key(SITE, "reads"), "faults")

        assert 3 == (await reader.shown(SITE, TICKET))["unsold"]
        assert {} == await reader.shown(SITE, OTHER)
        assert [] == [one for one in wix.asked if one.method == "GET"]


async def test_workers_with_other_rules_say_so(redis_url: str) -> None:
    """A worker that may not read a site, as it has another process's rules, says so once a minute at most."""
    async with scripted(redis_url) as (reader, wix):
        await reader.schedule.adopt(SiteId(SITE), Rules(low_at=99), everything=False)
        with capture_logs() as logs:
            running = asyncio.create_task(reader.refresh.run())
            await watch(reader, SITE, TICKET)
            await until(lambda: "rules_differ" in [one["event"] for one in logs])
            await asyncio.sleep(2.5)
            reader.refresh.stop()
            await running

        said = [one for one in logs if one["event"] == "rules_differ"]
        assert [("warning", SITE)] == [(one["log_level"], one["site"]) for one in said]
        assert "restart the workers with the same LOW_AT and SHOW_AT_MOST" in said[0]["hint"]
        assert [] == wix.asked


async def test_rules_that_change_during_a_read(redis_url: str) -> None:
    """What was claimed under rules that are others by now is not taken for read: somebody else reads it, soon."""
    async with scripted(redis_url) as (reader, wix):
        await watch(reader, SITE, TICKET)
        lot = await claimed(reader)
        await reader.schedule.adopt(SiteId(SITE), Rules(low_at=99), everything=False)
        wix.say("/query", Say(content=answer(TICKET)))

        await reader.refresh.read(lot)

        assert {} == await reader.shown(SITE, TICKET)
        assert 0 >= await reader.due(SITE, TICKET)


async def test_rules_that_change_during_a_listing(redis_url: str) -> None:
    """A listing whose pages are refused is not done."""
    async with scripted(redis_url) as (reader, wix):
        await reader.schedule.list_now(SiteId(SITE))
        listing = await reader.schedule.claim(SiteId(SITE), RULES)
        assert isinstance(listing, Listing)
        await reader.schedule.adopt(SiteId(SITE), Rules(low_at=99), everything=False)
        await reader.store.do("ZADD", key(SITE, "due"), listing.lease, "*")
        wix.say("/query", Say(content=answer(TICKET, next="more")))

        await reader.refresh._work(listing, asyncio.Semaphore(0), time.monotonic())

        assert 1 == len(wix.of("/query"))
        assert 0 >= await reader.due(SITE, "*")


async def test_silence_is_told(redis_url: str, wix: WixRig) -> None:
    """A worker tells that no webhook comes, when what it reads falls again and again, and that they come again."""
    ticket = wix.tickets["fixed"]
    async with reading(redis_url, wix, Timing(watch_every=0.1, silent_after=0.3)) as reader:
        await watch(reader, wix.site, ticket)
        with capture_logs() as logs:

            async def said(event: str) -> bool:
                await watch(reader, wix.site, ticket)
                if (await reader.shown(wix.site, ticket)).get("unsold") == wix.world.tickets[ticket].left:
                    wix.world.buy(ticket)
                return event in [one["event"] for one in logs]

            await until(lambda: said("webhooks_silent"))
            await reader.schedule.mark(SiteId(wix.site), Hint("order", (TicketId(ticket),)), "order")
            await until(lambda: said("webhooks_silent_no_more"))

        assert 1 == len([one for one in logs if one["event"] == "webhooks_silent"])


async def test_nobody_expects_webhooks_with_an_api_key(redis_url: str) -> None:
    """Webhooks belong to apps: who reads with an API key is told of no silence."""
    async with scripted(redis_url) as (reader, _):
        silences = [
            Refresh(reader.store, reader.sites, reader.snapshots, Wix(credentials, "http://127.0.0.1:9"))._silence
            for credentials in (App("app", "secret"), ApiKey("key", {SiteId(SITE): SITE}))
        ]

    assert [True, False] == [one._expected for one in silences]


async def test_listing_that_was_cut_is_made_again(redis_url: str, wix: WixRig) -> None:
    """Law 11: A worker that dies in the middle of a listing delays it for its lease, not until the next one."""
    wix.sandbox.add(150)
    async with reading(redis_url, wix) as reader:
        wix.knobs.turn(read_delay=0.3)
        await reader.adopt(wix.site, everything=True)
        await until(lambda: len(wix.calls("query")) >= 1)
        assert reader.running is not None
        reader.running.cancel()
        with suppress(asyncio.CancelledError):
            await reader.running

        assert 25 < await reader.due(wix.site, "*") <= 30
        wix.knobs.turn(read_delay=0.0)
        await elapse(reader.store, SiteId(wix.site), 30)
        await reader.wix.aclose()
        reader.wix = Wix(reader.wix.credentials, wix.url)
        reader.refresh = Refresh(reader.store, reader.sites, reader.snapshots, reader.wix)
        reader.running = asyncio.create_task(reader.refresh.run())

        await reader.shows(wix.site, wix.tickets["low"], state="low", unsold=3)

        async def ended() -> bool:
            return 590 < await reader.due(wix.site, "*") <= 600

        await until(ended)


async def test_listing_outlives_redis(redis_server: Callable[..., RedisServer], wix: WixRig) -> None:
    """A listing during which Redis is restarted is made again when Redis is back."""
    server = redis_server()
    tickets = wix.sandbox.add(150)
    async with reading(server.url, wix) as reader:
        wix.knobs.turn(read_delay=0.3)
        await reader.adopt(wix.site, everything=True)
        await until(lambda: wix.calls("query"))

        server.kill()
        await until(lambda: wix.calls("query")[0].status)
        wix.knobs.turn(read_delay=0.0)
        server.start()

        await reader.store.wait(10)
        for ticket in tickets:
            await reader.shows(wix.site, ticket, unsold=1000)


async def test_one_worker_lists(redis_url: str, wix: WixRig) -> None:
    """However long its pages take, a listing is one worker's: another one that looks finds nothing to list."""
    wix.sandbox.add(150)
    timing = Timing(lease=1.5)
    async with reading(redis_url, wix, timing) as reader, reading(redis_url, wix, timing):
        wix.knobs.turn(read_delay=0.8)
        await reader.adopt(wix.site, everything=True)

        async def ended() -> bool:
            return await reader.store.do("ZSCORE", key(wix.site, "due"), "*") and await reader.due(wix.site, "*") > 500

        await until(ended)

        assert 2 == len(wix.calls("query"))


PAGE = {"ticketDefinitions": [], "metadata": {"cursors": {"next": "more"}}}


async def test_listing_stops_between_pages(redis_url: str) -> None:
    """Law 11: A worker that is stopped in a listing reads no further page, and the listing is due at once."""
    async with scripted(redis_url) as (reader, wix):
        await reader.schedule.list_now(SiteId(SITE))
        gate = asyncio.Event()
        wix.say("/query", Say(200, PAGE, after=gate))
        running = asyncio.create_task(reader.refresh.run())
        await until(lambda: wix.of("/query"))

        reader.refresh.stop()
        gate.set()
        await running

        assert 1 == len(wix.of("/query"))
        assert 0 >= await reader.due(SITE, "*")


async def test_listing_that_was_taken_is_left(redis_url: str) -> None:
    """A listing that was begun anew meanwhile, after a change of rules, reads no further page."""
    async with scripted(redis_url) as (reader, wix):
        await reader.schedule.list_now(SiteId(SITE))
        gate = asyncio.Event()
        wix.say("/query", Say(200, PAGE, after=gate), Say(200, {"ticketDefinitions": []}))
        running = asyncio.create_task(reader.refresh.run())
        await until(lambda: wix.of("/query"))

        await reader.schedule.list_now(SiteId(SITE))
        await until(lambda: len(wix.of("/query")) == 2)
        with capture_logs() as logs:
            gate.set()
            await until(lambda: "listing_left" in [one["event"] for one in logs])
        reader.refresh.stop()
        await running

        assert 2 == len(wix.of("/query"))
        assert await reader.store.do("ZSCORE", key(SITE, "due"), "*") is None


async def test_listing_that_fails_is_due_again(redis_url: str) -> None:
    """Law 5: A listing that Wix fails pauses the site and is due soon after."""
    async with scripted(redis_url) as (reader, wix):
        await reader.schedule.list_now(SiteId(SITE))
        wix.say("/query", Say(404, {"message": "no such route"}))
        running = asyncio.create_task(reader.refresh.run())
        await until(lambda: reader.store.do("HGET", key(SITE, "reads"), "paused_until"))
        reader.refresh.stop()
        await running

        assert 0 < await reader.due(SITE, "*") <= 2
        assert {} == await reader.shown(SITE, TICKET)


async def test_listings_that_wait_keep_no_site_from_being_read(redis_url: str) -> None:
    """Law 5: As many listings as there are calls at once, each of a site that is paused, and another site is read."""
    async with scripted(redis_url) as (reader, wix):
        gate = asyncio.Event()
        first = [Say(content=answer(OTHER, next="more"), after=gate)] * SLOTS
        wix.say("/query", *first, Say(content=answer(TICKET)))
        paused = [SiteId(f"7f0e4d3c-1111-4111-8111-0000000{n:05}") for n in range(SLOTS)]
        for site in paused:
            await reader.adopt(site, everything=True)
        running = asyncio.create_task(reader.refresh.run())
        await until(lambda: len(wix.of("/query")) == SLOTS)
        for site in paused:
            await reader.schedule.fault(site, None, 300.0)
        gate.set()

        await watch(reader, SITE, TICKET)

        await until(lambda: reader.shown(SITE, TICKET))
        reader.refresh.stop()
        await running
        assert SLOTS + 1 == len(wix.of("/query"))


async def test_a_page_that_waited_too_long_is_not_read(redis_url: str) -> None:
    """Law 5: A worker that stood still between paying for a page and asking for it does not: its place is no more its own."""
    async with scripted(redis_url) as (reader, wix):
        await reader.schedule.list_now(SiteId(SITE))
        listing = await reader.schedule.claim(SiteId(SITE), RULES)
        assert isinstance(listing, Listing)

        spend = reader.schedule.spend
        reader.schedule.timing = replace(reader.schedule.timing, lease=0.2)

        async def slow(site: SiteId, class_: Class) -> int | Wait:
            paid = await spend(site, class_)
            await asyncio.sleep(0.3)
            return paid

        reader.schedule.spend = slow  # type: ignore[method-assign]
        await reader.refresh._work(listing, asyncio.Semaphore(0), time.monotonic())

        assert [] == wix.of("/query")
        assert 2 >= await reader.due(SITE, "*")


async def test_half_of_a_refused_lot_that_cannot_be_paid(redis_url: str) -> None:
    """Where the budget has no call left for the halves of a lot that Wix refused, both are due again, not one."""
    tickets = [f"99999999-aaaa-4aaa-8aaa-00000000000{n}" for n in range(4)]
    async with scripted(redis_url) as (reader, wix):
        await watch(reader, SITE, *tickets)
        wix.say("/query", Say(400, {"message": "no"}))
        lot = await claimed(reader)
        await reader.store.do("HSET", key(SITE, "reads"), "tokens", 0)

        await reader.refresh.read(lot)

        assert 1 == len(wix.of("/query"))
        assert all([await reader.due(SITE, ticket) <= 0 for ticket in tickets])


async def test_found_by_another_meanwhile(redis_url: str) -> None:
    """A ticket that an answer left out and that another worker has found since is looked at again, and is not gone."""
    async with scripted(redis_url) as (reader, wix):
        await watch(reader, SITE, TICKET)
        lot = await claimed(reader)
        finding = Finding(TicketId(TICKET), Pace.LIVE, f'"ticket":"{TICKET}"}}', "{}", 3)

        async def before_it_was(site: SiteId, tickets: Sequence[TicketId]) -> list[Stored]:
            await reader.snapshots.keep(lot.site, lot.version - 1, lot.version - 1, [finding])
            return []

        reader.snapshots.known = before_it_was  # type: ignore[method-assign]
        wix.say("/query", Say(content=answer()))
        await reader.refresh.read(lot)

        assert "state" not in await reader.shown(SITE, TICKET)
        assert 0 >= await reader.due(SITE, TICKET)


async def test_an_answer_that_is_not_full_proves_nothing(redis_url: str) -> None:
    """What is missing from an answer that has another page may be on that: it is not gone, and is looked at again."""
    async with scripted(redis_url) as (reader, wix):
        await watch(reader, SITE, TICKET, OTHER)
        wix.say("/query", Say(content=answer(TICKET, next="more")))

        await reader.refresh.read(await claimed(reader))

        assert TICKET == (await reader.shown(SITE, TICKET))["ticket"]
        assert {} == await reader.shown(SITE, OTHER)
        assert 0 >= await reader.due(SITE, OTHER)


async def test_strangers_do_not_hide_a_ticket(redis_url: str, wix: WixRig) -> None:
    """Law 9: Where only watched tickets are wanted a real one is found soon, whatever random ids have been asked for."""
    async with reading(redis_url, wix) as reader:
        await watch(reader, wix.site, *(f"99999999-aaaa-4aaa-8aaa-0000000{n:05}" for n in range(50)))
        await reader.shows(wix.site, "99999999-aaaa-4aaa-8aaa-000000000000", state="gone")

        await watch(reader, wix.site, wix.tickets["fixed"])

        await reader.shows(wix.site, wix.tickets["fixed"], unsold=120)
        assert 10 > len(wix.calls("query"))


async def test_unreadable_is_left_as_it_was(redis_url: str) -> None:
    """A definition of a shape that we cannot read proves nothing: its ticket keeps what it had, and is due in its turn."""
    async with scripted(redis_url) as (reader, wix):
        await watch(reader, SITE, TICKET)
        wix.say("/query", Say(200, {"ticketDefinitions": [{"id": TICKET, "eventId": "nonsense"}]}))

        await reader.refresh.read(await claimed(reader))

        assert {} == await reader.shown(SITE, TICKET)
        assert 10 < await reader.due(SITE, TICKET) <= 15


async def test_a_lot_that_waited_too_long_is_not_read(redis_url: str) -> None:
    """Law 5: A worker that stood still between its claim and its call makes none: its tickets are due again."""
    async with scripted(redis_url) as (reader, wix):
        await watch(reader, SITE, TICKET)
        lot = await claimed(reader)

        await reader.refresh._work(lot, asyncio.Semaphore(0), time.monotonic() - reader.schedule.timing.lease)

        assert [] == wix.asked
        assert 0 >= await reader.due(SITE, TICKET)


async def test_stop_lets_a_call_end(redis_url: str, wix: WixRig) -> None:
    """Law 11: A stop claims nothing more, and what was claimed is read to its end and kept."""
    ticket = wix.tickets["fixed"]
    async with reading(redis_url, wix) as reader:
        wix.knobs.turn(read_delay=0.3)
        await watch(reader, wix.site, ticket)
        await until(lambda: wix.calls("query"))

        reader.refresh.stop()
        assert reader.running is not None
        await reader.running

        assert 120 == (await reader.shown(wix.site, ticket))["unsold"]


async def test_redis_comes_back(redis_server: Callable[..., RedisServer], wix: WixRig) -> None:
    """A Redis that goes away and comes back is gone on with: nothing claimed is lost."""
    server = redis_server()
    ticket = wix.tickets["fixed"]
    async with reading(server.url, wix) as reader:
        await watch(reader, wix.site, ticket)
        await reader.shows(wix.site, ticket, unsold=120)

        with capture_logs() as said:
            server.kill()
            await until(lambda: "store_unavailable" in [one["event"] for one in said])
        server.start()
        wix.world.buy(ticket)

        async def marked() -> bool:
            await mark(reader, wix.site, ticket)
            return True

        await reader.store.wait(10)
        await until(marked)
        await reader.shows(wix.site, ticket, unsold=119)
        assert reader.running is not None
        assert not reader.running.done()


async def test_what_cannot_be_kept_is_due_again(redis_server: Callable[..., RedisServer], wix: WixRig) -> None:
    """A read that Redis did not take is made again when Redis is back, not only when its lease ends."""
    server = redis_server()
    ticket = wix.tickets["fixed"]
    async with reading(server.url, wix) as reader:
        wix.knobs.turn(read_delay=0.3)
        await watch(reader, wix.site, ticket)
        await until(lambda: wix.calls("query"))

        server.kill()
        await until(lambda: wix.calls("query")[0].status)
        server.start()

        await reader.store.wait(10)
        await reader.shows(wix.site, ticket, unsold=120)


async def test_site_that_is_removed_is_left(redis_url: str, wix: WixRig) -> None:
    """A site whose app was removed is not read any more, and is again once it is back."""
    ticket = wix.tickets["fixed"]
    async with reading(redis_url, wix) as reader:
        await watch(reader, wix.site, ticket)
        await reader.shows(wix.site, ticket, unsold=120)

        await reader.schedule.forget(SiteId(wix.site))
        await watch(reader, wix.site, ticket)
        assert [] == await reader.schedule.tracked(SiteId(wix.site))
        await until(lambda: f"refresh: {wix.site}" not in [task.get_name() for task in asyncio.all_tasks()])
        wix.world.buy(ticket)
        await reader.adopt(wix.site)
        await watch(reader, wix.site, ticket)
        await mark(reader, wix.site, ticket)

        await reader.shows(wix.site, ticket, unsold=119)
