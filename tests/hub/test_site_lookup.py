import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Any

import pytest
from structlog.testing import capture_logs

from server.errors import (
    BadRequest,
    EventNotListed,
    NoSiteYet,
    RedisUnavailable,
    Refused,
    SiteNotFound,
    TooManyUnconfirmed,
    UnknownEvent,
    UnknownSite,
    UnknownTicket,
)  # fmt: skip
from server.hub import site_lookup
from server.hub.site_lookup import CHUNK, EVENT_FOR, UNKNOWN_FOR, SiteLookup
from server.model import EventName, SiteId, TicketId
from server.query import MOST_TICKETS, Query
from server.store.ticket_sites import Has, SiteAnswer
from tests.rig.server import until

ONE, TWO, THREE = (SiteId(f"5f0e4d3c-1111-4111-8111-00000000b00{number}") for number in range(1, 4))
A, B, C = (TicketId(f"{letter * 8}-aaaa-4aaa-8aaa-000000000001") for letter in "abc")
REASON_BYTES = 123
"""Bytes of a WebSocket's close reason (RFC 6455, section 5.5)."""


class Sites:
    """What each site has, and all that was asked; `hangs` are sites for which Redis does not answer."""

    def __init__(self) -> None:
        self.known = frozenset({ONE, TWO})
        self.has: dict[SiteId, dict[str, Has]] = {ONE: {A: Has.NOW}, TWO: {B: Has.NOW}}
        self.complete = True
        self.hangs: set[SiteId] = set()
        self.asked: list[tuple[SiteId, tuple[str, ...]]] = []
        self.time = 1000.0
        self.gate = asyncio.Event()
        self.gate.set()

    async def ask(self, site: SiteId, tickets: Sequence[TicketId], events: Sequence[EventName]) -> SiteAnswer | None:
        """What the site has of these."""
        self.asked.append((site, (*tickets, *events)))
        await self.gate.wait()
        if site in self.hangs:
            raise RedisUnavailable("it hangs")
        if site not in self.has:
            return None
        return SiteAnswer(self.complete, self._of(site, tickets), self._of(site, events))

    def _of(self, site: SiteId, names: Iterable[str]) -> tuple[Has, ...]:
        return tuple(self.has[site].get(name, Has.NEVER) for name in names)


def lookup_of(sites: Sites, **given: Any) -> SiteLookup:
    """The look-up over these sites."""
    return SiteLookup(sites, sites, lambda: sites.time, **given)


@pytest.fixture
async def sites() -> Sites:
    """Two sites; the first has A, the second B."""
    return Sites()


@pytest.fixture
async def lookup(sites: Sites) -> AsyncIterator[SiteLookup]:
    """The look-up over them, which runs."""
    found = lookup_of(sites)
    async with running(found):
        yield found


class running:  # noqa: N801 - a context manager
    """Its `run` runs."""

    def __init__(self, lookup: SiteLookup) -> None:
        self._lookup = lookup

    async def __aenter__(self) -> None:
        self._task = asyncio.create_task(self._lookup.run())

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        await asyncio.wait({self._task})


def of(*tickets: TicketId, site: SiteId | None = None) -> Query:
    """A request for these tickets."""
    return Query(site, tickets)


def event(name: str) -> Query:
    """A request for an event."""
    return Query(None, (), EventName(name))


# -- without a look-up --


def test_named_site_is_taken(sites: Sites) -> None:
    """A request that names a known site gets it."""
    assert TWO == lookup_of(sites).resolve(of(A, site=TWO))


def test_only_site_need_not_be_named(sites: Sites) -> None:
    """While one site is known a request need not name it, and nothing is asked."""
    sites.known = frozenset({ONE})

    assert ONE == lookup_of(sites).resolve(of(B, C))
    assert [] == sites.asked


@pytest.mark.parametrize("site", [None, ONE])
def test_no_site_is_known_yet(sites: Sites, site: SiteId | None) -> None:
    """While no site is known at all the refusal is not final: Redis may be new, or have lost its data."""
    sites.known = frozenset()

    with pytest.raises(NoSiteYet):
        lookup_of(sites).resolve(of(A, site=site))


def test_unknown_site_is_refused(sites: Sites) -> None:
    """A site that is not known is refused, and named."""
    with pytest.raises(UnknownSite, match=THREE):
        lookup_of(sites).resolve(of(A, site=THREE))


# -- with one --


async def test_ticket_finds_its_site(sites: Sites, lookup: SiteLookup) -> None:
    """A request without `site` is for the site that has its tickets, which is remembered."""
    assert [ONE, TWO] == [await lookup.find(of(one), "a") for one in (A, B)]

    asked = len(sites.asked)
    sites.time += 1e6
    assert [ONE, TWO] == [lookup.resolve(of(one)) for one in (A, B)]
    assert asked == len(sites.asked)


