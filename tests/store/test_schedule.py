from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import replace
from typing import Any

import pytest

from server.model import Hint, Named, Pace, Rules, SiteId, TicketId, UnreportedFalls, WatchedSite
from server.redis.client import RedisClient, Use
from server.store.budget import Budget, Priority, Wait
from server.store.keys import WAKE, key
from server.store.schedule import Listing, Lot, NextRead, Schedule
from server.store.snapshots import ReadResult
from tests.rig.elapse import aged
from tests.rig.monitor import monitored
from tests.rig.scheduled import EVENT, ORDER, SITE_ID, A, B, C, ScheduledSite, about
from tests.rig.server import SITE

# -- sites --


async def test_adopt_makes_the_listing_due(unknown: ScheduledSite) -> None:
    """A new site is known and its listing is due once; the same settings again change nothing, new rules list again."""
    await unknown.schedule.add_site(SITE_ID, Rules(), everything=True)
    assert {SITE_ID} == await unknown.schedule.sites()
    await unknown.schedule.listing_done(await unknown.listing())

    await unknown.schedule.add_site(SITE_ID, Rules(), everything=True)
    assert isinstance(await unknown.claim(), Wait)

    await unknown.schedule.add_site(SITE_ID, Rules(low_at=3), everything=True)
    assert isinstance(await unknown.claim(Rules(low_at=3)), Listing)


async def test_adopt_wakes(unknown: ScheduledSite) -> None:
    """A worker is woken for the listing of a new site."""
    async with unknown.store.listener() as listener:
        await listener.subscribe_all_nodes(WAKE)
        assert await listener.receive(2)

        await unknown.schedule.add_site(SITE_ID, Rules(), everything=True)

        heard = await listener.receive(2)
    assert heard is not None
    assert SITE == heard.text


async def test_listing_ends_with_everything(site: ScheduledSite) -> None:
    """A site of which only watched tickets are wanted is listed when somebody asks for it, and not again by itself."""
    await site.schedule.add_site(SITE_ID, Rules(), everything=False)
    await site.passes(601)
    assert isinstance(await site.claim(), Wait)

    await site.list_now()
    await site.schedule.listing_done(await site.listing())
    await site.passes(601)
    assert isinstance(await site.claim(), Wait)


async def test_listing_is_leased(site: ScheduledSite) -> None:
    """The member * is the listing: one worker gets it, and nobody again until ten minutes after its end."""
    await site.passes(598)
    assert isinstance(await site.claim(), Wait)

    await site.passes(3)
    listing = await site.listing()
    assert isinstance(await site.claim(), Wait)
    assert [] == await site.schedule.tracked(SITE_ID)
    await site.schedule.listing_done(listing)
    await site.passes(598)
    assert isinstance(await site.claim(), Wait)
    await site.passes(3)
    await site.listing()


async def test_listing_goes_on(site: ScheduledSite) -> None:
    """Law 11: A listing is one worker's while it goes on page by page; of one that died it is due half a minute later."""
    await site.list_now()
    listing = await site.listing()
    for _ in range(4):
        await site.passes(25)
        assert isinstance(await site.claim(), Wait)
        held = await site.schedule.extend(replace(listing, lease=listing.lease - 25_000_000))
        assert held is not None
        listing = held

    await site.passes(29)
    assert isinstance(await site.claim(), Wait)
    await site.passes(1)
    other = await site.listing()

    assert await site.schedule.extend(replace(listing, lease=listing.lease - 30_000_000)) is None
    await site.schedule.listing_done(listing)
    assert await site.schedule.extend(other) is not None


async def test_listing_is_given_back(site: ScheduledSite) -> None:
    """A listing that came to nothing is due at once; one that was asked for anew meanwhile is made anew."""
    await site.list_now()
    await site.schedule.release(await site.listing())

    listing = await site.listing()
    await site.list_now()
    await site.schedule.listing_done(listing)
    await site.listing()


async def test_listing_that_wix_fails(site: ScheduledSite) -> None:
    """Of a listing that Wix fails again and again the next begins later each time, until one has come to its end."""
    for seconds in (2, 4, 8, 16, 32, 60, 60):
        await site.list_now()
        await site.schedule.listing_failed(await site.listing())
        found = await site.claim()
        assert isinstance(found, Wait)
        assert about(seconds) == found.seconds

    await site.list_now()
    await site.schedule.listing_done(await site.listing())
    await site.list_now()
    await site.schedule.listing_failed(await site.listing())
    found = await site.claim()
    assert isinstance(found, Wait)
    assert about(2) == found.seconds


async def test_other_rules_claim_nothing(site: ScheduledSite) -> None:
    """Law 3: A worker with other rules takes neither a listing nor a ticket: what it read would be refused."""
    await site.mark(A)
    await site.list_now()
    before = await site.reads()

    assert Wait(1.0, other_rules=True) == await site.claim(Rules(low_at=3))

    assert before == await site.reads()
    await site.listing()
    assert (A,) == (await site.lot()).tickets


