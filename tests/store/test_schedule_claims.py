from server.model import (
    Pace,
    TicketId,
)
from server.store.budget import Priority, Wait
from server.store.claims import Listing, Lot, NextRead
from server.store.snapshots import ReadResult
from tests.rig.default_keys import key
from tests.rig.server import SITE
from tests.rig.stored_site import EVENT, SITE_ID, A, B, StoredSite, about


async def test_claim_with_nothing_due_waits_until_the_next_due_time(site: StoredSite) -> None:
    """A claim with nothing to read returns the wait until the next due time."""
    await site.mark(A)
    await site.settle(await site.lot())

    found = await site.claim()

    assert isinstance(found, Wait)
    assert about(2) == found.seconds


async def test_site_without_tickets_is_polled_each_second(watched: StoredSite) -> None:
    """A site without any ticket is polled once a second."""
    assert Wait(1.0) == await watched.claim()


async def test_lot_takes_hinted_then_watched_then_others(site: StoredSite) -> None:
    """Law 4: A lot has at most 100 tickets: hinted ones first, then watched ones, then the rest."""
    rest = [TicketId(f"rest-{n}") for n in range(60)]
    looked_at = [TicketId(f"looked-at-{n}") for n in range(30)]
    hinted = [TicketId(f"hinted-{n}") for n in range(50)]
    await site.schedule.track(SITE_ID, 0, [NextRead(one, Pace.LIVE, start_us=1) for one in (*rest, *looked_at)])
    await site.passes(400)
    await site.watch(*looked_at)
    await site.mark(*hinted)

    lot = await site.lot()

    assert Priority.HINTED == lot.priority
    assert set(hinted) == set(lot.tickets[:50])
    assert set(looked_at) == set(lot.tickets[50:80])
    assert set(lot.tickets[80:]) < set(rest)
    assert 100 == len(lot.tickets)
    assert Priority.REST == (await site.lot()).priority


async def test_endless_hints_starve_no_ticket(site: StoredSite) -> None:
    """When more tickets than fit in a lot are hinted again after each read, each is read in its turn."""
    hinted = [TicketId(f"ticket-{n:03}") for n in range(300)]
    read: list[TicketId] = []
    for _ in range(3):
        await site.mark(*hinted)
        lot = await site.lot()
        await site.settle(lot)
        read += lot.tickets

    assert set(hinted) == set(read)


async def test_ticket_without_viewers_is_read_with_the_rest(watched: StoredSite) -> None:
    """A ticket without viewers is no longer read as a watched one."""
    await watched.watch(A)
    assert Priority.WATCHED == (await watched.lot()).priority

    await watched.passes(31)

    assert Priority.REST == (await watched.lot()).priority


async def test_hint_is_claimed_before_a_backlog(site: StoredSite) -> None:
    """A hinted ticket is read first, however many tickets have been due for longer."""
    backlog = [TicketId(f"ticket-{n}") for n in range(1500)]
    await site.schedule.track(SITE_ID, 0, [NextRead(one, Pace.LIVE) for one in backlog])
    await site.passes(400)
    await site.mark(A)

    assert A == (await site.lot()).tickets[0]


async def test_claimed_ticket_is_leased_for_30_seconds(site: StoredSite) -> None:
    """Law 11: A claimed ticket belongs to one worker for 30 s; then it is due again, in case that worker died."""
    await site.mark(A)
    lot = await site.lot()
    assert lot.version + 30_000_000 == lot.lease
    await site.passes(25)
    assert isinstance(await site.claim(), Wait)

    await site.passes(5)

    again = await site.lot()
    assert ((A,), True) == (again.tickets, again.version > lot.version)


async def test_versions_rise_even_after_data_loss(site: StoredSite) -> None:
    """Law 2: Every read has a higher version than all before, even if Redis lost its data in between."""
    versions = []
    for loss in (False, False, True, False):
        if loss:
            await site.store.do("FLUSHALL")
            await site.add_listed_site()
        await site.mark(A)
        await site.passes(1)
        versions += [(await site.lot()).version]
        paid = await site.schedule.spend(SITE_ID, Priority.HINTED)
        versions += [paid] if isinstance(paid, int) else []

    assert 8 == len(set(versions))
    assert sorted(versions) == versions


async def test_versions_rise_when_the_clock_is_set_back(site: StoredSite) -> None:
    """Law 2: After a clock was set back the next version is still greater than the last one."""
    future = await site.now() + 10**9
    await site.store.do("HSET", key(SITE, "reads"), "version", future)

    assert future + 1 == await site.schedule.spend(SITE_ID, Priority.HINTED)


HOUR = 3600
"""Seconds by which the clock was set back: all stored times are that far in the future."""