async def test_site_that_is_removed_has_no_tickets(sites: Sites, lookup: SiteLookup) -> None:
    """The site of a ticket is asked for again once it is not known any more."""
    sites.known = frozenset({ONE, TWO, THREE})
    assert ONE == await lookup.find(of(A), "a")

    sites.known = frozenset({TWO, THREE})
    assert lookup.resolve(of(A)) is None
    with pytest.raises(UnknownTicket):
        await lookup.find(of(A), "a")


async def test_ids_that_no_site_has_go_with_the_others(lookup: SiteLookup) -> None:
    """A ticket that no site has is asked for under the site of the others in the request: it may be new there."""
    assert TWO == await lookup.find(of(C, B), "a")


async def test_tickets_of_two_sites(lookup: SiteLookup) -> None:
    """Tickets of two sites in one request are refused for good, in words of their own."""
    with pytest.raises(
        BadRequest, match="these tickets are of 2 sites: ask for each site's in a request of its own"
    ) as caught:
        await lookup.find(of(A, B, C), "a")

    assert "ticket" == caught.value.field
    assert REASON_BYTES >= len(str(caught.value).encode())


async def test_ticket_that_no_site_has(sites: Sites, lookup: SiteLookup) -> None:
    """A ticket that no site has is refused for a while only, since it may be new; that no site has it is remembered for 5 s."""
    for _ in range(3):
        with pytest.raises(UnknownTicket, match="none of the 2 sites here has these tickets") as caught:
            await lookup.find(of(C), "a")
    assert 2 == len(sites.asked)
    assert "ticket" == caught.value.field
    assert REASON_BYTES >= len(str(caught.value).encode())

    sites.has[TWO][C] = Has.NOW
    sites.time += UNKNOWN_FOR
    assert TWO == await lookup.find(of(C), "a")


async def test_deleted_ticket_is_found_where_it_was(sites: Sites, lookup: SiteLookup) -> None:
    """A ticket that Wix deleted is found at its site, unless another site has it now."""
    sites.has[ONE][C] = sites.has[TWO][B] = Has.BEFORE
    sites.has[ONE][B] = Has.NOW

    assert [ONE, ONE] == [await lookup.find(of(one), "a") for one in (C, B)]


async def test_two_instances_of_one_site(sites: Sites, lookup: SiteLookup) -> None:
    """Where two app instances have the same tickets, all requests get the same one, and are never told of two sites."""
    sites.has[TWO] |= {A: Has.NOW, C: Has.NOW}
    sites.has[ONE] |= {C: Has.NOW}

    assert [ONE, ONE] == [await lookup.find(of(*some), "a") for some in ((A, C), (C, A))]


async def test_event_finds_its_site(sites: Sites, lookup: SiteLookup) -> None:
    """An event is found by its name, for a minute: a slug may move to another event."""
    sites.has[TWO]["gala"] = Has.NOW
    assert TWO == await lookup.find(event("gala"), "a")

    sites.has = {ONE: {"gala": Has.NOW}, TWO: {}}
    assert TWO == lookup.resolve(event("gala"))
    sites.time += EVENT_FOR
    assert ONE == await lookup.find(event("gala"), "a")


async def test_event_of_two_sites(sites: Sites, lookup: SiteLookup) -> None:
    """A slug that two sites have needs the site's id."""
    sites.has = {ONE: {"gala": Has.NOW}, TWO: {"gala": Has.NOW}}

    with pytest.raises(
        BadRequest, match="2 sites here have an event of this name: add &site=<app instance id>"
    ) as caught:
        await lookup.find(event("gala"), "a")
    assert "site" == caught.value.field


@pytest.mark.parametrize(("complete", "error"), [(True, UnknownEvent), (False, EventNotListed)])
async def test_event_that_no_site_has(sites: Sites, lookup: SiteLookup, complete: bool, error: type[Refused]) -> None:
    """An event that no site has is refused for good once all sites were listed, and for a while before that."""
    sites.complete = complete

    with pytest.raises(error, match="none of the 2 sites here has this event"):
        await lookup.find(event("gala"), "a")


# -- bounds --


async def test_requests_that_come_together_are_asked_together(sites: Sites, lookup: SiteLookup) -> None:
    """What many requests look up at the same moment is one question a site, and what comes meanwhile is the next one."""
    sites.gate.clear()
    first = asyncio.create_task(lookup.find(of(A), "a"))
    await until(lambda: 2 == len(sites.asked))
    more = [asyncio.create_task(lookup.find(of(one), "a")) for one in (B, A, B)]
    await asyncio.sleep(0)
    sites.gate.set()

    assert [ONE, TWO, ONE, TWO] == await asyncio.gather(first, *more)
    assert {(ONE, (A,)), (TWO, (A,))} == set(sites.asked[:2])
    assert 4 == len(sites.asked)


