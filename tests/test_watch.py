import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server import wire
from server.counter import Counter, Rules, State
from server.errors import NotStarted, RedisUnavailable
from server.model import Hint, Price, SaleStatus, SiteId, TicketId
from server.redis.client import RedisClient, Use
from server.store.snapshots import ReadResult
from server.store.timing import Timing, micros
from server.watch import FollowedTicket, Watch, line
from tests.rig.default_keys import channel, key
from tests.rig.fake_reader import FakeReader, definition
from tests.rig.redis import RedisServer, free_port
from tests.rig.server import OTHER, SITE, TICKET, until
from tests.rig.wix import WixRig
from tests.rig.worker_rig import running_worker

FOREIGN = "5f0e4d3c-1111-4111-8111-00000000b002"
THIRD = "33333333-aaaa-4aaa-8aaa-000000000003"
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

    async def stored(self, ticket: str, field: str = "counter") -> str:
        """A field of a ticket's snapshot."""
        return str(await self.reads.store.do("HGET", key(SITE, "ticket", ticket), field))

    async def watched(self, site: str = SITE) -> set[str]:
        """The tickets that the site's workers read for viewers."""
        return set(await self.reads.store.do("ZRANGE", key(site, "watched"), 0, -1))


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


class Following:
    """What a running Watch has shown, and reported."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.reported: list[str] = []

    def of(self, ticket: str = TICKET) -> list[Any]:
        """What was shown of a ticket: its numbers, and its state where there is none."""
        found = [one for one in map(json.loads, self.texts) if one["ticket"] == ticket]
        return [one["state"] if one["unsold"] is None else one["unsold"] for one in found]

    async def shows(self, *expected: Any, of: str = TICKET) -> None:
        """Wait until all that was shown of a ticket ends so."""
        await until(lambda: self.of(of)[-len(expected) :] == list(expected))


@asynccontextmanager
async def following(
    url: str | Callable[[], str],
    *tickets: str,
    poll_every: float = POLL_EVERY,
    timing: Timing | None = None,
    unknown_after: float = 60.0,
) -> AsyncIterator[Following]:
    """A Watch of these tickets that runs as long as the block."""
    found = Following()
    watch = Watch(
        url if callable(url) else lambda: url,
        [TicketId(one) for one in tickets],
        found.texts.append,
        found.reported.append,
        timing or Timing(),
        poll_every=poll_every,
        retry_every=0.05,
        unknown_after=unknown_after,
    )
    task = asyncio.create_task(watch.run())
    try:
        yield found
        assert not task.done(), task
    finally:
        task.cancel()
        await asyncio.wait({task})


# -- what is shown --


async def test_stored_counter_is_shown_first(rig: Rig) -> None:
    """At first the stored counter is shown, byte for byte, then each change, byte for byte as published."""
    await rig.reads.read(definition(TICKET, 3))
    first = await rig.stored(TICKET)

    async with following(rig.url, TICKET) as found:
        await until(lambda: found.texts)
        await rig.reads.read(definition(TICKET, 2))
        await found.shows(2)

    assert [first, await rig.stored(TICKET)] == found.texts


@pytest.mark.parametrize("sites", [1, 2])
async def test_unknown_tickets_are_reported_once(rig: Rig, sites: int) -> None:
    """Named tickets of which no site has anything are reported once, with what to do, and followed when they are read."""
    if sites == 2:
        await rig.reads.schedule.add_site(SiteId(FOREIGN), Rules(), everything=True)
    await rig.reads.read(definition(TICKET, 3))

    async with following(rig.url, TICKET, OTHER, THIRD, unknown_after=0.1) as found:
        await found.shows(3)
        await until(lambda: found.reported)
        await rig.reads.read(definition(OTHER, 2))
        await found.shows(2, of=OTHER)

    [line] = found.reported
    assert line.startswith(
        f"not known yet: {OTHER}, {THIRD}: no site has a ticket of this id, or no worker has read it."
    )
    assert "`ticket-counter tickets` lists all ids" in line


async def test_known_tickets_are_not_reported(rig: Rig) -> None:
    """Where every named ticket is stored, or none is named, nothing is reported."""
    await rig.reads.read(definition(TICKET, 3))
    await rig.track(OTHER)

    async with following(rig.url, TICKET, unknown_after=0.0) as named, following(rig.url, unknown_after=0.0) as every:
        await named.shows(3)
        await rig.reads.read(definition(TICKET, 2))
        await named.shows(2)
        await rig.reads.read(definition(OTHER, 1))
        await every.shows(1, of=OTHER)

    assert [] == named.reported + every.reported


async def test_named_tickets_alone(rig: Rig) -> None:
    """A follower of named tickets gets no others; one that was never read is `unknown` until it is."""
    await rig.track(OTHER)

    async with following(rig.url, TICKET, TICKET) as found:
        await found.shows("unknown")
        await rig.reads.read(definition(OTHER, 1))
        await rig.reads.read(definition(TICKET, 2))
        await found.shows(2)

        assert 0 == await rig.subscribers(OTHER)
    assert ["unknown", 2] == found.of(TICKET)
    assert [] == found.of(OTHER)


async def test_changes_in_order(rig: Rig) -> None:
    """Every change is shown, in the order in which it was published, also between two polls."""
    async with following(rig.url, TICKET, poll_every=60) as found:
        await found.shows("unknown")
        for unsold in (3, 2, 1):
            await rig.reads.read(definition(TICKET, unsold))
        await found.shows(1)

    assert ["unknown", 3, 2, 1] == found.of()


async def test_older_counter_is_not_shown(rig: Rig) -> None:
    """A counter with an older `v` than the one shown is not shown, nor one of another ticket, nor a text of others."""
    await rig.reads.read(definition(TICKET, 3))
    old = await rig.stored(TICKET)
    await rig.reads.read(definition(TICKET, 2))
    newer = (await rig.stored(TICKET)).replace(f'"v":{wire.v_of(await rig.stored(TICKET))}', '"v":1999999999999999')

    async with following(rig.url, TICKET, poll_every=60) as found:
        await found.shows(2)
        for text in (old, "", "{}", "[]", '{"v":1999999999999999,"ticket":3}', newer.replace(TICKET, OTHER)):
            await rig.reads.store.do("PUBLISH", channel(SITE, TICKET), text)
        await rig.reads.read(definition(TICKET, 1))
        await found.shows(1)

    assert [2, 1] == [json.loads(text)["unsold"] for text in found.texts]


async def test_change_that_pubsub_lost_is_shown(rig: Rig) -> None:
    """A change whose message was lost is found by a poll."""
    await rig.reads.read(definition(TICKET, 3))
    counter = (await rig.stored(TICKET)).replace('"unsold":3', '"unsold":2')
    v = wire.v_of(counter) + 1

    async with following(rig.url, TICKET) as found:
        await found.shows(3)
        changed = counter.replace(str(v - 1), str(v))
        await rig.reads.store.do("HSET", key(SITE, "ticket", TICKET), "v", v, "counter", changed)

        await found.shows(3, 2)


async def test_older_counter_that_is_stored_waits(rig: Rig) -> None:
    """Where an older counter is stored, as after Redis lost writes, it is shown once the newer one is not verified any more."""
    await rig.reads.read(definition(TICKET, 3))
    name = key(SITE, "ticket", TICKET)
    old = [word for field in ("v", "counter") for word in (field, await rig.stored(TICKET, field))]
    loop = asyncio.get_running_loop()
    await rig.reads.read(definition(TICKET, 2))
    began = loop.time()
    async with following(rig.url, TICKET, timing=Timing(max_stale=3.0)) as found:
        await found.shows(2)

        async def shows_old() -> bool:
            second, micro = await rig.reads.store.do("TIME")
            await rig.reads.store.do("HSET", name, *old, "read_at", int(second) * 1_000_000 + int(micro))
            return 3 in found.of()

        await until(shows_old)

    assert loop.time() - began > 2.5


async def test_tickets_are_read_after_their_subscription_is_confirmed(rig: Rig) -> None:
    """Law 6: Whatever is stored before a subscription is confirmed is read after it, so that nothing falls between."""
    await rig.reads.read(definition(TICKET, 3))
    unsold = 3
    async with following(rig.url, TICKET, poll_every=60) as found:
        while not await rig.subscribers(TICKET):
            unsold -= 1
            await rig.reads.read(definition(TICKET, max(unsold, 0), name=f"Read {unsold}"))
        await until(lambda: found.texts)

        assert await rig.stored(TICKET) == found.texts[-1]


# -- which tickets --


async def test_new_tickets_are_subscribed(rig: Rig) -> None:
    """A follower without named tickets gets every tracked ticket, including those that are added later."""
    async with following(rig.url) as found:
        await rig.track(TICKET)
        await until(lambda: rig.subscribers(TICKET))
        await rig.track(OTHER)
        await until(lambda: rig.subscribers(OTHER))
        await rig.reads.read(definition(OTHER, 48))
        await found.shows(48, of=OTHER)

    assert ["unknown"] == found.of(TICKET)


async def test_follow_all_sites(rig: Rig) -> None:
    """The tickets of every known site are followed."""
    await rig.reads.schedule.add_site(SiteId(FOREIGN), Rules(), everything=True)
    await rig.track(TICKET)
    await rig.track(OTHER, site=FOREIGN)

    async with aclosing(FakeReader(rig.url, FOREIGN)) as foreign, following(rig.url) as found:
        await until(lambda: rig.subscribers(TICKET))
        await foreign.read(definition(OTHER, 7))
        await found.shows(7, of=OTHER)


async def test_named_tickets_stay_watched(rig: Rig) -> None:
    """Named tickets are kept watched for the site's workers, and tickets that nobody named are not."""
    await rig.reads.read(definition(TICKET, 3), definition(OTHER, 3))
    await rig.track(TICKET, OTHER)
    async with following(rig.url) as found:
        await found.shows(3, of=OTHER)
    assert set() == await rig.watched()

    async with following(rig.url, TICKET) as found:
        await found.shows(3)
        await rig.reads.store.do("DEL", key(SITE, "watched"))
        await until(rig.watched)

    assert {TICKET} == await rig.watched()