async def test_forget_leaves_nothing_for_ever(site: ScheduledSite) -> None:
    """A site that is let go is not read, marked or settled any more, and every key it had expires."""
    await site.knows(A)
    await held(site, A, 600)
    lot = await site.lot()

    await site.schedule.remove_site(SITE_ID)

    await site.settle(lot)
    await site.schedule.track(SITE_ID, lot.version, [NextRead(B, Pace.LIVE, start_us=lot.version + 10**9)])
    assert await site.mark(A) is None
    assert Wait(1.0) == await site.claim()
    assert frozenset() == await site.schedule.sites()
    left = await site.keys()
    assert (
        sorted(key(SITE, *name) for name in (("changes",), ("event", EVENT), ("history",), ("reads",), ("ticket", A)))
        == left
    )
    assert all([0 < await site.store.do("TTL", one) <= 172_800 for one in left])


async def test_forget_asks_redis_twice(site: ScheduledSite, redis_url: str) -> None:
    """A site of however many tickets is let go within the time that a webhook has."""
    await site.knows(*(TicketId(f"ticket-{n}") for n in range(100)))

    async with monitored(redis_url) as commands:
        await site.schedule.remove_site(SITE_ID)
        sent = [words[0] for words in await commands.all()]

    # A script that Redis has not seen yet goes twice.
    assert ["EVALSHA", "SREM"] == [one for one in sent if one not in {"HELLO", "CLIENT", "ECHO", "EVAL"}]


async def test_adopted_again(site: ScheduledSite) -> None:
    """An app that is installed again goes on with newer versions, in logs that no longer expire."""
    await site.knows(A)
    await site.mark(A)
    lot = await site.lot()
    await site.schedule.remove_site(SITE_ID)

    await site.add_site(everything=True)

    await site.mark(A)
    assert (await site.lot()).version > lot.version
    for name in ("reads", "changes", "history"):
        assert -1 == await site.store.do("TTL", key(SITE, name))


# -- mark --


async def test_unknown_site_writes_nothing(unknown: ScheduledSite) -> None:
    """Law 9: A hint, a viewer, a claim and a payment for an unknown site write nothing at all."""
    assert await unknown.mark(A, event=EVENT) is None
    assert await unknown.schedule.watch(SITE_ID, [A], counters=True) is None
    assert Wait(1.0) == await unknown.claim()
    assert Wait(1.0) == await unknown.schedule.spend(SITE_ID, Priority.HINTED)
    assert 0.0 == await unknown.schedule.pause(SITE_ID, None, 5.0)

    assert [] == await unknown.keys()


async def test_mark_is_one_round_trip(site: ScheduledSite) -> None:
    """Law 1: A hint of however many tickets is one command."""

    async def asked() -> int:
        stats = await site.store.client.info("commandstats")
        return sum(int(stats.get(f"cmdstat_{name}", {"calls": 0})["calls"]) for name in ("eval", "evalsha"))

    await site.mark(A)
    before = await asked()

    await site.mark(*(TicketId(f"ticket-{n}") for n in range(100)))

    assert before + 1 == await asked()


async def test_mark_takes_everything(site: ScheduledSite) -> None:
    """Where every ticket is wanted a hint takes those that were never seen, and remembers who said so."""
    assert 2 == await site.mark(A, B)

    assert {A: about(0), B: about(0)} == await site.scores("due")
    assert {A: about(0), B: about(0)} == await site.scores("hinted")
    heard = await site.schedule.heard(SITE_ID)
    assert "1" == heard[f"{ORDER}:count"]
    assert about(0) == (await site.now() - int(heard[f"{ORDER}:at"])) / 1e6


async def test_mark_takes_what_was_watched_within_a_day(watched: ScheduledSite) -> None:
    """Where only watched tickets are wanted a hint takes those that were watched within a day, no others."""
    await watched.watch(A)
    await watched.passes(86_300)
    await watched.watch(B)
    assert 2 == await watched.mark(A, B, C)

    await watched.passes(200)

    assert 1 == await watched.mark(A, B, C)


@pytest.mark.parametrize("named", Named)
async def test_mark_falls_back_on_the_event(watched: ScheduledSite, named: Named) -> None:
    """An order that names no tracked ticket marks its event's tracked tickets, however it names them."""
    await watched.knows(A, B)
    await watched.watch(A)

    marked = await watched.mark(*([] if named is Named.EVENT else [C]), event=EVENT, named=named)

    assert (1, {A}) == (marked, set(await watched.scores("hinted")))


async def test_lines_count_only_if_the_event_knows_them(site: ScheduledSite) -> None:
    """Of invoice lines, which name tickets only by custom, those count that the event knows; none of them, all do."""
    await site.knows(A, B)

    assert 1 == await site.mark(A, C, event=EVENT, named=Named.LINES)
    assert {A} == set(await site.scores("hinted"))
    assert 2 == await site.mark(C, event=EVENT, named=Named.LINES)
    assert {A, B} == set(await site.scores("hinted"))


async def test_due_times_only_fall(site: ScheduledSite) -> None:
    """Law 4: A thousand orders are one member of the schedule, due when the first of them came."""
    await site.mark(A)
    await site.passes(5)
    for _ in range(50):
        assert 1 == await site.mark(A)

    assert {A: about(-5)} == await site.scores("due")
    assert {A: about(0)} == await site.scores("hinted")


