import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

from structlog.testing import capture_logs

from server.model import Rules, SiteId, Timing
from server.refresh.claims import SLOTS
from server.store.keys import key
from server.store.schedule import Listing, Priority, Wait
from tests.rig.fake_wix import Reply
from tests.rig.redis import RedisServer
from tests.rig.server import OTHER, SITE, TICKET, until
from tests.rig.time_travel import elapse
from tests.rig.wix import WixRig
from tests.rig.worker_rig import RULES, answer, claimed, mark, running_worker, watch, worker_on_fake_wix


async def test_watched_is_read(redis_url: str, wix: WixRig) -> None:
    """A ticket that somebody begins to watch is read from Wix and kept, with its number and its price."""
    async with running_worker(redis_url, wix) as worker:
        await watch(worker, wix.site, wix.tickets["fixed"])

        await worker.shows(wix.site, wix.tickets["fixed"], state="available", unsold=120)
        assert ["query"] == [call.kind for call in wix.calls() if call.kind != "token"]


async def test_hint_is_read_again(redis_url: str, wix: WixRig) -> None:
    """A hint makes a watched ticket be read again at once, and what was sold meanwhile is kept."""
    ticket = wix.tickets["fixed"]
    async with running_worker(redis_url, wix) as worker:
        await watch(worker, wix.site, ticket)
        await worker.shows(wix.site, ticket, unsold=120)

        wix.world.buy(ticket, 2)
        await mark(worker, wix.site, ticket)

        await worker.shows(wix.site, ticket, unsold=118)


async def test_a_hundred_in_one_call(redis_url: str, wix: WixRig) -> None:
    """Law 4: A hundred due tickets are one call to Wix."""
    tickets = wix.sandbox.add(100)
    async with running_worker(redis_url, wix) as worker:
        await worker.add_site(wix.site, everything=True)
        await until(lambda: worker.schedule.tracked(SiteId(wix.site)))
        for ticket in tickets:
            await worker.shows(wix.site, ticket, unsold=1000)
        before = len(wix.calls("query"))

        for ticket in tickets:
            wix.world.buy(ticket)
        await mark(worker, wix.site, *tickets)
        for ticket in tickets:
            await worker.shows(wix.site, ticket, unsold=999)

        assert 1 == len(wix.calls("query")) - before


async def test_listing_finds_every_ticket(redis_url: str, wix: WixRig) -> None:
    """Where every ticket is wanted the site is listed page by page, and each ticket gets a snapshot and a due time."""
    tickets = wix.sandbox.add(150)
    async with running_worker(redis_url, wix) as worker:
        await worker.add_site(wix.site, everything=True)

        await worker.shows(wix.site, wix.tickets["low"], state="low", unsold=3)
        await worker.shows(wix.site, wix.tickets["hidden"], state="gone", unsold=None)
        for ticket in tickets:
            await worker.shows(wix.site, ticket, unsold=1000)
        assert {*tickets, *wix.tickets.values()} == set(await worker.schedule.tracked(SiteId(wix.site)))
        assert 2 == len(wix.calls("query"))


async def test_unlisted_ticket_is_looked_for(redis_url: str, wix: WixRig) -> None:
    """A tracked ticket that a full listing does not have is marked, read, and found to be deleted: a tombstone."""
    ticket = wix.tickets["fixed"]
    async with running_worker(redis_url, wix, Timing(again=0.1)) as worker:
        await worker.add_site(wix.site, everything=True)
        await worker.shows(wix.site, ticket, unsold=120)

        wix.world.delete(ticket)
        await worker.schedule.list_now(SiteId(wix.site))

        await worker.shows(wix.site, ticket, state="gone", unsold=None)
        assert "get" in [call.kind for call in wix.calls()]
        entries = await worker.store.do("XRANGE", key(wix.site, "changes"), "-", "+")
        last = entries[-1][1]
        fields = last if isinstance(last, dict) else dict(zip(last[::2], last[1::2], strict=True))
        assert ticket == fields["ticket"]
        assert "before" in fields
        assert "after" not in fields


