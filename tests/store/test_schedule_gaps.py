import time
from collections.abc import AsyncIterator
from contextlib import aclosing

import pytest

from server.model import Pace, TicketId
from server.store.budget import Budget, Priority, Wait
from server.store.claims import Listing, Lot, NextRead
from tests.rig.default_keys import key
from tests.rig.server import SITE
from tests.rig.stored_site import SITE_ID, A, B, C, StoredSite

GAP = 0.5
FULL = 18
"""Tokens from which fresh hints need no gap."""


async def filled(site: StoredSite, tokens: float) -> None:
    """Let so many calls be allowed at once, now."""
    await site.store.do("HSET", key(SITE, "reads"), "tokens", tokens, "filled_at", await site.now())


async def claimed(site: StoredSite) -> Lot:
    """Claim a lot, with all gaps."""
    found = await site.claim()
    assert isinstance(found, Lot), found
    return found


async def waits(site: StoredSite) -> float:
    """How long a claim is to wait; it gives a lot then, and not a tenth of a second before."""
    asked = time.monotonic()
    found = await site.claim()
    assert isinstance(found, Wait), found
    if found.seconds > 0.1:
        await site.passes(found.seconds - 0.1)
        if not isinstance(await site.claim(), Wait):
            assert time.monotonic() - asked >= 0.1, "it may be read before"
            return found.seconds
        await site.passes(0.1)
    else:
        await site.passes(found.seconds)
    assert isinstance(await site.claim(), Lot | Listing), "it may not be read then"
    return found.seconds


class Remaining:
    """What remains of so many seconds that began within this test.

    A duration is equal to it that the test's own commands, which take real time, have shortened by as much as the test has lasted,
    or by less.
    """

    began = 0.0

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def __eq__(self, other: object) -> bool:
        assert isinstance(other, float)
        return self.seconds - (time.monotonic() - Remaining.began) <= other <= self.seconds + 0.001

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"the rest of {self.seconds} s, after {time.monotonic() - Remaining.began:.3f} s of this test"


@pytest.fixture
async def site(site: StoredSite) -> StoredSite:
    """A site that tracks every ticket, with a full bucket: its listing is long over."""
    await site.passes(10)
    Remaining.began = time.monotonic()
    return site


@pytest.fixture
async def other(site: StoredSite, redis_url: str) -> AsyncIterator[StoredSite]:
    """The same site as a second worker sees it."""
    async with aclosing(StoredSite(redis_url)) as found:
        yield found


async def test_fresh_hints_need_no_gap_while_the_bucket_is_full(site: StoredSite) -> None:
    """Three fresh hints are read at once after a quiet time; the fourth when a token is back, in a third of a second."""
    for number in range(3):
        await site.mark(TicketId(f"ticket-{number}"))
        await site.settle(await claimed(site))
    await site.mark(A)

    assert Remaining(1 / 3) == await waits(site)


@pytest.mark.parametrize(
    ("tokens", "expected"), [(FULL, 0), (FULL - 0.3, 0.1), (FULL - 1.2, 0.4), (FULL - 3, GAP), (1, GAP)]
)
async def test_gap_ends_with_a_full_bucket_or_after_half_a_second(
    site: StoredSite, tokens: float, expected: float
) -> None:
    """A fresh hint waits until the bucket holds 18 tokens or the last lot is half a second old, whichever is first."""
    await site.mark(A)
    await site.settle(await claimed(site))
    await site.mark(B)
    await filled(site, tokens)

    if expected:
        assert Remaining(expected) == await waits(site)
    else:
        assert (B,) == (await claimed(site)).tickets


async def test_threshold_is_an_argument(site: StoredSite) -> None:
    """From how many tokens on there is no gap is the budget's: with 20 the second hint waits."""
    site.schedule.budget = Budget(no_gap_from=20)
    await site.mark(A)
    await site.settle(await claimed(site))
    await site.mark(B)

    assert Remaining(1 / 3) == await waits(site)


async def test_reads_in_flight_keep_the_gap(site: StoredSite) -> None:
    """Three reads in flight keep the bucket below 18: a fresh hint waits for a token, as if they ended, and then for the gap."""
    for number in range(3):
        await site.mark(TicketId(f"ticket-{number}"))
        await claimed(site)
    await site.mark(A)

    waited = []
    while isinstance(found := await site.claim(), Wait):
        waited.append(found.seconds)
        await site.passes(found.seconds)

    assert [Remaining(1 / 3), Remaining(GAP - 1 / 3)] == waited


@pytest.mark.parametrize("ended", [True, False], ids=["ended", "in flight"])
async def test_ticket_is_not_read_twice_within_half_a_second(site: StoredSite, other: StoredSite, ended: bool) -> None:
    """However full the bucket is, no worker reads a ticket again within 0.5 s of its last claim, in flight or not."""
    await site.mark(A)
    lot = await claimed(site)
    if ended:
        await site.settle(lot)
    await site.mark(A)

    assert Remaining(GAP) == await waits(other)


async def test_other_tickets_do_not_wait_for_a_claimed_one(site: StoredSite, other: StoredSite) -> None:
    """While a ticket waits for half a second from its claim, fresh hints at others are read at once, and without it."""
    await site.mark(A)
    await claimed(site)
    await site.mark(A, B)

    assert (B,) == (await claimed(other)).tickets

    assert Remaining(GAP) == await waits(other)