async def test_wake_only_if_a_time_fell(site: ScheduledSite) -> None:
    """A worker is woken by a hint that made something due, and not by one that found it due."""
    async with site.store.listener() as listener:
        await listener.subscribe_all_nodes(WAKE)
        assert await listener.receive(2)

        await site.mark(A)
        await site.mark(A)
        await site.mark(B)
        await site.store.do("PUBLISH", WAKE, "end")

        heard = [await listener.receive(2) for _ in range(3)]
    assert [SITE, SITE, "end"] == [one.text for one in heard if one]


async def test_mark_during_a_claim_reads_again(site: ScheduledSite) -> None:
    """An order that comes during a read lowers the lease, and the end of that read leaves it: it is read once more."""
    await site.mark(A, B)
    lot = await site.lot()
    assert (about(30), about(30)) == (await site.due(A), await site.due(B))

    assert 1 == await site.mark(A)
    await site.settle(lot)

    assert (about(0), about(2)) == (await site.due(A), await site.due(B))
    assert (A,) == (await site.lot()).tickets


# -- watch --


async def test_watch_makes_a_first_read_due(watched: ScheduledSite) -> None:
    """A ticket that was never read is due when somebody looks at it, and stays watched for 20 s."""
    [seen] = await watched.seen(A)

    assert (A, None, None) == (seen.ticket, seen.v, seen.counter)
    assert {A: about(0)} == await watched.scores("due")
    assert {A: about(20)} == await watched.scores("watched")
    assert {} == await watched.scores("hinted")


async def test_watch_wakes_for_a_first_read(watched: ScheduledSite) -> None:
    """The first viewer of a ticket does not wait until a worker looks by itself."""
    async with watched.store.listener() as listener:
        await listener.subscribe_all_nodes(WAKE)
        assert await listener.receive(2)

        await watched.watch(A)

        heard = await listener.receive(2)
    assert heard is not None
    assert SITE == heard.text


async def test_first_reads_are_few(watched: ScheduledSite) -> None:
    """Law 9: Strangers who ask for random tickets cause 30 first reads in any minute, and are not remembered beyond."""
    strangers = [TicketId(f"stranger-{n}") for n in range(100)]
    await watched.watch(*strangers)
    assert set(strangers[:30]) == set(await watched.scores("due")) == set(await watched.scores("watched"))

    await watched.passes(30)
    await watched.watch(*strangers)
    assert 30 == len(await watched.scores("due"))

    await watched.passes(31)
    await watched.watch(*strangers)
    assert 60 == len(await watched.scores("due"))


async def test_what_is_scheduled_is_no_first_read(site: ScheduledSite) -> None:
    """A ticket that is due anyway costs none of the first reads."""
    await site.mark(*(TicketId(f"ticket-{n}") for n in range(40)))

    await site.watch(*(TicketId(f"ticket-{n}") for n in range(40)))

    assert 40 == len(await site.scores("watched"))


async def test_a_ticket_whose_snapshot_has_expired(watched: ScheduledSite) -> None:
    """A ticket that nobody looked at for so long is read at once for who does, though its sale ends in a month."""
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


async def test_what_was_never_there_is_not_asked_for(watched: ScheduledSite) -> None:
    """Law 9: A ticket that Wix does not know costs nothing while that is remembered, one first read after it."""
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


async def test_watch_tells_what_is_stored(watched: ScheduledSite) -> None:
    """A viewer's call answers version, age and rules of the last read, and the counter only if it was asked for."""
    await watched.knows(A)
    await watched.passes(7, A)

    [seen] = await watched.seen(A)
    [brief] = await watched.seen(A, counters=False)

    assert f'{{"v":{seen.v},"ticket":"{A}"}}' == seen.counter
    assert (about(7), Rules().hash) == (seen.age, seen.rules)
    assert (seen.v, None) == (brief.v, brief.counter)


async def test_watch_tells_of_the_site(watched: ScheduledSite) -> None:
    """The same call answers the site's rules and whether its webhooks stay away, and without tickets writes nothing."""
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
async def test_silent_is_often_and_for_long(watched: ScheduledSite, falls: int, minutes: float, silent: bool) -> None:
    """A site is silent when its stock fell three times, the last of them five minutes after the first, and no webhook came."""
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


async def test_a_mark_that_no_webhook_made(watched: ScheduledSite) -> None:
    """Only webhooks are heard: other reasons to look again leave a silence as it is, and any webhook ends it."""
    await watched.schedule.mark(SITE_ID, Hint("rules", (A,)))
    assert {} == await watched.schedule.heard(SITE_ID)

    await watched.schedule.mark(SITE_ID, Hint("event", event=EVENT), "wix.events.v1.event_updated")
    await watched.passes(5)
    await watched.mark(A)

    heard = await watched.schedule.heard(SITE_ID)
    assert heard[f"{ORDER}:at"] == heard["at"]
    assert about(5) == (int(heard["at"]) - int(heard["wix.events.v1.event_updated:at"])) / 1e6


@pytest.mark.parametrize(("pace", "expected"), [(Pace.LIVE, 15 - 7), (Pace.SLOW, 600 - 7), (Pace.DEAD, 600 - 7)])
async def test_a_viewer_keeps_a_ticket_due(watched: ScheduledSite, pace: Pace, expected: float) -> None:
    """A watched ticket is due 15 s after its last read; gone or ended, 10 minutes after."""
    await watched.knows(A, pace=pace)
    await watched.passes(7, A)

    await watched.watch(A)

    assert {A: about(expected)} == await watched.scores("due")


