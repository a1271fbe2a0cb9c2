from dataclasses import replace

import pytest

from server.counter import Rules
from server.model import Hint, Pace, TicketId, UnreportedFalls, WatchedSite
from server.store.budget import Budget, Wait
from server.store.claims import Listing, Lot, NextRead
from server.store.snapshots import ReadResult
from tests.rig.default_keys import WAKE, key
from tests.rig.server import SITE
from tests.rig.stored_site import EVENT, ORDER, SITE_ID, A, B, StoredSite, about
from tests.rig.time_travel import aged


async def test_watch_makes_a_first_read_due(watched: StoredSite) -> None:
    """A ticket that was never read is due when a viewer comes, and stays watched for 20 s."""
    [seen] = await watched.seen(A)

    assert (A, None, None) == (seen.ticket, seen.v, seen.counter)
    assert {A: about(0)} == await watched.scores("due")
    assert {A: about(20)} == await watched.scores("watched")
    assert {} == await watched.scores("hinted")


async def test_watch_wakes_a_worker_for_a_first_read(watched: StoredSite) -> None:
    """The first viewer of a ticket does not wait until a worker polls."""
    async with watched.store.listener() as listener:
        await listener.subscribe_all_nodes(WAKE)
        assert await listener.receive(2)

        await watched.watch(A)

        heard = await listener.receive(2)
    assert heard is not None
    assert SITE == heard.text


async def test_first_reads_are_limited(watched: StoredSite) -> None:
    """Law 9: Requests for random tickets cause at most 30 first reads in any minute, and the rest are not stored."""
    random_ids = [TicketId(f"random-{n}") for n in range(100)]
    await watched.watch(*random_ids)
    assert set(random_ids[:30]) == set(await watched.scores("due")) == set(await watched.scores("watched"))

    await watched.passes(30)
    await watched.watch(*random_ids)
    assert 30 == len(await watched.scores("due"))

    await watched.passes(31)
    await watched.watch(*random_ids)
    assert 60 == len(await watched.scores("due"))


async def test_scheduled_ticket_uses_no_first_read(site: StoredSite) -> None:
    """A ticket that is due anyway uses none of the first reads."""
    await site.mark(*(TicketId(f"ticket-{n}") for n in range(40)))

    await site.watch(*(TicketId(f"ticket-{n}") for n in range(40)))

    assert 40 == len(await site.scores("watched"))


async def test_ticket_with_an_expired_snapshot_is_read_at_once(watched: StoredSite) -> None:
    """A ticket whose snapshot has expired is read at once for a new viewer, though its sale ends in a month."""
    await watched.watch(A)
    lot = await watched.lot()
    await watched.passes(25)
    lot = aged(lot, 25)
    await watched.settle(lot, end_us=lot.version + 30 * 86_400 * 1_000_000)
    assert 29 * 86_400 < (await watched.due(A) or 0)

    await watched.watch(A)

    assert about(0) == await watched.due(A)
    lot = await watched.lot()
    await watched.watch(A)
    assert about(30) == await watched.due(A), "a read that is under way is not cut into"


async def test_ticket_unknown_to_wix_is_not_read_again(watched: StoredSite) -> None:
    """Law 9: A ticket that Wix does not know costs nothing while that is stored, and one first read after it."""
    await watched.watch(A)
    lot = await watched.lot()
    await watched.snapshots.keep(SITE_ID, lot.version, [ReadResult.never_there(A)])
    await watched.settle(lot, pace=Pace.NEVER)
    await watched.passes(30)

    [seen] = await watched.seen(A)

    assert lot.version == seen.v
    assert ({}, {A: about(-10)}) == (await watched.scores("due"), await watched.scores("watched"))
    assert 0 < await watched.store.do("TTL", key(SITE, "ticket", A)) <= 60
    await watched.store.do("DEL", key(SITE, "ticket", A))
    await watched.watch(A)
    assert {A: about(0)} == await watched.scores("due")


async def test_watch_returns_the_stored_snapshot(watched: StoredSite) -> None:
    """A viewer's call returns version, age and rules of the last read, and the counter only if it was asked for."""
    await watched.knows(A)
    await watched.passes(7, A)

    [seen] = await watched.seen(A)
    [brief] = await watched.seen(A, counters=False)

    assert f'{{"v":{seen.v},"ticket":"{A}"}}' == seen.counter
    assert (about(7), Rules().hash) == (seen.age, seen.rules)
    assert (seen.v, None) == (brief.v, brief.counter)