async def test_other_sites_go_on(redis_url: str, wix: WixRig) -> None:
    """Law 5: A site that Wix refuses does not hold up the others."""
    stranger = "5f0e4d3c-1111-4111-8111-00000000b999"
    async with running_worker(redis_url, wix) as worker:
        await worker.add_site(stranger)
        await watch(worker, stranger, wix.tickets["fixed"])
        await until(lambda: worker.store.do("HGET", key(stranger, "reads"), "paused_until"))

        await watch(worker, wix.site, wix.tickets["fixed"])

        await worker.shows(wix.site, wix.tickets["fixed"], unsold=120)
        assert {} == await worker.shown(stranger, wix.tickets["fixed"])


async def test_workers_with_other_rules_say_so(redis_url: str) -> None:
    """A worker that may not read a site, as it has another process's rules, says so once a minute at most."""
    async with worker_on_fake_wix(redis_url) as (worker, wix):
        await worker.schedule.add_site(SiteId(SITE), Rules(low_at=99), everything=False)
        with capture_logs() as logs:
            running = asyncio.create_task(worker.refresh.run())
            await watch(worker, SITE, TICKET)
            await until(lambda: "rules_differ" in [one["event"] for one in logs])
            await asyncio.sleep(2.5)
            worker.refresh.stop()
            await running

        said = [one for one in logs if one["event"] == "rules_differ"]
        assert [("warning", SITE)] == [(one["log_level"], one["site"]) for one in said]
        assert "restart the workers with the same LOW_AT and SHOW_AT_MOST" in said[0]["hint"]
        assert [] == wix.requests


async def test_rules_that_change_during_a_listing(redis_url: str) -> None:
    """A listing whose pages are refused is not done."""
    async with worker_on_fake_wix(redis_url) as (worker, wix):
        await worker.schedule.list_now(SiteId(SITE))
        listing = await worker.schedule.claim(SiteId(SITE), RULES)
        assert isinstance(listing, Listing)
        await worker.schedule.add_site(SiteId(SITE), Rules(low_at=99), everything=False)
        await worker.store.do("ZADD", key(SITE, "due"), listing.lease, "*")
        wix.reply("/query", Reply(content=answer(TICKET, next="more")))

        await worker.refresh._work(listing, asyncio.Semaphore(0), time.monotonic())

        assert 1 == len(wix.requests_to("/query"))
        assert 0 >= await worker.due(SITE, "*")


async def test_listing_that_was_cut_is_made_again(redis_url: str, wix: WixRig) -> None:
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
        worker.running = asyncio.create_task(worker.refresh.run())

        await worker.shows(wix.site, wix.tickets["low"], state="low", unsold=3)

        async def ended() -> bool:
            return 590 < await worker.due(wix.site, "*") <= 600

        await until(ended)


async def test_listing_outlives_redis(redis_server: Callable[..., RedisServer], wix: WixRig) -> None:
    """A listing during which Redis is restarted is made again when Redis is back."""
    server = redis_server()
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


async def test_one_worker_lists(redis_url: str, wix: WixRig) -> None:
    """However long its pages take, a listing is one worker's: another one that looks finds nothing to list."""
    wix.sandbox.add(150)
    timing = Timing(lease=1.5)
    async with running_worker(redis_url, wix, timing) as worker, running_worker(redis_url, wix, timing):
        wix.knobs.turn(read_delay=0.8)
        await worker.add_site(wix.site, everything=True)

        async def ended() -> bool:
            return await worker.store.do("ZSCORE", key(wix.site, "due"), "*") and await worker.due(wix.site, "*") > 500

        await until(ended)

        assert 2 == len(wix.calls("query"))


PAGE = {"ticketDefinitions": [], "metadata": {"cursors": {"next": "more"}}}


async def test_listing_stops_between_pages(redis_url: str) -> None:
    """Law 11: A worker that is stopped in a listing reads no further page, and the listing is due at once."""
    async with worker_on_fake_wix(redis_url) as (worker, wix):
        await worker.schedule.list_now(SiteId(SITE))
        gate = asyncio.Event()
        wix.reply("/query", Reply(200, PAGE, after=gate))
        running = asyncio.create_task(worker.refresh.run())
        await until(lambda: wix.requests_to("/query"))

        worker.refresh.stop()
        gate.set()
        await running

        assert 1 == len(wix.requests_to("/query"))
        assert 0 >= await worker.due(SITE, "*")


