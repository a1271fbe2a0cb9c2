import asyncio
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from structlog.testing import capture_logs

from server.counter import Rules
from server.errors import RedisUnavailable
from server.model import EventId, Hint, Named, Pace, SiteId, TicketId
from server.refresh.events import EFFECT, EventReader
from server.store.budget import Priority, Wait
from server.store.claims import EventLot, Listing
from server.store.events import Delay
from server.store.snapshots import ReadResult
from server.store.timing import Timing
from tests.rig.default_keys import key
from tests.rig.fake_wix import FakeWix, Reply
from tests.rig.server import OTHER, SITE, TICKET, until
from tests.rig.stored_site import about, list_now
from tests.rig.time_travel import elapse
from tests.rig.wix import ManualClock, WixRig
from tests.rig.worker_rig import (
    RULES,
    SAMPLE,
    WorkerRig,
    answer,
    claimed,
    mark,
    running_worker,
    watch,
    worker_on_fake_wix,
)

SITE_ID = SiteId(SITE)
EVENT = EventId(SAMPLE["eventId"])
EVENTS = [EventId(f"0b5f1a2e-4444-4444-8444-00000000f00{n}") for n in range(4)]
QUERY = "/events/query"
FAULTS = [
    Reply(500),
    Reply(503),
    Reply(429),
    Reply(404),
    Reply(content=b"nonsense"),
    Reply(content={}),
    Reply(cut=True),
]
"""Answers that say nothing about any event: a 404 for a query is a wrong address or a gateway."""


def event(id_: str = EVENT, **registration: Any) -> dict[str, Any]:
    return {"id": id_, "status": "UPCOMING", "registration": {"status": "OPEN_TICKETS", **registration}}


def events(*found: dict[str, Any]) -> Reply:
    return Reply(content={"events": list(found)})


PAUSED = events(event(registrationPaused=True))


@pytest.fixture
async def rig(redis_url: str) -> AsyncIterator[tuple[WorkerRig, FakeWix]]:
    """A worker that reads what a test claims, on a fake Wix that has one ticket and answers no events."""
    async with worker_on_fake_wix(redis_url) as (worker, wix):
        wix.reply("/query", Reply(content=answer(TICKET)))
        yield worker, wix


async def read_ticket(worker: WorkerRig, *, hint: bool = True) -> None:
    """Have the ticket read, as after a hint."""
    await watch(worker, SITE, TICKET)
    if hint:
        await mark(worker, SITE, TICKET)
    await worker.reader.read(await claimed(worker))


async def lot_of(worker: WorkerRig, *ids: EventId, hint: bool = False) -> EventLot:
    """Claim these events, each of which has a watched ticket; with a *hint*, webhooks have named them."""
    tickets = [TicketId(f"99999999-aaaa-4aaa-8aaa-{number:012}") for number, _ in enumerate(ids)]
    results = [
        ReadResult(ticket, Pace.LIVE, f'"ticket":"{ticket}"}}', "{}", 3, event=id_)
        for ticket, id_ in zip(tickets, ids, strict=True)
    ]
    version = await worker.schedule.spend(SITE_ID, Priority.HINTED)
    assert isinstance(version, int)
    await worker.snapshots.keep(SITE_ID, version, results)
    await watch(worker, SITE, *tickets)
    for id_ in ids if hint else ():
        await worker.schedule.mark(SITE_ID, Hint("event_updated", (), id_, Named.EVENT, of_event=True))
    lot = await worker.schedule.claim(SITE_ID, RULES)
    assert isinstance(lot, EventLot)
    assert set(ids) == set(lot.events)
    return lot


async def state(worker: WorkerRig) -> str | None:
    return (await worker.shown(SITE, TICKET)).get("state")


async def due(worker: WorkerRig, id_: str = EVENT) -> float:
    """Seconds from now until an event is due."""
    second, micro = await worker.store.do("TIME")
    return float(await worker.store.do("ZSCORE", key(SITE, "events_due"), id_)) / 1e6 - int(second) - int(micro) / 1e6


async def delay(worker: WorkerRig) -> Delay:
    return await worker.events.events.delay(SITE_ID)