async def test_a_viewer_makes_it_sooner(site: ScheduledSite) -> None:
    """A ticket that waits for its reconciling read is due sooner with its first viewer, at once if its read is old."""
    await site.knows(A)
    await site.schedule.track(SITE_ID, await site.now(), [NextRead(A, Pace.LIVE)])
    await site.passes(100, A)
    await site.knows(B)
    await site.schedule.track(SITE_ID, await site.now(), [NextRead(B, Pace.LIVE)])
    assert {A: about(200), B: about(300)} == await site.scores()

    await site.watch(A, B)

    assert {A: about(0), B: about(15)} == await site.scores()


async def test_watching_on_leaves_a_read_in_flight(watched: ScheduledSite) -> None:
    """Who goes on watching does not cut into the lease of a read, which settles the next time itself."""
    await watched.knows(A)
    await watched.watch(A)
    await watched.passes(16, A)
    lot = await watched.lot()

    await watched.watch(A)

    assert {A: about(30)} == await watched.scores("due")
    await watched.settle(lot)
    assert {A: about(15)} == await watched.scores("due")


async def test_watching_uses_half_the_budget(watched: ScheduledSite) -> None:
    """However many tickets are watched, reading them uses at most half the budget: their times are stretched."""
    watched.schedule.budget = Budget(refill=0.02, first_reads=100)
    await watched.knows(A)
    await watched.watch(*(TicketId(f"ticket-{n}") for n in range(30)))

    await watched.watch(A)
    # 30 watched tickets at 100 a call and half of 0.02 calls a second: one call in 30 s for each.
    assert about(30) == await watched.due(A)

    lot = await watched.lot()
    await watched.settle(lot)
    assert about(31) == await watched.due(lot.tickets[0])


async def test_watched_reads_have_their_own_gap(watched: ScheduledSite) -> None:
    """Reads that only keep watched tickets fresh are two in three calls of the budget's rate apart, at most."""
    await watched.watch(*(TicketId(f"ticket-{n}") for n in range(30)))
    await watched.lot()
    await watched.passes(61)
    await watched.watch(A)
    await watched.lot()
    await watched.watch(B)

    found = await watched.claim()

    assert isinstance(found, Wait)
    assert pytest.approx(2 / 3, abs=0.1) == found.seconds


async def test_strangers_do_not_hide_what_is_there(watched: ScheduledSite) -> None:
    """Law 9: When random ids have used up the first reads a listing is due, half a minute apart, not within another."""
    strangers = [TicketId(f"stranger-{n}") for n in range(31)]
    await watched.watch(*strangers[:30])
    assert isinstance(await watched.claim(), Lot)

    await watched.watch(strangers[30])
    listing = await watched.listing()
    await watched.passes(15)
    await watched.watch(strangers[30])
    listing = replace(listing, lease=listing.lease - 15_000_000)
    held = await watched.schedule.extend(listing)
    assert held is not None
    await watched.schedule.listing_done(held)
    await watched.watch(strangers[30])
    assert not isinstance(await watched.claim(), Listing)

    await watched.passes(30)
    await watched.listing()


async def test_what_was_listed_is_no_first_read(watched: ScheduledSite) -> None:
    """Law 9: A ticket that a listing has found is watched and read whatever strangers have used up."""
    await watched.watch(*(TicketId(f"stranger-{n}") for n in range(31)))
    await watched.knows(A)
    await watched.schedule.track(SITE_ID, await watched.now(), [NextRead(A, Pace.LIVE, end_us=10**16)])
    assert await watched.due(A) is None

    await watched.watch(A)

    assert about(15) == await watched.due(A)


# -- claim --


async def test_nothing_due(site: ScheduledSite) -> None:
    """A claim with nothing to read says how long that will last: until the next due time."""
    await site.mark(A)
    await site.settle(await site.lot())

    found = await site.claim()

    assert isinstance(found, Wait)
    assert about(2) == found.seconds


async def test_nothing_scheduled(watched: ScheduledSite) -> None:
    """A site without any ticket is looked at once a second."""
    assert Wait(1.0) == await watched.claim()


async def test_hinted_first(site: ScheduledSite) -> None:
    """Law 4: A lot has at most 100 tickets: those of hints first, then watched ones, then the rest."""
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


async def test_hints_without_end_starve_nobody(site: ScheduledSite) -> None:
    """Of more tickets than a lot has, all hinted at anew after each read, each is read in its turn."""
    hinted = [TicketId(f"ticket-{n:03}") for n in range(300)]
    read: list[TicketId] = []
    for _ in range(3):
        await site.mark(*hinted)
        lot = await site.lot()
        await site.settle(lot)
        read += lot.tickets

    assert set(hinted) == set(read)


async def test_viewers_that_left(watched: ScheduledSite) -> None:
    """A ticket that nobody looks at any more is read with the rest, not as a watched one."""
    await watched.watch(A)
    assert Priority.WATCHED == (await watched.lot()).priority

    await watched.passes(31)

    assert Priority.REST == (await watched.lot()).priority


async def test_a_backlog_hides_no_hint(site: ScheduledSite) -> None:
    """A hint is read first, however many tickets have been due for longer."""
    backlog = [TicketId(f"ticket-{n}") for n in range(1500)]
    await site.schedule.track(SITE_ID, 0, [NextRead(one, Pace.LIVE) for one in backlog])
    await site.passes(400)
    await site.mark(A)

    assert A == (await site.lot()).tickets[0]


