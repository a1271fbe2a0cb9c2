from collections.abc import Sequence
from typing import Any

import pytest
from structlog.testing import capture_logs

from server.counter import Rules
from server.model import Hint, Pace, SiteId, TicketId
from server.refresh.reader import Reader
from server.store.claims import Lot
from server.store.snapshots import ReadResult, StoredTicket
from server.store.timing import Timing
from server.wix.client import Wix
from server.wix.credentials import ApiKey, App
from tests.rig.default_keys import key
from tests.rig.fake_reader import FakeReader, definition
from tests.rig.fake_wix import Reply
from tests.rig.server import OTHER, SITE, TICKET, until
from tests.rig.wix import WixRig
from tests.rig.worker_rig import RULES, SAMPLE, answer, claimed, mark, running_worker, watch, worker_on_fake_wix


async def test_unknown_ticket_costs_no_get(redis_url: str, wix: WixRig) -> None:
    """Law 9: A ticket that neither Wix nor Redis knows is gone for a while, without a call of its own."""
    never_there = "99999999-aaaa-4aaa-8aaa-000000000099"
    async with running_worker(redis_url, wix) as worker:
        await watch(worker, wix.site, never_there)

        await worker.shows(wix.site, never_there, state="gone")
        await watch(worker, wix.site, never_there)
        assert ["query"] == [call.kind for call in wix.calls() if call.kind != "token"]
        assert 0 < await worker.store.do("TTL", key(wix.site, "ticket", never_there)) <= 60


async def test_only_a_404_deletes_a_missing_ticket(redis_url: str, reads: FakeReader) -> None:
    """A known ticket that is missing from one answer keeps its number and is read again; only Wix's own 404 deletes it."""
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
async def test_missing_ticket_is_kept_as_its_own_get_answers(
    redis_url: str, reads: FakeReader, answer: Any, unsold: int
) -> None:
    """A known ticket that is missing from queries but answered by itself is stored as answered, if it can be parsed."""
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
    """Law 5: While Wix fails the site is paused and gets one call at a time; then its tickets are read as due."""
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
        # One call, and the second one that a 401 allows.
        assert 1 <= failed <= 2

        async def well() -> bool:
            return bool("0" == await worker.store.do("HGET", key(wix.site, "reads"), "faults"))

        await until(well)


async def test_retry_after_pauses_the_site(redis_url: str, wix: WixRig) -> None:
    """A site pauses for as long as Wix says, and gets no call meanwhile."""
    async with running_worker(redis_url, wix) as worker:
        wix.knobs.turn(rate_limit=0, retry_after=120)

        await watch(worker, wix.site, wix.tickets["fixed"])
        await until(lambda: worker.store.do("HGET", key(wix.site, "reads"), "paused_until"))

        claimed = await worker.schedule.claim(SiteId(wix.site), RULES)
        assert not isinstance(claimed, Lot)
        assert 110 < getattr(claimed, "seconds", 0) <= 120
        assert 1 == len(wix.calls("query"))


async def test_refused_lot_is_halved_until_the_bad_id_is_alone(redis_url: str) -> None:
    """A batch that Wix answers with 400 is read in halves, each paid for, until the refused id is alone."""
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


async def test_refused_known_ticket_keeps_its_number(redis_url: str, reads: FakeReader) -> None:
    """A known ticket for which Wix answers 400, in a query or by itself, keeps its number and is due as usual."""
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
    """Law 5: A 404 to a query, read or listing, means a wrong address: the site pauses, and no ticket is deleted."""
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


async def test_read_under_changed_rules_is_due_again(redis_url: str) -> None:
    """A ticket claimed under rules that have changed since does not count as read: another worker reads it soon."""
    async with worker_on_fake_wix(redis_url) as (worker, wix):
        await watch(worker, SITE, TICKET)
        lot = await claimed(worker)
        await worker.schedule.add_site(SiteId(SITE), Rules(low_at=99), everything=False)
        wix.reply("/query", Reply(content=answer(TICKET)))

        await worker.reader.read(lot)

        assert {} == await worker.shown(SITE, TICKET)
        assert 0 >= await worker.due(SITE, TICKET)


async def test_silence_is_logged(redis_url: str, wix: WixRig) -> None:
    """A worker logs that no webhook comes when stock falls repeatedly, and logs the end of the silence."""
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


async def test_silence_is_not_logged_with_an_api_key(redis_url: str) -> None:
    """Webhooks belong to apps: with an API key no silence is logged."""
    async with worker_on_fake_wix(redis_url) as (worker, _):
        silences = [
            Reader(
                worker.schedule, worker.snapshots, worker.events, Wix(credentials, "http://127.0.0.1:9")
            )._silent_sites
            for credentials in (App("app", "secret"), ApiKey("key", {SiteId(SITE): SITE}))
        ]

    assert [True, False] == [one._expected for one in silences]


async def test_unpaid_halves_of_a_refused_lot_are_due_again(redis_url: str) -> None:
    """If the budget has no call left for the halves of a lot that Wix refused, both are due again, not one."""
    tickets = [f"99999999-aaaa-4aaa-8aaa-00000000000{n}" for n in range(4)]
    async with worker_on_fake_wix(redis_url) as (worker, wix):
        await watch(worker, SITE, *tickets)
        wix.reply("/query", Reply(400, {"message": "no"}))
        lot = await claimed(worker)
        await worker.store.do("HSET", key(SITE, "reads"), "tokens", 0)

        await worker.reader.read(lot)

        assert 1 == len(wix.requests_to("/query"))
        assert all([await worker.due(SITE, ticket) <= 0 for ticket in tickets])


async def test_ticket_found_by_another_worker_is_not_gone(redis_url: str) -> None:
    """A ticket that an answer left out and that another worker has found since is read again, and is not gone."""
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


async def test_ticket_missing_from_an_incomplete_answer_is_not_gone(redis_url: str) -> None:
    """A ticket missing from an answer that has another page may be on that page: it is not gone, and is read again."""
    async with worker_on_fake_wix(redis_url) as (worker, wix):
        await watch(worker, SITE, TICKET, OTHER)
        wix.reply("/query", Reply(content=answer(TICKET, next="more")))

        await worker.reader.read(await claimed(worker))

        assert TICKET == (await worker.shown(SITE, TICKET))["ticket"]
        assert {} == await worker.shown(SITE, OTHER)
        assert 0 >= await worker.due(SITE, OTHER)


async def test_unreadable_definition_changes_nothing(redis_url: str) -> None:
    """A definition that cannot be parsed proves nothing: its ticket keeps its snapshot, and is due as usual."""
    async with worker_on_fake_wix(redis_url) as (worker, wix):
        await watch(worker, SITE, TICKET)
        wix.reply("/query", Reply(200, {"ticketDefinitions": [{"id": TICKET, "eventId": "nonsense"}]}))

        await worker.reader.read(await claimed(worker))

        assert {} == await worker.shown(SITE, TICKET)
        assert 10 < await worker.due(SITE, TICKET) <= 15
