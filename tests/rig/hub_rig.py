"""A hub and its feed on a real Redis, without HTTP: viewers are FakeViewers, and snapshots come from a FakeReader."""

import asyncio
import json
import socket
from collections.abc import Collection, Iterable
from typing import Any, Self

from server.counter import Rules
from server.errors import Refused
from server.hub.feed import Feed
from server.hub.hub import Hub
from server.hub.topics import Audience, TicketTopic, Topic
from server.model import EventName, SiteId, TicketId
from server.redis.client import RedisClient, Use
from server.store.schedule import Schedule
from server.store.sites import Sites
from server.store.timing import Timing
from server.wire import Close
from tests.rig.counter_text import counter_text
from tests.rig.fake_reader import FakeReader
from tests.rig.server import SITE, TICKET, until

SITE_ID = SiteId(SITE)


class FakeViewer:
    """A viewer that records what it was sent, a list for each write."""

    def __init__(self) -> None:
        self.writes: list[list[str]] = []
        self.beats = 0
        self.dropped: str | None = None
        self.code: int | None = None
        self.refusal: Refused | None = None

    def show(self, topics: Collection[Topic]) -> None:
        """Record the counters of these topics."""
        self.writes.append([topic.shown or "" for topic in topics])

    def beat(self, text: str) -> None:
        """Count a heartbeat."""
        self.beats += 1

    def bye(self, text: str, code: Close = Close.RESTART) -> None:
        """Record both."""
        self.writes.append([text])
        self.code = code

    def refuse(self, refusal: Refused) -> None:
        """Record the reason."""
        self.refusal = refusal

    def write_rest(self, rest: bytes) -> None:
        """Do nothing: without a socket there is no backpressure."""

    def drop(self, reason: str) -> None:
        """Record the reason."""
        self.dropped = reason

    @property
    def last(self) -> dict[str, Any]:
        """The last counter, or an empty one."""
        return dict(json.loads(self.writes[-1][-1])) if self.writes else {}

    @property
    def unsolds(self) -> list[int | None]:
        """Every number, in order."""
        return [json.loads(text)["unsold"] for write in self.writes for text in write]


class SocketViewer(FakeViewer):
    """A viewer with a socket; it records the bytes that the kernel did not take."""

    def __init__(self) -> None:
        super().__init__()
        self.rests: list[bytes] = []
        self.server_end, self.client_end = socket.socketpair()
        self.server_end.setblocking(False)
        self.client_end.setblocking(False)

    def write_rest(self, rest: bytes) -> None:
        self.rests.append(rest)

    def close(self) -> None:
        self.server_end.close()
        self.client_end.close()


class HubRig:
    """A running hub, its feed, and a reader of its site; it subscribes *through* another address, if one is given.

    `confirmed` are the topics in the order in which their subscriptions were confirmed.
    """

    def __init__(
        self, url: str, timing: Timing | None = None, *, through: str = "", round_every: float = 0.1, **hub: Any
    ) -> None:
        self.store = RedisClient(url, Use.INGEST)
        self.listening = RedisClient(through or url, Use.LISTEN)
        self.schedule = Schedule(self.store, timing)
        self.hub = Hub(self.schedule.keys, Rules(), **hub)
        sites = Sites(self.schedule, [], Rules(), everything=False)
        self.feed = Feed(self.store, self.listening, self.schedule, self.hub, sites, round_every=round_every)
        self.confirmed: list[Topic] = []
        self._note_confirmations()
        self.reads = FakeReader(url, SITE)
        self._running: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        await self.schedule.add_site(SITE_ID, Rules(), everything=False)
        await self.feed.start()
        self._running = [asyncio.create_task(self.hub.run()), asyncio.create_task(self.feed.run())]
        await until(lambda: self.feed.healthy)
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._running:
            assert not task.done(), "it ended by itself"
            task.cancel()
        await asyncio.wait(self._running)
        for one in (self.store, self.listening, self.reads):
            await one.aclose()

    def _note_confirmations(self) -> None:
        subscriptions = self.feed.subscriptions
        then = subscriptions._on_confirmed

        def confirmed(topic: Topic) -> None:
            self.confirmed.append(topic)
            then(topic)

        subscriptions._on_confirmed = confirmed

    def watch_event(self, name: str) -> tuple[FakeViewer, Audience]:
        """A new viewer of this event."""
        viewer = FakeViewer()
        return viewer, self.hub.join(viewer, SITE_ID, EventName(name))

    def watch(self, *tickets: str) -> tuple[FakeViewer, Audience]:
        """A new viewer of these tickets."""
        viewer = FakeViewer()
        return viewer, self.hub.join(viewer, SITE_ID, tuple(TicketId(one) for one in tickets or (TICKET,)))


async def changed(hub: Hub, ticket: str, v: int, unsold: int) -> TicketTopic:
    """Give the hub a counter with this version and number, as the feed does."""
    topic = hub._ticket_topic(SITE_ID, TicketId(ticket))
    topic.read()
    assert topic.take(counter_text(v, unsold, ticket), hub.now() + 60)
    hub.update(topic)
    return topic


def received(viewer: SocketViewer) -> bool:
    try:
        return bool(viewer.client_end.recv(1, socket.MSG_PEEK))
    except BlockingIOError:
        return False


async def shows(viewer: FakeViewer, **expected: Any) -> None:
    """Wait until the last counter has these values."""
    await until(lambda: expected.items() <= viewer.last.items())


def tickets_of(topics: Iterable[Topic]) -> list[str]:
    """The tickets among these topics."""
    return [topic.ticket for topic in topics if isinstance(topic, TicketTopic)]