async def test_watch_returns_the_rules_and_silence_of_the_site(watched: StoredSite) -> None:
    """The same call returns the site's rules and whether its webhooks are missing, and without tickets writes nothing."""
    before = await watched.keys()

    known = await watched.schedule.watch(SITE_ID, [])

    assert WatchedSite(Rules().hash, None) == known
    assert before == await watched.keys()
    await watched.schedule.add_site(SITE_ID, Rules(low_at=3), everything=False)
    known = await watched.schedule.watch(SITE_ID, [A])
    assert known is not None
    assert (Rules(low_at=3).hash, None, 1) == (known.rules, known.unreported_falls, len(known.tickets))


@pytest.mark.parametrize(
    ("falls", "minutes", "silent"), [(3, 5, True), (2, 60, False), (3, 4.9, False), (50, 0, False), (50, 60, True)]
)
async def test_silent_site_needs_several_falls_over_minutes(
    watched: StoredSite, falls: int, minutes: float, silent: bool
) -> None:
    """A site is silent when its stock fell three times over at least five minutes, and no webhook came."""
    heard = await watched.now()
    first = heard + 7
    last = first + round(minutes * 60e6)
    counted = {"at": heard, "falls": falls, "falls:first": first, "falls:last": last, "falls:tickets": 9}
    await watched.store.do("HSET", key(SITE, "heard"), *(part for item in counted.items() for part in item))

    known = await watched.schedule.watch(SITE_ID, [])

    assert known is not None
    assert known.unreported_falls == (UnreportedFalls(falls, minutes * 60, heard) if silent else None)
    await watched.mark(A)
    assert WatchedSite(Rules().hash, None) == await watched.schedule.watch(SITE_ID, [])


async def test_only_webhooks_end_a_silence(watched: StoredSite) -> None:
    """Only webhooks end a silence, and any webhook does; other reasons for a read do not."""
    await watched.schedule.mark(SITE_ID, Hint("rules", (A,)))
    assert {} == await watched.schedule.heard(SITE_ID)

    await watched.schedule.mark(SITE_ID, Hint("event", event=EVENT), "wix.events.v1.event_updated")
    await watched.passes(5)
    await watched.mark(A)

    heard = await watched.schedule.heard(SITE_ID)
    assert heard[f"{ORDER}:at"] == heard["at"]
    assert about(5) == (int(heard["at"]) - int(heard["wix.events.v1.event_updated:at"])) / 1e6


@pytest.mark.parametrize(("pace", "expected"), [(Pace.LIVE, 15 - 7), (Pace.SLOW, 600 - 7), (Pace.DEAD, 600 - 7)])
async def test_watched_ticket_is_due_by_its_pace(watched: StoredSite, pace: Pace, expected: float) -> None:
    """A watched ticket is due 15 s after its last read; if deleted or ended, 10 minutes after."""
    await watched.knows(A, pace=pace)
    await watched.passes(7, A)

    await watched.watch(A)

    assert {A: about(expected)} == await watched.scores("due")


async def test_first_viewer_makes_a_ticket_due_sooner(site: StoredSite) -> None:
    """A ticket that waits for its reconciling read is due sooner with its first viewer, at once if its read is old."""
    await site.knows(A)
    await site.schedule.track(SITE_ID, await site.now(), [NextRead(A, Pace.LIVE)])
    await site.passes(100, A)
    await site.knows(B)
    await site.schedule.track(SITE_ID, await site.now(), [NextRead(B, Pace.LIVE)])
    assert {A: about(200), B: about(300)} == await site.scores()

    await site.watch(A, B)

    assert {A: about(0), B: about(15)} == await site.scores()


async def test_watching_again_leaves_a_read_in_flight(watched: StoredSite) -> None:
    """Watching again does not shorten the lease of a read, which settles the next due time itself."""
    await watched.knows(A)
    await watched.watch(A)
    await watched.passes(16, A)
    lot = await watched.lot()

    await watched.watch(A)

    assert {A: about(30)} == await watched.scores("due")
    await watched.settle(lot)
    assert {A: about(15)} == await watched.scores("due")


