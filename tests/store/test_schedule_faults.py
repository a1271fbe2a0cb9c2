import pytest

from server.counter import Rules
from server.model import Pace, SiteId, TicketId
from server.store.budget import Priority, Wait
from server.store.claims import NextRead
from tests.rig.default_keys import key
from tests.rig.server import SITE
from tests.rig.stored_site import SITE_ID, A, B, StoredSite, about
from tests.rig.time_travel import aged


@pytest.mark.parametrize(
    ("retry_after", "chance", "faults", "expected"),
    [
        (None, 1.0, 1, 2),
        (None, 1.0, 2, 4),
        (None, 1.0, 3, 8),
        (None, 1.0, 9, 8),
        (None, 0.5, 2, 2),
        (None, 0.0, 5, 0),
        (7.0, 1.0, 1, 7),
        (7.0, 0.0, 4, 7),
        (3600.0, 1.0, 1, 300),
    ],
)
async def test_fault_pauses_the_site(
    site: StoredSite, retry_after: float | None, chance: float, faults: int, expected: float
) -> None:
    """A fault pauses the site: for Retry-After, at most 5 minutes, else for a random part of 2, 4, then 8 s."""
    await site.store.do("HSET", key(SITE, "reads"), "faults", faults - 1)
    site.chance = chance

    assert about(expected) == await site.schedule.pause(SITE_ID, None, retry_after)

    found = await site.schedule.spend(SITE_ID, Priority.HINTED)
    assert expected == (0 if not isinstance(found, Wait) else about(found.seconds))


async def test_pause_after_a_hung_call_counts_from_its_beginning(site: StoredSite) -> None:
    """Where Wix gave no answer the pause counts from the call's beginning; a Retry-After counts from the answer."""
    await site.store.do("HSET", key(SITE, "reads"), "faults", 2)
    await site.mark(A)
    lot = await site.lot()
    await site.passes(5)

    assert about(8 - 5) == await site.schedule.pause(SITE_ID, aged(lot, 5), None)
    assert about(7) == await site.schedule.pause(SITE_ID, None, 7.0)


async def test_fault_makes_the_tickets_due_again(site: StoredSite) -> None:
    """Law 5: A fault makes its tickets due now; the pause delays the site, not single tickets."""
    await site.mark(A, B)
    lot = await site.lot()
    await site.mark(B)

    await site.schedule.pause(SITE_ID, lot, 5.0)

    assert {A: about(0), B: about(0)} == await site.scores()
    found = await site.claim()
    assert isinstance(found, Wait)
    assert about(5) == found.seconds
    await site.passes(5)
    assert {A, B} == set((await site.lot()).tickets)


async def test_fault_pauses_no_other_site(site: StoredSite) -> None:
    """Law 5: The pause of one site does not affect the others."""
    other = SiteId("5f0e4d3c-1111-4111-8111-00000000b002")
    await site.schedule.add_site(other, Rules(), everything=False)

    await site.schedule.pause(SITE_ID, None, 60.0)

    assert isinstance(await site.schedule.spend(other, Priority.REST), int)


async def test_pause_is_never_shortened(site: StoredSite) -> None:
    """Of two calls that failed at once the longer pause holds."""
    await site.schedule.pause(SITE_ID, None, 60.0)

    assert about(60) == await site.schedule.pause(SITE_ID, None, 1.0)


async def test_one_trial_call_after_a_fault(site: StoredSite) -> None:
    """After a fault only one call at a time is allowed until one succeeds, or until 30 s have passed without an answer."""
    await site.mark(A)
    await site.schedule.pause(SITE_ID, None, 0.0)
    lot = await site.lot()
    await site.mark(B)
    await site.passes(1)

    for held in (await site.claim(), await site.schedule.spend(SITE_ID, Priority.HINTED)):
        assert isinstance(held, Wait)
        assert about(29) == held.seconds

    await site.settle(aged(lot, 1))
    assert (B,) == (await site.lot()).tickets
    assert isinstance(await site.schedule.spend(SITE_ID, Priority.HINTED), int)