async def test_lease(site: ScheduledSite) -> None:
    """Law 11: A claimed ticket is nobody else's for 30 s; after that a worker that died has given it back."""
    await site.mark(A)
    lot = await site.lot()
    assert lot.version + 30_000_000 == lot.lease
    await site.passes(25)
    assert isinstance(await site.claim(), Wait)

    await site.passes(5)

    again = await site.lot()
    assert ((A,), True) == (again.tickets, again.version > lot.version)


async def test_versions_rise(site: ScheduledSite) -> None:
    """Law 2: Every read has a higher version than all before, even if Redis lost its data in between."""
    versions = []
    for loss in (False, False, True, False):
        if loss:
            await site.store.do("FLUSHALL")
            await site.add_site(everything=True)
        await site.mark(A)
        await site.passes(1)
        versions += [(await site.lot()).version]
        paid = await site.schedule.spend(SITE_ID, Priority.HINTED)
        versions += [paid] if isinstance(paid, int) else []

    assert 8 == len(set(versions))
    assert sorted(versions) == versions


async def test_versions_rise_with_a_clock_that_fell(site: ScheduledSite) -> None:
    """Law 2: A clock that was set back does not make a version smaller than the last one given."""
    future = await site.now() + 10**9
    await site.store.do("HSET", key(SITE, "reads"), "version", future)

    assert future + 1 == await site.schedule.spend(SITE_ID, Priority.HINTED)


HOUR = 3600
"""Seconds by which a clock was set back: all that was remembered is so much ahead."""


async def test_a_clock_set_back_vouches_for_nothing(watched: ScheduledSite) -> None:
    """Law 8: After Redis's clock was set back a number is stale and read at once, and is fresh by the new clock then."""
    await watched.knows(A)
    await watched.watch(A)
    await watched.passes(-HOUR, A)

    [stale] = await watched.seen(A)
    assert {A: about(0)} == await watched.scores()
    lot = await watched.lot()
    [finding] = [ReadResult(A, Pace.LIVE, f'"ticket":"{A}"}}', "{}", 2, EVENT)]
    await watched.snapshots.keep(SITE_ID, lot.version, [finding])
    await watched.settle(lot)
    [fresh] = await watched.seen(A)

    assert watched.schedule.timing.max_stale < stale.age
    assert about(0) == fresh.age
    assert "2" == await watched.store.do("HGET", key(SITE, "ticket", A), "unsold")
    assert {A: about(15)} == await watched.scores()
    assert {A: about(20)} == await watched.scores("watched")


async def test_a_clock_set_back_hides_no_hint(site: ScheduledSite) -> None:
    """Law 2: What was marked before Redis's clock was set back is read at once, under a higher version, and again after."""
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


async def test_a_clock_set_back_lets_new_hints_through(site: ScheduledSite) -> None:
    """A ticket that is marked after Redis's clock was set back is read at once, and 2 s later."""
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


async def test_sale_times_outlast_a_clock_set_back(watched: ScheduledSite) -> None:
    """A sale start far ahead is due once when Redis's clock was set back, and then again when the sale starts."""
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


async def test_first_reads_outlast_a_clock_set_back(watched: ScheduledSite) -> None:
    """Strangers who were there before Redis's clock was set back do not use up the first reads until it caught up."""
    await watched.watch(*(TicketId(f"stranger-{n}") for n in range(30)))
    await watched.passes(-HOUR)

    await watched.watch(A)

    assert A in await watched.scores()


async def test_a_clock_set_back_holds_no_call(site: ScheduledSite) -> None:
    """Law 5: A budget that was used up, and a pause, end in their time after Redis's clock was set back."""
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


async def test_a_clock_set_back_holds_no_probe(site: ScheduledSite) -> None:
    """The one call after a fault is waited for no longer than its 30 s after Redis's clock was set back."""
    await site.schedule.pause(SITE_ID, None, 0.0)
    assert isinstance(await site.schedule.spend(SITE_ID, Priority.HINTED), int)
    await site.store.do("HDEL", key(SITE, "reads"), "paused_until")
    await site.passes(-HOUR)

    held = await site.schedule.spend(SITE_ID, Priority.HINTED)

    assert isinstance(held, Wait)
    assert about(30) == held.seconds


async def test_gap_between_reads(site: ScheduledSite) -> None:
    """Two reads of a site are half a second apart, so that hints gather; with over 100 due there is no gap."""
    await site.mark(A)
    await site.lot()
    await site.mark(B)
    found = await site.claim()
    assert isinstance(found, Wait)
    assert pytest.approx(0.5, abs=0.1) == found.seconds

    await site.mark(*(TicketId(f"ticket-{n}") for n in range(250)))

    lots = [await site.claim() for _ in range(2)]
    assert [100, 100] == [len(lot.tickets) for lot in lots if isinstance(lot, Lot)]


# -- settle --