async def test_listing_that_was_taken_is_left(redis_url: str) -> None:
    """A listing that was begun anew meanwhile, after a change of rules, reads no further page."""
    async with worker_on_fake_wix(redis_url) as (worker, wix):
        await worker.schedule.list_now(SiteId(SITE))
        gate = asyncio.Event()
        wix.reply("/query", Reply(200, PAGE, after=gate), Reply(200, {"ticketDefinitions": []}))
        running = asyncio.create_task(worker.refresh.run())
        await until(lambda: wix.requests_to("/query"))

        await worker.schedule.list_now(SiteId(SITE))
        await until(lambda: len(wix.requests_to("/query")) == 2)
        with capture_logs() as logs:
            gate.set()
            await until(lambda: "listing_left" in [one["event"] for one in logs])
        worker.refresh.stop()
        await running

        assert 2 == len(wix.requests_to("/query"))
        assert await worker.store.do("ZSCORE", key(SITE, "due"), "*") is None


async def test_listing_that_fails_is_due_again(redis_url: str) -> None:
    """Law 5: A listing that Wix fails pauses the site and is due soon after."""
    async with worker_on_fake_wix(redis_url) as (worker, wix):
        await worker.schedule.list_now(SiteId(SITE))
        wix.reply("/query", Reply(404, {"message": "no such route"}))
        running = asyncio.create_task(worker.refresh.run())
        await until(lambda: worker.store.do("HGET", key(SITE, "reads"), "paused_until"))
        worker.refresh.stop()
        await running

        assert 0 < await worker.due(SITE, "*") <= 2
        assert {} == await worker.shown(SITE, TICKET)


async def test_listings_that_wait_keep_no_site_from_being_read(redis_url: str) -> None:
    """Law 5: As many listings as there are calls at once, each of a site that is paused, and another site is read."""
    async with worker_on_fake_wix(redis_url) as (worker, wix):
        gate = asyncio.Event()
        first = [Reply(content=answer(OTHER, next="more"), after=gate)] * SLOTS
        wix.reply("/query", *first, Reply(content=answer(TICKET)))
        paused = [SiteId(f"7f0e4d3c-1111-4111-8111-0000000{n:05}") for n in range(SLOTS)]
        for site in paused:
            await worker.add_site(site, everything=True)
        running = asyncio.create_task(worker.refresh.run())
        await until(lambda: len(wix.requests_to("/query")) == SLOTS)
        for site in paused:
            await worker.schedule.fault(site, None, 300.0)
        gate.set()

        await watch(worker, SITE, TICKET)

        await until(lambda: worker.shown(SITE, TICKET))
        worker.refresh.stop()
        await running
        assert SLOTS + 1 == len(wix.requests_to("/query"))


async def test_a_page_that_waited_too_long_is_not_read(redis_url: str) -> None:
    """Law 5: A worker that stood still between paying for a page and asking for it does not: its place is no more its own."""
    async with worker_on_fake_wix(redis_url) as (worker, wix):
        await worker.schedule.list_now(SiteId(SITE))
        listing = await worker.schedule.claim(SiteId(SITE), RULES)
        assert isinstance(listing, Listing)

        spend = worker.schedule.spend
        worker.schedule.timing = replace(worker.schedule.timing, lease=0.2)

        async def slow(site: SiteId, class_: Priority) -> int | Wait:
            paid = await spend(site, class_)
            await asyncio.sleep(0.3)
            return paid

        worker.schedule.spend = slow  # type: ignore[method-assign]
        await worker.refresh._work(listing, asyncio.Semaphore(0), time.monotonic())

        assert [] == wix.requests_to("/query")
        assert 2 >= await worker.due(SITE, "*")


