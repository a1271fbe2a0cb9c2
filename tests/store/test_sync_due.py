import asyncio
from collections.abc import Sequence
from contextlib import aclosing, suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.errors import LeaseLost
from server.model import SiteId, TicketId
from server.redis.client import RedisClient, Use
from server.store.sync_due import LASTS, Backlog, Claimed, Due
from tests.rig.default_keys import KEYS
from tests.rig.redis import RedisServer
from tests.rig.stored_site import SITE_ID, A, B, C, about
from tests.rig.sync_time_travel import elapse_at_site

TARGET = "box-office"
OTHER_SITE = SiteId("5f0e4d3c-1111-4111-8111-00000000b002")


async def passes(store: RedisClient, seconds: float) -> None:
    """Let time pass for the target's tickets."""
    await elapse_at_site(store, SITE_ID, TARGET, seconds)


async def claimed(due: Due, ticket: TicketId | None = None) -> Claimed:
    """Claim what is due, or a certain ticket."""
    found = await due.claim(SITE_ID, TARGET, ticket)
    assert found is not None
    return found


@pytest.fixture
def due(store: RedisClient) -> Due:
    return Due(store)


# -- marks and claims --


async def test_marked_ticket_is_claimed_once(anywhere: RedisClient) -> None:
    """A marked ticket is due, is claimed by one process, and is not due any more once it was brought."""
    due, other = Due(anywhere), Due(anywhere)
    assert await due.wait(SITE_ID, TARGET) is None
    assert await due.claim(SITE_ID, TARGET) is None

    assert 2 == await due.mark(SITE_ID, TARGET, [A, B])
    assert 0.0 == await due.wait(SITE_ID, TARGET)
    first, second = await due.claim(SITE_ID, TARGET), await other.claim(SITE_ID, TARGET)
    assert first
    assert second
    assert {A, B} == {first.ticket, second.ticket}
    assert await due.claim(SITE_ID, TARGET) is None

    assert await due.settle(first)
    assert await other.settle(second)
    assert await due.wait(SITE_ID, TARGET) is None
    assert [] == [one for one in await anywhere.do("KEYS", "*") if "sync" in one]


async def test_longest_due_comes_first(store: RedisClient, due: Due) -> None:
    """Tickets are claimed in the order in which they became due."""
    for ticket in (B, C, A):
        await due.mark(SITE_ID, TARGET, [ticket])
        await passes(store, 1)

    assert [B, C, A] == [(await claimed(due)).ticket for _ in range(3)]


async def test_a_mark_only_brings_forward(store: RedisClient, due: Due) -> None:
    """A later mark does not delay a ticket, an earlier one brings it forward, and the answer says whether it did."""
    assert 1 == await due.mark(SITE_ID, TARGET, [A], 30)
    assert 0 == await due.mark(SITE_ID, TARGET, [A], 60)
    assert about(30) == await due.wait(SITE_ID, TARGET)
    assert await due.claim(SITE_ID, TARGET) is None

    assert 1 == await due.mark(SITE_ID, TARGET, [A, A], 10)
    assert about(10) == await due.wait(SITE_ID, TARGET)
    await passes(store, 10)

    assert A == (await claimed(due)).ticket


async def test_no_ticket_marks_none(store: RedisClient, due: Due) -> None:
    """A mark of no ticket is none, and costs no round trip."""
    assert 0 == await due.mark(SITE_ID, TARGET, [])
    assert [] == await store.do("KEYS", "*")


async def test_no_ticket_is_claimed_twice(anywhere: RedisClient) -> None:
    """However many processes claim at the same time, each ticket is claimed by one."""
    tickets = [TicketId(f"ticket-{n}") for n in range(40)]
    processes = [Due(anywhere) for _ in range(4)]
    await processes[0].mark(SITE_ID, TARGET, tickets)

    found = await asyncio.gather(*(processes[n % 4].claim(SITE_ID, TARGET) for n in range(60)))

    assert sorted(tickets) == sorted(one.ticket for one in found if one)


async def test_sites_and_targets_are_apart(anywhere: RedisClient) -> None:
    """What is due at one target, or of one site, is not due at another."""
    due = Due(anywhere)
    await due.mark(SITE_ID, TARGET, [A])
    await due.mark(OTHER_SITE, TARGET, [B])
    await due.mark(SITE_ID, "till", [C])

    assert [A, B, C] == [
        one.ticket
        for site, target in ((SITE_ID, TARGET), (OTHER_SITE, TARGET), (SITE_ID, "till"))
        if (one := await due.claim(site, target))
    ]
    assert await due.claim(OTHER_SITE, "till") is None


async def test_deployments_are_apart(redis_url: str, due: Due) -> None:
    """What is due in a deployment is not due in one with another prefix."""
    async with aclosing(RedisClient(redis_url, Use.WORK, "shop")) as shop:
        await due.mark(SITE_ID, TARGET, [A])

        assert await Due(shop).claim(SITE_ID, TARGET) is None


# -- marks during a claim --


