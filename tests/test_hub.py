import asyncio
import json
from collections.abc import Callable, Sequence
from typing import Any, Self

from hypothesis import given
from hypothesis import strategies as st

from server import wire
from server.hub import Hub, Topic
from server.model import Rules, SiteId, TicketId, Timing
from server.schedule import Schedule
from server.store import Store, Use, channel, key
from tests.rig.reads import Reads, definition
from tests.rig.redis import RedisServer
from tests.rig.server import OTHER, SITE, TICKET, until

SITE_ID = SiteId(SITE)


class Screen:
    """A viewer that remembers what it was shown, a list for each write."""

    def __init__(self) -> None:
        self.writes: list[list[str]] = []
        self.beats = 0

    def show(self, topics: Sequence[Topic]) -> None:
        self.writes.append([topic.shown or "" for topic in topics])

    def beat(self, text: str) -> None:
        self.beats += 1

    def bye(self, text: str) -> None:
        self.writes.append([text])

    @property
    def last(self) -> dict[str, Any]:
        """The counter shown last, or nothing."""
        return dict(json.loads(self.writes[-1][-1])) if self.writes else {}

    @property
    def unsolds(self) -> list[int | None]:
        """Every number shown, in order."""
        return [json.loads(text)["unsold"] for write in self.writes for text in write]


class Rig:
    """A hub that runs, its reader, and the ways to break what is between them."""

    def __init__(self, url: str, timing: Timing | None = None, **more: Any) -> None:
        self.store = Store(url, Use.INGEST)
        self.listening = Store(url, Use.LISTEN)
        self.schedule = Schedule(self.store, timing)
        self.hub = Hub(self.store, self.listening, self.schedule, Rules().hash, **{"round_every": 0.1, **more})
        self.reads = Reads(url, SITE)
        self._running: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        await self.schedule.adopt(SITE_ID, Rules(), everything=False)
        await self.hub.start()
        self._running = asyncio.create_task(self.hub.run())
        await until(lambda: self.hub.healthy)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._running is not None
        assert not self._running.done(), "the hub ended by itself"
        self._running.cancel()
        await asyncio.wait({self._running})
        for one in (self.store, self.listening, self.reads):
            await one.aclose()

    def watch(self, *tickets: str) -> tuple[Screen, list[Topic]]:
        screen = Screen()
        return screen, self.hub.join(screen, SITE_ID, [TicketId(one) for one in tickets or (TICKET,)])


async def shows(screen: Screen, **expected: Any) -> None:
    await until(lambda: expected.items() <= screen.last.items())


async def test_subscribed_first(redis_url: str) -> None:
    """Law 6: The subscription is confirmed before the snapshot is read, so nothing falls between."""
    async with Rig(redis_url) as rig:
        await rig.reads.read(definition(TICKET, 3))
        screen, [topic] = rig.watch()
        assert not topic.open

        await until(lambda: topic.open)

        assert topic.confirmed
        await shows(screen, unsold=3)


async def test_one_subscription_a_topic(redis_url: str) -> None:
    """However many viewers watch a ticket, this process is subscribed to it once."""
    async with Rig(redis_url) as rig:
        await rig.reads.read(definition(TICKET, 3))
        screens = [rig.watch()[0] for _ in range(5)]

        await rig.reads.read(definition(TICKET, 2))

        for screen in screens:
            await shows(screen, unsold=2)
        [_, count] = await rig.store.do("PUBSUB", "NUMSUB", channel(SITE, TICKET))
        assert 1 == count


async def test_older_is_dropped(redis_url: str) -> None:
    """Law 2: A counter with an older version than the one shown is not shown, whenever it comes."""
    async with Rig(redis_url) as rig:
        await rig.reads.read(definition(TICKET, 3))
        screen, [topic] = rig.watch()
        await shows(screen, unsold=3)

        old = wire.with_v(topic.v - 1, str(topic.counter).split(",", 1)[1].replace('"unsold":3', '"unsold":9'))
        await rig.store.do("PUBLISH", topic.channel, old)
        await rig.reads.read(definition(TICKET, 2))
        await shows(screen, unsold=2)

        assert 9 not in screen.unsolds


