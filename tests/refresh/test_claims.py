import asyncio
import time
from collections.abc import Callable

import pytest
from structlog.testing import capture_logs

from server.counter import Rules
from server.model import EventId, Hint, Named, SiteId
from server.refresh import claims
from server.refresh.claims import Claimer
from server.store.sites import Sites
from tests.rig.default_keys import key
from tests.rig.redis import RedisServer, Servers
from tests.rig.server import SITE, TICKET, until
from tests.rig.wix import WixRig
from tests.rig.worker_rig import claimed, mark, running_worker, watch, worker_on_fake_wix


async def test_watched_ticket_is_read_from_wix(redis_url: str, wix: WixRig) -> None:
    """A newly watched ticket is read from Wix and stored, with its number and its price."""
    async with running_worker(redis_url, wix) as worker:
        await watch(worker, wix.site, wix.tickets["fixed"])

        await worker.shows(wix.site, wix.tickets["fixed"], state="available", unsold=120)
        assert ["query", "query_events"] == [call.kind for call in wix.calls() if call.kind != "token"]


async def test_hinted_ticket_is_read_again(redis_url: str, wix: WixRig) -> None:
    """A hint makes a watched ticket be read again at once, and later sales are stored."""
    ticket = wix.tickets["fixed"]
    async with running_worker(redis_url, wix) as worker:
        await watch(worker, wix.site, ticket)
        await worker.shows(wix.site, ticket, unsold=120)

        wix.world.buy(ticket, 2)
        await mark(worker, wix.site, ticket)

        await worker.shows(wix.site, ticket, unsold=118)


async def test_event_is_read_for_its_webhook(redis_url: str, wix: WixRig) -> None:
    """A webhook of an event has it read by itself, and a change of it shows in its tickets."""
    ticket = wix.tickets["fixed"]
    async with running_worker(redis_url, wix) as worker:
        await watch(worker, wix.site, ticket)
        await worker.shows(wix.site, ticket, unsold=120)
        # The next round of a web process: only now it is known of which event the ticket is.
        await watch(worker, wix.site, ticket)

        wix.world.pause_registration(wix.event)
        hint = Hint("event_updated", (), EventId(wix.event), Named.EVENT, of_event=True)
        await worker.schedule.mark(SiteId(wix.site), hint)

        await worker.shows(wix.site, ticket, state="closed", unsold=None)


async def test_claim_that_cannot_be_stored_is_due_again(redis_server: Servers, wix: WixRig) -> None:
    """While Redis takes no writes nothing is lost: what was claimed is due again at once when it does."""
    server, ticket = redis_server(), wix.tickets["fixed"]
    async with running_worker(server.url, wix) as worker:
        await watch(worker, wix.site, ticket)
        await worker.shows(wix.site, ticket, unsold=120)
        wix.knobs.turn(read_delay=0.5)
        wix.world.buy(ticket)
        await mark(worker, wix.site, ticket)
        before = len(wix.calls("query"))
        await until(lambda: len(wix.calls("query")) > before)

        server.ask("CONFIG", "SET", "maxmemory", "1")
        with capture_logs() as logs:
            await until(lambda: "store_unavailable" in [one["event"] for one in logs])
        server.ask("CONFIG", "SET", "maxmemory", "0")

        await worker.shows(wix.site, ticket, unsold=119)


async def test_hundred_tickets_are_read_in_one_call(redis_url: str, wix: WixRig) -> None:
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


async def test_refused_site_does_not_delay_others(redis_url: str, wix: WixRig) -> None:
    """Law 5: A site that Wix refuses does not delay the others."""
    refused = "5f0e4d3c-1111-4111-8111-00000000b999"
    async with running_worker(redis_url, wix) as worker:
        await worker.add_site(refused)
        await watch(worker, refused, wix.tickets["fixed"])
        await until(lambda: worker.store.do("HGET", key(refused, "reads"), "paused_until"))

        await watch(worker, wix.site, wix.tickets["fixed"])

        await worker.shows(wix.site, wix.tickets["fixed"], unsold=120)
        assert {} == await worker.shown(refused, wix.tickets["fixed"])


async def test_other_rules_are_logged_once_a_minute(redis_url: str) -> None:
    """A worker that may not read a site, because another process has other rules, logs that once a minute at most."""
    async with worker_on_fake_wix(redis_url) as (worker, wix):
        await worker.schedule.add_site(SiteId(SITE), Rules(low_at=99), everything=False)
        with capture_logs() as logs:
            running = asyncio.create_task(worker.claimer.run())
            await watch(worker, SITE, TICKET)
            await until(lambda: "rules_differ" in [one["event"] for one in logs])
            await asyncio.sleep(2.5)
            worker.claimer.stop()
            await running

        said = [one for one in logs if one["event"] == "rules_differ"]
        assert [("warning", SITE)] == [(one["log_level"], one["site"]) for one in said]
        assert "restart all with the same LOW_AT and SHOW_AT_MOST" in said[0]["hint"]
        assert [] == wix.requests


