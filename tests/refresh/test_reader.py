from collections.abc import Sequence
from typing import Any

import pytest
from structlog.testing import capture_logs

from server.model import Hint, Pace, Rules, SiteId, TicketId
from server.refresh.reader import Reader
from server.store.keys import key
from server.store.schedule import Lot
from server.store.snapshots import ReadResult, StoredTicket
from server.store.timing import Timing
from server.wix.client import Wix
from server.wix.credentials import ApiKey, App
from tests.rig.fake_reader import FakeReader, definition
from tests.rig.fake_wix import Reply
from tests.rig.server import OTHER, SITE, TICKET, until
from tests.rig.wix import WixRig
from tests.rig.worker_rig import RULES, SAMPLE, answer, claimed, mark, running_worker, watch, worker_on_fake_wix


async def test_never_there_costs_no_get(redis_url: str, wix: WixRig) -> None:
    """Law 9: A ticket that Wix does not know and we never did is gone for a while, without a call of its own."""
    stranger = "99999999-aaaa-4aaa-8aaa-000000000099"
    async with running_worker(redis_url, wix) as worker:
        await watch(worker, wix.site, stranger)

        await worker.shows(wix.site, stranger, state="gone")
        await watch(worker, wix.site, stranger)
        assert ["query"] == [call.kind for call in wix.calls() if call.kind != "token"]
        assert 0 < await worker.store.do("TTL", key(wix.site, "ticket", stranger)) <= 60


async def test_missing_once_proves_nothing(redis_url: str, reads: FakeReader) -> None:
    """A known ticket that one answer leaves out keeps its number and is looked for again; only Wix's own 404 ends it."""
    async with worker_on_fake_wix(redis_url) as (worker, wix):
        await reads.read(definition(TICKET, 3))
        await watch(worker, SITE, TICKET)
        wix.reply("/query", Reply(200, {"ticketDefinitions": []}))
        wix.reply(f"/{TICKET}", Reply(404, {"message": "not found"}))
        states = []

        for _ in range(2):
            await mark(worker, SITE, TICKET)
            await worker.reader.read(await claimed(worker))
            states.append((await worker.shown(SITE, TICKET))["state"])

        assert ["low", "gone"] == states
        assert 1 == len([one for one in wix.requests if one.method == "GET"])


@pytest.mark.parametrize(("answer", "unsold"), [(SAMPLE, 3), ({"id": TICKET}, 7)])
async def test_missing_but_there(redis_url: str, reads: FakeReader, answer: Any, unsold: int) -> None:
    """A known ticket that queries leave out and that is there by itself is kept as it is answered, if we can read it."""
    async with worker_on_fake_wix(redis_url) as (worker, wix):
        await reads.read(definition(TICKET, 7))
        await watch(worker, SITE, TICKET)
        wix.reply("/query", Reply(200, {"ticketDefinitions": []}))
        wix.reply(f"/{TICKET}", Reply(200, {"ticketDefinition": answer}))

        for _ in range(2):
            await mark(worker, SITE, TICKET)
            await worker.reader.read(await claimed(worker))

        assert unsold == (await worker.shown(SITE, TICKET))["unsold"]


@pytest.mark.parametrize("outage", ["500", "503", "429", "403", "401", "nonsense", "drop"])
async def test_fault_pauses_the_site(redis_url: str, wix: WixRig, outage: Any) -> None:
    """Law 5: While Wix fails the site is paused and asked by one call at a time; then its tickets are read as due."""
    ticket = wix.tickets["fixed"]
    async with running_worker(redis_url, wix) as worker:
        await watch(worker, wix.site, ticket)
        await worker.shows(wix.site, ticket, unsold=120)
        wix.knobs.turn(outage=outage, outage_of="api")
        wix.world.buy(ticket)
        before = len(wix.calls("query"))

        await mark(worker, wix.site, ticket)
        await until(lambda: worker.store.do("HGET", key(wix.site, "reads"), "paused_until"))
        failed = len(wix.calls("query")) - before
        wix.knobs.turn(outage="none")

        await worker.shows(wix.site, ticket, unsold=119)
        # One call, and the one more that a 401 is worth.
        assert 1 <= failed <= 2

        async def well() -> bool:
            return bool("0" == await worker.store.do("HGET", key(wix.site, "reads"), "faults"))

        await until(well)


