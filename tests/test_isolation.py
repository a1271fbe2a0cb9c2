"""Deployments that share a Redis: nothing that one of them stores or publishes reaches another."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass

from redis.asyncio import Redis

from server.counter import Rules
from server.model import SiteId
from tests.rig.cluster import Cluster
from tests.rig.key_table import unlisted
from tests.rig.recording_viewers import RecordingViewer, polling_viewer, sse_viewer, websocket_viewer
from tests.rig.redis import RedisServer
from tests.rig.server import RunningServer, StartServer, until
from tests.rig.wix import WixRig, running_wix

SOLD = 4
"""Tickets that each deployment sells, one after the other."""


@dataclass(frozen=True)
class Place:
    """Where a deployment stores, by which rules, and how many tickets it has; all have the same site and ticket."""

    prefix: str
    db: int
    rules: Rules
    stock: int

    @property
    def channels(self) -> str:
        """What its channels begin with."""
        return f"{self.prefix}@{self.db}:" if self.db else f"{self.prefix}:"


PLACES = (
    Place("tc", 0, Rules(), 24),
    Place("tc", 3, Rules(10, 20), 124),
    Place("tc", 12, Rules(40, 50), 44),
    Place("shop", 0, Rules(0, 0), 224),
    Place("shop", 3, Rules(), 324),
    Place("tc-3", 0, Rules(3, 3), 7),
    Place("3.tc", 0, Rules(500), 424),
)
"""Other databases, other prefixes and other rules, in all pairs."""


class Tenant:
    """One deployment: a Wix of its own, a server with a worker, and a viewer of each kind."""

    def __init__(self, place: Place, wix: WixRig, running: RunningServer, viewers: Sequence[RecordingViewer]) -> None:
        self.place = place
        self.wix = wix
        self.running = running
        self.viewers = viewers
        self.ticket = wix.tickets["fixed"]

    @property
    def name(self) -> str:
        """The name of its ticket, which no other has."""
        return name_of(self.place)

    @property
    def expected(self) -> tuple[str, int | None]:
        """What its viewers must see by its own rules: state and number."""
        left = self.wix.world.tickets[self.ticket].left
        assert left
        rules = self.place.rules
        hidden = rules.show_at_most is not None and left > rules.show_at_most
        return "low" if left <= rules.low_at else "available", None if hidden else left

    def right(self) -> bool:
        """Whether every viewer sees that."""
        seen = {(one.state(self.ticket), one.unsold(self.ticket)) for one in self.viewers}
        return {self.expected} == seen

    @property
    def names(self) -> set[str | None]:
        """The names in all frames that its viewers got."""
        return {found.counter["name"] for one in self.viewers for found in one.received}

    @property
    def numbers(self) -> set[int | None]:
        """The numbers in these frames."""
        return {found.counter["unsold"] for one in self.viewers for found in one.received}


def name_of(place: Place) -> str:
    """The name of the ticket of a deployment."""
    return f"Gala of {place.prefix} in {place.db}"


@asynccontextmanager
async def tenants(start_server: StartServer, urls: Mapping[Place, str]) -> AsyncIterator[list[Tenant]]:
    """A running deployment at each of these places, by the URLs of their databases."""
    async with AsyncExitStack() as stack:

        async def tenant(place: Place, url: str) -> Tenant:
            wix = await stack.enter_async_context(running_wix())
            ticket = wix.tickets["fixed"]
            wix.world.update(ticket, name=name_of(place), limit=place.stock)
            rules = {"low_at": place.rules.low_at, "show_at_most": place.rules.show_at_most}
            settings = {**wix.settings(), **rules, "redis_url": url, "redis_prefix": place.prefix}
            running = await start_server(worker=True, **settings)
            wix.send_to(running.url)
            kinds = (websocket_viewer, sse_viewer, polling_viewer)
            viewers = [await stack.enter_async_context(kind(running.url, wix.site, [ticket])) for kind in kinds]
            return Tenant(place, wix, running, viewers)

        yield [await tenant(place, url) for place, url in urls.items()]


async def trade(all_of_them: Sequence[Tenant]) -> None:
    """Sell tickets in all deployments at the same time, and wait until every viewer has seen each sale of its own."""
    for sales in range(SOLD + 1):
        for one in all_of_them:
            await until(one.right)
            if sales < SOLD:
                one.wix.world.buy(one.ticket)


def assert_nothing_crossed(all_of_them: Sequence[Tenant]) -> None:
    """Check every frame of every viewer."""
    for one in all_of_them:
        rules, stock = one.place.rules, one.place.stock
        own = range(stock - SOLD, stock + 1)
        shown = {left for left in own if rules.show_at_most is None or left <= rules.show_at_most}
        # `unknown`, before the first read, has no name and no number.
        assert {one.name} == one.names - {None}, one.place
        assert shown == one.numbers - {None}, one.place


@asynccontextmanager
async def published(url: str) -> AsyncIterator[set[str]]:
    """Every channel on which something is published meanwhile, in any database."""
    heard: set[str] = set()
    async with Redis.from_url(url, decode_responses=True) as redis, redis.pubsub() as pubsub:
        await pubsub.psubscribe("*")

        async def listen() -> None:
            async for message in pubsub.listen():
                if message["type"] == "pmessage":
                    heard.add(message["channel"])

        listening = asyncio.create_task(listen())
        yield heard
        listening.cancel()
        with suppress(asyncio.CancelledError):
            await listening


async def test_deployments_on_one_server(start_server: StartServer, redis_url: str, redis_shared: RedisServer) -> None:
    """Law 13: Deployments with other databases, prefixes and rules show their own tickets alone, in all pairs."""
    urls = {place: redis_url.replace("/0", f"/{place.db}") for place in PLACES}
    async with published(redis_url) as heard, tenants(start_server, urls) as found:
        await trade(found)
        # One of them loses its site: the others keep theirs.
        found[1].wix.sandbox.emitter.app_removed()

        async def removed() -> bool:
            return found[1].wix.site not in await found[1].running.web.schedule.sites()

        await until(removed)
        for one in (found[0], *found[2:]):
            assert {SiteId(one.wix.site)} == await one.running.web.schedule.sites(), one.place

    assert_nothing_crossed(found)
    beginnings = [place.channels for place in PLACES]
    assert beginnings == [name for name in beginnings if f"{name}wake" in heard]
    assert [] == [name for name in heard if sum(map(name.startswith, beginnings)) != 1]
    assert [] == [fault for one in PLACES for fault in unlisted(redis_shared.port, db=one.db, prefix=f"{one.prefix}:")]
    for db in {place.db for place in PLACES}:
        prefixes = tuple(f"{place.prefix}:" for place in PLACES if place.db == db)
        async with Redis.from_url(redis_url.replace("/0", f"/{db}"), decode_responses=True) as redis:
            assert [] == [name for name in await redis.keys() if not str(name).startswith(prefixes)]


async def test_deployments_on_one_cluster(start_server: StartServer, cluster: Cluster, cluster_url: str) -> None:
    """Law 13: Deployments with other prefixes and rules on one cluster show their own tickets alone."""
    places = [place for place in PLACES if not place.db]
    async with tenants(start_server, dict.fromkeys(places, cluster_url)) as found:
        await trade(found)

    assert_nothing_crossed(found)
    names = [str(name) for master in cluster.masters for name in master.ask("KEYS", "*")]
    beginnings = tuple(f"{place.prefix}:" for place in places)
    assert [] == [name for name in names if not name.startswith(beginnings)]