async def test_failing_ticket_does_not_block_other_tickets(site: StoredSite) -> None:
    """After each fault in a row lots get smaller and their tickets come last, so a failing ticket blocks no other."""
    tickets = [TicketId(f"{n:08d}-aaaa-4aaa-8aaa-000000000001") for n in range(60)]
    spoils, well = tickets[7], set[TicketId]()
    sizes = []
    await site.mark(*tickets)

    while len(well) < len(tickets) - 1:
        lot = await site.lot()
        sizes.append(len(lot.tickets))
        if spoils in lot.tickets:
            await site.schedule.pause(SITE_ID, lot, 0.0)
        else:
            well |= set(lot.tickets)
            await site.settle(lot)
        await site.store.do("HSET", key(SITE, "reads"), "tokens", 20, "filled_at", await site.now())

    assert [60, 25, 6, 25] == sizes[:4]
    assert 30 > len(sizes)


async def test_failing_hinted_ticket_does_not_block_less_urgent_ones(site: StoredSite) -> None:
    """However urgent a ticket is for which Wix fails, the less urgent ones are read too."""
    watched, others = [
        [TicketId(f"{n:08d}-{kind * 4}-4aaa-8aaa-000000000001") for n in range(10)] for kind in ("b", "c")
    ]
    await site.schedule.track(SITE_ID, 0, [NextRead(one, Pace.LIVE) for one in (*watched, *others)])
    await site.passes(400)
    await site.watch(*watched)
    await site.mark(A)
    well = set[TicketId]()

    for _ in range(40):
        lot = await site.lot()
        if A in lot.tickets:
            await site.schedule.pause(SITE_ID, lot, 0.0)
            await site.mark(A)
        else:
            well |= set(lot.tickets)
            await site.settle(lot)
        await site.store.do("HSET", key(SITE, "reads"), "tokens", 20, "filled_at", await site.now())
        if len(well) == 20:
            break

    assert {*watched, *others} == well


@pytest.mark.parametrize(("fault", "expected"), [(False, 2), (True, 0)])
async def test_first_viewer_during_a_read_delays_no_settle_read(site: StoredSite, fault: bool, expected: float) -> None:
    """A viewer that comes while a ticket is read for a hint delays none of the reads that follow the hint."""
    await site.knows(A)
    await site.mark(A)
    lot = await site.lot()

    await site.watch(A)
    if fault:
        await site.schedule.pause(SITE_ID, lot, 0.0)
    else:
        await site.settle(lot)

    assert about(expected) == await site.due(A)


async def test_failed_trial_call_lets_the_next_one_start(site: StoredSite) -> None:
    """When the one call after a fault fails too, the next may start as soon as its pause is over, not 30 s later."""
    await site.mark(A)
    await site.schedule.pause(SITE_ID, None, 0.0)
    lot = await site.lot()

    await site.schedule.pause(SITE_ID, lot, 0.0)

    assert (A,) == (await site.lot()).tickets


async def test_abandoned_trial_call_lets_the_next_one_start(site: StoredSite) -> None:
    """When Redis fails as the one call after a fault is answered, the next call may start at once, not 30 s later."""
    await site.mark(A)
    await site.schedule.pause(SITE_ID, None, 0.0)

    await site.schedule.release(await site.lot())

    await site.list_now()
    listing = await site.listing()
    assert isinstance(await site.schedule.spend(SITE_ID, Priority.HINTED), int)
    await site.schedule.release(listing)
    assert isinstance(await site.schedule.spend(SITE_ID, Priority.HINTED), int)


async def test_good_answer_resets_the_fault_count(site: StoredSite) -> None:
    """A good answer zeroes the faults, so the next pause is a short one; it does not end a pause."""
    for _ in range(4):
        await site.schedule.pause(SITE_ID, None, 5.0)
    await site.schedule.track(SITE_ID, 0, [])
    assert isinstance(await site.schedule.spend(SITE_ID, Priority.HINTED), Wait)
    await site.passes(6)

    assert about(2) == await site.schedule.pause(SITE_ID, None, None)


@pytest.mark.parametrize(("good", "faults"), [(True, "0"), (False, "1")])
async def test_call_that_read_no_ticket_ends_the_probe(site: StoredSite, good: bool, faults: str) -> None:
    """Law 5: After a fault, the end of a call that read no ticket lets the next call try; a good answer ends the row of faults."""
    await site.schedule.pause(site.site, None, 0.0)
    version = await site.schedule.spend(site.site, Priority.HINTED)
    assert not isinstance(version, Wait)
    assert isinstance(await site.schedule.spend(site.site, Priority.HINTED), Wait)

    await site.schedule.ended(site.site, version, good=good)

    assert faults == (await site.reads())["faults"]
    assert not isinstance(await site.schedule.spend(site.site, Priority.HINTED), Wait)