async def test_retry_after_is_kept(redis_url: str, wix: WixRig) -> None:
    """A site pauses for as long as Wix says, and nothing asks it meanwhile."""
    async with running_worker(redis_url, wix) as worker:
        wix.knobs.turn(rate_limit=0, retry_after=120)

        await watch(worker, wix.site, wix.tickets["fixed"])
        await until(lambda: worker.store.do("HGET", key(wix.site, "reads"), "paused_until"))

        claimed = await worker.schedule.claim(SiteId(wix.site), RULES)
        assert not isinstance(claimed, Lot)
        assert 110 < getattr(claimed, "seconds", 0) <= 120
        assert 1 == len(wix.calls("query"))


async def test_one_refused_id_does_not_hide_the_others(redis_url: str) -> None:
    """A batch that Wix answers 400 to is read in halves, each paid for, until the one that it dislikes is alone."""
    tickets = [f"11111111-aaaa-4aaa-8aaa-00000000000{n}" for n in range(4)]
    async with worker_on_fake_wix(redis_url) as (worker, wix):
        await watch(worker, SITE, *tickets)
        wix.reply("/query", Reply(400, {"message": "bad id"}))

        await worker.reader.read(await claimed(worker))

        asked = [one.body["query"]["filter"]["id"]["$in"] for one in wix.requests if one.path.endswith("/query")]
        assert [4, 2, 1, 1, 2, 1, 1] == [len(ids) for ids in asked]
        assert 13 <= float(await worker.store.do("HGET", key(SITE, "reads"), "tokens")) < 14
        for ticket in tickets:
            assert "gone" == (await worker.shown(SITE, ticket))["state"]


async def test_a_refused_id_that_we_know_stays(redis_url: str, reads: FakeReader) -> None:
    """A known ticket that Wix answers 400 to, in a query or by itself, keeps its number and is due in its turn."""
    async with worker_on_fake_wix(redis_url) as (worker, wix):
        await reads.read(definition(TICKET, 3))
        await watch(worker, SITE, TICKET)
        wix.reply("/query", Reply(400, {"message": "bad id"}), Reply(200, {"ticketDefinitions": []}))
        wix.reply(f"/{TICKET}", Reply(400, {"message": "bad id"}))
        dues = []

        for _ in range(3):
            await mark(worker, SITE, TICKET)
            await worker.store.do("ZREM", key(SITE, "hinted"), TICKET)
            await worker.reader.read(await claimed(worker))
            assert 3 == (await worker.shown(SITE, TICKET))["unsold"]
            dues.append(10 < await worker.due(SITE, TICKET) <= 15)

        assert [True, False, True] == dues
        assert 1 == len([one for one in wix.requests if one.method == "GET"])


async def test_404_to_a_query_is_a_fault(redis_url: str, reads: FakeReader) -> None:
    """Law 5: A 404 to a query, read or listing, is a wrong address: the site pauses, and no ticket is called gone."""
    async with worker_on_fake_wix(redis_url) as (worker, wix):
        await reads.read(definition(TICKET, 3))
        await watch(worker, SITE, TICKET, OTHER)
        wix.reply("/query", Reply(404, {"message": "no such route"}))
        wix.reply(f"/{TICKET}", Reply(404, {"message": "no such route"}))

        for expected in (1, 2):
            await mark(worker, SITE, TICKET)
            await worker.store.do("HDEL", key(SITE, "reads"), "paused_until")
            await worker.reader.read(await claimed(worker))
            assert str(expected) == await worker.store.do("HGET", key(SITE, "reads"), "faults")

        assert 3 == (await worker.shown(SITE, TICKET))["unsold"]
        assert {} == await worker.shown(SITE, OTHER)
        assert [] == [one for one in wix.requests if one.method == "GET"]


async def test_rules_that_change_during_a_read(redis_url: str) -> None:
    """What was claimed under rules that are others by now is not taken for read: somebody else reads it, soon."""
    async with worker_on_fake_wix(redis_url) as (worker, wix):
        await watch(worker, SITE, TICKET)
        lot = await claimed(worker)
        await worker.schedule.add_site(SiteId(SITE), Rules(low_at=99), everything=False)
        wix.reply("/query", Reply(content=answer(TICKET)))

        await worker.reader.read(lot)

        assert {} == await worker.shown(SITE, TICKET)
        assert 0 >= await worker.due(SITE, TICKET)