async def is_paused(worker: WorkerRig) -> bool:
    return await worker.store.do("HGET", key(SITE, "reads"), "paused_until") is not None


async def time_passes(worker: WorkerRig, seconds: float) -> None:
    await elapse(worker.store, SITE_ID, seconds, [TicketId(TICKET)], [EVENT, *EVENTS])


# -- with a first ticket --


async def test_event_is_read_before_its_first_ticket_is_shown(rig: tuple[WorkerRig, FakeWix]) -> None:
    """The first ticket of an event is shown when the event was read: never on sale while registration is closed."""
    worker, wix = rig
    wix.reply(QUERY, PAUSED)

    await read_ticket(worker)

    assert "closed" == await state(worker)
    [asked] = wix.requests_to(QUERY)
    assert [EVENT] == asked.body["query"]["filter"]["id"]["$in"]


async def test_event_is_read_before_the_tickets_of_a_listing(rig: tuple[WorkerRig, FakeWix]) -> None:
    """A page of a listing has its events read in one call before its tickets are stored."""
    worker, wix = rig
    wix.reply("/query", Reply(content=answer(TICKET, OTHER)))
    wix.reply(QUERY, PAUSED)

    version = await worker.schedule.spend(SITE_ID, Priority.REST)
    assert isinstance(version, int)
    page = await worker.reader.page(SITE_ID, version, None)

    assert [[TICKET, OTHER], []] == [[one.ticket for one in page.found], page.waiting]
    assert ["closed"] * 2 == [(await worker.shown(SITE, one))["state"] for one in (TICKET, OTHER)]
    assert 1 == len(wix.requests_to(QUERY))


async def test_ticket_waits_while_its_event_cannot_be_paid_for(rig: tuple[WorkerRig, FakeWix]) -> None:
    """Law 5: If the budget has no call for a first ticket's event, the ticket is not shown, and is read again in a moment."""
    worker, wix = rig
    wix.reply(QUERY, PAUSED)
    await watch(worker, SITE, TICKET)
    lot = await claimed(worker)
    await worker.store.do("HSET", key(SITE, "reads"), "tokens", 0)

    await worker.reader.read(lot)
    assert ({}, []) == (await worker.shown(SITE, TICKET), wix.requests_to(QUERY))
    assert 0 >= await worker.due(SITE, TICKET)

    await time_passes(worker, 5)
    await read_ticket(worker)
    assert "closed" == await state(worker)


async def test_listed_ticket_waits_while_its_event_cannot_be_paid_for(rig: tuple[WorkerRig, FakeWix]) -> None:
    """Law 5: A listed ticket whose event cannot be paid for is hinted at, not shown, and does not count as absent."""
    worker, wix = rig
    wix.reply(QUERY, PAUSED)
    await worker.add_site(SITE, everything=True)
    await list_now(worker.schedule, SITE)
    listing = await worker.schedule.claim(SITE_ID, RULES)
    assert isinstance(listing, Listing)
    # For the page, not for the event: the last 10 tokens are for reads that are more urgent.
    second, micro = await worker.store.do("TIME")
    await worker.store.do("HSET", key(SITE, "reads"), "tokens", 11.5, "filled_at", f"{second}{int(micro):06}")

    with capture_logs() as logs:
        await _list(worker, listing)

    assert {} == await worker.shown(SITE, TICKET)
    assert [(1, 0)] == [(one["tickets"], one["absent"]) for one in logs if one["event"] == "site_listed"]
    assert [] == wix.requests_to(QUERY)
    await worker.reader.read(await claimed(worker))
    assert "closed" == await state(worker)


async def _list(worker: WorkerRig, listing: Listing) -> None:
    await worker.claimer._read(listing, asyncio.Semaphore(0), time.monotonic())


@pytest.mark.parametrize(("answer", "shown"), [(PAUSED, "closed"), (events(), "low")])
async def test_event_that_was_read_costs_no_call(rig: tuple[WorkerRig, FakeWix], answer: Reply, shown: str) -> None:
    """Law 4: An event that was read once costs the reads of its tickets no call, also if Wix's answer left it out."""
    worker, wix = rig
    wix.reply(QUERY, answer)

    for _ in range(3):
        await read_ticket(worker)

    assert shown == await state(worker)
    assert 1 == len(wix.requests_to(QUERY))


