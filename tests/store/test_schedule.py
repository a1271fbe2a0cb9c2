from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import replace

import pytest

from server.counter import Rules
from server.model import Hint, Pace, SiteId, TicketId
from server.redis.client import RedisClient, Use
from server.store.budget import Priority, Wait
from server.store.claims import Listing, Lot, NextRead
from server.store.schedule import Schedule
from tests.rig.default_keys import WAKE, key
from tests.rig.redis_monitor import monitored
from tests.rig.server import SITE
from tests.rig.stored_site import EVENT, ORDER, SITE_ID, A, B, C, StoredSite, about, held

# -- sites --


async def test_add_site_makes_the_listing_due(unknown: StoredSite) -> None:
    """A new site is stored and its listing is due once; the same settings again change nothing, new rules list again."""
    await unknown.schedule.add_site(SITE_ID, Rules(), everything=True)
    assert {SITE_ID} == await unknown.schedule.sites()
    await unknown.schedule.listing_done(await unknown.listing())

    await unknown.schedule.add_site(SITE_ID, Rules(), everything=True)
    assert isinstance(await unknown.claim(), Wait)

    await unknown.schedule.add_site(SITE_ID, Rules(low_at=3), everything=True)
    assert isinstance(await unknown.claim(Rules(low_at=3)), Listing)


async def test_add_site_wakes_a_worker(unknown: StoredSite) -> None:
    """A worker is woken for the listing of a new site."""
    async with unknown.store.listener() as listener:
        await listener.subscribe_all_nodes(WAKE)
        assert await listener.receive(2)

        await unknown.schedule.add_site(SITE_ID, Rules(), everything=True)

        heard = await listener.receive(2)
    assert heard is not None
    assert SITE == heard.text


async def test_site_without_everything_is_listed_only_on_request(site: StoredSite) -> None:
    """A site that tracks only watched tickets is listed on request, and not periodically."""
    await site.schedule.add_site(SITE_ID, Rules(), everything=False)
    await site.passes(601)
    assert isinstance(await site.claim(), Wait)

    await site.list_now()
    await site.schedule.listing_done(await site.listing())
    await site.passes(601)
    assert isinstance(await site.claim(), Wait)


async def older_version_adds_it(site: StoredSite) -> None:
    """What the version before did when it added a site: it has other rules, and knows no contract."""
    await site.store.do("HSET", key(SITE, "site"), "rules", "0123456789ab")


async def test_counters_of_another_contract_are_nobodys(site: StoredSite) -> None:
    """Law 13: When a site comes from an older version, web processes of that take no stored counter for theirs any more."""
    await site.knows(A, B)
    await site.watch(A)
    await site.mark(B)
    for _ in range(2):
        await older_version_adds_it(site)
        for ticket in (A, B):
            await site.store.do("HSET", key(SITE, "ticket", ticket), "rules", "0123456789ab")
        await site.add_site()
        assert ["", ""] == [one.rules for one in await site.seen(A, B)]


async def test_counters_of_other_settings_stay_until_they_are_read(site: StoredSite) -> None:
    """Where only the settings change, counters stay those of the settings by which they were made, until they are read again."""
    await site.knows(A)
    await site.watch(A)

    await site.schedule.add_site(SITE_ID, Rules(low_at=3), everything=True)
    await site.add_site()

    assert [Rules().hash] == [one.rules for one in await site.seen(A)]


async def test_unknown_tickets_leave_nothing_behind(site: StoredSite) -> None:
    """Law 9: A ticket that is watched and was never read has no key after a change of the contract."""
    await site.watch(C)
    before = await site.keys()

    await older_version_adds_it(site)
    await site.add_site()

    assert before == await site.keys()


async def test_listing_is_leased_to_one_worker(site: StoredSite) -> None:
    """The member * is the listing: one worker gets it, and no other until ten minutes after its end."""
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


async def test_listing_lease_is_extended_page_by_page(site: StoredSite) -> None:
    """Law 11: A listing stays with one worker while it reads pages; if that worker dies, it is due 30 s later."""
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


async def test_failed_listing_is_due_again(site: StoredSite) -> None:
    """A listing that was given back is due at once; one that was requested again meanwhile starts over."""
    await site.list_now()
    await site.schedule.release(await site.listing())

    listing = await site.listing()
    await site.list_now()
    await site.schedule.listing_done(listing)
    await site.listing()


async def test_listing_backs_off_while_wix_fails(site: StoredSite) -> None:
    """While Wix fails a site's listings each next one is delayed longer, until one succeeds."""
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


async def test_worker_with_other_rules_claims_nothing(site: StoredSite) -> None:
    """Law 3: A worker with other rules claims neither a listing nor a ticket: its reads would be refused."""
    await site.mark(A)
    await site.list_now()
    before = await site.reads()

    assert Wait(1.0, other_rules=True) == await site.claim(Rules(low_at=3))

    assert before == await site.reads()
    await site.listing()
    assert (A,) == (await site.lot()).tickets


async def test_removed_site_expires(site: StoredSite) -> None:
    """A removed site is not read, marked or settled any more, and all its keys expire."""
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
        sorted(
            key(SITE, *name)
            for name in (("changes",), ("event", EVENT), ("history",), ("reads",), ("shown", EVENT), ("ticket", A))
        )
        == left
    )
    assert all([0 < await site.store.do("TTL", one) <= 172_800 for one in left])


async def test_remove_site_takes_two_round_trips(site: StoredSite, redis_url: str) -> None:
    """A site of any number of tickets is removed within the time limit of a webhook."""
    await site.knows(*(TicketId(f"ticket-{n}") for n in range(100)))

    async with monitored(redis_url) as commands:
        await site.schedule.remove_site(SITE_ID)
        sent = [words[0] for words in await commands.all()]

    # A script that Redis has not cached yet is sent twice.
    assert ["EVALSHA", "SREM"] == [one for one in sent if one not in {"HELLO", "CLIENT", "ECHO", "EVAL"}]


async def test_site_that_is_added_again(site: StoredSite) -> None:
    """An app that is installed again continues with newer versions, in logs that no longer expire."""
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
    """A client of a cluster with three masters."""
    async with aclosing(RedisClient(cluster_url, Use.WORK)) as found:
        yield found


async def test_schedule_on_a_cluster(store: RedisClient) -> None:
    """Each script touches one slot: twenty sites on three masters are marked, watched, claimed and settled."""
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


async def test_wake_reaches_a_worker_on_any_node(store: RedisClient) -> None:
    """A worker of a cluster is woken by hints of any site, whichever node it listens to."""
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
        # The nodes of a new cluster still forward each other earlier messages.
        while heard < set(sites) and (one := await listener.receive(2)):
            heard.add(one.text)
    assert set(sites) == heard