async def test_silence_is_told(redis_url: str, wix: WixRig) -> None:
    """A worker tells that no webhook comes, when what it reads falls again and again, and that they come again."""
    ticket = wix.tickets["fixed"]
    async with running_worker(redis_url, wix, Timing(watch_every=0.1, silent_after=0.3)) as worker:
        await watch(worker, wix.site, ticket)
        with capture_logs() as logs:

            async def said(event: str) -> bool:
                await watch(worker, wix.site, ticket)
                if (await worker.shown(wix.site, ticket)).get("unsold") == wix.world.tickets[ticket].left:
                    wix.world.buy(ticket)
                return event in [one["event"] for one in logs]

            await until(lambda: said("webhooks_silent"))
            await worker.schedule.mark(SiteId(wix.site), Hint("order", (TicketId(ticket),)), "order")
            await until(lambda: said("webhooks_silent_no_more"))

        assert 1 == len([one for one in logs if one["event"] == "webhooks_silent"])


async def test_nobody_expects_webhooks_with_an_api_key(redis_url: str) -> None:
    """Webhooks belong to apps: who reads with an API key is told of no silence."""
    async with worker_on_fake_wix(redis_url) as (worker, _):
        silences = [
            Reader(worker.schedule, worker.snapshots, Wix(credentials, "http://127.0.0.1:9"))._silent_sites
            for credentials in (App("app", "secret"), ApiKey("key", {SiteId(SITE): SITE}))
        ]

    assert [True, False] == [one._expected for one in silences]


async def test_half_of_a_refused_lot_that_cannot_be_paid(redis_url: str) -> None:
    """Where the budget has no call left for the halves of a lot that Wix refused, both are due again, not one."""
    tickets = [f"99999999-aaaa-4aaa-8aaa-00000000000{n}" for n in range(4)]
    async with worker_on_fake_wix(redis_url) as (worker, wix):
        await watch(worker, SITE, *tickets)
        wix.reply("/query", Reply(400, {"message": "no"}))
        lot = await claimed(worker)
        await worker.store.do("HSET", key(SITE, "reads"), "tokens", 0)

        await worker.reader.read(lot)

        assert 1 == len(wix.requests_to("/query"))
        assert all([await worker.due(SITE, ticket) <= 0 for ticket in tickets])


async def test_found_by_another_meanwhile(redis_url: str) -> None:
    """A ticket that an answer left out and that another worker has found since is looked at again, and is not gone."""
    async with worker_on_fake_wix(redis_url) as (worker, wix):
        await watch(worker, SITE, TICKET)
        lot = await claimed(worker)
        finding = ReadResult(TicketId(TICKET), Pace.LIVE, f'"ticket":"{TICKET}"}}', "{}", 3)

        async def before_it_was(site: SiteId, tickets: Sequence[TicketId]) -> list[StoredTicket]:
            await worker.snapshots.keep(lot.site, lot.version - 1, [finding])
            return []

        worker.snapshots.stored = before_it_was  # type: ignore[method-assign]
        wix.reply("/query", Reply(content=answer()))
        await worker.reader.read(lot)

        assert "state" not in await worker.shown(SITE, TICKET)
        assert 0 >= await worker.due(SITE, TICKET)


async def test_an_answer_that_is_not_full_proves_nothing(redis_url: str) -> None:
    """What is missing from an answer that has another page may be on that: it is not gone, and is looked at again."""
    async with worker_on_fake_wix(redis_url) as (worker, wix):
        await watch(worker, SITE, TICKET, OTHER)
        wix.reply("/query", Reply(content=answer(TICKET, next="more")))

        await worker.reader.read(await claimed(worker))

        assert TICKET == (await worker.shown(SITE, TICKET))["ticket"]
        assert {} == await worker.shown(SITE, OTHER)
        assert 0 >= await worker.due(SITE, OTHER)


async def test_unreadable_is_left_as_it_was(redis_url: str) -> None:
    """A definition of a shape that we cannot read proves nothing: its ticket keeps what it had, and is due in its turn."""
    async with worker_on_fake_wix(redis_url) as (worker, wix):
        await watch(worker, SITE, TICKET)
        wix.reply("/query", Reply(200, {"ticketDefinitions": [{"id": TICKET, "eventId": "nonsense"}]}))

        await worker.reader.read(await claimed(worker))

        assert {} == await worker.shown(SITE, TICKET)
        assert 10 < await worker.due(SITE, TICKET) <= 15