async def test_named_tickets_of_several_sites(rig: Rig) -> None:
    """Law 9: With several sites a ticket is watched on the one that stores it, and not where it was never there."""
    await rig.reads.schedule.add_site(SiteId(FOREIGN), Rules(), everything=True)
    async with aclosing(FakeReader(rig.url, FOREIGN)) as foreign:
        await rig.reads.read(definition(TICKET, 3))
        never_there = ReadResult.never_there(TicketId(TICKET))
        await foreign.snapshots.keep(SiteId(FOREIGN), await foreign.version(), [never_there])
        async with following(rig.url, TICKET, OTHER) as found:
            await found.shows(3)
            await foreign.read(definition(OTHER, 7))
            await found.shows(7, of=OTHER)

    assert ([3], [7]) == (found.of(TICKET), found.of(OTHER))
    assert ({TICKET}, {OTHER}) == (await rig.watched(), await rig.watched(FOREIGN))


async def test_follow_on_cluster(cluster_url: str) -> None:
    """On a cluster the sharded channels are followed, and named tickets are watched."""
    async with running(cluster_url) as rig:
        await rig.reads.read(definition(TICKET, 3))
        await rig.track(TICKET)
        async with following(cluster_url, poll_every=60) as all_, following(cluster_url, TICKET, poll_every=60) as one:
            await all_.shows(3)
            await one.shows(3)
            await rig.reads.read(definition(TICKET, 2))
            await all_.shows(3, 2)
            await one.shows(3, 2)

        assert {TICKET} == await rig.watched()