SETTLED: dict[str, tuple[dict[str, Any], float | None]] = {
    "nothing wants it": ({}, None),
    "hinted just now": ({"hint": 0}, 2),
    "hinted 3 s ago": ({"hint": 3}, 8 - 3),
    "hinted 9 s ago": ({"hint": 9}, 30 - 9),
    "hinted long ago": ({"hint": 31}, None),
    "watched": ({"watched": True}, 15),
    "watched, ended": ({"watched": True, "pace": Pace.SLOW}, 600),
    "watched, deleted": ({"watched": True, "pace": Pace.DEAD}, 600),
    "watched, never there": ({"watched": True, "pace": Pace.NEVER}, None),
    "everything": ({"everything": True}, 300),
    "everything, ended": ({"everything": True, "pace": Pace.SLOW}, 300),
    "everything, deleted": ({"everything": True, "pace": Pace.DEAD}, None),
    "everything, never there": ({"everything": True, "pace": Pace.NEVER}, None),
    "everything, watched": ({"everything": True, "watched": True}, 15),
    "everything, watched, hinted": ({"everything": True, "watched": True, "hint": 9}, 15),
    "never there, hinted": ({"pace": Pace.NEVER, "hint": 0}, 2),
    "sale starts": ({"start": 100}, 100),
    "sale starts after the reconciling read": ({"start": 400, "everything": True}, 300),
    "sale ends": ({"start": -1000, "end": 50}, 50),
    "sale has just started": ({"start": -1}, 2 - 1),
    "sale started 5 s ago": ({"start": -5}, 8 - 5),
    "sale started 10 s ago": ({"start": -10, "everything": True}, 30 - 10),
    "sale has just ended": ({"start": -1000, "end": -1}, 2 - 1),
    "sale is long over": ({"start": -1000, "end": -31}, None),
    "missing": ({"again": True}, 2),
    "missing, everything, hinted": ({"again": True, "everything": True, "hint": 7}, 8 - 7),
}


@pytest.mark.parametrize("case", SETTLED)
async def test_settle(site: ScheduledSite, case: str) -> None:
    """After a read a ticket is due at the earliest of: settle steps of a hint, sale start or end, viewers, reconciling."""
    given_, expected = SETTLED[case]
    await site.mark(A)
    lot = await site.lot()
    await site.schedule.add_site(SITE_ID, Rules(), everything=given_.get("everything", False))
    await site.store.do("DEL", key(SITE, "hinted"))
    if "hint" in given_:
        await site.store.do("ZADD", key(SITE, "hinted"), lot.version - given_["hint"] * 10**6, A)
    if "watched" in given_:
        await site.watch(A)
    moments = {f"{name}_us": lot.version + given_[name] * 10**6 for name in ("start", "end") if name in given_}

    await site.settle(lot, pace=given_.get("pace", Pace.LIVE), again=given_.get("again", False), **moments)

    assert expected == (None if (due := await site.due(A)) is None else about(due))


async def test_settle_steps(site: ScheduledSite) -> None:
    """A hint is followed by reads 2, 8 and 30 s after it, as Wix may answer late; then it is forgotten."""
    await site.mark(A)
    reads = []
    passed = 0.0
    for _ in range(5):
        lot = await site.lot()
        reads.append(passed)
        await site.settle(lot)
        due = await site.due(A)
        assert due is not None
        await site.passes(due)
        passed += due

    assert [about(moment) for moment in (0, 2, 8, 30, 330)] == reads
    assert {} == await site.scores("hinted")


async def held(site: ScheduledSite, ticket: TicketId, ends: float) -> int | None:
    """A webhook tells of a hold that ends in so many seconds."""
    moment = await site.now() + round(ends * 1e6)
    return await site.schedule.mark(SITE_ID, Hint("reservation_created", (ticket,), hold_ends_us=moment), "reserved")


async def ends(site: ScheduledSite) -> list[tuple[str, float]]:
    """The ends of holds that are remembered, as tickets and seconds from now."""
    now = await site.now()
    pairs = [one.rpartition(":") for one in await site.store.do("ZRANGE", key(SITE, "holds"), 0, -1)]
    return [(ticket, (int(moment) - now) / 1e6) for ticket, _, moment in pairs]


def within_5_s(seconds: float) -> Any:
    """A time that was rounded up by as much as 5 s, of which some may have passed."""
    return pytest.approx(seconds + 2.25, abs=2.75)


async def test_end_of_a_hold(watched: ScheduledSite) -> None:
    """The end of a hold is a due time of its own, followed by reads as a hint is, without any viewer or webhook then."""
    await watched.watch(A)
    await watched.lot()
    await held(watched, A, 1200)
    reads = []
    passed = 0.0
    while (due := await watched.due(A)) is not None:
        await watched.passes(max(0.0, due))
        passed += max(0.0, due)
        lot = await watched.lot()
        if passed > 35:  # its viewer has left, and the hint's own steps are over
            reads.append(passed)
        await watched.settle(lot)

    assert within_5_s(1200) == reads[0]
    assert [about(reads[0] + step) for step in (2, 8, 30)] == reads[1:]
    assert [] == await ends(watched)