async def test_event_is_read_again_before_its_tickets_under_new_rules(rig: tuple[WorkerRig, FakeWix]) -> None:
    """After a site had other rules, its events are read before its tickets are shown: that worker may have read no event."""
    worker, wix = rig
    wix.reply(QUERY, events(event()), PAUSED)
    await read_ticket(worker)
    assert "low" == await state(worker)

    for rules in (Rules(low_at=3), RULES):
        await worker.schedule.add_site(SITE_ID, rules, everything=False)
    await read_ticket(worker)

    assert "closed" == await state(worker)
    assert 2 == len(wix.requests_to(QUERY))


async def test_event_that_was_read_too_long_ago_is_read_first(rig: tuple[WorkerRig, FakeWix]) -> None:
    """Law 8: A ticket is shown by a read of its event that is older than RECONCILE + MAX_STALE only if there can be no other."""
    worker, wix = rig
    wix.reply(QUERY, events(event()), PAUSED, Reply(403))
    await read_ticket(worker)
    await time_passes(worker, 385)
    await read_ticket(worker)
    assert ("low", 1) == (await state(worker), len(wix.requests_to(QUERY)))

    await time_passes(worker, 10)
    await read_ticket(worker)
    assert ("closed", 2) == (await state(worker), len(wix.requests_to(QUERY)))

    await time_passes(worker, 395)
    await read_ticket(worker)
    assert ("closed", 3) == (await state(worker), len(wix.requests_to(QUERY)))


# -- lots --


async def test_changed_event_changes_its_tickets(rig: tuple[WorkerRig, FakeWix]) -> None:
    """A read of an event that has changed has its tickets read, so that they say what is true now."""
    worker, wix = rig
    wix.reply(QUERY, events(event()), PAUSED)
    await read_ticket(worker)
    assert "low" == await state(worker)
    await watch(worker, SITE, TICKET)
    await worker.schedule.mark(SITE_ID, Hint("event_updated", (), EVENT, Named.EVENT, of_event=True))
    lot = await worker.schedule.claim(SITE_ID, RULES)
    assert isinstance(lot, EventLot)

    await worker.events.read(lot)
    await worker.reader.read(await claimed(worker))

    assert "closed" == await state(worker)
    assert 2 == len(wix.requests_to(QUERY))


async def test_lot_is_one_call_and_is_settled(rig: tuple[WorkerRig, FakeWix]) -> None:
    """Law 4: A lot of events is one call, and each is due again after WATCH_EVERY, read or left out."""
    worker, wix = rig
    wix.reply(QUERY, events(event(EVENTS[0]), event(EVENTS[1])))
    lot = await lot_of(worker, *EVENTS)

    await worker.events.read(lot)

    assert 1 == len(wix.requests_to(QUERY))
    assert [about(15)] * 4 == [await due(worker, id_) for id_ in EVENTS]
    found = await worker.events.events.stored(SITE_ID, EVENTS)
    assert ([False, False, True, True], frozenset()) == ([found.facts[id_] is None for id_ in EVENTS], found.unread)


# -- without the permission --


FORBIDDEN = [
    pytest.param([Reply(403)], 1, id="403"),
    pytest.param([Reply(401), Reply(401)], 2, id="401 to a new token"),
]


@pytest.mark.parametrize(("replies", "calls"), FORBIDDEN)
async def test_missing_permission_pauses_nothing(
    rig: tuple[WorkerRig, FakeWix], replies: list[Reply], calls: int
) -> None:
    """Without the permission the tickets decide for themselves, the site is not paused, and no event is asked for."""
    worker, wix = rig
    wix.reply(QUERY, *replies)

    for _ in range(3):
        await read_ticket(worker)

    assert "low" == await state(worker)
    assert calls == len(wix.requests_to(QUERY))
    assert not await is_paused(worker)
    assert Delay(lasts=True, faults=0) == await delay(worker)


