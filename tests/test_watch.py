import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server import watch, wire
from server.counter import Counter, Rules, State
from server.errors import NotStarted, RedisUnavailable
from server.model import Hint, Price, SiteId, TicketId
from server.redis.client import RedisClient, Use
from tests.rig.default_keys import channel, key
from tests.rig.fake_reader import FakeReader, definition
from tests.rig.redis import RedisServer, free_port
from tests.rig.server import OTHER, SITE, TICKET, until

FOREIGN = "5f0e4d3c-2222-4222-8222-00000000b002"

POLL_EVERY = 0.05


class Rig:
    """A reader of a known site, and the public channels as a follower gets them."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.store = RedisClient(url, Use.LISTEN)
        self.reads = FakeReader(url, SITE)

    async def track(self, *tickets: str, site: str = SITE) -> None:
        """Give these tickets a due time, as a listing does."""
        await self.reads.schedule.mark(SiteId(site), Hint("listed", tuple(TicketId(one) for one in tickets)))

    async def subscribers(self, ticket: str, site: str = SITE) -> int:
        """How many clients have subscribed to a ticket."""
        _, count = await self.reads.store.do("PUBSUB", "NUMSUB", channel(site, ticket))
        return int(count)


@asynccontextmanager
async def running(url: str) -> AsyncIterator[Rig]:
    """A rig whose site tracks every ticket."""
    found = Rig(url)
    async with aclosing(found.store), aclosing(found.reads):
        await found.reads.schedule.add_site(SiteId(SITE), Rules(), everything=True)
        yield found


@pytest.fixture
async def rig(redis_url: str) -> AsyncIterator[Rig]:
    """A rig on the shared server."""
    async with running(redis_url) as found:
        yield found


async def first_counter(rig: Rig, tickets: tuple[str, ...], *, of: str, then: Any) -> str:
    """The first counter that a follower of *tickets* gets, if *then* is done once it has subscribed to *of*."""
    async with aclosing(watch.follow(rig.store, [TicketId(one) for one in tickets], POLL_EVERY)) as counters:
        first = asyncio.ensure_future(anext(counters))
        await until(lambda: rig.subscribers(of))
        await then()
        return await asyncio.wait_for(first, 5)


async def test_follow_yields_stored_counter(rig: Rig) -> None:
    """What a follower gets is the stored counter, byte for byte."""
    text = await first_counter(rig, (TICKET,), of=TICKET, then=lambda: rig.reads.read(definition(TICKET, 3)))

    assert await rig.reads.store.do("HGET", key(SITE, "ticket", TICKET), "counter") == text
    assert 3 == json.loads(text)["unsold"]


async def test_follow_named_tickets(rig: Rig) -> None:
    """A follower of named tickets gets no others, and need not wait until they are tracked."""
    await rig.track(OTHER)

    async def sell() -> None:
        await rig.reads.read(definition(OTHER, 1))
        await rig.reads.read(definition(TICKET, 2))

    text = await first_counter(rig, (TICKET,), of=TICKET, then=sell)

    assert TICKET == json.loads(text)["ticket"]
    assert 0 == await rig.subscribers(OTHER)


async def test_changes_in_order(rig: Rig) -> None:
    """Every change is yielded, in the order in which it was published."""
    async with aclosing(watch.follow(rig.store, [TicketId(TICKET)])) as counters:
        first = asyncio.ensure_future(anext(counters))
        await until(lambda: rig.subscribers(TICKET))
        for unsold in (3, 2, 1):
            await rig.reads.read(definition(TICKET, unsold))
        reported = [await first, await anext(counters), await anext(counters)]

    assert [3, 2, 1] == [json.loads(text)["unsold"] for text in reported]


async def test_new_tickets_are_subscribed(rig: Rig) -> None:
    """A follower without named tickets gets every tracked ticket, including those that are added later."""
    await rig.track(TICKET)

    async with aclosing(watch.follow(rig.store, [], POLL_EVERY)) as counters:
        first = asyncio.ensure_future(anext(counters))
        await until(lambda: rig.subscribers(TICKET))
        await rig.track(OTHER)
        await until(lambda: rig.subscribers(OTHER))
        await rig.reads.read(definition(OTHER, 48))

        assert OTHER == json.loads(await asyncio.wait_for(first, 5))["ticket"]


async def test_site_without_tickets(rig: Rig) -> None:
    """On a site that was not listed yet a follower waits for the first ticket."""
    async with aclosing(watch.follow(rig.store, [], POLL_EVERY)) as counters:
        first = asyncio.ensure_future(anext(counters))
        await asyncio.wait({first}, timeout=3 * POLL_EVERY)
        assert not first.done()
        await rig.track(TICKET)
        await until(lambda: rig.subscribers(TICKET))
        await rig.reads.read(definition(TICKET, 3))

        assert TICKET == json.loads(await asyncio.wait_for(first, 5))["ticket"]


async def test_follow_all_sites(rig: Rig) -> None:
    """The tickets of every known site are followed."""
    await rig.reads.schedule.add_site(SiteId(FOREIGN), Rules(), everything=True)
    await rig.track(TICKET)
    await rig.track(OTHER, site=FOREIGN)

    async with aclosing(FakeReader(rig.url, FOREIGN)) as foreign:
        text = await first_counter(rig, (), of=TICKET, then=lambda: foreign.read(definition(OTHER, 7)))

    assert (OTHER, 7) == ((found := json.loads(text))["ticket"], found["unsold"])


async def test_follow_without_site(redis_url: str) -> None:
    """In a Redis that knows no site there is nothing to follow, and the error says what to start."""
    async with aclosing(RedisClient(redis_url, Use.LISTEN)) as store:
        with pytest.raises(NotStarted, match=r"no site is known in this Redis yet: start `ticket-counter serve`"):
            await anext(watch.follow(store, []))


async def test_reconnect_after_redis_restart(redis_server: Callable[..., RedisServer]) -> None:
    """A follower reports when Redis goes and when it is back, reconnects, and then gets counters again."""
    server = redis_server()
    reported: list[str] = []
    async with running(server.url) as rig:
        await rig.track(TICKET)
        following = watch.follow_reconnecting(
            lambda: server.url, [], reported.append, poll_every=POLL_EVERY, retry_every=0.01
        )
        async with aclosing(following) as counters:

            async def sell(unsold: int) -> None:
                await until(lambda: rig.subscribers(TICKET))
                await rig.reads.read(definition(TICKET, unsold))

            coming = asyncio.ensure_future(anext(counters))
            await sell(3)
            found = [json.loads(await asyncio.wait_for(coming, 5))["unsold"]]
            coming = asyncio.ensure_future(anext(counters))
            server.kill()
            await until(lambda: reported)
            server.start()
            await sell(2)
            found.append(json.loads(await asyncio.wait_for(coming, 5))["unsold"])

    assert [3, 2] == found
    assert 2 == len(reported)
    assert reported[0].startswith("Redis is unavailable, waiting until it is back (Redis did not take ")
    assert "Redis is available again" == reported[1]


async def test_reconnect_to_emptied_redis(redis_server: Callable[..., RedisServer]) -> None:
    """A Redis that came back empty, or whose URL is not known for a while, is unavailable until it has a site again."""
    server = redis_server()
    reported: list[str] = []
    urls: list[str] = []

    def find() -> str:
        if not urls:
            raise NotStarted("REDIS_URL is not set")
        return urls[0]

    async with running(server.url) as rig:
        with pytest.raises(NotStarted):
            await anext(watch.follow_reconnecting(find, [], reported.append))
        urls.append(server.url)
        following = watch.follow_reconnecting(
            find, [TicketId(TICKET)], reported.append, poll_every=POLL_EVERY, retry_every=0.01
        )
        async with aclosing(following) as counters:
            coming = asyncio.ensure_future(anext(counters))
            await until(lambda: rig.subscribers(TICKET))
            urls.clear()
            await rig.reads.store.do("FLUSHALL")
            await until(lambda: reported)
            urls.append(server.url)
            await rig.reads.schedule.add_site(SiteId(SITE), Rules(), everything=True)
            await until(lambda: len(reported) == 2)
            await until(lambda: rig.subscribers(TICKET))
            await rig.reads.read(definition(TICKET, 5))

            assert 5 == json.loads(await asyncio.wait_for(coming, 5))["unsold"]


async def test_redis_unavailable_at_first() -> None:
    """A Redis that is unavailable at first is an error, not waited for."""
    following = watch.follow_reconnecting(lambda: f"redis://127.0.0.1:{free_port()}", [], pytest.fail)

    with pytest.raises(RedisUnavailable):
        await anext(following)


async def test_follow_on_cluster(cluster_url: str) -> None:
    """On a cluster the sharded channels are followed."""
    left = iter(range(1000, 0, -1))
    async with running(cluster_url) as rig, aclosing(watch.follow(rig.store, [], POLL_EVERY)) as counters:
        await rig.track(TICKET)
        first = asyncio.ensure_future(anext(counters))

        async def sold() -> bool:
            # It cannot be seen when a sharded subscription is complete: sell tickets until one change arrives.
            await rig.reads.read(definition(TICKET, next(left)))
            return first.done()

        await until(sold)

        assert TICKET == json.loads(await first)["ticket"]


def published(**given: Any) -> str:
    """The published text of a counter."""
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
def test_line_of_counter(given: dict[str, Any], line: str) -> None:
    """A counter's line has the ticket, state, number, name and first three prices; what is unknown is left out."""
    assert f"{TICKET}  {line}" == watch.line(published(**given))


@given(st.text())
def test_line_has_no_control_characters(name: str) -> None:
    """Whatever a name contains, it can neither leave its line nor control a terminal."""
    assert watch.line(published(name=name)).isprintable()
