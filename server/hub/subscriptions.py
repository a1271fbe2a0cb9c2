"""The ear: what this process listens to in Redis, and whether anything comes through.

In: topics that opened or closed. Out: what is heard of each, at once. A link that is lost, or on which our own probes do
not come back, is left for a new one that asks for all topics again; what was published meanwhile is read by the feed.
"""

import asyncio
import math
from collections.abc import Callable
from contextlib import suppress

from server import logs, metrics
from server.errors import RedisUnavailable
from server.hub.hub import Hub
from server.hub.topics import Topic
from server.redis.client import RedisClient
from server.redis.listener import PROBE_EVERY, PROBE_TIMEOUT, Listener

RETRY = 0.5
"""Seconds between two tries to open a link; one that was good is opened anew at once."""

log = logs.logger("ear")


class Subscriptions:
    """One process's subscriptions: *redis* publishes, *listening* hears.

    *heard* is called with each message of a topic, and with None for each confirmation that it is listened to.
    """

    def __init__(
        self, redis: RedisClient, listening: RedisClient, hub: Hub, heard: Callable[[Topic, str | None], None]
    ) -> None:
        self.redis = redis
        self.listening = listening
        self.hub = hub
        self._heard = heard
        self._listener: Listener | None = None
        # When a probe came back last, on whatever link.
        self._last_probe = -math.inf
        # What is to be said on the link that there is: a new one begins with all topics.
        self._opened: set[str] = set()
        self._closed: set[str] = set()
        self._probe_now = asyncio.Event()

    @property
    def healthy(self) -> bool:
        """Whether our own probe came back of late: subscriptions live, publishes arrive."""
        return self.hub.now() - self._last_probe < PROBE_TIMEOUT

    def connected(self, topic: Topic) -> bool:
        """Whether there is a link on which news of this topic would come."""
        return self._listener is not None and self._listener.connected(topic.channel)

    def open(self, topic: Topic) -> None:
        """Listen to this topic, once that is told."""
        self._closed.discard(topic.channel)
        self._opened.add(topic.channel)

    def close(self, topic: Topic) -> None:
        """Listen to it no more, once that is told."""
        self._opened.discard(topic.channel)
        self._closed.add(topic.channel)

    async def tell(self) -> None:
        """Say what opened and closed. A link that fails of it is left by who listens on it."""
        listener = self._listener
        opened, closed, self._opened, self._closed = self._opened, self._closed, set(), set()
        if listener is not None:
            with suppress(RedisUnavailable):
                await listener.unsubscribe(*closed)
                await listener.subscribe(*opened)

    async def run(self) -> None:
        """Listen, for ever."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._listen(), name="ear: listen")
            group.create_task(self._probes(), name="ear: probe")

    async def _listen(self) -> None:
        while True:
            began = self.hub.now()
            try:
                async with self.listening.listener(PROBE_TIMEOUT) as listener:
                    try:
                        await self._hear(listener)
                    finally:
                        # Before it is closed: nothing more is said on it.
                        self._listener = None
            except RedisUnavailable as error:
                log.warning("listener_lost", error=str(error))
            await asyncio.sleep(began + RETRY - self.hub.now())

    async def _hear(self, listener: Listener) -> None:
        """Listen on a new link until it is lost."""
        topics = list(self.hub.topics)
        self._opened.clear()
        self._closed.clear()
        self._listener = listener
        self._probe_now.set()
        if topics:
            metrics.resyncs.labels("new_listener").inc()
            await listener.subscribe(*topics)
        while True:
            heard = await listener.receive(PROBE_EVERY)
            self._last_probe = max(self._last_probe, listener.last_probe)
            if heard is not None and (topic := self.hub.topics.get(heard.channel)):
                self._heard(topic, heard.text)

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