@pytest.mark.parametrize(("replies", "calls"), FORBIDDEN)
async def test_missing_permission_is_told_once_and_heals(
    rig: tuple[WorkerRig, FakeWix], replies: list[Reply], calls: int
) -> None:
    """The missing permission is told once, with its cure, and tried again after RECONCILE; when it has come, that is told."""
    worker, wix = rig
    wix.reply(QUERY, *replies)
    with capture_logs() as logs:
        await read_ticket(worker)
        await time_passes(worker, 299)
        await read_ticket(worker)
        assert calls == len(wix.requests_to(QUERY))
        await time_passes(worker, 2)
        await read_ticket(worker)
        assert 2 * calls == len(wix.requests_to(QUERY))
        wix.reply(QUERY, PAUSED)
        await time_passes(worker, 301)
        await read_ticket(worker)

    assert "closed" == await state(worker)
    told = [one for one in logs if one["event"].startswith("events_forbidden")]
    assert ["events_forbidden", "events_forbidden_no_more"] == [one["event"] for one in told]
    assert (SITE, EFFECT) == (told[0]["site"], told[0]["effect"])
    assert "the app lacks the permission Read Events" in told[0]["hint"]


async def test_missing_permission_leaves_what_was_known(rig: tuple[WorkerRig, FakeWix]) -> None:
    """When the permission is taken away, what was read of an event stays; it is tried again for webhooks, else after RECONCILE."""
    worker, wix = rig
    wix.reply(QUERY, PAUSED, Reply(403))
    await read_ticket(worker)
    await watch(worker, SITE, TICKET)
    await worker.schedule.mark(SITE_ID, Hint("event_updated", (), EVENT, Named.EVENT, of_event=True))
    lot = await worker.schedule.claim(SITE_ID, RULES)
    assert isinstance(lot, EventLot)

    await worker.events.read(lot)
    await read_ticket(worker)

    assert "closed" == await state(worker)
    assert 1.5 < await due(worker) <= 2
    for seconds, follows in ((2, True), (6, True), (22, True), (200, False), (110, True)):
        await time_passes(worker, seconds)
        await watch(worker, SITE, TICKET)
        await worker.store.do("HDEL", key(SITE, "reads"), "last_events")
        claim = await worker.schedule.claim(SITE_ID, RULES)
        assert follows == isinstance(claim, EventLot), seconds
        if isinstance(claim, EventLot):
            await worker.schedule.settle_events(claim)


async def test_webhook_is_tried_without_the_permission(rig: tuple[WorkerRig, FakeWix]) -> None:
    """While the permission is missing, a webhook has its event read at once all the same: the permission may be there by now."""
    worker, wix = rig
    wix.reply(QUERY, PAUSED, Reply(403), events(event()))
    await read_ticket(worker)
    await watch(worker, SITE, TICKET)
    hint = Hint("event_updated", (), EVENT, Named.EVENT, of_event=True)
    for _ in range(2):
        await time_passes(worker, 1)
        await worker.schedule.mark(SITE_ID, hint)
        lot = await worker.schedule.claim(SITE_ID, RULES)
        assert isinstance(lot, EventLot)
        await worker.events.read(lot)
    await read_ticket(worker)

    assert "low" == await state(worker)


async def test_401_without_a_second_call_is_a_fault(rig: tuple[WorkerRig, FakeWix]) -> None:
    """Law 5: A 401 whose second call cannot be paid says nothing of the permission: it is a fault, and pauses the site."""
    worker, wix = rig
    wix.reply(QUERY, Reply(401))
    lot = await lot_of(worker, *EVENTS)
    await worker.store.do("HSET", key(SITE, "reads"), "tokens", 0)

    with capture_logs() as logs:
        await worker.events.read(lot)

    assert 1 == len(wix.requests_to(QUERY))
    assert await is_paused(worker)
    assert Delay(lasts=True, faults=1) == await delay(worker)
    assert ["wix_fault"] == [one["event"] for one in logs]