async def test_large_questions_are_cut(sites: Sites, lookup: SiteLookup) -> None:
    """However many ids are asked for, no question holds Redis up for long."""
    many = [[TicketId(f"{page}-{number}") for number in range(MOST_TICKETS)] for page in range(5)]

    await asyncio.gather(*(lookup.find(of(*some), "a") for some in many), return_exceptions=True)

    assert CHUNK == max(len(names) for _, names in sites.asked)
    assert 5 * MOST_TICKETS * 2 == sum(len(names) for _, names in sites.asked)


async def test_one_address_cannot_ask_for_all(sites: Sites) -> None:
    """Law 9: One address may look up so many ids at once, all together so many more; a first request is never too much."""
    lookup = lookup_of(sites, most_asked_per_address=3, most_asked=5)
    waiting = [
        asyncio.create_task(lookup.find(of(*(TicketId(f"{n}-{m}") for m in range(3))), f"{n}")) for n in range(1)
    ]
    await asyncio.sleep(0)

    with pytest.raises(TooManyUnconfirmed):
        await lookup.find(of(A), "0")
    waiting.append(asyncio.create_task(lookup.find(of(A, C), "1")))
    await asyncio.sleep(0)
    with pytest.raises(TooManyUnconfirmed):
        await lookup.find(of(B), "2")

    async with running(lookup):
        assert ONE == await waiting[1]
        with pytest.raises(UnknownTicket):
            await waiting[0]
        assert TWO == await lookup.find(of(B), "2")
    assert not lookup._asked


async def test_what_is_remembered_is_bounded(sites: Sites, lookup: SiteLookup, monkeypatch: pytest.MonkeyPatch) -> None:
    """Law 9: Ids that clients invent, and tickets, are remembered up to a number; the oldest make room, of each kind its own."""
    monkeypatch.setattr(site_lookup, "MOST_UNKNOWN", 10)
    monkeypatch.setattr(site_lookup, "MOST_FOUND", 2)
    assert ONE == await lookup.find(of(A), "a")
    for page in range(5):
        with pytest.raises(UnknownTicket):
            await lookup.find(of(*(TicketId(f"{page}-{number}") for number in range(10))), "a")

    assert (10, ONE) == (len(lookup._unknown), lookup.resolve(of(A)))

    sites.has[ONE] |= {TicketId("x"): Has.NOW, TicketId("y"): Has.NOW}
    await lookup.find(of(TicketId("x")), "a")
    assert ONE == lookup.resolve(of(A))
    await lookup.find(of(TicketId("y")), "a")
    assert [ONE, None, ONE] == [lookup.resolve(of(TicketId(one))) for one in (A, "x", "y")]


async def test_asking_takes_a_part_of_the_time(sites: Sites) -> None:
    """Law 9: A flood of look-ups takes a fifth of a process's time: after a question there is a pause of four times as long."""
    began = asyncio.get_running_loop().time()
    lookup = SiteLookup(sites, Slow(sites), asyncio.get_running_loop().time)
    async with running(lookup):
        for number in range(3):
            with pytest.raises(UnknownTicket):
                await lookup.find(of(TicketId(f"{number}")), "a")

    assert 3 * 0.05 + 2 * 4 * 0.05 <= asyncio.get_running_loop().time() - began


class Slow:
    """Sites that answer after 50 ms."""

    def __init__(self, sites: Sites) -> None:
        self._sites = sites

    async def ask(self, *asked: Any) -> SiteAnswer | None:
        """What the site has of these."""
        await asyncio.sleep(0.05)
        return await self._sites.ask(*asked)


# -- faults --


async def test_part_of_redis_that_does_not_answer(sites: Sites, lookup: SiteLookup) -> None:
    """What other sites have is found while one does not answer; all else is refused for a while, and not remembered."""
    sites.hangs = {TWO}
    with capture_logs() as logs:
        assert ONE == await lookup.find(of(A), "a")
        for _ in range(2):
            with pytest.raises(SiteNotFound, match="come back in a while") as caught:
                await lookup.find(of(B), "a")
        sites.hangs = set()
        assert TWO == await lookup.find(of(B), "a")

    assert ["store_unavailable", "store_unavailable_no_more"] == [one["event"] for one in logs]
    assert REASON_BYTES >= len(str(caught.value).encode())


async def test_request_does_not_wait_for_ever(sites: Sites) -> None:
    """Where no answer comes in time the request is refused for a while, and waits no more."""
    lookup = lookup_of(sites, answer_within=0.05)

    with pytest.raises(SiteNotFound):
        await lookup.find(of(A), "a")
    assert not lookup._asked


async def test_site_that_redis_lost(sites: Sites, lookup: SiteLookup) -> None:
    """A site that is known here and not to Redis has nothing, and was not listed."""
    del sites.has[TWO]

    assert ONE == await lookup.find(of(A), "a")
    with pytest.raises(EventNotListed):
        await lookup.find(event("gala"), "a")
