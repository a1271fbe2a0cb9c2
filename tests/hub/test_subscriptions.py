import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager

from structlog.testing import capture_logs

from server import metrics
from server.counter import Rules
from server.hub.hub import Hub
from server.hub.subscriptions import Subscriptions
from server.hub.topics import Topic
from server.model import SiteId, TicketId
from server.redis.client import RedisClient, Use
from server.redis.listener import PROBE_TIMEOUT
from tests.rig.cluster import Cluster
from tests.rig.default_keys import KEYS, channel
from tests.rig.redis import RedisServer, Servers
from tests.rig.server import OTHER, SITE, TICKET, until
from tests.rig.tcp_proxy import tcp_proxy


class Rig:
    """Subscriptions, and all that was received on them: None for a confirmation."""

    def __init__(self, store: RedisClient, listening: RedisClient) -> None:
        self.store = store
        self.hub = Hub(KEYS, Rules())
        self.all: list[tuple[str, str | None]] = []
        self.subscriptions = Subscriptions(
            store,
            listening,
            self.hub,
            on_confirmed=lambda topic: self.all.append((topic.channel, None)),
            on_message=lambda topic, text: self.all.append((topic.channel, text)),
        )
        self.hub.opened = self.subscriptions.open

    def topic(self, ticket: str, site: str = SITE) -> Topic:
        """A new topic with a viewer."""
        [topic] = self.hub.audience(SiteId(site), (TicketId(ticket),)).topics
        return topic

    async def publish(self, topic: Topic, text: str) -> None:
        """Publish to its channel."""
        await self.store.do(self.store.publish_command, topic.channel, text)

    async def received(self, topic: Topic, text: str | None) -> None:
        """Wait until this text, or a confirmation, was received."""
        await until(lambda: (topic.channel, text) in self.all)


@asynccontextmanager
async def listening(url: str, through: str | None = None) -> AsyncIterator[Rig]:
    """Subscriptions to this Redis, *through* another address if one is given."""
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


async def test_subscribe_receive_unsubscribe(redis_url: str) -> None:
    """An opened topic is subscribed to and confirmed, its messages are received, and closing it unsubscribes."""
    async with listening(redis_url) as rig:
        await until(lambda: rig.subscriptions.healthy)
        topic = rig.topic(TICKET)
        await rig.received(topic, None)
        await rig.publish(topic, "text")
        await rig.received(topic, "text")

        rig.subscriptions.close(topic)

        async def silent() -> bool:
            return ["0"] == [str(one) for one in (await rig.store.do("PUBSUB", "NUMSUB", channel(SITE, TICKET)))[1:]]

        await until(silent)
        assert [(channel(SITE, TICKET), None), (channel(SITE, TICKET), "text")] == rig.all


async def test_subscribed_at_once_on_a_quiet_link(redis_url: str) -> None:
    """A topic that opens while nothing arrives on the link is subscribed to at once, not when the next message arrives."""
    async with listening(redis_url) as rig:
        await until(lambda: rig.subscriptions.healthy)
        began = rig.hub.now()
        for number in range(5):
            topic = rig.topic(f"{TICKET[:-1]}{number}")
            await rig.received(topic, None)

        assert 1.0 > rig.hub.now() - began


async def test_closed_and_opened_again_stays_subscribed(redis_url: str) -> None:
    """A topic that closes and opens before either was sent is confirmed again, and stays subscribed."""
    async with listening(redis_url) as rig:
        await until(lambda: rig.subscriptions.healthy)
        topic = rig.topic(TICKET)
        await rig.received(topic, None)
        rig.all.clear()

        rig.subscriptions.close(topic)
        rig.subscriptions.open(topic)

        await rig.received(topic, None)
        await rig.publish(topic, "text")
        await rig.received(topic, "text")


async def test_message_of_a_closed_topic_is_ignored(redis_url: str) -> None:
    """A message of a topic that is closed here, but still subscribed to, is ignored."""
    async with listening(redis_url) as rig:
        await until(lambda: rig.subscriptions.healthy)
        [topic, other] = [rig.topic(TICKET), rig.topic(OTHER)]
        await rig.received(topic, None)
        await rig.received(other, None)
        del rig.hub.topics[topic.channel]

        await rig.publish(topic, "text")
        await rig.publish(other, "text")

        await rig.received(other, "text")
        assert (TICKET, "text") not in rig.all