async def test_401_while_redis_is_unavailable_is_not_paid(rig: tuple[WorkerRig, FakeWix]) -> None:
    """Law 5: While Redis cannot be asked there is no second call after a 401."""
    worker, wix = rig
    wix.reply(QUERY, Reply(401))
    lot = await lot_of(worker, *EVENTS)

    async def unavailable(site: SiteId, priority: Priority) -> int | Wait:
        raise RedisUnavailable("no answer")

    worker.schedule.spend = unavailable  # type: ignore[method-assign]
    await worker.events.read(lot)

    assert 1 == len(wix.requests_to(QUERY))
    assert Delay(lasts=True, faults=1) == await delay(worker)


# -- faults of Wix --


@pytest.mark.parametrize("fault", FAULTS)
async def test_fault_pauses_the_site_and_delays_events_longer_each_time(
    rig: tuple[WorkerRig, FakeWix], fault: Reply
) -> None:
    """Law 5: A fault pauses the site and delays its events, longer with each in a row; tickets of an unread event wait."""
    worker, wix = rig
    wix.reply(QUERY, fault)
    for number, length in enumerate((4, 8), 1):
        await read_ticket(worker)
        assert ({}, number) == (await worker.shown(SITE, TICKET), len(wix.requests_to(QUERY)))
        assert await is_paused(worker)
        assert Delay(lasts=True, faults=number) == await delay(worker)
        assert 0 >= await worker.due(SITE, TICKET)
        await time_passes(worker, length - 1)
        # The pause has ended, the delay has not: the ticket is read, and waits.
        await read_ticket(worker)
        assert ({}, number) == (await worker.shown(SITE, TICKET), len(wix.requests_to(QUERY)))
        await time_passes(worker, 2)

    await read_ticket(worker)

    assert 3 == len(wix.requests_to(QUERY))
    assert Delay(lasts=True, faults=3) == await delay(worker)
    assert "low" == await state(worker)


async def test_read_event_closes_what_was_shown_without_it(rig: tuple[WorkerRig, FakeWix]) -> None:
    """A ticket that was shown after three faults says what its event says as soon as that can be read."""
    worker, wix = rig
    wix.reply(QUERY, Reply(500))
    for seconds in (5, 9, 17):
        await read_ticket(worker)
        await time_passes(worker, seconds)
    assert "low" == await state(worker)
    wix.reply(QUERY, PAUSED)

    await read_ticket(worker)

    assert "closed" == await state(worker)
    assert Delay(lasts=False, faults=0) == await delay(worker)


async def test_failed_lot_is_due_again(rig: tuple[WorkerRig, FakeWix]) -> None:
    """Law 11: A lot of events that met a fault is due again, and is claimed when the delay has passed."""
    worker, wix = rig
    wix.reply(QUERY, Reply(503, headers={"retry-after": "2"}))
    lot = await lot_of(worker, *EVENTS)

    await worker.events.read(lot)
    assert all([await due(worker, id_) <= 0 for id_ in EVENTS])
    await time_passes(worker, 3)
    assert not isinstance(await worker.schedule.claim(SITE_ID, RULES), EventLot)
    await time_passes(worker, 2)

    again = await worker.schedule.claim(SITE_ID, RULES)
    assert isinstance(again, EventLot)
    assert set(EVENTS) == set(again.events)


# -- one by one --


def clocked(worker: WorkerRig) -> ManualClock:
    """Give the reader of events a clock of the test's."""
    clock = ManualClock()
    worker.events = EventReader(worker.schedule, worker.events.events, worker.wix, clock=clock)
    return clock


async def test_refused_query_is_read_one_by_one_for_an_hour(rig: tuple[WorkerRig, FakeWix]) -> None:
    """Events whose query Wix refuses are read one by one for an hour; then the query is tried again."""
    worker, wix = rig
    clock = clocked(worker)
    wix.reply(QUERY, Reply(400, {"message": "id cannot be filtered"}))
    for id_ in EVENTS:
        wix.reply(f"/events/{id_}", Reply(content={"event": event(id_)}))
    with capture_logs() as logs:
        await worker.events.read(await lot_of(worker, *EVENTS[:2]))
    found = await worker.events.events.stored(SITE_ID, EVENTS[:2])
    assert ([False] * 2, frozenset()) == ([one is None for one in found.facts.values()], found.unread)
    assert ["events_query_refused"] == [one["event"] for one in logs]
    asked = []

    for seconds in (3599, 2):
        clock.advance(seconds)
        await time_passes(worker, 20)
        await worker.events.read(await lot_of(worker, *EVENTS[:2]))
        asked.append((len(wix.requests_to(QUERY)), len(wix.requests) - 1))

    # Each lot is two calls, of which the first of all and the last one have a refused query before them.
    assert [(1, 5), (2, 8)] == asked