# -- what cannot be verified --


async def test_unknown_while_wix_is_away(redis_url: str, wix: WixRig) -> None:
    """Law 8: A named ticket is `unknown` within MAX_STALE + 5 s of Wix going away, and has its number when Wix is back."""
    timing = Timing(watch_every=0.5, max_stale=2.0)
    ticket = wix.tickets["fixed"]
    loop = asyncio.get_running_loop()
    async with running_worker(redis_url, wix, timing), following(redis_url, ticket, timing=timing) as found:
        await found.shows(120)
        await asyncio.sleep(2 * timing.max_stale)
        assert ["unknown", 120] == found.of(), "it is read in time while it is watched"
        wix.knobs.turn(outage="503")
        began = loop.time()
        await found.shows(120, "unknown")
        took = loop.time() - began
        wix.knobs.turn(outage="none")
        await found.shows("unknown", 120)

    assert took < timing.max_stale + 5
    assert ["unknown", 120, "unknown", 120] == found.of()


async def test_gone_and_ended_stand(rig: Rig) -> None:
    """A ticket that is gone, or whose sale has ended, is so without another read; any other becomes `unknown`."""
    await rig.reads.read(definition(TICKET, 3), definition(OTHER, 3, status=SaleStatus.ENDED), definition(THIRD, 3))
    await rig.reads.delete(THIRD)

    async with following(rig.url, TICKET, OTHER, THIRD, timing=Timing(max_stale=1.0)) as found:
        await found.shows(3, "unknown")

    assert (["ended"], ["gone"]) == (found.of(OTHER), found.of(THIRD))


