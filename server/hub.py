"""The hub: who watches which ticket in this process, and the newest frame of each.

In: counters from Redis pub/sub, and what `watch` says of their age. Out: to every viewer of a topic its newest
counter, at most one write a flush; nothing is ever queued, so a slow viewer costs a set of topics and no frames.

A topic is opening (subscribe, wait for the confirmation, then read the snapshot: nothing falls between) → open →
lingering (its last viewer left) → closed. Pub/sub loses messages in silence, so three things look after it: a
confirmation for a channel that was already confirmed means a reconnect, and all topics are read again; a probe
published to ourselves finds a dead link; and every round compares what was sent with what is stored.
"""

import asyncio
import itertools
import time
import uuid
from collections.abc import Iterable, Sequence
from typing import Protocol, TypeVar

from server import logs, metrics, wire
from server.errors import StoreUnavailable
from server.model import Hint, SiteId, TicketId
from server.schedule import Schedule, Seen
from server.store import Listener, Store, channel

FLUSH_EVERY = 0.05
"""Seconds between two flushes: a change is written at once, those that follow within this time together."""
ROUND_EVERY = 5.0
"""Seconds between two rounds of watch; the schedule forgets a viewer after four of them."""
LINGER = 30.0
"""Seconds that a topic stays open without viewers: pollers and reloads find it warm."""
BEAT_EVERY = 25.0
"""Seconds between heartbeats: below the 30 s after which the strictest proxies cut an idle connection."""
PROBE_EVERY = 1.0
PROBE_LOST = 5.0
"""Seconds without our own probe after which the link to Redis is taken for dead."""
RECONNECT_WITHIN = 0.1
"""Seconds in which the confirmations of one reconnect arrive: they cause one re-read."""
RETRY = 0.5
READ_AT_ONCE = 100
SLICE = 1000
"""Viewers served before other work gets its turn."""
JUST_READ = 2 * ROUND_EVERY
"""Seconds that a published counter is taken as fresh: by then a round has told its exact age."""

log = logs.logger("hub")

_T = TypeVar("_T")


class Topic:
    """One ticket that somebody watches here."""

    __slots__ = (
        "channel", "confirmed", "counter", "fresh_until", "linger_until", "mismatched", "open", "ours", "shown",
        "site", "sse", "ticket", "v", "viewers", "ws",
    )  # fmt: skip

    def __init__(self, site: SiteId, ticket: TicketId) -> None:
        self.site = site
        self.ticket = ticket
        self.channel = channel(site, ticket)
        self.viewers: set[Viewer] = set()
        # Whether Redis confirmed the subscription, and whether the snapshot was read after that.
        self.confirmed = False
        self.open = False
        # The newest counter and its version; None until one was ever read.
        self.counter: str | None = None
        self.v = 0
        # Whether the stored counter was made by our rules.
        self.ours = True
        # The loop's time until which the counter counts as verified.
        self.fresh_until = 0.0
        # Rounds in a row in which the stored version was not the one shown.
        self.mismatched = 0
        # The loop's time at which it is closed; only while nobody watches.
        self.linger_until = 0.0
        # What viewers were told last, as text and as frames built once.
        self.shown: str | None = None
        self.ws = self.sse = b""

    @property
    def verified(self) -> bool:
        """Whether viewers see a counter now, rather than `unknown` or nothing."""
        return self.shown is not None and self.shown == self.counter


class Viewer(Protocol):
    """One connection as the hub sees it."""

    def show(self, topics: Sequence[Topic]) -> None:
        """Write the newest frames of these topics, or remember them until the connection can take more."""

    def beat(self, text: str) -> None:
        """Write a heartbeat."""

    def bye(self, text: str) -> None:
        """Write the word before a planned close, then close."""