async def test_reads_one_by_one_are_each_paid_for(rig: tuple[WorkerRig, FakeWix]) -> None:
    """Law 5: Each event that is read by itself costs a call of the budget, as the refused query did."""
    worker, wix = rig
    wix.reply(QUERY, Reply(400))
    for id_ in EVENTS:
        wix.reply(f"/events/{id_}", Reply(content={"event": event(id_)}))
    lot = await lot_of(worker, *EVENTS)
    before = await _tokens(worker)

    await worker.events.read(lot)

    assert before - await _tokens(worker) == pytest.approx(4, abs=0.9)


async def _tokens(worker: WorkerRig) -> float:
    return float(await worker.store.do("HGET", key(SITE, "reads"), "tokens"))


async def test_claimed_call_pays_for_the_first_of_the_hour(rig: tuple[WorkerRig, FakeWix]) -> None:
    """Law 5: Where no query is tried, the call that the lot has paid for reads its first event."""
    worker, wix = rig
    clocked(worker)
    wix.reply(QUERY, Reply(400))
    await worker.events.read(await lot_of(worker, EVENTS[0]))
    await time_passes(worker, 20)
    lot = await lot_of(worker, EVENTS[0])
    await worker.store.do("HSET", key(SITE, "reads"), "tokens", 0)

    await worker.events.read(lot)

    assert 2 == len(wix.requests_to(f"/events/{EVENTS[0]}"))


@pytest.mark.parametrize(("hint", "tokens", "read"), [(False, 12.5, 2), (False, 9.0, 0), (True, 2.5, 2)])
async def test_events_that_cannot_be_paid_for_are_due_again(
    rig: tuple[WorkerRig, FakeWix], hint: bool, tokens: float, read: int
) -> None:
    """Law 5: If the budget ends in the middle, those read are stored and the rest is due again; only hinted ones take its last."""
    worker, wix = rig
    wix.reply(QUERY, Reply(400))
    for id_ in EVENTS:
        wix.reply(f"/events/{id_}", Reply(content={"event": event(id_)}))
    lot = await lot_of(worker, *EVENTS, hint=hint)
    await worker.store.do("HSET", key(SITE, "reads"), "tokens", tokens)

    await worker.events.read(lot)

    found = await worker.events.events.stored(SITE_ID, lot.events)
    assert (set(lot.events[:read]), set(lot.events[read:])) == (set(found.facts), set(found.unread))
    again = [await due(worker, id_) <= 0 for id_ in lot.events]
    assert [False] * read + [True] * (len(EVENTS) - read) == again
    assert not await is_paused(worker)


async def test_events_for_which_there_is_no_time_are_due_again(rig: tuple[WorkerRig, FakeWix]) -> None:
    """Law 5: Half of the time of a lot's calls is for events that are read one by one; the rest of them is due again."""
    worker, wix = rig
    clock = clocked(worker)
    wix.reply(QUERY, Reply(400))
    lot = await lot_of(worker, *EVENTS)
    spend = worker.schedule.spend

    async def slow(site: SiteId, priority: Priority) -> int | Wait:
        clock.advance(5)
        return await spend(site, priority)

    worker.schedule.spend = slow  # type: ignore[method-assign]
    await worker.events.read(lot)

    assert 2 == len([one for one in wix.requests if one.method == "GET"])
    assert [False, False, True, True] == [await due(worker, id_) <= 0 for id_ in lot.events]


