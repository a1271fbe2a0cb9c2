import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

from structlog.testing import capture_logs

from server.counter import Rules
from server.model import SiteId
from server.refresh.claims import MAX_READS
from server.store.budget import Priority, Wait
from server.store.claims import Listing
from server.store.timing import Timing
from tests.rig.default_keys import key
from tests.rig.fake_wix import Reply
from tests.rig.redis import RedisServer
from tests.rig.server import OTHER, SITE, TICKET, until
from tests.rig.stored_site import list_now
from tests.rig.time_travel import elapse
from tests.rig.wix import WixRig
from tests.rig.worker_rig import RULES, answer, running_worker, watch, worker_on_fake_wix


async def test_listing_finds_every_ticket(redis_url: str, wix: WixRig) -> None:
    """Where every ticket is tracked the site is listed page by page, and each ticket gets a snapshot and a due time."""
    tickets = wix.sandbox.add(150)
    async with running_worker(redis_url, wix) as worker:
        await worker.add_site(wix.site, everything=True)

        await worker.shows(wix.site, wix.tickets["low"], state="low", unsold=3)
        await worker.shows(wix.site, wix.tickets["hidden"], state="gone", unsold=None)
        for ticket in tickets:
            await worker.shows(wix.site, ticket, unsold=1000)
        assert {*tickets, *wix.tickets.values()} == set(await worker.schedule.tracked(SiteId(wix.site)))
        assert 2 == len(wix.calls("query"))


async def test_ticket_missing_from_a_listing_is_read(redis_url: str, wix: WixRig) -> None:
    """A tracked ticket that is missing from a full listing is marked, read, and found to be deleted: a tombstone."""
    ticket = wix.tickets["fixed"]
    async with running_worker(redis_url, wix, Timing(again=0.1)) as worker:
        await worker.add_site(wix.site, everything=True)
        await worker.shows(wix.site, ticket, unsold=120)

        wix.world.delete(ticket)
        await list_now(worker.schedule, wix.site)

        await worker.shows(wix.site, ticket, state="gone", unsold=None)
        assert "get" in [call.kind for call in wix.calls()]
        entries = await worker.store.do("XRANGE", key(wix.site, "changes"), "-", "+")
        last = entries[-1][1]
        fields = last if isinstance(last, dict) else dict(zip(last[::2], last[1::2], strict=True))
        assert ticket == fields["ticket"]
        assert "before" in fields
        assert "after" not in fields


async def test_listing_under_changed_rules_is_not_done(redis_url: str) -> None:
    """A listing whose pages are refused is not done."""
    async with worker_on_fake_wix(redis_url) as (worker, wix):
        await list_now(worker.schedule, SITE)
        listing = await worker.schedule.claim(SiteId(SITE), RULES)
        assert isinstance(listing, Listing)
        await worker.schedule.add_site(SiteId(SITE), Rules(low_at=99), everything=False)
        await worker.store.do("ZADD", key(SITE, "due"), listing.lease, "*")
        wix.reply("/query", Reply(content=answer(TICKET, next="more")))

        await worker.claimer._read(listing, asyncio.Semaphore(0), time.monotonic())

        assert 1 == len(wix.requests_to("/query"))
        assert 0 >= await worker.due(SITE, "*")


async def test_interrupted_listing_is_repeated(redis_url: str, wix: WixRig) -> None:
    """Law 11: A worker that dies in the middle of a listing delays it for its lease, not until the next one."""
    wix.sandbox.add(150)
    async with running_worker(redis_url, wix) as worker:
        wix.knobs.turn(read_delay=0.3)
        await worker.add_site(wix.site, everything=True)
        await until(lambda: len(wix.calls("query")) >= 1)
        assert worker.running is not None
        worker.running.cancel()
        with suppress(asyncio.CancelledError):
            await worker.running

        assert 25 < await worker.due(wix.site, "*") <= 30
        wix.knobs.turn(read_delay=0.0)
        await elapse(worker.store, SiteId(wix.site), 30)
        await worker.wix.aclose()
        worker.start()
        worker.running = asyncio.create_task(worker.claimer.run())

        await worker.shows(wix.site, wix.tickets["low"], state="low", unsold=3)

        async def ended() -> bool:
            return 590 < await worker.due(wix.site, "*") <= 600

        await until(ended)


async def test_listing_is_repeated_after_a_redis_restart(redis_server: Callable[..., RedisServer], wix: WixRig) -> None:
    """A listing during which Redis is restarted is repeated when Redis is back."""
    # On a busy disk `everysec` may lose what it acknowledged, even if only the process is killed.
    server = redis_server(appendfsync="always")
    tickets = wix.sandbox.add(150)
    async with running_worker(server.url, wix) as worker:
        wix.knobs.turn(read_delay=0.3)
        await worker.add_site(wix.site, everything=True)
        await until(lambda: wix.calls("query"))

        server.kill()
        await until(lambda: wix.calls("query")[0].status)
        wix.knobs.turn(read_delay=0.0)
        server.start()

        await worker.store.wait(10)
        for ticket in tickets:
            await worker.shows(wix.site, ticket, unsold=1000)