async def test_age_is_by_the_clock_of_redis(rig: Rig) -> None:
    """How old a number is when `watch` starts is what Redis's clock says: MAX_STALE of a named ticket."""
    await rig.reads.read(definition(TICKET, 3), definition(OTHER, 4))
    await rig.reads.store.do("HINCRBY", key(SITE, "ticket", TICKET), "read_at", -micros(95))
    await rig.reads.store.do("HINCRBY", key(SITE, "ticket", OTHER), "read_at", -micros(80))

    async with following(rig.url, TICKET, OTHER) as found:
        await found.shows("unknown")
        await found.shows(4, of=OTHER)


async def test_bound_of_tickets_that_nobody_named(rig: Rig) -> None:
    """Law 8: Tickets that nobody named are `unknown` when they were not read for RECONCILE + MAX_STALE, until they are."""
    await rig.track(TICKET, OTHER)
    await rig.reads.read(definition(TICKET, 3), definition(OTHER, 4))
    await rig.reads.store.do("HINCRBY", key(SITE, "ticket", OTHER), "read_at", -micros(380))

    async with following(rig.url) as found:
        await found.shows(3)
        await found.shows(4, of=OTHER)
        await rig.reads.store.do("HINCRBY", key(SITE, "ticket", TICKET), "read_at", -micros(395))
    async with following(rig.url) as found:
        await found.shows("unknown")
        await found.shows(4, of=OTHER)
        await rig.reads.read(definition(TICKET, 3))
        await found.shows("unknown", 3)


def followed(*, verified_until: float) -> FollowedTicket:
    """A ticket with a counter of version 7 that was shown."""
    found = FollowedTicket(TicketId(TICKET))
    found.take(published(v=7), verified_until)
    assert published(v=7) == found.to_show(0)
    return found


def test_verified_counter_is_not_withdrawn_by_an_older_answer() -> None:
    """The counter stays verified as long as the latest of its reads says."""
    found = followed(verified_until=10)
    found.take(published(v=7), 5)

    assert found.to_show(9.9) is None
    assert wire.unknown(TicketId(TICKET)) == found.to_show(10)
    found.take(published(v=7), 20)
    assert published(v=7) == found.to_show(19)


def test_older_counter_that_is_stored() -> None:
    """Where Redis lost its last writes, the stored counter is taken although it is older, if that is asked for."""
    found = followed(verified_until=10)
    found.take(published(v=6, unsold=5), 20)
    assert found.to_show(9) is None
    found.take(published(v=6, unsold=5), 20, older=True)

    assert published(v=6, unsold=5) == found.to_show(10)


# -- while Redis is unavailable --


async def test_follow_without_site(redis_url: str) -> None:
    """In a Redis that knows no site there is nothing to follow, and the error says what to start."""
    with pytest.raises(NotStarted, match=r"no site is known in this Redis yet: start `ticket-counter serve`"):
        await Watch(lambda: redis_url, [], pytest.fail, pytest.fail, Timing()).run()


async def test_redis_unavailable_at_first() -> None:
    """A Redis that is unavailable at first is an error, not waited for."""
    url = f"redis://127.0.0.1:{free_port()}"

    with pytest.raises(RedisUnavailable):
        await Watch(lambda: url, [], pytest.fail, pytest.fail, Timing()).run()