async def test_lost_link_is_replaced_at_once(redis_url: str) -> None:
    """Law 6: A link that is lost is replaced at once, each topic is confirmed again, and the process stays healthy."""
    async with listening(redis_url) as rig:
        topics = [rig.topic(TICKET), rig.topic(OTHER)]
        for topic in topics:
            await rig.received(topic, None)
        await until(lambda: rig.subscriptions.healthy)
        for _ in range(5):
            rig.all.clear()
            began = rig.hub.now()
            await rig.store.do("CLIENT", "KILL", "TYPE", "pubsub")
            for topic in topics:
                await rig.received(topic, None)
            assert rig.subscriptions.healthy
            assert all(map(rig.subscriptions.connected, topics))

        assert 2.0 > rig.hub.now() - began


async def test_silent_link_is_replaced(redis_shared: RedisServer, redis_url: str) -> None:
    """Law 6: A link on which nothing arrives is given up in about 5 s; a new one works when the network does."""
    async with (
        tcp_proxy("127.0.0.1", redis_shared.port) as proxy,
        listening(redis_url, f"redis://127.0.0.1:{proxy.port}/0") as rig,
    ):
        topic = rig.topic(TICKET)
        await until(lambda: rig.subscriptions.healthy and rig.subscriptions.connected(topic))
        proxy.silence()
        began = rig.hub.now()
        await until(lambda: not rig.subscriptions.connected(topic), PROBE_TIMEOUT + 2)
        assert PROBE_TIMEOUT - 1.5 < rig.hub.now() - began
        await until(lambda: not rig.subscriptions.healthy)

        rig.all.clear()
        await proxy.heal()
        await rig.received(topic, None)
        await until(lambda: rig.subscriptions.healthy)


async def test_start_without_redis(redis_server: Servers) -> None:
    """While Redis is unavailable nothing is subscribed; it is used as soon as it is available."""
    server = redis_server()
    server.kill()
    async with listening(server.url) as rig:
        topic = rig.topic(TICKET)
        assert (False, False) == (rig.subscriptions.healthy, rig.subscriptions.connected(topic))
        before = metrics.resyncs.labels("new_listener")._value.get()

        server.start()

        await rig.received(topic, None)
        await until(lambda: rig.subscriptions.healthy)
        assert before + 1 == metrics.resyncs.labels("new_listener")._value.get()


async def test_lost_link_makes_few_log_lines(redis_server: Servers) -> None:
    """However often a link is opened in vain, one line says so with what it means, and one that it is back."""
    server = redis_server()
    server.kill()
    with capture_logs() as lines:
        async with listening(server.url) as rig:
            await until(lambda: rig.subscriptions._outage._times >= 3)
            server.start()
            await until(lambda: rig.subscriptions.healthy)

    told = [line for line in lines if line["event"] in {"listener_lost", "listener_back"}]
    assert ["listener_lost", "listener_back"] == [line["event"] for line in told]
    assert "REDIS_URL" in told[0]["hint"]


async def test_one_master_of_a_cluster_hangs(breakable: Cluster) -> None:
    """While one master of a cluster hangs, the others' messages arrive, and its own topics are not connected."""
    hangs, other, _ = breakable.masters
    sites = [f"{number:08}-1111-4111-8111-00000000b001" for number in range(300)]
    hanging_site, other_site = (
        next(site for site in sites if breakable.owner(channel(site, TICKET)) is one) for one in (hangs, other)
    )
    async with listening(breakable.url) as rig:
        hanging_topic, other_topic = rig.topic(TICKET, hanging_site), rig.topic(OTHER, other_site)
        await rig.received(hanging_topic, None)
        await rig.received(other_topic, None)
        await until(lambda: rig.subscriptions.healthy)
        hangs.freeze()
        try:
            await until(lambda: not rig.subscriptions.connected(hanging_topic), PROBE_TIMEOUT + 3)
            rig.all.clear()
            await rig.publish(other_topic, "text")
            await rig.received(other_topic, "text")
            assert (True, True) == (rig.subscriptions.healthy, rig.subscriptions.connected(other_topic))
        finally:
            hangs.thaw()
        await rig.received(hanging_topic, None)
        assert rig.subscriptions.connected(hanging_topic)
