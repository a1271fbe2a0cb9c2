from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import replace

import pytest

from server.model import (
    Hint,
    Pace,
    Rules,
    SiteId,
    TicketId,
)
from server.redis.client import RedisClient, Use
from server.store.budget import Priority, Wait
from server.store.keys import WAKE, key
from server.store.schedule import Listing, Lot, NextRead, Schedule
from tests.rig.redis_monitor import monitored
from tests.rig.server import SITE
from tests.rig.stored_site import EVENT, ORDER, SITE_ID, A, B, StoredSite, about, held

# -- sites --


async def test_adopt_makes_the_listing_due(unknown: StoredSite) -> None:
    """A new site is known and its listing is due once; the same settings again change nothing, new rules list again."""
    await unknown.schedule.add_site(SITE_ID, Rules(), everything=True)
    assert {SITE_ID} == await unknown.schedule.sites()
    await unknown.schedule.listing_done(await unknown.listing())

    await unknown.schedule.add_site(SITE_ID, Rules(), everything=True)
    assert isinstance(await unknown.claim(), Wait)

    await unknown.schedule.add_site(SITE_ID, Rules(low_at=3), everything=True)
    assert isinstance(await unknown.claim(Rules(low_at=3)), Listing)


async def test_adopt_wakes(unknown: StoredSite) -> None:
    """A worker is woken for the listing of a new site."""
    async with unknown.store.listener() as listener:
        await listener.subscribe_all_nodes(WAKE)
        assert await listener.receive(2)

        await unknown.schedule.add_site(SITE_ID, Rules(), everything=True)

        heard = await listener.receive(2)
    assert heard is not None
    assert SITE == heard.text


async def test_listing_ends_with_everything(site: StoredSite) -> None:
    """A site of which only watched tickets are wanted is listed when somebody asks for it, and not again by itself."""
    await site.schedule.add_site(SITE_ID, Rules(), everything=False)
    await site.passes(601)
    assert isinstance(await site.claim(), Wait)

    await site.list_now()
    await site.schedule.listing_done(await site.listing())
    await site.passes(601)
    assert isinstance(await site.claim(), Wait)


async def test_listing_is_leased(site: StoredSite) -> None:
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


async def test_listing_goes_on(site: StoredSite) -> None:
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


async def test_listing_is_given_back(site: StoredSite) -> None:
    """A listing that came to nothing is due at once; one that was asked for anew meanwhile is made anew."""
    await site.list_now()
    await site.schedule.release(await site.listing())

    listing = await site.listing()
    await site.list_now()
    await site.schedule.listing_done(listing)
    await site.listing()


async def test_listing_that_wix_fails(site: StoredSite) -> None:
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


async def test_other_rules_claim_nothing(site: StoredSite) -> None:
    """Law 3: A worker with other rules takes neither a listing nor a ticket: what it read would be refused."""
    await site.mark(A)
    await site.list_now()
    before = await site.reads()

    assert Wait(1.0, other_rules=True) == await site.claim(Rules(low_at=3))

    assert before == await site.reads()
    await site.listing()
    assert (A,) == (await site.lot()).tickets


async def test_forget_leaves_nothing_for_ever(site: StoredSite) -> None:
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


async def test_forget_asks_redis_twice(site: StoredSite, redis_url: str) -> None:
    """A site of however many tickets is let go within the time that a webhook has."""
    await site.knows(*(TicketId(f"ticket-{n}") for n in range(100)))

    async with monitored(redis_url) as commands:
        await site.schedule.remove_site(SITE_ID)
        sent = [words[0] for words in await commands.all()]

    # A script that Redis has not seen yet goes twice.
    assert ["EVALSHA", "SREM"] == [one for one in sent if one not in {"HELLO", "CLIENT", "ECHO", "EVAL"}]


async def test_adopted_again(site: StoredSite) -> None:
    """An app that is installed again goes on with newer versions, in logs that no longer expire."""
    await site.knows(A)
    await site.mark(A)
    lot = await site.lot()
    await site.schedule.remove_site(SITE_ID)

    await site.add_listed_site()

    await site.mark(A)
    assert (await site.lot()).version > lot.version
    for name in ("reads", "changes", "history"):
        assert -1 == await site.store.do("TTL", key(SITE, name))


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
