import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server import watch, wire
from server.errors import NotStarted, RedisUnavailable
from server.model import Counter, Hint, Price, Rules, SiteId, State, TicketId
from server.redis.client import RedisClient, Use
from server.store.keys import channel, key
from tests.rig.fake_reader import FakeReader, definition
from tests.rig.redis import RedisServer, free_port
from tests.rig.server import OTHER, SITE, TICKET, until

FOREIGN = "5f0e4d3c-2222-4222-8222-00000000b002"

LOOK_EVERY = 0.05


class Rig:
    """A reader of a site that is known, and what the public channels tell a follower."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.store = RedisClient(url, Use.LISTEN)
        self.reads = FakeReader(url, SITE)

    async def track(self, *tickets: str, site: str = SITE) -> None:
        """Give these tickets a due time, as a listing does."""
        await self.reads.schedule.mark(SiteId(site), Hint("listed", tuple(TicketId(one) for one in tickets)))

    async def listeners(self, ticket: str, site: str = SITE) -> int:
        """How many have subscribed to a ticket."""
        _, count = await self.reads.store.do("PUBSUB", "NUMSUB", channel(site, ticket))
        return int(count)


@asynccontextmanager
async def running(url: str) -> AsyncIterator[Rig]:
    """A rig whose site wants every ticket."""
    found = Rig(url)
    async with aclosing(found.store), aclosing(found.reads):
        await found.reads.schedule.add_site(SiteId(SITE), Rules(), everything=True)
        yield found


@pytest.fixture
async def rig(redis_url: str) -> AsyncIterator[Rig]:
    """A rig on the one server."""
    async with running(redis_url) as found:
        yield found


async def heard(rig: Rig, tickets: tuple[str, ...], *, of: str, then: Any) -> str:
    """The first counter that a follower of *tickets* gets, when *then* is done after it subscribed to *of*."""
    async with aclosing(watch.follow(rig.store, [TicketId(one) for one in tickets], LOOK_EVERY)) as counters:
        first = asyncio.ensure_future(anext(counters))
        await until(lambda: rig.listeners(of))
        await then()
        return await asyncio.wait_for(first, 5)


async def test_as_published(rig: Rig) -> None:
    """What is followed is the stored counter, to the letter."""
    text = await heard(rig, (TICKET,), of=TICKET, then=lambda: rig.reads.read(definition(TICKET, 3)))

    assert await rig.reads.store.do("HGET", key(SITE, "ticket", TICKET), "counter") == text
    assert 3 == json.loads(text)["unsold"]


async def test_only_the_named(rig: Rig) -> None:
    """Who names tickets hears of no other, and need not wait until they are tracked."""
    await rig.track(OTHER)

    async def sell() -> None:
        await rig.reads.read(definition(OTHER, 1))
        await rig.reads.read(definition(TICKET, 2))

    text = await heard(rig, (TICKET,), of=TICKET, then=sell)

    assert TICKET == json.loads(text)["ticket"]
    assert 0 == await rig.listeners(OTHER)


async def test_each_change_in_order(rig: Rig) -> None:
    """Every change is told, in the order in which it was published."""
    async with aclosing(watch.follow(rig.store, [TicketId(TICKET)])) as counters:
        first = asyncio.ensure_future(anext(counters))
        await until(lambda: rig.listeners(TICKET))
        for unsold in (3, 2, 1):
            await rig.reads.read(definition(TICKET, unsold))
        told = [await first, await anext(counters), await anext(counters)]

    assert [3, 2, 1] == [json.loads(text)["unsold"] for text in told]


async def test_new_tickets_are_found(rig: Rig) -> None:
    """Who names none hears of every tracked ticket, of those too that come while it listens."""
    await rig.track(TICKET)

    async with aclosing(watch.follow(rig.store, [], LOOK_EVERY)) as counters:
        first = asyncio.ensure_future(anext(counters))
        await until(lambda: rig.listeners(TICKET))
        await rig.track(OTHER)
        await until(lambda: rig.listeners(OTHER))
        await rig.reads.read(definition(OTHER, 48))

        assert OTHER == json.loads(await asyncio.wait_for(first, 5))["ticket"]


async def test_empty_site(rig: Rig) -> None:
    """On a site that was not listed yet it waits for the first ticket."""
    async with aclosing(watch.follow(rig.store, [], LOOK_EVERY)) as counters:
        first = asyncio.ensure_future(anext(counters))
        await asyncio.wait({first}, timeout=3 * LOOK_EVERY)
        assert not first.done()
        await rig.track(TICKET)
        await until(lambda: rig.listeners(TICKET))
        await rig.reads.read(definition(TICKET, 3))

        assert TICKET == json.loads(await asyncio.wait_for(first, 5))["ticket"]


async def test_every_site(rig: Rig) -> None:
    """The tickets of every known site are followed."""
    await rig.reads.schedule.add_site(SiteId(FOREIGN), Rules(), everything=True)
    await rig.track(TICKET)
    await rig.track(OTHER, site=FOREIGN)

    async with aclosing(FakeReader(rig.url, FOREIGN)) as foreign:
        text = await heard(rig, (), of=TICKET, then=lambda: foreign.read(definition(OTHER, 7)))

    assert (OTHER, 7) == ((found := json.loads(text))["ticket"], found["unsold"])


async def test_no_site(redis_url: str) -> None:
    """In a Redis that knows no site there is nothing to follow, and the text says what to start."""
    async with aclosing(RedisClient(redis_url, Use.LISTEN)) as store:
        with pytest.raises(NotStarted, match=r"no site is known in this Redis yet: start `ticket-counter serve`"):
            await anext(watch.follow(store, []))


async def test_redis_comes_back(redis_server: Callable[..., RedisServer]) -> None:
    """A Redis that goes is waited for, with a line when it goes and one when it is back; then counters come as ever."""
    server = redis_server()
    told: list[str] = []
    async with running(server.url) as rig:
        await rig.track(TICKET)
        following = watch.follow_on(lambda: server.url, [], told.append, look_every=LOOK_EVERY, try_every=0.01)
        async with aclosing(following) as counters:

            async def sell(unsold: int) -> None:
                await until(lambda: rig.listeners(TICKET))
                await rig.reads.read(definition(TICKET, unsold))

            coming = asyncio.ensure_future(anext(counters))
            await sell(3)
            found = [json.loads(await asyncio.wait_for(coming, 5))["unsold"]]
            coming = asyncio.ensure_future(anext(counters))
            server.kill()
            await until(lambda: told)
            server.start()
            await sell(2)
            found.append(json.loads(await asyncio.wait_for(coming, 5))["unsold"])

    assert [3, 2] == found
    assert 2 == len(told)
    assert told[0].startswith("Redis is away, this goes on when it is back (Redis did not take ")
    assert "Redis is back" == told[1]


async def test_emptied_redis(redis_server: Callable[..., RedisServer]) -> None:
    """A Redis that came back empty, or whose place is not known for a while, is away until it knows a site again."""
    server = redis_server()
    told: list[str] = []
    places: list[str] = []

    def find() -> str:
        if not places:
            raise NotStarted("REDIS_URL is not set")
        return places[0]

    async with running(server.url) as rig:
        with pytest.raises(NotStarted):
            await anext(watch.follow_on(find, [], told.append))
        places.append(server.url)
        following = watch.follow_on(find, [TicketId(TICKET)], told.append, look_every=LOOK_EVERY, try_every=0.01)
        async with aclosing(following) as counters:
            coming = asyncio.ensure_future(anext(counters))
            await until(lambda: rig.listeners(TICKET))
            places.clear()
            await rig.reads.store.do("FLUSHALL")
            await until(lambda: told)
            places.append(server.url)
            await rig.reads.schedule.add_site(SiteId(SITE), Rules(), everything=True)
            await until(lambda: len(told) == 2)
            await until(lambda: rig.listeners(TICKET))
            await rig.reads.read(definition(TICKET, 5))

            assert 5 == json.loads(await asyncio.wait_for(coming, 5))["unsold"]


async def test_redis_was_never_there() -> None:
    """A Redis that is not there at first is an error, not waited for."""
    following = watch.follow_on(lambda: f"redis://127.0.0.1:{free_port()}", [], pytest.fail)

    with pytest.raises(RedisUnavailable):
        await anext(following)


async def test_on_a_cluster(cluster_url: str) -> None:
    """On a cluster the sharded channels are followed."""
    left = iter(range(1000, 0, -1))
    async with running(cluster_url) as rig, aclosing(watch.follow(rig.store, [], LOOK_EVERY)) as counters:
        await rig.track(TICKET)
        first = asyncio.ensure_future(anext(counters))

        async def sold() -> bool:
            # Nobody tells when a sharded subscription stands: tickets are sold until one is heard of.
            await rig.reads.read(definition(TICKET, next(left)))
            return first.done()

        await until(sold)

        assert TICKET == json.loads(await first)["ticket"]


def published(**given: Any) -> str:
    """The public text of a counter."""
    found = {"name": "Early bird", "state": State.LOW, "unsold": 3, "prices": (Price("25.00", "EUR"),), **given}
    return wire.with_v(7, wire.counter_body(Counter(TicketId(TICKET), **found)))


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ({}, "low        3 left      Early bird  25.00 EUR"),
        ({"unsold": 0, "state": State.SOLD_OUT}, "sold_out   0 left      Early bird  25.00 EUR"),
        ({"unsold": None, "state": State.AVAILABLE}, "available              Early bird  25.00 EUR"),
        (
            {"prices": tuple(Price(f"{euros}.00", "EUR") for euros in (10, 20, 30, 40))},
            "low        3 left      Early bird  10.00 EUR, 20.00 EUR, 30.00 EUR",
        ),
        ({"unsold": None, "state": State.UNKNOWN, "name": None, "prices": ()}, "unknown"),
    ],
)
def test_line(given: dict[str, Any], line: str) -> None:
    """A counter as a line has its ticket, state, number, name, and the first of its prices; what is not known is left out."""
    assert f"{TICKET}  {line}" == watch.line(published(**given))


@given(st.text())
def test_one_line(name: str) -> None:
    """Whatever a name holds, it cannot leave its line nor steer a terminal."""
    assert watch.line(published(name=name)).isprintable()
