from server.model import EventId, Hint, Named, Pace, TicketId
from server.store.budget import Priority, Wait
from server.store.claims import EventLot, Lot
from server.store.events import Events
from server.store.snapshots import ReadResult
from tests.rig.default_keys import key
from tests.rig.server import SITE
from tests.rig.stored_site import EVENT, ORDER, SITE_ID, A, B, C, StoredSite, about
from tests.rig.time_travel import elapse
from tests.rig.wix_calls import most_in_a_minute

SECOND, THIRD = (EventId(f"0b5f1a2e-4444-4444-8444-00000000e00{n}") for n in (2, 3))


async def knows(site: StoredSite, *pairs: tuple[TicketId, EventId]) -> None:
    """Have read these tickets just now, each of its event."""
    version = await site.schedule.spend(SITE_ID, Priority.HINTED)
    assert isinstance(version, int)
    found = [ReadResult(ticket, Pace.LIVE, f'"ticket":"{ticket}"}}', "{}", 3, event=event) for ticket, event in pairs]
    await site.snapshots.keep(SITE_ID, version, found)


async def event_hint(site: StoredSite, event: EventId = EVENT) -> int | None:
    """Hint at an event and its tickets, as a webhook of the event does."""
    hint = Hint("event_updated", (), event, Named.EVENT, of_event=True)
    return await site.schedule.mark(SITE_ID, hint, "wix.events.v3.event_updated")


async def passes(site: StoredSite, seconds: float) -> None:
    """Let time pass, for the snapshots of the events too."""
    await elapse(site.store, SITE_ID, seconds, [A, B, C], [EVENT, SECOND, THIRD])


async def event_lot(site: StoredSite) -> EventLot:
    """Claim the events that are due, whatever the gap between reads."""
    await site.store.do("HDEL", key(SITE, "reads"), "last_events")
    found = await site.claim()
    assert isinstance(found, EventLot), found
    return found


async def read(site: StoredSite, lot: EventLot) -> None:
    """End the claim of a lot of events, each of which was read."""
    await Events(site.store).keep(SITE_ID, lot.version, lot.events, [])
    await site.schedule.settle_events(lot)


async def due(site: StoredSite) -> dict[str, float]:
    return await site.scores("events_due")


# -- which events are due --


async def test_event_webhook_makes_its_event_due(site: StoredSite) -> None:
    """A webhook of an event makes the event due at once, and its tickets too: the event is read first."""
    await knows(site, (A, EVENT))

    await event_hint(site)

    assert {EVENT: about(0)} == await due(site)
    await site.forget_gaps()
    first, second = await site.claim(), await site.claim()
    assert isinstance(first, EventLot)
    assert ((EVENT,), Priority.HINTED) == (first.events, first.priority)
    assert isinstance(second, Lot)
    assert ((A,), True) == (second.tickets, second.version > first.version)


async def test_order_does_not_make_its_event_due(site: StoredSite) -> None:
    """Law 4: An order names its event too, and causes no read of it: sales do not change an event."""
    await knows(site, (A, EVENT))

    await site.schedule.mark(SITE_ID, Hint("order", (A,), EVENT, Named.LINES), ORDER)

    assert {} == await due(site)
    assert {A: about(0)} == await site.scores()


async def test_event_without_tickets_is_not_marked(site: StoredSite) -> None:
    """Law 9: A webhook of an event of which no ticket is known makes nothing due."""
    await event_hint(site, SECOND)

    assert {} == await due(site)
    assert [] == await site.store.do("ZRANGE", key(SITE, "events_hinted"), 0, -1)


async def test_only_watched_events_are_marked(watched: StoredSite) -> None:
    """Where only watched tickets are tracked, a webhook marks an event only if a ticket of it was watched within a day."""
    await knows(watched, (A, EVENT), (B, SECOND), (C, THIRD))
    await watched.watch(B)
    await passes(watched, 86_400 + 60)
    await watched.watch(A)
    await watched.store.do("DEL", key(SITE, "events_due"))

    for event in (EVENT, SECOND, THIRD):
        await event_hint(watched, event)

    assert {EVENT: about(0)} == await due(watched)


async def test_watched_event_is_read_every_watch_every(site: StoredSite) -> None:
    """While a ticket of it is watched an event is read every WATCH_EVERY, else every RECONCILE."""
    await knows(site, (A, EVENT))
    await site.watch(A)
    assert {EVENT: about(0)} == await due(site)
    lot = await event_lot(site)
    assert Priority.WATCHED == lot.priority
    await read(site, lot)
    assert {EVENT: about(15)} == await due(site)

    await passes(site, 21)
    lot = await event_lot(site)
    assert Priority.REST == lot.priority
    await read(site, lot)

    assert {EVENT: about(300)} == await due(site)