@pytest.mark.parametrize("after", [0.0, 3.0, LASTS, 10 * LASTS])
async def test_mark_during_a_claim_is_kept(store: RedisClient, due: Due, after: float) -> None:
    """A ticket that is marked while it is brought is due once more afterwards, at the time of that mark, however late."""
    await due.mark(SITE_ID, TARGET, [A])
    claim = await claimed(due)

    await due.mark(SITE_ID, TARGET, [A], after)
    assert await due.claim(SITE_ID, TARGET) is None
    assert await due.settle(claim)

    assert about(after) == await due.wait(SITE_ID, TARGET)
    await passes(store, after)
    again = await claimed(due)
    assert await due.settle(again)
    assert await due.wait(SITE_ID, TARGET) is None


@pytest.mark.parametrize(
    ("again", "after", "expected"), [(5, 60, 5), (60, 5, 5), (None, 5, 5), (5, None, 5), (0, 5, 0)]
)
async def test_what_comes_first_counts(due: Due, again: float | None, after: float | None, expected: float) -> None:
    """A ticket that is to be tried again, and was marked meanwhile, is due at the earlier of both times."""
    await due.mark(SITE_ID, TARGET, [A])
    claim = await claimed(due)
    if after is not None:
        await due.mark(SITE_ID, TARGET, [A], after)

    assert await due.settle(claim, again)

    assert about(expected) == await due.wait(SITE_ID, TARGET)


async def test_marked_again_blocks_no_other_ticket(due: Due) -> None:
    """A ticket that is longest due, but still being brought, holds up none of the others."""
    await due.mark(SITE_ID, TARGET, [A, B])
    first, second = await claimed(due), await claimed(due)
    await due.mark(SITE_ID, TARGET, [A, B])
    await due.mark(SITE_ID, TARGET, [C])

    assert C == (await claimed(due)).ticket
    assert about(LASTS) == await due.wait(SITE_ID, TARGET)
    for one in (first, second):
        assert await due.settle(one)
    assert {A, B} == {(await claimed(due)).ticket for _ in range(2)}


# -- leases --


async def test_claim_of_a_dead_process_ends_by_itself(store: RedisClient, due: Due) -> None:
    """The ticket of a process that died is claimed by another after LASTS seconds; the first may do nothing with it then."""
    await due.mark(SITE_ID, TARGET, [A])
    dead = await claimed(due)
    assert about(LASTS) == await due.wait(SITE_ID, TARGET)

    await passes(store, LASTS - 1)
    assert await due.claim(SITE_ID, TARGET) is None
    await passes(store, 1)
    other = await claimed(due)

    assert A == other.ticket
    with pytest.raises(LeaseLost, match=A):
        await due.extend(dead)
    assert not await due.settle(dead)
    assert await due.settle(other)
    assert await due.wait(SITE_ID, TARGET) is None


async def test_slow_process_keeps_what_nobody_else_claimed(store: RedisClient, due: Due) -> None:
    """A claim that has ended can still be extended and settled while no other process has the ticket."""
    await due.mark(SITE_ID, TARGET, [A])
    claim = await claimed(due)
    await passes(store, LASTS + 10)
    # The time that has passed is in what Redis has, and not in what the process remembers.
    claim = Claimed(SITE_ID, TARGET, A, claim.lease - round((LASTS + 10) * 1e6))

    claim = await due.extend(claim)

    assert await due.claim(SITE_ID, TARGET) is None
    assert await due.settle(claim)


async def test_extended_claim_keeps_ticket_and_marks(store: RedisClient, due: Due) -> None:
    """An extended claim lasts LASTS seconds from then, and a mark before or after it is kept."""
    await due.mark(SITE_ID, TARGET, [A])
    claim = await claimed(due)
    await due.mark(SITE_ID, TARGET, [A], 1.5 * LASTS)
    await passes(store, LASTS - 1)
    claim = Claimed(SITE_ID, TARGET, A, claim.lease - round((LASTS - 1) * 1e6))

    claim = await due.extend(claim)

    assert about(LASTS) == await due.wait(SITE_ID, TARGET)
    await passes(store, LASTS - 1)
    assert await due.claim(SITE_ID, TARGET) is None
    claim = Claimed(SITE_ID, TARGET, A, claim.lease - round((LASTS - 1) * 1e6))
    assert await due.settle(claim)
    assert A == (await claimed(due)).ticket


async def test_certain_ticket(store: RedisClient, due: Due) -> None:
    """A certain ticket is claimed whether it is due, due later or never, and its mark is used up by that."""
    await due.mark(SITE_ID, TARGET, [A])
    await due.mark(SITE_ID, TARGET, [B], 60)

    for ticket in (A, B, C):
        assert ticket == (await claimed(due, ticket)).ticket

    assert [] == await store.do("ZRANGE", KEYS.sync(SITE_ID, TARGET, "due"), 0, -1)


async def test_certain_ticket_of_another_is_busy(due: Due) -> None:
    """A certain ticket that another process has is not claimed, and asking for it marks nothing."""
    await due.mark(SITE_ID, TARGET, [A, B])
    claim = await claimed(due, A)

    assert await due.claim(SITE_ID, TARGET, A) is None
    assert await due.settle(claim)

    assert A == (await claimed(due, A)).ticket
    assert B == (await claimed(due)).ticket
    assert await due.claim(SITE_ID, TARGET) is None