async def test_only_one_worker_lists_a_site(redis_url: str, wix: WixRig) -> None:
    """However long its pages take, a listing belongs to one worker: another one finds nothing to list."""
    wix.sandbox.add(150)
    timing = Timing(lease=2.5)
    async with running_worker(redis_url, wix, timing) as worker, running_worker(redis_url, wix, timing):
        wix.knobs.turn(read_delay=0.8)
        await worker.add_site(wix.site, everything=True)

        async def ended() -> bool:
            return await worker.store.do("ZSCORE", key(wix.site, "due"), "*") and await worker.due(wix.site, "*") > 500

        await until(ended)

        assert 2 == len(wix.calls("query"))


PAGE = {"ticketDefinitions": [], "metadata": {"cursors": {"next": "more"}}}


async def test_stopped_worker_reads_no_further_page(redis_url: str) -> None:
    """Law 11: A worker that is stopped during a listing reads no further page, and the listing is due at once."""
    async with worker_on_fake_wix(redis_url) as (worker, wix):
        await list_now(worker.schedule, SITE)
        gate = asyncio.Event()
        wix.reply("/query", Reply(200, PAGE, after=gate))
        running = asyncio.create_task(worker.claimer.run())
        await until(lambda: wix.requests_to("/query"))

        worker.claimer.stop()
        gate.set()
        await running

        assert 1 == len(wix.requests_to("/query"))
        assert 0 >= await worker.due(SITE, "*")


async def test_superseded_listing_reads_no_further_page(redis_url: str) -> None:
    """A listing that was started again meanwhile, after a change of rules, reads no further page."""
    async with worker_on_fake_wix(redis_url) as (worker, wix):
        await list_now(worker.schedule, SITE)
        gate = asyncio.Event()
        wix.reply("/query", Reply(200, PAGE, after=gate), Reply(200, {"ticketDefinitions": []}))
        running = asyncio.create_task(worker.claimer.run())
        await until(lambda: wix.requests_to("/query"))

        await list_now(worker.schedule, SITE)
        await until(lambda: len(wix.requests_to("/query")) == 2)
        with capture_logs() as logs:
            gate.set()
            await until(lambda: "listing_left" in [one["event"] for one in logs])
        worker.claimer.stop()
        await running

        assert 2 == len(wix.requests_to("/query"))
        assert await worker.store.do("ZSCORE", key(SITE, "due"), "*") is None


async def test_failed_listing_pauses_the_site_and_is_due_again(redis_url: str) -> None:
    """Law 5: A listing that Wix fails pauses the site and is due soon after."""
    async with worker_on_fake_wix(redis_url) as (worker, wix):
        await list_now(worker.schedule, SITE)
        wix.reply("/query", Reply(404, {"message": "no such route"}))
        running = asyncio.create_task(worker.claimer.run())
        await until(lambda: worker.store.do("HGET", key(SITE, "reads"), "paused_until"))
        worker.claimer.stop()
        await running

        assert 0 < await worker.due(SITE, "*") <= 2
        assert {} == await worker.shown(SITE, TICKET)


async def test_waiting_listings_do_not_block_reads(redis_url: str) -> None:
    """Law 5: While as many listings as calls allowed at once wait, each of a paused site, another site is read."""
    async with worker_on_fake_wix(redis_url) as (worker, wix):
        gate = asyncio.Event()
        first = [Reply(content=answer(OTHER, next="more"), after=gate)] * MAX_READS
        wix.reply("/query", *first, Reply(content=answer(TICKET)))
        paused = [SiteId(f"7f0e4d3c-1111-4111-8111-0000000{n:05}") for n in range(MAX_READS)]
        for site in paused:
            await worker.add_site(site, everything=True)
        running = asyncio.create_task(worker.claimer.run())
        await until(lambda: len(wix.requests_to("/query")) == MAX_READS)
        for site in paused:
            await worker.schedule.pause(site, None, 300.0)
        gate.set()

        await watch(worker, SITE, TICKET)

        await until(lambda: worker.shown(SITE, TICKET))
        worker.claimer.stop()
        await running
        assert MAX_READS + 1 == len(wix.requests_to("/query"))


async def test_expired_page_is_not_read(redis_url: str) -> None:
    """Law 5: A worker that was suspended between paying for a page and requesting it does not: its payment has expired."""
    async with worker_on_fake_wix(redis_url) as (worker, wix):
        await list_now(worker.schedule, SITE)
        listing = await worker.schedule.claim(SiteId(SITE), RULES)
        assert isinstance(listing, Listing)

        spend = worker.schedule.spend
        worker.schedule.timing = replace(worker.schedule.timing, lease=0.2)

        async def slow(site: SiteId, priority: Priority) -> int | Wait:
            paid = await spend(site, priority)
            await asyncio.sleep(0.3)
            return paid

        worker.schedule.spend = slow  # type: ignore[method-assign]
        await worker.claimer._read(listing, asyncio.Semaphore(0), time.monotonic())

        assert [] == wix.requests_to("/query")
        assert 2 >= await worker.due(SITE, "*")
