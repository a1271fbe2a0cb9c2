"""The feed: keeps every topic of this process true.

In: counters from Redis pub/sub, and what `watch` says of what is stored and how old it is. Out: topics that hold the
newest counter and the time until which it is verified; what to tell of them is the hub's.

A topic is opening (subscribe, wait for the confirmation, then read the snapshot: nothing falls between) → open →
lingering (its last viewer left) → closed. Pub/sub loses messages in silence, so three things look after it: a
confirmation for a channel that was already confirmed means a reconnect, and all topics are read again; a probe
published to ourselves finds a dead link; and every round compares what was sent with what is stored. On a cluster a
part of Redis may be away: its sites wait for it, and the others never do.
"""

import asyncio
import contextlib
import itertools
import uuid
from collections.abc import AsyncIterator, Collection, Iterator, Sequence

from server import logs, metrics
from server.errors import StoreUnavailable
from server.hub import Hub, parts
from server.listener import Listener
from server.model import Hint, SiteId
from server.schedule import Schedule, Seen
from server.store import Store
from server.topics import Topic

ROUND_EVERY = 5.0
"""Seconds between two rounds of watch; the schedule forgets a viewer after four of them."""
PROBE_EVERY = 1.0
PROBE_LOST = 5.0
"""Seconds without our own probe after which the link to Redis is taken for dead."""
RECONNECT_WITHIN = 0.1
"""Seconds in which the confirmations of one reconnect arrive: they cause one re-read."""
RETRY = 0.5
READ_AT_ONCE = 100
FOREIGN_EVERY = 60.0
"""Seconds between two marks of a ticket, or two warnings, for a counter that was made by other rules than ours."""
JUST_READ = 2 * ROUND_EVERY
"""Seconds that a published counter is taken as fresh: by then a round has told its exact age."""

log = logs.logger("feed")