async def test_random_ids_do_not_hide_a_real_ticket(redis_url: str, wix: WixRig) -> None:
    """Law 9: Where only watched tickets are tracked a real one is found soon, even after requests for many random ids."""
    async with running_worker(redis_url, wix) as worker:
        await watch(worker, wix.site, *(f"99999999-aaaa-4aaa-8aaa-0000000{n:05}" for n in range(50)))
        await worker.shows(wix.site, "99999999-aaaa-4aaa-8aaa-000000000000", state="gone")

        await watch(worker, wix.site, wix.tickets["fixed"])

        await worker.shows(wix.site, wix.tickets["fixed"], unsold=120)
        assert 10 > len(wix.calls("query"))


async def test_expired_lot_is_not_read(redis_url: str) -> None:
    """Law 5: A worker that was suspended between its claim and its call makes none: its tickets are due again."""
    async with worker_on_fake_wix(redis_url) as (worker, wix):
        await watch(worker, SITE, TICKET)
        lot = await claimed(worker)

        await worker.claimer._read(lot, asyncio.Semaphore(0), time.monotonic() - worker.schedule.timing.lease)

        assert [] == wix.requests
        assert 0 >= await worker.due(SITE, TICKET)


async def test_stop_finishes_claimed_reads(redis_url: str, wix: WixRig) -> None:
    """Law 11: After a stop nothing more is claimed, and claimed tickets are read and stored."""
    ticket = wix.tickets["fixed"]
    async with running_worker(redis_url, wix) as worker:
        wix.knobs.turn(read_delay=0.3)
        await watch(worker, wix.site, ticket)
        await until(lambda: wix.calls("query"))

        worker.claimer.stop()
        assert worker.running is not None
        await worker.running

        assert 120 == (await worker.shown(wix.site, ticket))["unsold"]


async def test_worker_continues_after_redis_restarts(redis_server: Callable[..., RedisServer], wix: WixRig) -> None:
    """After Redis was unavailable the worker continues: nothing claimed is lost."""
    # On a busy disk `everysec` may lose what it acknowledged, even if only the process is killed.
    server = redis_server(appendfsync="always")
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


async def test_unstored_read_is_repeated_when_redis_is_back(
    redis_server: Callable[..., RedisServer], wix: WixRig
) -> None:
    """A read that Redis did not store is repeated when Redis is back, not only when its lease ends."""
    # On a busy disk `everysec` may lose what it acknowledged, even if only the process is killed.
    server = redis_server(appendfsync="always")
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


async def test_removed_site_is_not_read(redis_url: str, wix: WixRig) -> None:
    """A site whose app was removed is not read any more, and is read again when the app is back."""
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


async def test_no_site_is_told_until_one_is_known(redis_url: str, wix: WixRig, monkeypatch: pytest.MonkeyPatch) -> None:
    """While no site is known the log says so again and again, with what to do, and once more when one is."""
    monkeypatch.setattr(claims, "NO_SITE_EVERY", 0.03)
    with capture_logs() as said:
        async with worker_on_fake_wix(redis_url) as (worker, _):
            await worker.schedule.remove_site(SiteId(SITE))
            claimer = Claimer(worker.store, worker.sites, worker.snapshots, worker.reader, reload_sites_every=0.01)
            running = asyncio.create_task(claimer.run())
            await until(lambda: ["no_site_known"] * 2 == [one["event"] for one in said][:2])
            await worker.add_site(SITE)
            await until(lambda: "no_site_known_no_more" == said[-1]["event"])
            claimer.stop()
            await running

    assert "set WIX_SITES to your app instance id" in said[0]["hint"]


async def test_site_of_a_process_beside_this_one(redis_url: str) -> None:
    """A site that another process adds soon, or gives back to a Redis that lost it, is not told to be missing."""
    with capture_logs() as said:
        async with worker_on_fake_wix(redis_url) as (beside, _):
            await beside.sites.reload()
            sites = Sites(beside.schedule, (), beside.sites.rules, everything=True, check_each=True)
            claimer = Claimer(beside.store, sites, beside.snapshots, beside.reader)
            for _ in range(2):
                await beside.store.do("FLUSHDB")
                found = [await claimer._reload_sites() for _ in range(claims.NO_SITE_AFTER - 1)]
                assert {frozenset()} == set(found)
                await beside.sites.reload()
                assert {SITE} == await claimer._reload_sites()
                sites.known = frozenset()  # as of a process that was started again

    assert [] == [one for one in said if one["event"].startswith("no_site_known")]