async def test_event_is_watched_when_its_ticket_is(site: StoredSite) -> None:
    """The first viewer of an event that was read long ago has it read at once, and of one just read after WATCH_EVERY."""
    await knows(site, (A, EVENT))
    await site.watch(A)
    await read(site, await event_lot(site))
    await passes(site, 21)
    await read(site, await event_lot(site))
    await site.watch(A)
    assert {EVENT: about(15)} == await due(site)

    await passes(site, 100)
    await read(site, await event_lot(site))
    await passes(site, 100)
    assert {EVENT: about(200)} == await due(site)
    await site.watch(A)

    assert {EVENT: about(0)} == await due(site)


async def test_unwatched_event_is_not_read_where_only_watched_are_tracked(watched: StoredSite) -> None:
    """Where only watched tickets are tracked, an event is read while a ticket of it is watched, and no more after that."""
    await knows(watched, (A, EVENT))
    await watched.watch(A)
    await read(watched, await event_lot(watched))
    assert {EVENT: about(15)} == await due(watched)

    await passes(watched, 21)
    await read(watched, await event_lot(watched))

    assert {} == await due(watched)


async def test_hinted_event_is_read_again_after_the_hint(site: StoredSite) -> None:
    """Wix's reads may lag behind its webhooks: after a hint an event is read again 2, 8 and 30 s later."""
    await knows(site, (A, EVENT))
    await event_hint(site)
    for expected in (2, 6, 22):
        await read(site, await event_lot(site))
        assert {EVENT: about(expected)} == await due(site)
        await passes(site, expected + 0.1)

    await read(site, await event_lot(site))

    assert {EVENT: about(300)} == await due(site)


# -- claims --


async def test_hinted_events_come_first(site: StoredSite) -> None:
    """Law 4: A lot has at most 100 events; hinted ones are first, however many have been due for longer."""
    backlog = [EventId(f"event-{number:03}") for number in range(150)]
    await knows(site, *((TicketId(f"ticket-{number:03}"), event) for number, event in enumerate(backlog)), (A, EVENT))
    for event in backlog:
        await site.store.do("ZADD", key(SITE, "events_due"), 1, event)
    await event_hint(site)

    lot = await event_lot(site)
    assert (EVENT, 100, Priority.HINTED) == (lot.events[0], len(lot.events), lot.priority)
    rest = await event_lot(site)
    assert (51, Priority.REST) == (len(rest.events), rest.priority)
    assert {EVENT, *backlog} == {*lot.events, *rest.events}


async def test_events_have_a_gap_of_their_own(site: StoredSite) -> None:
    """Between two lots of events there is READ_GAP for hinted ones, and more where they are only kept fresh."""
    await knows(site, (A, EVENT), (B, SECOND), (C, THIRD))
    await event_hint(site, EVENT)
    await event_lot(site)
    await event_hint(site, SECOND)
    await site.store.do("ZREM", key(SITE, "due"), A, B)

    found = await site.claim()
    assert isinstance(found, Wait)
    assert 0.3 < found.seconds <= 0.5
    await passes(site, 0.5)
    assert isinstance(await site.claim(), EventLot)

    await site.watch(C)
    await site.store.do("ZREM", key(SITE, "due"), C)
    found = await site.claim()
    assert isinstance(found, Wait)
    assert 0.5 < found.seconds <= 1 / site.schedule.budget.watching


async def test_events_do_not_delay_lots_of_tickets(site: StoredSite) -> None:
    """A lot of events begins no gap for lots of tickets, and one of tickets none for events."""
    await knows(site, (A, EVENT), (B, SECOND))
    await passes(site, 10)
    await event_hint(site, EVENT)

    first, second = await site.claim(), await site.claim()
    assert (EventLot, Lot) == (type(first), type(second))

    assert isinstance(first, EventLot)
    assert isinstance(second, Lot)
    await read(site, first)
    await site.schedule.settle(second, [])
    await passes(site, 10)
    await site.store.do("DEL", key(SITE, "events_due"))
    await site.mark(A)
    first = await site.claim()
    await event_hint(site, SECOND)
    assert (Lot, EventLot) == (type(first), type(await site.claim()))


async def test_event_that_has_lost_its_tickets_is_dropped(site: StoredSite) -> None:
    """An event without tickets is of no use: it is not read any more, and its snapshot expires."""
    await knows(site, (A, EVENT), (B, SECOND))
    await event_hint(site, EVENT)
    await read(site, await event_lot(site))
    await event_hint(site, EVENT)
    await event_hint(site, SECOND)
    await site.store.do("DEL", key(SITE, "event", EVENT))

    assert (SECOND,) == (await event_lot(site)).events

    assert EVENT not in await due(site)
    assert EVENT not in await site.scores("events_hinted")
    assert 0 < await site.ttl("event_snapshot", EVENT) <= 172_800


