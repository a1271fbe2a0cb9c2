"""What this process is subscribed to in Redis, and whether messages come through.

In: topics that opened or closed. Out: each confirmed subscription and each message, at once. A link that is lost, or on
which our own probes do not come back, is replaced by a new one that subscribes to all topics again; the feed reads what
was published meanwhile.
"""

import asyncio
import math
from collections.abc import Callable
from contextlib import suppress

from server import logs, metrics
from server.errors import RedisUnavailable
from server.hub.hub import Hub
from server.hub.topics import Topic
from server.logs import OutageLog
from server.redis.client import RedisClient
from server.redis.listener import PROBE_EVERY, PROBE_TIMEOUT, Listener

RETRY = 0.5
"""Seconds between two attempts to open a link; one that had worked is replaced at once."""

HINT = (
    "messages of Redis do not arrive, so numbers change with the next look, every 5 s, as long as Redis answers that, and are withdrawn "
    "after MAX_STALE: see whether Redis runs where REDIS_URL says; the link is opened again by itself"
)

log = logs.logger("subscriptions")


class Subscriptions:
    """One process's subscriptions: probes are published by *redis*, messages arrive by *listening*.

    *on_confirmed* is called with the topic whose subscription is confirmed, also again on a new link: whatever was
    published before is lost. *on_message* is called with a topic and the text that was published to it.
    """

    def __init__(
        self,
        redis: RedisClient,
        listening: RedisClient,
        hub: Hub,
        *,
        on_confirmed: Callable[[Topic], None],
        on_message: Callable[[Topic, str], None],
    ) -> None:
        self.redis = redis
        self.listening = listening
        self.hub = hub
        self._on_confirmed = on_confirmed
        self._on_message = on_message
        self._listener: Listener | None = None
        # When a probe came back last, on any link.
        self._last_probe = -math.inf
        # What is to be sent on the present link: a new one begins with all topics.
        self._opened: set[str] = set()
        self._closed: set[str] = set()
        self._changed = asyncio.Event()
        self._probe_now = asyncio.Event()
        self._outage = OutageLog(log, "listener_lost", "listener_back")

    @property
    def healthy(self) -> bool:
        """Whether our own probe came back lately: subscriptions work, and published messages arrive."""
        return self.hub.now() - self._last_probe < PROBE_TIMEOUT

    def connected(self, topic: Topic) -> bool:
        """Whether there is a link on which messages of this topic would arrive."""
        return self._listener is not None and self._listener.connected(topic.channel)

    def open(self, topic: Topic) -> None:
        """Subscribe to this topic, soon."""
        self._closed.discard(topic.channel)
        self._opened.add(topic.channel)
        self._changed.set()

    def close(self, topic: Topic) -> None:
        """Unsubscribe from it, soon."""
        self._opened.discard(topic.channel)
        self._closed.add(topic.channel)
        self._changed.set()

    async def run(self) -> None:
        """Keep the subscriptions, for ever."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._listen(), name="subscriptions: listen")
            group.create_task(self._subscribe(), name="subscriptions: subscribe")
            group.create_task(self._probes(), name="subscriptions: probe")

    async def _subscribe(self) -> None:
        """Send what opened and closed, all that came together in one command. A link that fails is left by `_listen`."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            listener = self._listener
            opened, closed, self._opened, self._closed = self._opened, self._closed, set(), set()
            if listener is not None:
                with suppress(RedisUnavailable):
                    await listener.unsubscribe(*closed)
                    await listener.subscribe(*opened)

    async def _listen(self) -> None:
        while True:
            began = self.hub.now()
            try:
                async with self.listening.listener(PROBE_TIMEOUT) as listener:
                    try:
                        await self._receive(listener)
                    finally:
                        # Before it is closed: nothing more is sent on it.
                        self._listener = None
            except RedisUnavailable as error:
                self._outage.fault(error=str(error), hint=HINT)
            await asyncio.sleep(began + RETRY - self.hub.now())

    async def _receive(self, listener: Listener) -> None:
        """Receive on a new link until it is lost."""
        topics = list(self.hub.topics)
        self._opened.clear()
        self._closed.clear()
        self._listener = listener
        self._probe_now.set()
        if topics:
            metrics.resyncs.labels("new_listener").inc()
            await listener.subscribe(*topics)
        while True:
            received = await listener.receive(PROBE_EVERY)
            if listener.last_probe > self._last_probe:
                self._last_probe = listener.last_probe
                self._outage.works()
            if received is None or (topic := self.hub.topics.get(received.channel)) is None:
                continue
            if received.text is None:
                self._on_confirmed(topic)
            else:
                self._on_message(topic, received.text)

    async def _probes(self) -> None:
        while True:
            self._probe_now.clear()
            if self._listener is not None:
                await asyncio.gather(*map(self._probe, self._listener.probes))
            with suppress(TimeoutError):
                async with asyncio.timeout(PROBE_EVERY):
                    await self._probe_now.wait()

    async def _probe(self, name: str) -> None:
        try:
            await self.redis.do(self.redis.publish_command, name, "probe")
        except RedisUnavailable:
            log.debug("probe_not_sent")
