import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager

from server import metrics
from server.hub.hub import Hub
from server.hub.subscriptions import Subscriptions
from server.hub.topics import Topic
from server.model import SiteId, TicketId
from server.redis.client import RedisClient, Use
from server.redis.listener import PROBE_LOST
from server.store.keys import channel
from tests.rig.cluster import Cluster
from tests.rig.redis import RedisServer, Servers
from tests.rig.server import OTHER, SITE, TICKET, until
from tests.rig.tcp_proxy import tcp_proxy


class Rig:
    """An ear that listens, and all that it heard."""

    def __init__(self, store: RedisClient, listening: RedisClient) -> None:
        self.store = store
        self.hub = Hub()
        self.heard: list[tuple[TicketId, str | None]] = []
        self.subscriptions = Subscriptions(
            store, listening, self.hub, lambda topic, text: self.heard.append((topic.ticket, text))
        )
        self.hub.opened = self.subscriptions.open

    def topic(self, ticket: str, site: str = SITE) -> Topic:
        """One more that somebody watches."""
        [topic] = self.hub.audience(SiteId(site), [TicketId(ticket)]).topics
        return topic

    async def publish(self, topic: Topic, text: str) -> None:
        """Say something on its channel."""
        await self.store.do(self.store.publish_command, topic.channel, text)

    async def connected(self, topic: Topic, text: str | None) -> None:
        """Wait until this was heard."""
        await until(lambda: (topic.ticket, text) in self.heard)


@asynccontextmanager
async def listening(url: str, through: str | None = None) -> AsyncIterator[Rig]:
    """An ear on this Redis; it hears *through* another address, if one is given."""
    async with (
        aclosing(RedisClient(url, Use.INGEST)) as store,
        aclosing(RedisClient(through or url, Use.LISTEN)) as other,
    ):
        rig = Rig(store, other)
        running = asyncio.create_task(rig.subscriptions.run())
        yield rig
        assert not running.done(), "it ended by itself"
        running.cancel()
        await asyncio.wait({running})


async def test_heard(redis_url: str) -> None:
    """What opened is confirmed once that is told, then heard, until it is closed and that is told."""
    async with listening(redis_url) as rig:
        await until(lambda: rig.subscriptions.healthy)
        topic = rig.topic(TICKET)
        await rig.subscriptions.tell()
        await rig.connected(topic, None)
        await rig.publish(topic, "text")
        await rig.connected(topic, "text")

        rig.subscriptions.close(topic)
        await rig.subscriptions.tell()

        async def silent() -> bool:
            return ["0"] == [str(one) for one in (await rig.store.do("PUBSUB", "NUMSUB", channel(SITE, TICKET)))[1:]]

        await until(silent)
        assert [(TICKET, None), (TICKET, "text")] == rig.heard


async def test_told_at_once(redis_url: str) -> None:
    """What is told while nothing is said on the link is asked for at once, not when the next word comes."""
    async with listening(redis_url) as rig:
        await until(lambda: rig.subscriptions.healthy)
        began = rig.hub.now()
        for number in range(5):
            topic = rig.topic(f"{TICKET[:-1]}{number}")
            await rig.subscriptions.tell()
            await rig.connected(topic, None)

        assert 1.0 > rig.hub.now() - began


async def test_closed_and_opened(redis_url: str) -> None:
    """A topic that closes and opens before either was told is confirmed anew, and stays."""
    async with listening(redis_url) as rig:
        await until(lambda: rig.subscriptions.healthy)
        topic = rig.topic(TICKET)
        await rig.subscriptions.tell()
        await rig.connected(topic, None)
        rig.heard.clear()

        rig.subscriptions.close(topic)
        rig.subscriptions.open(topic)
        await rig.subscriptions.tell()

        await rig.connected(topic, None)
        await rig.publish(topic, "text")
        await rig.connected(topic, "text")