async def test_later_reads_after_a_hint_keep_the_gap(site: StoredSite) -> None:
    """The read 2 s after a hint waits for half a second from the site's last lot, however full the bucket is."""
    await site.mark(A)
    await site.settle(await claimed(site))
    await site.passes(1.8)
    await site.mark(B)
    await site.settle(await claimed(site))

    assert Remaining(GAP) == await waits(site)


async def test_later_reads_ride_along_with_a_fresh_hint(site: StoredSite) -> None:
    """The lot of a fresh hint takes the tickets along that are due 2 s after theirs, without a gap."""
    await site.mark(A)
    await site.settle(await claimed(site))
    await site.passes(1.9)
    await site.mark(B)
    await site.settle(await claimed(site))
    await site.passes(0.2)
    assert isinstance(await site.claim(), Wait)
    await site.mark(C)

    lot = await claimed(site)

    assert {A, C} == set(lot.tickets)
    assert Priority.HINTED == lot.priority


async def test_failed_read_is_repeated_after_the_gap(site: StoredSite) -> None:
    """A ticket that is due after a fault is no fresh hint: it waits for half a second from the last lot."""
    await site.mark(A)
    await site.schedule.pause(SITE_ID, await claimed(site), 0.0)

    assert Remaining(GAP) == await waits(site)


async def test_ticket_without_a_hint_waits_for_the_gap(site: StoredSite) -> None:
    """A ticket that is read by the clock waits for half a second from the last lot, however full the bucket is."""
    await site.schedule.track(SITE_ID, 0, [NextRead(A, Pace.LIVE)])
    await site.passes(400)
    await site.mark(B)
    lot = await claimed(site)
    assert {A, B} == set(lot.tickets)
    await site.settle(lot)
    await site.store.do("ZADD", key(SITE, "due"), 1, C)

    assert Remaining(GAP) == await waits(site)


async def test_over_a_hundred_due_need_no_gap(site: StoredSite) -> None:
    """With over 100 tickets due there is no gap, but those that were just claimed are left out."""
    many = [TicketId(f"ticket-{number:03}") for number in range(250)]
    await filled(site, 10)
    await site.mark(*many)
    first = await claimed(site)
    await site.mark(*many)

    second = await claimed(site)

    assert (100, 100) == (len(first.tickets), len(second.tickets))
    assert set() == {*first.tickets} & {*second.tickets}
    assert Remaining(GAP) == await waits(site)


async def test_listing_waits_for_no_gap(site: StoredSite) -> None:
    """A claim that waits for the gap waits for a listing that becomes due before, and no longer."""
    await filled(site, 10)
    await site.mark(A)
    await site.settle(await claimed(site))
    await site.mark(B)
    await site.store.do("ZADD", key(SITE, "due"), await site.now() + 200_000, "*")

    assert Remaining(0.2) == await waits(site)


async def test_hint_that_would_find_no_token_is_joined(site: StoredSite) -> None:
    """Where a ticket may be read soon, but a lot before would take its token, both are read in one lot then."""
    await site.mark(A)
    await site.settle(await claimed(site))
    await site.passes(0.3)
    await site.mark(A, B)
    await filled(site, FULL)

    found = await site.claim()

    assert isinstance(found, Wait)
    assert Remaining(GAP - 0.3) == found.seconds
    await site.passes(found.seconds)
    assert {A, B} == set((await claimed(site)).tickets)


async def test_nothing_is_joined_with_tokens_for_both(site: StoredSite) -> None:
    """With tokens for a lot now and one in a moment, a fresh hint does not wait for the other ticket."""
    await site.mark(A)
    await site.settle(await claimed(site))
    await site.passes(0.3)
    await site.mark(A, B)
    await filled(site, FULL + 1)

    assert (B,) == (await claimed(site)).tickets


async def test_no_hint_waits_longer_than_the_gap_for_another(site: StoredSite) -> None:
    """A fresh hint that has waited for 0.4 s is read without the ticket that may be read only in 0.2 s."""
    await filled(site, 1)
    await site.mark(B)
    await site.passes(0.1)
    await site.mark(A)
    await site.store.do("ZADD", key(SITE, "claimed"), await site.now(), A)
    await site.passes(0.3)
    await filled(site, FULL)

    assert (B,) == (await claimed(site)).tickets


async def test_claimed_tickets_are_forgotten(site: StoredSite) -> None:
    """Of thousands of tickets only those are stored as claimed that the last half second claimed."""
    await site.mark(*(TicketId(f"ticket-{number}") for number in range(100)))
    await site.settle(await claimed(site))
    await site.passes(1)
    await site.mark(A)

    await claimed(site)

    assert [A] == list(await site.scores("claimed"))


async def test_clock_set_back_delays_a_ticket_by_one_gap(site: StoredSite) -> None:
    """After Redis's clock was set back a ticket waits for half a second at most, and not until the clock is there again."""
    await site.mark(A)
    await site.settle(await claimed(site))
    await site.passes(-3600)
    await site.schedule.listing_done(await site.listing())
    await site.mark(A)

    assert Remaining(GAP) == await waits(site)