@pytest.mark.parametrize("reply", [Reply(404), Reply(400), Reply(content={"event": {"id": "nonsense"}})])
async def test_event_that_cannot_be_read_hides_no_other(rig: tuple[WorkerRig, FakeWix], reply: Reply) -> None:
    """One by one, an event that is deleted, refused or unreadable counts as read; the others are read too."""
    worker, wix = rig
    wix.reply(QUERY, Reply(400))
    lot = await lot_of(worker, *EVENTS[:2])
    first, second = lot.events
    wix.reply(f"/events/{first}", reply)
    wix.reply(f"/events/{second}", Reply(content={"event": event(second)}))

    await worker.events.read(lot)

    found = await worker.events.events.stored(SITE_ID, lot.events)
    assert (None, True, frozenset()) == (found.facts[first], found.facts[second] is not None, found.unread)
    assert not await is_paused(worker)


async def test_fault_one_by_one(rig: tuple[WorkerRig, FakeWix]) -> None:
    """A fault in the middle of reads one by one keeps what was read before it, and pauses the site."""
    worker, wix = rig
    wix.reply(QUERY, Reply(400))
    lot = await lot_of(worker, *EVENTS[:2])
    first, second = lot.events
    wix.reply(f"/events/{first}", Reply(content={"event": event(first)}))
    wix.reply(f"/events/{second}", Reply(500))

    await worker.events.read(lot)

    found = await worker.events.events.stored(SITE_ID, lot.events)
    assert ({first}, {second}) == (set(found.facts), set(found.unread))
    assert await is_paused(worker)
    assert Delay(lasts=True, faults=1) == await delay(worker)


async def test_ticket_of_an_event_that_is_read_by_itself(rig: tuple[WorkerRig, FakeWix]) -> None:
    """The first ticket of an event is shown as the event says, where Wix refuses a query for it."""
    worker, wix = rig
    wix.reply(QUERY, Reply(400))
    wix.reply(f"/events/{EVENT}", Reply(content={"event": event(registrationPaused=True)}))

    await read_ticket(worker)

    assert "closed" == await state(worker)


# -- on the sandbox --


async def closed_and_opened(worker: WorkerRig, wix: WixRig) -> None:
    """Close and open registration, each without a webhook; the ticket says so after WATCH_EVERY."""
    ticket = wix.tickets["fixed"]
    for change, found in (
        (wix.world.pause_registration, "closed"),
        (wix.world.open_registration, "available"),
        (wix.world.disable_registration, "closed"),
        (wix.world.open_registration, "available"),
        (wix.world.cancel_event, "gone"),
    ):
        change(wix.event)
        await until(_watched_and(worker, wix.site, ticket, found))


def _watched_and(worker: WorkerRig, site: str, ticket: str, state: str) -> Callable[[], Any]:
    async def holds() -> bool:
        await watch(worker, site, ticket)
        return (await worker.shown(site, ticket)).get("state") == state

    return holds


QUICK = Timing(watch_every=0.2, reconcile=1.0)


@pytest.mark.parametrize("knobs", [{}, {"event_id_in": False}], ids=["query", "one by one"])
async def test_registration_is_followed_without_webhooks(redis_url: str, wix: WixRig, knobs: dict[str, Any]) -> None:
    """While a ticket is watched, what happens to its event is shown without any webhook, whether queries are taken or not."""
    wix.knobs.turn(**knobs)
    async with running_worker(redis_url, wix, QUICK) as worker:
        await until(_watched_and(worker, wix.site, wix.tickets["fixed"], "available"))

        await closed_and_opened(worker, wix)

        assert bool(wix.calls("get_event")) is bool(knobs)


@pytest.mark.parametrize("status", ["403", "401"])
async def test_permission_that_comes_later(redis_url: str, wix: WixRig, status: str) -> None:
    """Without the permission a ticket is shown as it is itself; when the permission comes, as its event says."""
    wix.knobs.turn(read_events=False, missing_permission=status)
    wix.world.pause_registration(wix.event)
    async with running_worker(redis_url, wix, QUICK) as worker:
        await until(_watched_and(worker, wix.site, wix.tickets["fixed"], "available"))
        assert await worker.store.do("HGET", key(wix.site, "reads"), "paused_until") is None

        wix.knobs.turn(read_events=True)

        await until(_watched_and(worker, wix.site, wix.tickets["fixed"], "closed"))