async def test_clock_set_back_makes_numbers_stale(watched: StoredSite) -> None:
    """Law 8: After Redis's clock was set back a number is stale and read at once, and is fresh by the new clock then."""
    await watched.knows(A)
    await watched.watch(A)
    await watched.passes(-HOUR, A)

    [stale] = await watched.seen(A)
    assert {A: about(0)} == await watched.scores()
    lot = await watched.lot()
    [finding] = [ReadResult(A, Pace.LIVE, f'"ticket":"{A}"}}', "{}", 2, event=EVENT)]
    await watched.snapshots.keep(SITE_ID, lot.version, [finding])
    await watched.settle(lot)
    [fresh] = await watched.seen(A)

    assert watched.schedule.timing.max_stale < stale.age
    assert about(0) == fresh.age
    assert "2" == await watched.store.do("HGET", key(SITE, "ticket", A), "unsold")
    assert {A: about(15)} == await watched.scores()
    assert {A: about(20)} == await watched.scores("watched")


async def test_clock_set_back_keeps_earlier_hints(site: StoredSite) -> None:
    """Law 2: Tickets hinted before Redis's clock was set back are read at once, under a higher version, and again after."""
    await site.mark(A)
    before = await site.lot()
    await site.settle(before)
    await site.mark(B)
    await site.passes(-HOUR)

    found = await site.claim()
    if isinstance(found, Listing):
        found = await site.lot()

    assert isinstance(found, Lot)
    assert {A, B} == set(found.tickets)
    assert before.version + HOUR * 10**6 < found.version
    assert about(30) == (found.lease - await site.now()) / 1e6
    await site.settle(found)
    assert {A: about(2), B: about(2)} == await site.scores()


async def test_clock_set_back_lets_new_hints_through(site: StoredSite) -> None:
    """A ticket that is hinted after Redis's clock was set back is read at once, and 2 s later."""
    await site.mark(A)
    await site.settle(await site.lot())
    await site.passes(-HOUR)
    await site.schedule.listing_done(await site.listing())

    await site.mark(A)

    assert {A: about(0)} == await site.scores("hinted")
    lot = await site.lot()
    assert Priority.HINTED == lot.priority
    await site.settle(lot)
    assert {A: about(2)} == await site.scores()


async def test_clock_set_back_keeps_sale_times(watched: StoredSite) -> None:
    """After Redis's clock was set back a distant sale start is due once, and then again when the sale starts."""
    await watched.watch(A)
    lot = await watched.lot()
    await watched.store.do("DEL", key(SITE, "watched"))
    start = lot.version + 9 * HOUR * 10**6
    await watched.settle(lot, start_us=start)
    assert {A: about(9 * HOUR)} == await watched.scores()
    assert isinstance(await watched.claim(), Wait)
    await watched.passes(-HOUR)

    held = await watched.claim()
    assert isinstance(held, Wait)
    assert watched.schedule.timing.read_gap >= held.seconds
    found = await watched.lot()

    assert (A,) == found.tickets
    await watched.settle(found, start_us=start)
    assert {A: about(9 * HOUR)} == await watched.scores()
    assert isinstance(await watched.claim(), Wait)


async def test_clock_set_back_resets_first_reads(watched: StoredSite) -> None:
    """First reads used up before Redis's clock was set back are available again after it."""
    await watched.watch(*(TicketId(f"random-{n}") for n in range(30)))
    await watched.passes(-HOUR)

    await watched.watch(A)

    assert A in await watched.scores()


async def test_clock_set_back_blocks_no_call(site: StoredSite) -> None:
    """Law 5: A used-up budget and a pause end within their usual time after Redis's clock was set back."""
    while not isinstance(await site.schedule.spend(SITE_ID, Priority.HINTED), Wait):
        pass
    await site.passes(-HOUR)
    assert isinstance(await site.schedule.spend(SITE_ID, Priority.HINTED), Wait)
    await site.passes(1)
    assert isinstance(await site.schedule.spend(SITE_ID, Priority.HINTED), int)

    await site.schedule.pause(SITE_ID, None, 5.0)
    await site.passes(-HOUR)
    held = await site.schedule.spend(SITE_ID, Priority.HINTED)
    assert isinstance(held, Wait)
    assert about(300) == held.seconds
    await site.passes(-HOUR)
    assert about(300) == await site.schedule.pause(SITE_ID, None, 5.0)
    await site.passes(300)
    assert isinstance(await site.schedule.spend(SITE_ID, Priority.HINTED), int)


async def test_clock_set_back_blocks_no_trial_call(site: StoredSite) -> None:
    """After Redis's clock was set back other calls wait for the one call after a fault for no longer than its 30 s."""
    await site.schedule.pause(SITE_ID, None, 0.0)
    assert isinstance(await site.schedule.spend(SITE_ID, Priority.HINTED), int)
    await site.store.do("HDEL", key(SITE, "reads"), "paused_until")
    await site.passes(-HOUR)

    held = await site.schedule.spend(SITE_ID, Priority.HINTED)

    assert isinstance(held, Wait)
    assert about(30) == held.seconds