async def test_reconnect_after_redis_restart(redis_server: Callable[..., RedisServer]) -> None:
    """After a reconnection what did not change is not shown again, and what changed meanwhile is; both are reported."""
    server = redis_server()
    async with running(server.url) as rig:
        await rig.reads.read(definition(TICKET, 3), definition(OTHER, 7))
        down = False

        def find() -> str:
            if down:
                raise NotStarted("REDIS_URL is not set")
            return server.url

        async with following(find, TICKET, OTHER) as found:
            await found.shows(3)
            await found.shows(7, of=OTHER)
            down = True
            server.restart()
            await until(lambda: found.reported)
            await rig.reads.read(definition(TICKET, 2))
            assert [3] == found.of()
            down = False
            await found.shows(3, 2)
            await until(lambda: rig.subscribers(OTHER))
            await rig.reads.read(definition(OTHER, 6))
            await found.shows(6, of=OTHER)

    assert ([3, 2], [7, 6]) == (found.of(TICKET), found.of(OTHER))
    assert 2 == len(found.reported)
    assert found.reported[0].startswith("Redis is unavailable, waiting until it is back (")
    assert "Redis is available again" == found.reported[1]


@pytest.mark.parametrize("fault", ["kill", "freeze"])
async def test_unknown_while_redis_is_unavailable(redis_server: Callable[..., RedisServer], fault: str) -> None:
    """Law 8: While Redis does not answer, a named ticket becomes `unknown`; gone and ended stand."""
    server = redis_server()
    loop = asyncio.get_running_loop()
    async with running(server.url) as rig:
        await rig.reads.read(definition(OTHER, 3, status=SaleStatus.ENDED), definition(TICKET, 3))
        async with following(server.url, TICKET, OTHER, timing=Timing(max_stale=2.0)) as found:
            await found.shows(3)
            await found.shows("ended", of=OTHER)
            getattr(server, fault)()
            began = loop.time()
            await found.shows("unknown")
            took = loop.time() - began
            await until(lambda: found.reported)
            server.kill()
            server.start()
            await until(lambda: len(found.reported) == 2)
            await rig.reads.read(definition(TICKET, 3))
            await found.shows("unknown", 3)

    assert took < 2 + 1
    assert ([3, "unknown", 3], ["ended"]) == (found.of(TICKET), found.of(OTHER))


async def test_reconnect_to_emptied_redis(redis_server: Callable[..., RedisServer]) -> None:
    """A Redis that came back empty, or whose URL is not known for a while, is unavailable until it has a site again."""
    server = redis_server()
    urls: list[str] = []

    def find() -> str:
        if not urls:
            raise NotStarted("REDIS_URL is not set")
        return urls[0]

    async with running(server.url) as rig:
        with pytest.raises(NotStarted):
            await Watch(find, [], pytest.fail, pytest.fail, Timing()).run()
        urls.append(server.url)
        async with following(find, TICKET) as found:
            await until(lambda: rig.subscribers(TICKET))
            urls.clear()
            await rig.reads.store.do("FLUSHALL")
            await until(lambda: found.reported)
            urls.append(server.url)
            await rig.reads.schedule.add_site(SiteId(SITE), Rules(), everything=True)
            await until(lambda: len(found.reported) == 2)
            await rig.reads.read(definition(TICKET, 5))
            await found.shows(5)


async def test_error_of_show_ends_it(rig: Rig) -> None:
    """Law 10: When what is shown cannot be written any more, `watch` ends with that error."""

    def closed(_: str) -> None:
        raise BrokenPipeError

    await rig.reads.read(definition(TICKET, 3))

    with pytest.raises(BrokenPipeError):
        await asyncio.wait_for(Watch(lambda: rig.url, [TicketId(TICKET)], closed, pytest.fail, Timing()).run(), 10)


# -- lines --


def published(*, v: int = 7, **given: Any) -> str:
    """The published text of a counter."""
    found = {"name": "Early bird", "state": State.LOW, "unsold": 3, "prices": (Price("25.00", "EUR"),), **given}
    return wire.with_v(v, wire.counter_body(Counter(TicketId(TICKET), **found)))


@pytest.mark.parametrize(
    ("given", "text"),
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
def test_line_of_counter(given: dict[str, Any], text: str) -> None:
    """A counter's line has the ticket, state, number, name and first three prices; what is unknown is left out."""
    assert f"{TICKET}  {text}" == line(published(**given))


@given(st.text())
def test_line_has_no_control_characters(name: str) -> None:
    """Whatever a name contains, it can neither leave its line nor control a terminal."""
    assert line(published(name=name)).isprintable()