async def test_ends_of_many_holds(watched: ScheduledSite) -> None:
    """A rush of holds is one due time in 5 s, the same for all tickets, and each is kept until it has passed."""
    site = watched
    await site.watch(A, B)
    for second in range(300):
        await held(site, A, 600 + second / 10)
        await held(site, B, 600 + second / 10)

    found = await ends(site)
    its = [moment for ticket, moment in found if ticket == A]
    assert its == [moment for ticket, moment in found if ticket == B]
    assert 7 <= len(its) <= 8
    assert within_5_s(600) == its[0]

    await site.passes(its[2] + 1)
    await site.settle(await site.lot())
    assert [about(moment - its[2] - 1) for moment in its[2:]] == [at for ticket, at in await ends(site) if ticket == A]
    assert about(2 - 1) == await site.due(A)
    await site.passes(3.5)
    await site.settle(await site.lot())
    assert about(its[3] - its[2] - 4.5) == await site.due(A)


@pytest.mark.parametrize("seconds", [-1, 3601, 10**7])
async def test_no_end_of_a_hold(site: ScheduledSite, seconds: float) -> None:
    """A hold that is over, or that would end after more than an hour, is a hint as any other."""
    assert 1 == await held(site, A, seconds)

    assert about(0) == await site.due(A)
    assert [] == await ends(site)


async def test_holds_of_untracked_tickets(watched: ScheduledSite) -> None:
    """Law 9: A hold on a ticket that nobody wants is not remembered."""
    assert 0 == await held(watched, A, 600)

    assert [] == await ends(watched)


async def test_holds_of_one_ticket(site: ScheduledSite) -> None:
    """A ticket's holds are its own, also where the name of one begins with that of another."""
    one, ten = TicketId("ticket-1"), TicketId("ticket-10")
    await held(site, ten, 100)
    await site.mark(one)
    await site.passes(50)

    await site.settle(await site.lot())

    assert (about(300), within_5_s(50)) == (await site.due(one), await site.due(ten))
    await site.passes(60)
    await site.settle(await site.lot())
    assert about(240) == await site.due(one)
    assert [ten] == [ticket for ticket, _ in await ends(site)]


async def test_a_second_order_starts_the_steps_anew(site: ScheduledSite) -> None:
    """Steps count from the last hint, and orders in between make no more of them."""
    await site.mark(A)
    await site.settle(await site.lot())
    await site.passes(5)
    for _ in range(20):
        await site.mark(A)

    await site.settle(await site.lot())

    assert about(2) == await site.due(A)


async def test_steps_are_done_by_reads_that_began_later(site: ScheduledSite) -> None:
    """A read that was slow has not done the steps that passed while it waited: they are due at once."""
    await site.mark(A)
    lot = await site.lot()
    await site.passes(10)

    await site.settle(aged(lot, 10))

    assert about(2 - 10) == await site.due(A)


async def test_a_lot_of_another_worker_is_left(site: ScheduledSite) -> None:
    """A worker that answers after its lease ended does not settle what another worker reads by now."""
    await site.mark(A)
    slow = await site.lot()
    await site.passes(30)
    await site.lot()

    await site.settle(aged(slow, 30))

    assert about(30) == await site.due(A)


async def test_track(site: ScheduledSite) -> None:
    """A listing gives a due time to tickets that had none, and takes none from those that had."""
    await site.mark(A)

    await site.schedule.track(SITE_ID, await site.now(), [NextRead(A, Pace.LIVE), NextRead(B, Pace.LIVE)])

    assert {A: about(0), B: about(300)} == await site.scores()
    assert {A, B} == set(await site.schedule.tracked(SITE_ID))


async def test_viewers_are_forgotten(watched: ScheduledSite) -> None:
    """Who looked at a ticket more than a day ago is no longer remembered."""
    await watched.watch(A)
    await watched.passes(86_430)
    await watched.watch(B)

    await watched.settle(await watched.lot())

    assert {B} == set(await watched.scores("watched"))


# -- faults --


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
async def test_pause(
    site: ScheduledSite, retry_after: float | None, chance: float, faults: int, expected: float
) -> None:
    """A fault pauses the site: for Retry-After, at most 5 minutes, else for a random part of 2, 4, then 8 s."""
    await site.store.do("HSET", key(SITE, "reads"), "faults", faults - 1)
    site.chance = chance

    assert about(expected) == await site.schedule.pause(SITE_ID, None, retry_after)

    found = await site.schedule.spend(SITE_ID, Priority.HINTED)
    assert expected == (0 if not isinstance(found, Wait) else about(found.seconds))


async def test_a_call_that_hung_has_waited(site: ScheduledSite) -> None:
    """Where Wix gave no answer the pause counts from the call's beginning; a Retry-After counts from the answer."""
    await site.store.do("HSET", key(SITE, "reads"), "faults", 2)
    await site.mark(A)
    lot = await site.lot()
    await site.passes(5)

    assert about(8 - 5) == await site.schedule.pause(SITE_ID, aged(lot, 5), None)
    assert about(7) == await site.schedule.pause(SITE_ID, None, 7.0)


async def test_a_fault_gives_the_tickets_back(site: ScheduledSite) -> None:
    """Law 5: A fault makes its tickets due now, and the pause holds them: the site waits, no ticket is punished."""
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


async def test_a_fault_pauses_no_other_site(site: ScheduledSite) -> None:
    """Law 5: The pause of one site is nothing to the others."""
    other = SiteId("5f0e4d3c-1111-4111-8111-00000000b002")
    await site.schedule.add_site(other, Rules(), everything=False)

    await site.schedule.pause(SITE_ID, None, 60.0)

    assert isinstance(await site.schedule.spend(other, Priority.REST), int)