async def test_changes_are_merged(redis_url: str) -> None:
    """Law 7: A hundred changes at once are a few writes, at most one frame a ticket in each, and end on the last."""
    async with Rig(redis_url) as rig:
        await rig.reads.read(definition(TICKET, 500), definition(OTHER, 500))
        screen, _ = rig.watch(TICKET, OTHER)
        await until(lambda: screen.unsolds.count(500) >= 2)
        before = len(screen.writes)
        version = await rig.reads.version()

        for step in range(100):
            await rig.reads.read(definition(TICKET, 400 - step), definition(OTHER, 400 - step), version=version + step)

        await until(lambda: screen.unsolds.count(301) == 2)
        assert len(screen.writes) - before < 50
        assert all(len(write) <= 2 for write in screen.writes)


async def test_stale_is_withdrawn_and_comes_back(redis_url: str) -> None:
    """Law 8: A number that has not been verified for MAX_STALE is withdrawn from who is here and who comes now."""
    async with Rig(redis_url, Timing(max_stale=0.5)) as rig:
        await rig.reads.read(definition(TICKET, 3))
        screen, [topic] = rig.watch()
        await shows(screen, unsold=3)

        await shows(screen, state="unknown", unsold=None, prices=[])
        late, _ = rig.watch()
        assert "unknown" == late.last["state"]

        # Verified again without any change: nothing is published, the round finds it.
        await rig.reads.read(definition(TICKET, 3))
        await shows(screen, unsold=3)
        assert topic.verified


async def test_gone_and_ended_stand(redis_url: str) -> None:
    """Law 8: What is gone or ended is not withdrawn: it does not become false with time."""
    async with Rig(redis_url, Timing(max_stale=0.2)) as rig:
        await rig.reads.read(definition(TICKET, 3))
        await rig.reads.read(definition(OTHER, 3))
        await rig.reads.delete(TICKET)
        screen, [topic, other] = rig.watch(TICKET, OTHER)

        await until(lambda: '"state":"unknown"' in (other.shown or ""))

        assert '"state":"gone"' in str(topic.shown)
        await until(lambda: any('"gone"' in text for write in screen.writes for text in write))


async def test_lost_message_is_found_in_two_rounds(redis_url: str) -> None:
    """A change whose publish never came is shown after the stored version differed in two rounds."""
    async with Rig(redis_url) as rig:
        await rig.reads.read(definition(TICKET, 3))
        screen, [topic] = rig.watch()
        await shows(screen, unsold=3)

        body = str(topic.counter).split(",", 1)[1].replace('"unsold":3', '"unsold":1')
        await rig.store.do(
            "HSET", key(SITE, "ticket", TICKET), "v", topic.v + 5, "counter", wire.with_v(topic.v + 5, body)
        )

        await shows(screen, unsold=1)


async def test_lost_tail_is_accepted(redis_url: str) -> None:
    """A Redis that came back with an older counter is believed after two rounds: there is no other."""
    async with Rig(redis_url) as rig:
        await rig.reads.read(definition(TICKET, 3))
        screen, [topic] = rig.watch()
        await shows(screen, unsold=3)

        body = str(topic.counter).split(",", 1)[1].replace('"unsold":3', '"unsold":4')
        await rig.store.do(
            "HSET", key(SITE, "ticket", TICKET), "v", topic.v - 5, "counter", wire.with_v(topic.v - 5, body)
        )

        await shows(screen, unsold=4)


async def test_other_rules_are_not_shown(redis_url: str) -> None:
    """A counter made by other settings than ours is unknown here, and its ticket is marked."""
    async with Rig(redis_url) as rig:
        screen, _ = rig.watch()
        await shows(screen, state="unknown")
        await rig.schedule.adopt(SITE_ID, Rules(low_at=99), everything=False)
        other = Reads(redis_url, SITE, Rules(low_at=99))
        await other.read(definition(TICKET, 50))
        await other.aclose()
        fresh, _ = rig.watch()

        await until(lambda: _score(rig, "hinted"))
        await shows(fresh, state="unknown", unsold=None)


