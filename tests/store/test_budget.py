import asyncio
import itertools
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.model import Pace, TicketId
from server.store.budget import Budget, Priority, Wait
from server.store.claims import EventLot, Listing, Lot, NextRead
from server.store.timing import Timing
from tests.rig.default_keys import key
from tests.rig.redis import RedisServer
from tests.rig.server import SITE
from tests.rig.stored_site import SITE_ID, A, B, C, StoredSite
from tests.rig.wix_calls import most_in_a_minute


def test_budget_never_exceeds_wix_rate_limit() -> None:
    """Law 5: A full bucket and a minute of refill are no more than the 200 calls that Wix allows."""
    budget = Budget()

    assert budget.capacity + 60 * budget.refill <= 200


async def test_low_priorities_leave_tokens_for_higher_ones(site: StoredSite) -> None:
    """Law 5: From a full budget of 20 calls REST may take 10, then WATCHED 5, and HINTED the last 5."""

    async def spent(class_: Priority) -> int:
        calls = 0
        while not isinstance(await site.schedule.spend(SITE_ID, class_), Wait):
            calls += 1
        return calls

    await site.passes(1)
    assert [10, 5, 5] == [await spent(class_) for class_ in (Priority.REST, Priority.WATCHED, Priority.HINTED)]
    await site.passes(1)
    assert [0, 0, 3] == [await spent(class_) for class_ in (Priority.REST, Priority.WATCHED, Priority.HINTED)]
    await site.passes(3600)
    assert [10, 5, 5] == [await spent(class_) for class_ in (Priority.REST, Priority.WATCHED, Priority.HINTED)]


@pytest.mark.parametrize(("tokens", "expected"), [(0.5, 0), (1.5, 1), (5.5, 1), (6.5, 2), (10.5, 2), (11.5, 3)])
async def test_claim_pays_from_budget_by_priority(site: StoredSite, tokens: float, expected: int) -> None:
    """Law 5: A claim pays for its call: with few tokens only hinted tickets are read, then watched ones, then any."""
    await site.schedule.track(SITE_ID, 0, [NextRead(one, Pace.LIVE) for one in (A, B)])
    await site.passes(400)
    await site.watch(B)
    await site.mark(C)
    await site.passes(1)
    reads = key(SITE, "reads")

    async def claims() -> bool:
        await site.forget_gaps()
        await site.store.do("HSET", reads, "tokens", tokens, "filled_at", await site.now())
        return isinstance(await site.claim(), Lot)

    lots = 0
    for class_ in (C, B, A):
        if not await claims():
            break
        lots += 1
        # The other tickets of the lot become due again, for a claim of their own.
        for one in {A: (), B: (A,), C: (A, B)}[class_]:
            await site.store.do("ZADD", key(SITE, "due"), 1, one)

    assert expected == lots


async def test_listing_pages_do_not_delay_hinted_reads(site: StoredSite) -> None:
    """Law 5: A hinted ticket is read while a listing goes on: the gap is between lots, not calls."""
    await site.list_now()
    await site.listing()
    await site.mark(A)

    for _ in range(3):
        assert isinstance(await site.schedule.spend(SITE_ID, Priority.REST), int)

    found = await site.claim()
    assert isinstance(found, Lot)
    assert (Priority.HINTED, (A,)) == (found.priority, found.tickets)


async def test_new_hint_is_claimed_before_a_thousand_settle_reads(site: StoredSite) -> None:
    """A newly hinted ticket may take the last token, however many tickets wait for the further reads after a hint."""
    many = [TicketId(f"{n:08d}-aaaa-4aaa-8aaa-000000000001") for n in range(1000)]
    await site.mark(*many)
    later = [word for one in many for word in (await site.now() + 6_000_000, one)]
    await site.store.do("ZADD", key(SITE, "due"), *later)
    await site.mark(A)
    await site.store.do("HSET", key(SITE, "reads"), "tokens", 1.5, "filled_at", await site.now())

    found = await site.claim()

    assert isinstance(found, Lot)
    assert (Priority.HINTED, (A,)) == (found.priority, found.tickets)


async def test_wait_says_when_a_token_is_available(site: StoredSite) -> None:
    """A claim or payment that finds no token says when there will be one: three come each second."""
    await site.mark(A)
    while not isinstance(found := await site.schedule.spend(SITE_ID, Priority.HINTED), Wait):
        pass
    assert 0 < found.seconds <= 1 / 3

    held = await site.schedule.spend(SITE_ID, Priority.REST)

    assert isinstance(held, Wait)
    assert pytest.approx(found.seconds + 10 / 3, abs=0.1) == held.seconds