async def test_a_pause_is_never_shortened(site: ScheduledSite) -> None:
    """Of two calls that failed at once the longer pause holds."""
    await site.schedule.pause(SITE_ID, None, 60.0)

    assert about(60) == await site.schedule.pause(SITE_ID, None, 1.0)


async def test_one_call_after_a_fault(site: ScheduledSite) -> None:
    """After a fault one call at a time asks whether Wix is well again, until a good answer; none comes: 30 s."""
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


async def test_who_spoils_a_lot_is_got_past(site: ScheduledSite) -> None:
    """After each fault in a row a lot is smaller, and its tickets come last: one that Wix cannot answer for stops no other."""
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


async def test_a_hinted_one_that_spoils_lots_is_got_past(site: ScheduledSite) -> None:
    """However urgent the ticket is that Wix cannot answer for, the less urgent ones are read too."""
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
async def test_a_first_viewer_during_a_read(site: ScheduledSite, fault: bool, expected: float) -> None:
    """Who looks at a ticket while it is read for a hint delays none of the reads that follow the hint."""
    await site.knows(A)
    await site.mark(A)
    lot = await site.lot()

    await site.watch(A)
    if fault:
        await site.schedule.pause(SITE_ID, lot, 0.0)
    else:
        await site.settle(lot)

    assert about(expected) == await site.due(A)


async def test_another_fault_lets_the_next_call_ask(site: ScheduledSite) -> None:
    """When the one call after a fault fails too, the next may ask as soon as its pause is over, not 30 s later."""
    await site.mark(A)
    await site.schedule.pause(SITE_ID, None, 0.0)
    lot = await site.lot()

    await site.schedule.pause(SITE_ID, lot, 0.0)

    assert (A,) == (await site.lot()).tickets


async def test_a_call_that_comes_to_nothing_lets_the_next_one_ask(site: ScheduledSite) -> None:
    """When Redis is away just as the one call after a fault is answered, the next call asks at once, not 30 s later."""
    await site.mark(A)
    await site.schedule.pause(SITE_ID, None, 0.0)

    await site.schedule.release(await site.lot())

    await site.list_now()
    listing = await site.listing()
    assert isinstance(await site.schedule.spend(SITE_ID, Priority.HINTED), int)
    await site.schedule.release(listing)
    assert isinstance(await site.schedule.spend(SITE_ID, Priority.HINTED), int)


async def test_a_good_answer_ends_the_faults(site: ScheduledSite) -> None:
    """A good answer zeroes the faults, so the next pause is a short one; it does not end a pause."""
    for _ in range(4):
        await site.schedule.pause(SITE_ID, None, 5.0)
    await site.schedule.track(SITE_ID, 0, [])
    assert isinstance(await site.schedule.spend(SITE_ID, Priority.HINTED), Wait)
    await site.passes(6)

    assert about(2) == await site.schedule.pause(SITE_ID, None, None)


# -- a cluster --


@pytest.fixture
async def store(cluster_url: str) -> AsyncIterator[RedisClient]:
    """A client of three masters."""
    async with aclosing(RedisClient(cluster_url, Use.WORK)) as found:
        yield found


async def test_sites_of_a_cluster(store: RedisClient) -> None:
    """Each script touches one slot: twenty sites spread over three masters are marked, watched, claimed and settled."""
    schedule = Schedule(store)
    sites = [SiteId(f"5f0e4d3c-1111-4111-8111-{n:012x}") for n in range(20)]

    for site in sites:
        await schedule.add_site(site, Rules(), everything=True)
        listing = await schedule.claim(site, Rules())
        assert isinstance(listing, Listing)
        assert await schedule.extend(listing)
        assert 1 == await schedule.mark(site, Hint("order", (A,), EVENT), ORDER)
        assert await schedule.watch(site, [A, B], counters=True)
        lot = await schedule.claim(site, Rules())
        assert isinstance(lot, Lot)
        assert {A, B} == set(lot.tickets)
        await schedule.settle(lot, [NextRead(ticket, Pace.LIVE) for ticket in lot.tickets])
        assert isinstance(await schedule.spend(site, Priority.REST), int)

    assert set(sites) == await schedule.sites()
    for site in sites[:5]:
        await schedule.remove_site(site)
    assert set(sites[5:]) == await schedule.sites()


async def test_wake_reaches_every_node(store: RedisClient) -> None:
    """A worker of a cluster is woken by marks of any site, whichever node it listens to."""
    schedule = Schedule(store)
    sites = [SiteId(f"5f0e4d3c-1111-4111-8111-{n:012x}") for n in range(20)]
    for site in sites:
        await schedule.add_site(site, Rules(), everything=False)
        await schedule.watch(site, [A], counters=False)
        lot = await schedule.claim(site, Rules())
        assert isinstance(lot, Lot)
    async with store.listener() as listener:
        await listener.subscribe_all_nodes(WAKE)
        assert await listener.receive(2)

        for site in sites:
            await schedule.mark(site, Hint("order", (A,)))

        heard: set[str | None] = set()
        # The nodes of a cluster that has just begun still tell each other of what was said before.
        while heard < set(sites) and (one := await listener.receive(2)):
            heard.add(one.text)
    assert set(sites) == heard