async def test_only_events_without_tickets_are_no_lot(site: StoredSite) -> None:
    """Where none of the due events has a ticket, none is claimed, and no call is paid for."""
    await knows(site, (A, EVENT))
    await event_hint(site)
    await site.store.do("ZREM", key(SITE, "due"), A)
    await site.store.do("DEL", key(SITE, "event", EVENT))
    before = (await site.reads())["version"]

    assert isinstance(await site.claim(), Wait)
    assert (before, {}) == ((await site.reads())["version"], await due(site))


async def test_lease_of_a_worker_that_died(site: StoredSite) -> None:
    """Law 11: A claimed event belongs to one worker for 30 s; then it is due again, in case that worker died."""
    await knows(site, (A, EVENT))
    await event_hint(site)
    await site.store.do("ZREM", key(SITE, "due"), A)
    lot = await event_lot(site)
    assert lot.version + 30_000_000 == lot.lease
    await passes(site, 25)
    assert not isinstance(await site.claim(), EventLot)

    await passes(site, 5)

    again = await event_lot(site)
    assert (lot.events, True) == (again.events, again.version > lot.version)


async def test_released_lot_is_due_again(site: StoredSite) -> None:
    """Law 11: A lot of events that was not read is due again at once or in a moment; one unread of a read lot too."""
    await knows(site, (A, EVENT), (B, SECOND))
    for event in (EVENT, SECOND):
        await event_hint(site, event)
    await site.store.do("DEL", key(SITE, "events_hinted"))

    await site.schedule.release(await event_lot(site))
    assert {EVENT: about(2), SECOND: about(2)} == await due(site)

    await passes(site, 2.5)
    await site.schedule.settle_events(await event_lot(site), {EVENT})
    assert {EVENT: about(2), SECOND: about(300)} == await due(site)


async def test_mark_during_a_read_of_an_event_stays(site: StoredSite) -> None:
    """An event that is hinted at while it is read is due again when that read has ended."""
    await knows(site, (A, EVENT))
    await event_hint(site)
    lot = await event_lot(site)

    await event_hint(site)
    await read(site, lot)

    assert {EVENT: about(0)} == await due(site)


async def test_delayed_events_are_not_claimed(site: StoredSite) -> None:
    """While reads of events are delayed none is claimed, and tickets are; the wait is exact."""
    await knows(site, (A, EVENT))
    await event_hint(site)
    await Events(site.store).failed(SITE_ID)
    await site.forget_gaps()

    lot = await site.claim()
    assert isinstance(lot, Lot)
    await site.schedule.settle(lot, [])
    await site.store.do("DEL", key(SITE, "due"))
    found = await site.claim()

    assert isinstance(found, Wait)
    assert about(4) == found.seconds
    await passes(site, 4)
    assert isinstance(await site.claim(), EventLot)


async def test_last_tokens_are_not_for_unhinted_events(site: StoredSite) -> None:
    """Law 5: Events are paid for as tickets are: the last 5 tokens are for hinted ones, the last 10 for watched ones too."""
    await knows(site, (A, EVENT))
    await site.watch(A)
    await site.store.do("ZREM", key(SITE, "due"), A)
    now = await site.now()
    await site.store.do("HSET", key(SITE, "reads"), "tokens", 5, "filled_at", now)
    found = await site.claim()
    assert isinstance(found, Wait)
    assert 0 < found.seconds <= 1 / 3

    await event_hint(site)
    await site.store.do("ZREM", key(SITE, "due"), A)

    assert isinstance(await site.claim(), EventLot)


async def test_most_calls_in_a_minute_with_events(site: StoredSite) -> None:
    """Law 5: However many tickets and events are hinted at, no minute has more than 200 calls, and both are read."""
    pairs = [(TicketId(f"ticket-{n}"), EventId(f"event-{n}")) for n in range(6)]
    await knows(site, *pairs)
    await site.passes(10)
    calls: list[float] = []
    kinds = {EventLot: 0, Lot: 0}
    passed = 0.0
    began = await site.now()
    step = 0.05
    while passed < 65:
        ticket, event = pairs[len(calls) % len(pairs)]
        await event_hint(site, event)
        await site.mark(ticket)
        while not isinstance(found := await site.claim(), Wait):
            assert isinstance(found, (EventLot, Lot))
            calls.append((found.version - began) / 1e6 + passed)
            kinds[type(found)] += 1
            if isinstance(found, EventLot):
                await site.schedule.settle_events(found)
            else:
                await site.settle(found)
        await site.passes(step)
        passed += step

    assert 150 <= most_in_a_minute(calls) <= 200
    assert all(number > 50 for number in kinds.values())