async def calls_allowed_at_once(site: StoredSite) -> int:
    """How many calls may begin at once after a quiet time."""
    await site.passes(10)
    calls = 0
    while not isinstance(await site.schedule.spend(SITE_ID, Priority.HINTED), Wait):
        calls += 1
    return calls


async def test_reads_in_flight_count_against_the_burst(site: StoredSite) -> None:
    """Law 5: Calls in flight and calls that may begin at once are 20 together, for as long as a lease."""
    await site.mark(*(TicketId(f"ticket-{n}") for n in range(700)))
    lots = [await site.lot() for _ in range(5)]
    assert 20 - 5 == await calls_allowed_at_once(site)

    for lot in lots[:2]:
        await site.settle(lot)
    assert 20 - 3 == await calls_allowed_at_once(site)

    await site.passes(10)
    assert 20 == await calls_allowed_at_once(site)
    assert {} == {name: at for name, at in (await site.reads()).items() if name.startswith("lot:")}


async def test_bucket_refills_only_after_reads_end(site: StoredSite) -> None:
    """Law 5: While reads are in flight the bucket fills up to the rest; the room that they leave fills after their end."""
    await site.mark(*(TicketId(f"ticket-{n}") for n in range(700)))
    lots = [await site.lot() for _ in range(5)]
    await site.passes(10)

    for lot in lots:
        await site.settle(lot)
    await site.passes(1)

    calls = 0
    while not isinstance(await site.schedule.spend(SITE_ID, Priority.HINTED), Wait):
        calls += 1
    assert 20 - 5 + 3 == calls


async def test_listing_in_flight_counts_as_one_call(site: StoredSite) -> None:
    """Law 5: A listing has at most one call in flight: one less may begin at once."""
    await site.list_now()
    listing = await site.listing()
    assert 20 - 1 == await calls_allowed_at_once(site)

    await site.schedule.listing_done(replace(listing, lease=listing.lease - 10_000_000))

    assert 20 == await calls_allowed_at_once(site)


async def call(site: StoredSite, what: str) -> int | Wait:
    """Call Wix if the budget allows it: for a claimed read of a hinted ticket, or a payment of this priority."""
    if what != "claim":
        return await site.schedule.spend(SITE_ID, Priority(what))
    for name in ("due", "hinted"):
        await site.store.do("ZADD", key(SITE, name), 1, A)
    found = await site.claim()
    assert not isinstance(found, Listing | EventLot)
    return found.version if isinstance(found, Lot) else found


async def spending(url: str, steps: Sequence[tuple[int, str, float]]) -> list[float]:
    """Let four workers repeat these steps for 75 s, waiting when told to; returns when calls began."""
    workers = [StoredSite(url, timing=Timing(read_gap=0.0)) for _ in range(4)]
    await workers[0].add_site(everything=False)
    passed = 0.0
    calls: list[float] = []
    for number, what, pause in itertools.islice(itertools.cycle(steps), 2000):
        found = await call(workers[number], what)
        if isinstance(found, Wait):
            await workers[0].passes(wait := max(pause, found.seconds))
        else:
            calls.append(found / 1e6 + passed)
            await workers[0].passes(wait := pause)
        passed += wait
        if passed > 75:
            break
    for worker in workers:
        await worker.aclose()
    return calls


STEPS = st.tuples(st.integers(0, 3), st.sampled_from(["claim", *Priority]), st.sampled_from([0.0, 0.0, 0.1, 4.0]))


@settings(max_examples=10, deadline=None)
@given(st.lists(STEPS, min_size=1, max_size=30))
def test_never_over_200_calls_in_a_minute(redis_shared: RedisServer, steps: list[tuple[int, str, float]]) -> None:
    """Law 5: Whatever four workers ask for in whatever order, no minute has more than 200 calls of a site."""
    redis_shared.ask("FLUSHALL")

    calls = asyncio.run(spending(redis_shared.url, steps))

    assert 200 >= most_in_a_minute(calls)


async def test_whole_budget_can_be_used(redis_url: str) -> None:
    """Law 5: Workers that call whenever they may use nearly every call that Wix allows."""
    calls = await spending(redis_url, [(number, Priority.HINTED, 0.0) for number in range(4)])

    assert 195 <= most_in_a_minute(calls) <= 200