async def test_clock_that_was_set_back(store: RedisClient, due: Due) -> None:
    """After Redis's clock was set back an hour, a dead process has its ticket no longer than before, and marks are due at once."""
    await due.mark(SITE_ID, TARGET, [A, B])
    await claimed(due, A)
    await passes(store, -3600)

    assert A == (await claimed(due)).ticket
    assert 1 == await due.mark(SITE_ID, TARGET, [B])
    assert B == (await claimed(due)).ticket


# -- the backlog --


async def test_backlog(anywhere: RedisClient) -> None:
    """The backlog counts what is due now, with what a dead process left, and the seconds that the oldest has been due."""
    due = Due(anywhere)
    assert Backlog(0, None) == await due.backlog(SITE_ID, TARGET)
    await due.mark(SITE_ID, TARGET, [A])
    await passes(anywhere, 30)
    await due.mark(SITE_ID, TARGET, [B])
    await due.mark(SITE_ID, TARGET, [C], 600)
    assert Backlog(2, about(30)) == await due.backlog(SITE_ID, TARGET)

    await claimed(due)
    assert Backlog(1, about(0)) == await due.backlog(SITE_ID, TARGET)

    await passes(anywhere, LASTS + 20)
    assert Backlog(2, about(LASTS + 20)) == await due.backlog(SITE_ID, TARGET)


# -- whatever happens --

TICKETS = (A, B, C)
STEPS = st.one_of(
    st.tuples(st.just("mark"), st.sampled_from(TICKETS), st.sampled_from([0.0, 3.0, 2 * LASTS])),
    st.tuples(st.sampled_from(["claim", "die", "extend"]), st.none(), st.just(0.0)),
    st.tuples(st.just("claim"), st.sampled_from(TICKETS), st.just(0.0)),
    st.tuples(st.just("settle"), st.none(), st.sampled_from([-1.0, 0.0, 30.0])),
    st.tuples(st.just("pass"), st.none(), st.sampled_from([1.0, 20.0, LASTS])),
)


class Processes:
    """Processes that bring tickets and die; what each mark asks for is remembered until a claim after it."""

    def __init__(self, store: RedisClient) -> None:
        self.store = store
        self.due = Due(store)
        self.claims: list[Claimed] = []
        self.asked: set[TicketId] = set()
        """Tickets that were marked, or whose process died, and that were not settled since they were claimed after that."""

    async def step(self, what: str, ticket: TicketId | None, seconds: float) -> None:
        match what:
            case "mark" if ticket:
                await self.due.mark(SITE_ID, TARGET, [ticket], seconds)
                self.asked.add(ticket)
            case "claim":
                if found := await self.due.claim(SITE_ID, TARGET, ticket):
                    self.claims.append(found)
                    self.asked.discard(found.ticket)
            case "die" if self.claims:
                self.asked.add(self.claims.pop(0).ticket)
            case "extend" if self.claims:
                await self._extend()
            case "settle" if self.claims:
                claim = self.claims.pop(0)
                if await self.due.settle(claim, None if seconds < 0 else seconds) and seconds >= 0:
                    self.asked.add(claim.ticket)
            case "pass":
                await self.passes(seconds)

    async def passes(self, seconds: float) -> None:
        await passes(self.store, seconds)
        self.claims = [
            Claimed(one.site, one.target, one.ticket, one.lease - round(seconds * 1e6)) for one in self.claims
        ]

    async def _extend(self) -> None:
        claim = self.claims.pop(0)
        with suppress(LeaseLost):
            self.claims.append(await self.due.extend(claim))

    async def brought_at_last(self) -> set[TicketId]:
        """Let all processes die, and another one bring whatever is due within a few minutes."""
        self.asked |= {one.ticket for one in self.claims}
        brought = set()
        for _ in range(8):
            await self.passes(LASTS / 2)
            while found := await self.due.claim(SITE_ID, TARGET):
                brought.add(found.ticket)
                assert await self.due.settle(found)
        return brought


async def run(
    url: str, steps: Sequence[tuple[str, TicketId | None, float]]
) -> tuple[set[TicketId], set[TicketId], int]:
    """Do these steps; answers which tickets had to be brought afterwards, which were, and how many keys are left."""
    async with aclosing(RedisClient(url, Use.WORK)) as store:
        processes = Processes(store)
        for step in steps:
            await processes.step(*step)
        brought = await processes.brought_at_last()
        return processes.asked, brought, int(await store.do("DBSIZE"))


@settings(max_examples=40, deadline=None)
@given(st.lists(STEPS, min_size=1, max_size=25))
def test_no_mark_is_lost(redis_shared: RedisServer, steps: list[tuple[str, TicketId | None, float]]) -> None:
    """Law 11: Whatever processes do, and whenever they die, each ticket is claimed after its last mark, and nothing stays behind."""
    redis_shared.ask("FLUSHALL")

    asked, brought, keys = asyncio.run(run(redis_shared.url, steps))

    assert set() == asked - brought
    assert 0 == keys