async def test_of_nobody(redis_url: str) -> None:
    """What is said of a topic that is closed here, but not yet told to be, is passed over."""
    async with listening(redis_url) as rig:
        await until(lambda: rig.subscriptions.healthy)
        [topic, other] = [rig.topic(TICKET), rig.topic(OTHER)]
        await rig.subscriptions.tell()
        await rig.connected(topic, None)
        await rig.connected(other, None)
        del rig.hub.topics[topic.channel]

        await rig.publish(topic, "text")
        await rig.publish(other, "text")

        await rig.connected(other, "text")
        assert (TICKET, "text") not in rig.heard


async def test_hung_up(redis_url: str) -> None:
    """Law 6: A link that is lost is opened anew at once, each topic is confirmed again, and the ear stays healthy."""
    async with listening(redis_url) as rig:
        topics = [rig.topic(TICKET), rig.topic(OTHER)]
        for topic in topics:
            await rig.connected(topic, None)
        await until(lambda: rig.subscriptions.healthy)
        for _ in range(5):
            rig.heard.clear()
            began = rig.hub.now()
            await rig.store.do("CLIENT", "KILL", "TYPE", "pubsub")
            for topic in topics:
                await rig.connected(topic, None)
            assert rig.subscriptions.healthy
            assert all(map(rig.subscriptions.connected, topics))

        assert 2.0 > rig.hub.now() - began


async def test_silence(redis_shared: RedisServer, redis_url: str) -> None:
    """Law 6: A link on which nothing comes any more is left in some 5 s; it is found again when it is well."""
    async with (
        tcp_proxy("127.0.0.1", redis_shared.port) as proxy,
        listening(redis_url, f"redis://127.0.0.1:{proxy.port}/0") as rig,
    ):
        topic = rig.topic(TICKET)
        await until(lambda: rig.subscriptions.healthy and rig.subscriptions.connected(topic))
        proxy.silence()
        began = rig.hub.now()
        await until(lambda: not rig.subscriptions.connected(topic), PROBE_LOST + 2)
        assert PROBE_LOST - 1.5 < rig.hub.now() - began
        await until(lambda: not rig.subscriptions.healthy)

        rig.heard.clear()
        await proxy.heal()
        await rig.connected(topic, None)
        await until(lambda: rig.subscriptions.healthy)


async def test_nobody_there(redis_server: Servers) -> None:
    """While there is no Redis there is nothing to hear and nothing to tell; it is found when it is there."""
    server = redis_server()
    server.kill()
    async with listening(server.url) as rig:
        topic = rig.topic(TICKET)
        await rig.subscriptions.tell()
        assert (False, False) == (rig.subscriptions.healthy, rig.subscriptions.connected(topic))
        before = metrics.resyncs.labels("new_listener")._value.get()

        server.start()

        await rig.connected(topic, None)
        await until(lambda: rig.subscriptions.healthy)
        assert before + 1 == metrics.resyncs.labels("new_listener")._value.get()


async def test_part_of_a_cluster(breakable: Cluster) -> None:
    """Of a cluster the ear hears what comes from the others while one master hangs, is healthy, and knows which is deaf."""
    hangs, other, _ = breakable.masters
    sites = [f"{number:08}-1111-4111-8111-00000000b001" for number in range(300)]
    deaf, well = (
        next(site for site in sites if breakable.owner(channel(site, TICKET)) is one) for one in (hangs, other)
    )
    async with listening(breakable.url) as rig:
        its, theirs = rig.topic(TICKET, deaf), rig.topic(OTHER, well)
        await rig.connected(its, None)
        await rig.connected(theirs, None)
        await until(lambda: rig.subscriptions.healthy)
        hangs.freeze()
        try:
            await until(lambda: not rig.subscriptions.connected(its), PROBE_LOST + 3)
            rig.heard.clear()
            await rig.publish(theirs, "text")
            await rig.connected(theirs, "text")
            assert (True, True) == (rig.subscriptions.healthy, rig.subscriptions.connected(theirs))
        finally:
            hangs.thaw()
        await rig.connected(its, None)
        assert rig.subscriptions.connected(its)