async def test_reconnect_reads_everything(redis_server: Callable[..., RedisServer]) -> None:
    """Law 6: After a lost connection the channels are confirmed anew and every topic is read again."""
    server = redis_server()
    async with Rig(server.url, round_every=60.0) as rig:
        await rig.reads.read(definition(TICKET, 3), definition(OTHER, 3))
        screen, topics = rig.watch(TICKET, OTHER)
        await until(lambda: all(topic.verified for topic in topics))

        await rig.store.do("CLIENT", "KILL", "TYPE", "pubsub")
        # What is published while nobody listens reaches nobody.
        await rig.reads.read(definition(TICKET, 2), definition(OTHER, 1))

        await until(lambda: {2, 1} <= {json.loads(topic.shown or "{}").get("unsold") for topic in topics})
        assert 1 in screen.unsolds


async def test_restart_of_redis(redis_server: Callable[..., RedisServer]) -> None:
    """Law 6: A Redis that was killed and comes back is listened to again, and what changed meanwhile is shown."""
    server = redis_server()
    async with Rig(server.url) as rig:
        await rig.reads.read(definition(TICKET, 3))
        screen, [topic] = rig.watch()
        await shows(screen, unsold=3)

        server.kill()
        await until(lambda: not rig.hub.healthy or not rig.hub._listener)
        server.start()
        await rig.reads.store.wait(10)
        await rig.reads.read(definition(TICKET, 2))

        await shows(screen, unsold=2)
        await until(lambda: rig.hub.healthy)


async def test_frozen_redis_is_noticed(redis_server: Callable[..., RedisServer]) -> None:
    """A link on which nothing comes any more is noticed by our own probe within some seconds."""
    server = redis_server()
    async with Rig(server.url) as rig:
        screen, _ = rig.watch()
        await shows(screen, state="unknown")

        server.freeze()
        await until(lambda: not rig.hub.healthy, 8)
        server.thaw()

        await until(lambda: rig.hub.healthy)
        await rig.reads.read(definition(TICKET, 3))
        await shows(screen, unsold=3)


async def test_topic_lingers_then_closes(redis_url: str) -> None:
    """A topic stays open for a while after its last viewer, then its subscription ends; a viewer keeps it."""
    async with Rig(redis_url, linger=0.3) as rig:
        await rig.reads.read(definition(TICKET, 3))
        screen, topics = rig.watch()
        await shows(screen, unsold=3)
        rig.hub.leave(screen, topics)

        again, topics = rig.watch()
        assert 3 == again.last["unsold"]
        rig.hub.leave(again, topics)

        async def unsubscribed() -> bool:
            return (await rig.store.do("PUBSUB", "NUMSUB", channel(SITE, TICKET)))[1] == 0

        await until(unsubscribed)
        assert {} == rig.hub._topics


async def test_beats(redis_url: str) -> None:
    """Every viewer gets a heartbeat again and again, whether anything changes or not."""
    async with Rig(redis_url, beat_every=0.05) as rig:
        screens = [rig.watch()[0] for _ in range(3)]

        await until(lambda: all(screen.beats > 1 for screen in screens))


async def test_farewell_in_waves(redis_url: str) -> None:
    """Law 11: Viewers are sent away in waves, each with a time at which to come back."""
    async with Rig(redis_url) as rig:
        screens = [rig.watch()[0] for _ in range(30)]

        def told() -> int:
            return sum(any("bye" in write[0] for write in screen.writes) for screen in screens)

        ending = asyncio.create_task(rig.hub.farewell(500, 5000, 0.5))
        await until(told)
        assert told() < 30
        await ending

        assert 30 == told()


@given(st.permutations(range(6)))
def test_any_order_ends_on_the_newest(order: list[int]) -> None:
    """Law 2: In whatever order publishes arrive, what is shown last is the newest, and no older one after it."""

    async def run() -> None:
        store = Store("redis://127.0.0.1:9/0", Use.INGEST)
        hub = Hub(store, store, Schedule(store), Rules().hash)
        screen = Screen()
        [topic] = hub.join(screen, SITE_ID, [TicketId(TICKET)])
        topic.open = True
        best = -1
        for v in order:
            hub._take(topic, f'{{"v":{v + 1},"unsold":{v}}}', asyncio.get_running_loop().time() + 60)
            best = max(best, v)
            assert best == json.loads(str(topic.shown))["unsold"]
        await store.aclose()

    asyncio.run(run())


async def _score(rig: Rig, name: str) -> str | None:
    found: str | None = await rig.store.do("ZSCORE", key(SITE, name), TICKET)
    return found