async def test_strangers_do_not_hide_a_ticket(redis_url: str, wix: WixRig) -> None:
    """Law 9: Where only watched tickets are wanted a real one is found soon, whatever random ids have been asked for."""
    async with running_worker(redis_url, wix) as worker:
        await watch(worker, wix.site, *(f"99999999-aaaa-4aaa-8aaa-0000000{n:05}" for n in range(50)))
        await worker.shows(wix.site, "99999999-aaaa-4aaa-8aaa-000000000000", state="gone")

        await watch(worker, wix.site, wix.tickets["fixed"])

        await worker.shows(wix.site, wix.tickets["fixed"], unsold=120)
        assert 10 > len(wix.calls("query"))


async def test_a_lot_that_waited_too_long_is_not_read(redis_url: str) -> None:
    """Law 5: A worker that stood still between its claim and its call makes none: its tickets are due again."""
    async with worker_on_fake_wix(redis_url) as (worker, wix):
        await watch(worker, SITE, TICKET)
        lot = await claimed(worker)

        await worker.refresh._work(lot, asyncio.Semaphore(0), time.monotonic() - worker.schedule.timing.lease)

        assert [] == wix.requests
        assert 0 >= await worker.due(SITE, TICKET)


async def test_stop_lets_a_call_end(redis_url: str, wix: WixRig) -> None:
    """Law 11: A stop claims nothing more, and what was claimed is read to its end and kept."""
    ticket = wix.tickets["fixed"]
    async with running_worker(redis_url, wix) as worker:
        wix.knobs.turn(read_delay=0.3)
        await watch(worker, wix.site, ticket)
        await until(lambda: wix.calls("query"))

        worker.refresh.stop()
        assert worker.running is not None
        await worker.running

        assert 120 == (await worker.shown(wix.site, ticket))["unsold"]


async def test_redis_comes_back(redis_server: Callable[..., RedisServer], wix: WixRig) -> None:
    """A Redis that goes away and comes back is gone on with: nothing claimed is lost."""
    server = redis_server()
    ticket = wix.tickets["fixed"]
    async with running_worker(server.url, wix) as worker:
        await watch(worker, wix.site, ticket)
        await worker.shows(wix.site, ticket, unsold=120)

        with capture_logs() as said:
            server.kill()
            await until(lambda: "store_unavailable" in [one["event"] for one in said])
        server.start()
        wix.world.buy(ticket)

        async def marked() -> bool:
            await mark(worker, wix.site, ticket)
            return True

        await worker.store.wait(10)
        await until(marked)
        await worker.shows(wix.site, ticket, unsold=119)
        assert worker.running is not None
        assert not worker.running.done()


async def test_what_cannot_be_kept_is_due_again(redis_server: Callable[..., RedisServer], wix: WixRig) -> None:
    """A read that Redis did not take is made again when Redis is back, not only when its lease ends."""
    server = redis_server()
    ticket = wix.tickets["fixed"]
    async with running_worker(server.url, wix) as worker:
        wix.knobs.turn(read_delay=0.3)
        await watch(worker, wix.site, ticket)
        await until(lambda: wix.calls("query"))

        server.kill()
        await until(lambda: wix.calls("query")[0].status)
        server.start()

        await worker.store.wait(10)
        await worker.shows(wix.site, ticket, unsold=120)


async def test_site_that_is_removed_is_left(redis_url: str, wix: WixRig) -> None:
    """A site whose app was removed is not read any more, and is again once it is back."""
    ticket = wix.tickets["fixed"]
    async with running_worker(redis_url, wix) as worker:
        await watch(worker, wix.site, ticket)
        await worker.shows(wix.site, ticket, unsold=120)

        await worker.schedule.remove_site(SiteId(wix.site))
        await watch(worker, wix.site, ticket)
        assert [] == await worker.schedule.tracked(SiteId(wix.site))
        await until(lambda: f"refresh: {wix.site}" not in [task.get_name() for task in asyncio.all_tasks()])
        wix.world.buy(ticket)
        await worker.add_site(wix.site)
        await watch(worker, wix.site, ticket)
        await mark(worker, wix.site, ticket)

        await worker.shows(wix.site, ticket, unsold=119)