class Hub:
    """All topics and viewers of this process."""

    def __init__(
        self,
        store: Store,
        listening: Store,
        schedule: Schedule,
        rules_hash: str,
        *,
        round_every: float = ROUND_EVERY,
        beat_every: float = BEAT_EVERY,
        linger: float = LINGER,
    ) -> None:
        self.store = store
        self.listening = listening
        self.schedule = schedule
        self.rules_hash = rules_hash
        self.sites: frozenset[SiteId] = frozenset()
        self.viewers: set[Viewer] = set()
        self._round_every = round_every
        self._beat_every = beat_every
        self._linger = linger
        self._topics: dict[str, Topic] = {}
        self._listener: Listener | None = None
        self._probe = f"tc:probe:{uuid.uuid4()}"
        self._probe_heard = 0.0
        self._resync_due = False
        self._to_subscribe: set[Topic] = set()
        self._to_read: set[Topic] = set()
        self._forced: set[Topic] = set()
        self._work = asyncio.Event()
        self._dirty: set[Topic] = set()
        self._flush_planned = False
        self._flushed_at = 0.0

    # -- for viewers --

    def join(self, viewer: Viewer, site: SiteId, tickets: Iterable[TicketId]) -> list[Topic]:
        """Let a viewer watch tickets of a known site: what is known is shown at once, the rest when it is read."""
        topics = [self._topic(site, ticket) for ticket in tickets]
        for topic in topics:
            topic.viewers.add(viewer)
        self.viewers.add(viewer)
        known = [topic for topic in topics if topic.shown is not None]
        if known:
            viewer.show(known)
        return topics

    def leave(self, viewer: Viewer, topics: Iterable[Topic]) -> None:
        """A viewer has gone."""
        self.viewers.discard(viewer)
        until = self._now() + self._linger
        for topic in topics:
            topic.viewers.discard(viewer)
            if not topic.viewers:
                topic.linger_until = until

    @property
    def healthy(self) -> bool:
        """Whether our own probe came back of late: subscriptions live, publishes arrive."""
        return self._now() - self._probe_heard < PROBE_LOST

    # -- its tasks --

    async def run(self) -> None:
        """Keep every topic true, for ever."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._listen(), name="hub: listen")
            group.create_task(self._read(), name="hub: read")
            group.create_task(self._rounds(), name="hub: rounds")
            group.create_task(self._probes(), name="hub: probe")
            group.create_task(self._beats(), name="hub: beat")

    async def start(self) -> None:
        """Learn which sites there are; raises StoreUnavailable."""
        self.sites = await self.schedule.sites()

    async def farewell(self, low_ms: int, high_ms: int, spread: float) -> None:
        """Send every viewer away, in waves over *spread* seconds, with a time at which to come back."""
        text = wire.bye(low_ms, high_ms)
        waves = 10
        everyone = list(self.viewers)
        size = max(1, -(-len(everyone) // waves))
        for start in range(0, len(everyone), size):
            for viewer in everyone[start : start + size]:
                if viewer in self.viewers:
                    viewer.bye(text)
            await asyncio.sleep(spread / waves)

    async def _listen(self) -> None:
        while True:
            try:
                async with self.listening.listener() as listener:
                    await self._hear(listener)
            except StoreUnavailable as error:
                log.warning("listener_lost", error=str(error))
            self._listener = None
            await asyncio.sleep(RETRY)

    async def _hear(self, listener: Listener) -> None:
        """Listen on a new connection until it fails, or until the probe tells that nothing comes through."""
        for topic in self._topics.values():
            topic.confirmed = False
        await listener.subscribe(self._probe, *self._topics)
        self._to_subscribe.clear()
        self._listener = listener
        began = self._now()
        if self._topics:
            metrics.resyncs.labels("new_listener").inc()
        while True:
            heard = await listener.hear(PROBE_EVERY)
            if heard is not None:
                self._on_heard(heard.channel, heard.text)
            elif self._now() - max(began, self._probe_heard) > PROBE_LOST:
                log.warning("probe_lost", seconds=PROBE_LOST)
                metrics.resyncs.labels("probe_lost").inc()
                return

    def _on_heard(self, name: str, text: str | None) -> None:
        if name == self._probe:
            if text is not None:
                self._probe_heard = self._now()
            return
        topic = self._topics.get(name)
        if topic is None:
            return
        if text is not None:
            self._take(topic, text, self._now() + JUST_READ)
        elif topic.confirmed:
            self._reconnected()
        else:
            topic.confirmed = True
            self._want(topic)

    def _reconnected(self) -> None:
        # Each channel is confirmed again; what was published while the link was down is lost.
        if not self._resync_due:
            self._resync_due = True
            asyncio.get_running_loop().call_later(RECONNECT_WITHIN, self._resync)

    def _resync(self) -> None:
        self._resync_due = False
        metrics.resyncs.labels("reconnected").inc()
        log.info("resync", topics=len(self._topics))
        for topic in self._topics.values():
            self._want(topic)

    async def _read(self) -> None:
        """Subscribe and read what is wanted, as much at once as there is."""
        while True:
            await self._work.wait()
            self._work.clear()
            try:
                await self._subscribe()
                await self._read_wanted()
            except StoreUnavailable as error:
                log.warning("store_unavailable", error=str(error))
                await asyncio.sleep(RETRY)
                self._work.set()

    async def _subscribe(self) -> None:
        listener = self._listener
        if listener is None or not self._to_subscribe:
            # A listener that comes subscribes to every topic there is.
            return
        new = {topic.channel for topic in self._to_subscribe}
        self._to_subscribe.clear()
        await listener.subscribe(*new)

    async def _read_wanted(self) -> None:
        wanted = sorted(self._to_read, key=lambda topic: topic.site)
        for site, topics in itertools.groupby(wanted, key=lambda topic: topic.site):
            for some in _parts(list(topics), READ_AT_ONCE):
                seen = await self.schedule.watch(site, [topic.ticket for topic in some], counters=True)
                for topic, one in zip(some, seen or _nothing(some), strict=True):
                    self._to_read.discard(topic)
                    self._see(topic, one)

    def _see(self, topic: Topic, seen: Seen) -> None:
        """Take what is stored, when it was asked for with its counter."""
        topic.open = True
        topic.ours = seen.v is None or seen.rules == self.rules_hash
        if seen.counter is not None and (seen.v or 0) < topic.v and topic in self._forced:
            # Twice the stored version was another one: Redis lost its tail, and what it has now is what there is.
            topic.v = 0
        self._forced.discard(topic)
        topic.mismatched = 0
        fresh_until = self._now() + self.schedule.timing.max_stale - seen.age
        if seen.counter is None:
            self._decide(topic)
        else:
            self._take(topic, seen.counter, fresh_until)

    def _take(self, topic: Topic, counter: str, fresh_until: float) -> None:
        v = wire.v_of(counter)
        if v >= topic.v:
            topic.counter, topic.v = counter, v
            topic.fresh_until = max(topic.fresh_until, fresh_until)
        self._decide(topic)

    def _decide(self, topic: Topic) -> None:
        """Show the counter if it can be vouched for, else `unknown`."""
        if not topic.open:
            return
        counter = topic.counter
        still = counter is not None and wire.holds_still(counter)
        vouched = topic.ours and counter is not None and (still or self._now() < topic.fresh_until)
        text = counter if vouched and counter is not None else wire.unknown(topic.ticket)
        if text == topic.shown:
            return
        if topic.verified and not vouched:
            metrics.withdrawn.inc()
            log.warning("counter_withdrawn", site=topic.site, ticket=topic.ticket)
        topic.shown = text
        topic.ws, topic.sse = wire.ws_text(text), wire.sse_data(text)
        self._dirty.add(topic)
        self._plan_flush()

    async def _rounds(self) -> None:
        """Keep watched tickets watched, learn how old they are, and find what pub/sub lost."""
        while True:
            try:
                self.sites = await self.schedule.sites()
                by_site = sorted(self._topics.values(), key=lambda topic: topic.site)
                for site, topics in itertools.groupby(by_site, key=lambda topic: topic.site):
                    await self._round(site, list(topics))
            except StoreUnavailable as error:
                log.warning("store_unavailable", error=str(error))
            await self._tidy_for(self._round_every)

    async def _round(self, site: SiteId, topics: list[Topic]) -> None:
        foreign = []
        for some in _parts(topics, READ_AT_ONCE):
            seen = await self.schedule.watch(site, [topic.ticket for topic in some], counters=False)
            for topic, one in zip(some, seen or _nothing(some), strict=True):
                if one.v is None:
                    continue
                topic.ours = one.rules == self.rules_hash
                if not topic.ours:
                    foreign.append(topic.ticket)
                if one.v == topic.v:
                    topic.mismatched = 0
                    topic.fresh_until = self._now() + self.schedule.timing.max_stale - one.age
                    self._decide(topic)
                    continue
                # Another counter is stored than the one we have: its age says nothing about ours.
                topic.mismatched += 1
                if topic.mismatched > 1:
                    self._forced.add(topic)
                if topic.mismatched > 1 or not topic.verified:
                    self._want(topic)
        if foreign:
            # Made by other settings than ours: nobody is shown it until it has been read again.
            await self.schedule.mark(site, Hint("rules", tuple(foreign)))

    async def _tidy_for(self, seconds: float) -> None:
        """Each second of the time until the next round: withdraw what grew stale, close what nobody watches."""
        until = self._now() + seconds
        while (now := self._now()) < until:
            await asyncio.sleep(min(1.0, until - now))
            now = self._now()
            closing = []
            for topic in self._topics.values():
                self._decide(topic)
                if not topic.viewers and now >= topic.linger_until:
                    closing.append(topic)
            await self._close(closing)
            metrics.topics.set(len(self._topics))

    async def _close(self, topics: Sequence[Topic]) -> None:
        for topic in topics:
            del self._topics[topic.channel]
            for pending in (self._to_read, self._to_subscribe, self._forced, self._dirty):
                pending.discard(topic)
        if topics and self._listener is not None:
            try:
                await self._listener.unsubscribe(*(topic.channel for topic in topics))
            except StoreUnavailable:
                # A new listener subscribes only to what is still there.
                log.info("unsubscribe_failed", topics=len(topics))

    async def _probes(self) -> None:
        while True:
            try:
                await self.store.do(self.store.publish_command, self._probe, "probe")
            except StoreUnavailable:
                log.debug("probe_not_sent")
            await asyncio.sleep(PROBE_EVERY)

    async def _beats(self) -> None:
        while True:
            await asyncio.sleep(self._beat_every)
            text = wire.beat(unix_ms())
            for some in _parts(list(self.viewers), SLICE):
                for viewer in some:
                    viewer.beat(text)
                await asyncio.sleep(0)

    # -- frames --

    def _plan_flush(self) -> None:
        if not self._flush_planned:
            self._flush_planned = True
            loop = asyncio.get_running_loop()
            loop.call_at(max(loop.time(), self._flushed_at + FLUSH_EVERY), self._flush)

    def _flush(self) -> None:
        """Give each viewer the topics of its own that changed, in one go."""
        began = time.perf_counter()
        self._flush_planned = False
        self._flushed_at = self._now()
        dirty, self._dirty = self._dirty, set()
        due: dict[Viewer, list[Topic]] = {}
        for topic in dirty:
            for viewer in topic.viewers:
                due.setdefault(viewer, []).append(topic)
        for viewer, topics in due.items():
            viewer.show(topics)
        metrics.hub_lag.observe(time.perf_counter() - began)

    # -- topics --

    def _topic(self, site: SiteId, ticket: TicketId) -> Topic:
        name = channel(site, ticket)
        topic = self._topics.get(name)
        if topic is None:
            topic = self._topics[name] = Topic(site, ticket)
            self._to_subscribe.add(topic)
            self._work.set()
        return topic

    def _want(self, topic: Topic) -> None:
        self._to_read.add(topic)
        self._work.set()

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()


def unix_ms() -> int:
    """The server's time for countdowns; nothing here is decided by it."""
    return time.time_ns() // 1_000_000


def _parts(items: Sequence[_T], size: int) -> Iterable[Sequence[_T]]:
    return (items[start : start + size] for start in range(0, len(items), size))


def _nothing(topics: Sequence[Topic]) -> list[Seen]:
    return [Seen(topic.ticket, None, 0.0, "", None) for topic in topics]