class Feed:
    """One process's view of Redis: *store* answers, *listening* tells."""

    def __init__(
        self,
        store: Store,
        listening: Store,
        schedule: Schedule,
        hub: Hub,
        rules_hash: str,
        *,
        round_every: float = ROUND_EVERY,
    ) -> None:
        self.store = store
        self.listening = listening
        self.schedule = schedule
        self.hub = hub
        self.rules_hash = rules_hash
        self._round_every = round_every
        self._probe = f"tc:probe:{uuid.uuid4()}"
        self._probe_heard = 0.0
        self._resync_due = False
        # What the listening task is to say on its connection.
        self._to_subscribe: set[Topic] = set()
        self._to_leave: set[str] = set()
        self._to_read: set[Topic] = set()
        # Topics whose stored counter is to be shown even where it is older.
        self._forced: set[Topic] = set()
        # Topics with a counter of other rules, and when their tickets were marked for it.
        self._foreign: dict[Topic, float] = {}
        self._warned = -FOREIGN_EVERY
        # Sites that Redis did not answer for when they were asked for last.
        self._away: set[SiteId] = set()
        # Since when a site has had other rules than ours.
        self._differs_since: float | None = None
        self._work = asyncio.Event()
        hub.opened = self._opened

    @property
    def healthy(self) -> bool:
        """Whether our own probe came back of late: subscriptions live, publishes arrive."""
        return self.hub.now() - self._probe_heard < PROBE_LOST

    @property
    def same_rules(self) -> bool:
        """Whether the sites that are watched here have our rules, but for the minute that a restart of all may take."""
        since = self._differs_since
        return since is None or self.hub.now() - since < FOREIGN_EVERY

    async def start(self) -> None:
        """Learn which sites there are; raises StoreUnavailable."""
        self.hub.sites = await self.schedule.sites()

    async def run(self) -> None:
        """Keep every topic true, for ever."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._listen(), name="feed: listen")
            group.create_task(self._read(), name="feed: read")
            group.create_task(self._rounds(), name="feed: rounds")
            group.create_task(self._tidies(), name="feed: tidy")
            group.create_task(self._probes(), name="feed: probe")

    # -- pub/sub --

    async def _listen(self) -> None:
        while True:
            try:
                async with self.listening.listener() as listener:
                    await self._hear(listener)
            except StoreUnavailable as error:
                log.warning("listener_lost", error=str(error))
            await asyncio.sleep(RETRY)

    async def _hear(self, listener: Listener) -> None:
        """Listen on a new connection until it fails, or until the probe tells that nothing comes through."""
        topics = self.hub.topics
        for topic in topics.values():
            topic.confirmed = False
        self._to_subscribe.clear()
        self._to_leave.clear()
        await listener.subscribe(self._probe, *topics)
        began = self.hub.now()
        if topics:
            metrics.resyncs.labels("new_listener").inc()
        while True:
            if self._to_subscribe or self._to_leave:
                await self._say(listener)
            heard = await listener.hear(PROBE_EVERY)
            if heard is not None:
                self._on_heard(heard.channel, heard.text)
            # Also while others talk: on a cluster each node has a link of its own.
            if self.hub.now() - max(began, self._probe_heard) > PROBE_LOST:
                log.warning("probe_lost", seconds=PROBE_LOST)
                metrics.resyncs.labels("probe_lost").inc()
                return

    async def _say(self, listener: Listener) -> None:
        """Ask for topics that opened, and no more for those that closed.

        Only this task uses its connection: of two, each could find it broken by the other, half way.
        """
        new, old = self._to_subscribe, self._to_leave
        self._to_subscribe, self._to_leave = set(), set()
        if old:
            await listener.unsubscribe(*old)
        if new:
            await listener.subscribe(*(topic.channel for topic in new))

    def _on_heard(self, name: str, text: str | None) -> None:
        if name == self._probe:
            if text is not None:
                self._probe_heard = self.hub.now()
            return
        topic = self.hub.topics.get(name)
        if topic is None:
            return
        if text is not None:
            topic.take(text, self.hub.now() + JUST_READ)
            self.hub.decide(topic)
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
        log.info("resync", topics=len(self.hub.topics))
        for topic in self.hub.topics.values():
            self._want(topic)

    async def _probes(self) -> None:
        while True:
            try:
                await self._probe_now()
            except StoreUnavailable:
                log.debug("probe_not_sent")
            await asyncio.sleep(PROBE_EVERY)

    async def _probe_now(self) -> None:
        await self.store.do(self.store.publish_command, self._probe, "probe")

    # -- snapshots --

    def _opened(self, topic: Topic) -> None:
        self._to_leave.discard(topic.channel)
        self._to_subscribe.add(topic)
        self._work.set()

    def _want(self, topic: Topic) -> None:
        self._to_read.add(topic)
        self._work.set()

    async def _read(self) -> None:
        """Have subscribed, and read, what is wanted, as much at once as there is."""
        while True:
            await self._work.wait()
            self._work.clear()
            if self._to_subscribe:
                # The listener waits for whatever comes: this comes at once.
                with contextlib.suppress(StoreUnavailable):
                    await self._probe_now()
            for site, topics in self._by_site(self._to_read):
                with self._answers_for(site):
                    await self._read_wanted(site, topics)
            if any(topic.site in self._away for topic in self._to_read):
                await asyncio.sleep(RETRY)
                self._work.set()

    async def _read_wanted(self, site: SiteId, topics: list[Topic]) -> None:
        async for topic, seen in self._watch(site, topics, counters=True):
            self._to_read.discard(topic)
            self._see(topic, seen)

    async def _watch(self, site: SiteId, topics: list[Topic], *, counters: bool) -> AsyncIterator[tuple[Topic, Seen]]:
        """Keep these watched, and learn what is stored of each: nothing, where the site is unknown."""
        for some in parts(topics, READ_AT_ONCE):
            found = await self.schedule.watch(site, [topic.ticket for topic in some], counters=counters)
            for topic, seen in zip(some, found or _nothing(some), strict=True):
                yield topic, seen

    def _by_site(self, topics: Collection[Topic]) -> Iterator[tuple[SiteId, list[Topic]]]:
        """Those of each site; last come sites that Redis was away for, as each may cost a time-out again."""
        ordered = sorted(topics, key=lambda topic: (topic.site in self._away, topic.site))
        for site, some in itertools.groupby(ordered, key=lambda topic: topic.site):
            yield site, list(some)

    @contextlib.contextmanager
    def _answers_for(self, site: SiteId) -> Iterator[None]:
        """Pass over a site whose part of Redis is away, and say so once."""
        try:
            yield
        except StoreUnavailable as error:
            if site not in self._away:
                log.warning("store_unavailable", site=site, error=str(error))
            self._away.add(site)
        else:
            self._away.discard(site)

    def _see(self, topic: Topic, seen: Seen) -> None:
        """Take what is stored, when it was asked for with its counter."""
        topic.open = True
        topic.ours = seen.v is None or seen.rules == self.rules_hash
        if seen.counter is not None and (seen.v or 0) < topic.v and topic in self._forced:
            # Twice the stored version was another one: Redis lost its tail, and what it has now is what there is.
            topic.v = 0
        self._forced.discard(topic)
        topic.mismatched = 0
        if seen.counter is not None:
            topic.take(seen.counter, self._fresh_until(seen))
        self.hub.decide(topic)

    # -- rounds --

    async def _rounds(self) -> None:
        """Keep watched tickets watched, learn how old they are, and find what pub/sub lost."""
        while True:
            try:
                self.hub.sites = await self.schedule.sites()
            except StoreUnavailable as error:
                log.warning("store_unavailable", error=str(error))
            others = False
            for site, topics in self._by_site(self.hub.topics.values()):
                with self._answers_for(site):
                    await self._round(site, topics)
                    others = others or await self.schedule.rules(site) not in {None, self.rules_hash}
            self._away &= {topic.site for topic in self.hub.topics.values()}
            if others:
                self._differs_since = self._differs_since or self.hub.now()
            elif not self._away:
                self._differs_since = None
            await asyncio.sleep(self._round_every)

    async def _round(self, site: SiteId, topics: list[Topic]) -> None:
        foreign: list[Topic] = []
        async for topic, seen in self._watch(site, topics, counters=False):
            if seen.v is None or self.hub.topics.get(topic.channel) is not topic:
                # Never read, or closed since it was asked for.
                continue
            topic.ours = seen.rules == self.rules_hash
            if topic.ours:
                self._foreign.pop(topic, None)
            else:
                foreign.append(topic)
            self._compare(topic, seen)
        if foreign:
            await self._on_foreign(site, foreign)

    async def _on_foreign(self, site: SiteId, foreign: Sequence[Topic]) -> None:
        """These were made by other rules than ours: nobody is shown them until they have been read again.

        That helps only if it is a worker with our rules who reads them, so they are marked once, and seldom again.
        """
        now = self.hub.now()
        new = [topic for topic in foreign if now - self._foreign.get(topic, -FOREIGN_EVERY) >= FOREIGN_EVERY]
        if new:
            self._foreign |= dict.fromkeys(new, now)
            await self.schedule.mark(site, Hint("rules", tuple(topic.ticket for topic in new)))
        if now - self._warned >= FOREIGN_EVERY:
            self._warned = now
            log.warning(
                "rules_differ",
                site=site,
                topics=len(foreign),
                hint="another process made these counters: restart all with the same LOW_AT and SHOW_AT_MOST",
            )

    def _compare(self, topic: Topic, seen: Seen) -> None:
        if seen.v == topic.v:
            topic.mismatched = 0
            topic.fresh_until = self._fresh_until(seen)
            self.hub.decide(topic)
            return
        # Another counter is stored than the one we have: its age says nothing about ours.
        topic.mismatched += 1
        if topic.mismatched > 1:
            self._forced.add(topic)
        if topic.mismatched > 1 or not topic.verified:
            self._want(topic)

    def _fresh_until(self, seen: Seen) -> float:
        return self.hub.now() + self.schedule.timing.max_stale - seen.age

    async def _tidies(self) -> None:
        """Each second withdraw what grew stale and close what nobody watches, however long a round may take."""
        while True:
            await asyncio.sleep(min(1.0, self._round_every))
            for topic in list(self.hub.topics.values()):
                self.hub.decide(topic)
            self._close(self.hub.close_idle())
            metrics.topics.set(len(self.hub.topics))

    def _close(self, topics: Sequence[Topic]) -> None:
        for topic in topics:
            self._to_leave.add(topic.channel)
            for pending in (self._to_read, self._to_subscribe, self._forced):
                pending.discard(topic)
            self._foreign.pop(topic, None)


def _nothing(topics: Sequence[Topic]) -> list[Seen]:
    return [Seen(topic.ticket, None, 0.0, "", None) for topic in topics]