async def test_watched_tickets_use_half_the_budget(watched: StoredSite) -> None:
    """However many tickets are watched, reading them uses at most half the budget: their due times are stretched."""
    watched.schedule.budget = Budget(refill=0.02, first_reads=100)
    await watched.knows(A)
    await watched.watch(*(TicketId(f"ticket-{n}") for n in range(30)))

    await watched.watch(A)
    # 30 watched tickets at 100 a call and half of 0.02 calls a second: one call in 30 s for each.
    assert about(30) == await watched.due(A)

    lot = await watched.lot()
    await watched.settle(lot)
    assert about(31) == await watched.due(lot.tickets[0])


async def test_watched_reads_have_their_own_gap(watched: StoredSite) -> None:
    """Reads that only keep watched tickets fresh are at least the time of two tokens apart."""
    await watched.watch(*(TicketId(f"ticket-{n}") for n in range(30)))
    await watched.lot()
    await watched.passes(61)
    await watched.watch(A)
    await watched.lot()
    await watched.watch(B)

    found = await watched.claim()

    assert isinstance(found, Wait)
    assert pytest.approx(2 / 3, abs=0.1) == found.seconds


async def test_random_ids_make_a_listing_due(watched: StoredSite) -> None:
    """Law 9: When random ids have used up the first reads a listing is due, half a minute apart, not during another."""
    random_ids = [TicketId(f"random-{n}") for n in range(31)]
    await watched.watch(*random_ids[:30])
    assert isinstance(await watched.claim(), Lot)

    await watched.watch(random_ids[30])
    listing = await watched.listing()
    await watched.passes(15)
    await watched.watch(random_ids[30])
    listing = replace(listing, lease=listing.lease - 15_000_000)
    held = await watched.schedule.extend(listing)
    assert held is not None
    await watched.schedule.listing_done(held)
    await watched.watch(random_ids[30])
    assert not isinstance(await watched.claim(), Listing)

    await watched.passes(30)
    await watched.listing()


async def test_listed_ticket_uses_no_first_read(watched: StoredSite) -> None:
    """Law 9: A ticket that a listing found is watched and read even if random ids have used up the first reads."""
    await watched.watch(*(TicketId(f"random-{n}") for n in range(31)))
    await watched.knows(A)
    await watched.schedule.track(SITE_ID, await watched.now(), [NextRead(A, Pace.LIVE, end_us=10**16)])
    assert await watched.due(A) is None

    await watched.watch(A)

    assert about(15) == await watched.due(A)


async def test_stored_answers_what_watch_answers_and_writes_nothing(watched: StoredSite) -> None:
    """A reader gets version, age, rules and counter of each ticket in their order, and no ticket is read for it."""
    await watched.knows(A)
    await watched.passes(7, A)
    before = await watched.keys(), await watched.scores("due"), await watched.scores("watched")

    unread, read = await watched.schedule.stored(SITE_ID, [B, A])

    assert (B, None, None) == (unread.ticket, unread.v, unread.counter)
    assert (A, f'{{"v":{read.v},"ticket":"{A}"}}') == (read.ticket, read.counter)
    assert (about(7), Rules().hash) == (read.age, read.rules)
    assert before == (await watched.keys(), await watched.scores("due"), await watched.scores("watched"))
    assert () == await watched.schedule.stored(SITE_ID, [])


async def test_stored_after_the_clock_was_set_back(watched: StoredSite) -> None:
    """Law 8: A read in the future, by a clock that was set back, verifies nothing for a reader either."""
    await watched.knows(A)
    await watched.passes(-100, A)

    [read] = await watched.schedule.stored(SITE_ID, [A])

    assert 86_400 == read.age


async def test_ticket_that_was_never_there_is_not_stored_for_readers(watched: StoredSite) -> None:
    """A ticket that Wix does not know counts as not stored, since a client may have invented it."""
    await watched.watch(A)
    lot = await watched.lot()
    await watched.snapshots.keep(SITE_ID, lot.version, [ReadResult.never_there(A)])

    [read] = await watched.schedule.stored(SITE_ID, [A])

    assert (None, None) == (read.v, read.counter)
