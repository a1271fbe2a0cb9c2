"""The feed: keeps every topic of this process true.

In: counters from Redis pub/sub, and what `watch` says of what is stored and how old it is. Out: topics that hold the
newest counter and the time until which it is verified; what to tell of them is the hub's.

A topic is opening (subscribe, wait for the confirmation, then read the snapshot: nothing falls between) → open →
lingering (its last viewer left) → closed. Pub/sub loses messages in silence, so three things look after it: each
confirmation, also of a link that was opened anew, has its topic read; while there is no link for a site, it is looked at
each second; and every round compares what was sent with what is stored. On a cluster a part of Redis may be away: its
sites wait for it, and the others never do.
"""

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import replace

from server import logs, metrics
from server.errors import RedisUnavailable
from server.hub.hub import Hub, parts
from server.hub.other_rules import OtherRules
from server.hub.subscriptions import Subscriptions
from server.hub.topics import Topic
from server.model import SiteId, WatchedSite, WatchedTicket
from server.redis.client import RedisClient
from server.store.schedule import Schedule
from server.store.sites import Sites

ROUND_EVERY = 5.0
"""Seconds between two rounds of watch; the schedule forgets a viewer after four of them."""
LOOK_EVERY = 1.0
"""Seconds between two looks at sites of which nothing is heard."""
RETRY = 0.5
"""Seconds after which a site is asked again that Redis did not answer for."""
READ_AT_ONCE = 100
JUST_READ = 2 * ROUND_EVERY
"""Seconds that a published counter is taken as fresh: by then a round has told its exact age."""

log = logs.logger("feed")


class Feed:
    """One process's view of Redis: *redis* answers, *listening* tells, *sites* remembers which there are."""

    def __init__(
        self,
        redis: RedisClient,
        listening: RedisClient,
        schedule: Schedule,
        hub: Hub,
        sites: Sites,
        *,
        round_every: float = ROUND_EVERY,
    ) -> None:
        self.schedule = schedule
        self.hub = hub
        self.subscriptions = Subscriptions(redis, listening, hub, self._heard)
        self.sites = sites
        self.other_rules = OtherRules(schedule, sites.rules.hash, hub.now)
        self._round_every = round_every
        # As they were asked for.
        self._to_read: dict[Topic, None] = {}
        # Topics whose stored counter is to be shown even where it is older.
        self._forced: set[Topic] = set()
        # Set while topics wait for a site that is away.
        self._again: asyncio.TimerHandle | None = None
        # What Redis said last of each site that is watched.
        self._known: dict[SiteId, WatchedSite] = {}
        # Sites that Redis did not answer for when they were asked for last, and when they may be read again.
        self._away: dict[SiteId, float] = {}
        self._work = asyncio.Event()
        hub.opened = self._opened
        hub.closed = self._closed

    @property
    def healthy(self) -> bool:
        """Whether what is published comes through to us."""
        return self.subscriptions.healthy

    @property
    def webhooks_heard(self) -> bool:
        """Whether no site that is watched here has stock that falls without any webhook."""
        return all(known.unreported_falls is None for known in self._known.values())

    async def start(self) -> None:
        """Learn which sites there are."""
        self.hub.sites = self.sites.known
        await self._find_sites()

    async def run(self) -> None:
        """Keep every topic true, for ever."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.subscriptions.run(), name="feed: ear")
            group.create_task(self._read(), name="feed: read")
            group.create_task(self._rounds(), name="feed: rounds")
            group.create_task(self._tidies(), name="feed: tidy")

    # -- pub/sub --

    def _heard(self, topic: Topic, text: str | None) -> None:
        if text is not None:
            topic.take(text, self.hub.now() + min(JUST_READ, self.schedule.timing.max_stale))
            self.hub.decide(topic)
        else:
            # Whatever was published before this is lost, be it the first time or not.
            topic.confirmed = True
            self._want(topic)

    # -- snapshots --

    def _opened(self, topic: Topic) -> None:
        self.subscriptions.open(topic)
        self._work.set()

    def _want(self, topic: Topic) -> None:
        self._to_read.setdefault(topic)
        self._work.set()

    async def _read(self) -> None:
        """Tell the ear what opened and closed, and read what is wanted, as much at once as there is."""
        while True:
            await self._work.wait()
            self._work.clear()
            await self.subscriptions.tell()
            now = self.hub.now()
            wanted = [topic for topic in self._to_read if self._away.get(topic.site, now) <= now]
            await self._each(wanted, self._read_wanted)
            if self._again is not None:
                self._again.cancel()
                self._again = None
            if any(topic.site in self._away for topic in self._to_read):
                self._again = asyncio.get_running_loop().call_later(RETRY, self._work.set)

    async def _read_wanted(self, site: SiteId, topics: list[Topic]) -> None:
        # Who is wanted once more while it is read was so for what this read may not have seen.
        for topic in topics:
            self._to_read.pop(topic, None)
        left = dict.fromkeys(topics)
        try:
            async for topic, seen in self._watch(site, topics, counters=True):
                del left[topic]
                if self._is_open(topic):
                    self._see(topic, seen)
        finally:
            for topic in left:
                if self._is_open(topic):
                    self._to_read.setdefault(topic)

    async def _watch(
        self, site: SiteId, topics: list[Topic], *, counters: bool
    ) -> AsyncIterator[tuple[Topic, WatchedTicket]]:
        """Keep these watched, and learn what is stored of each: nothing, where the site is unknown."""
        for some in parts(topics, READ_AT_ONCE):
            found = await self.schedule.watch(site, [topic.ticket for topic in some], counters=counters)
            if found is None:
                self._known.pop(site, None)
            else:
                self._known[site] = replace(found, tickets=())
            for topic, seen in zip(some, found.tickets if found else _nothing(some), strict=True):
                yield topic, seen

    async def _each(self, topics: Iterable[Topic], ask: Callable[[SiteId, list[Topic]], Awaitable[None]]) -> None:
        """Ask for each site's, all at once: a part of Redis that hangs delays no other, and itself only once."""
        by_site = itertools.groupby(sorted(topics, key=lambda topic: topic.site), key=lambda topic: topic.site)
        asked = [(site, list(some)) for site, some in by_site]

        async def one(site: SiteId, some: list[Topic]) -> None:
            with self._answers_for(site):
                await ask(site, some)

        await asyncio.gather(*(one(site, some) for site, some in asked))

    @contextlib.contextmanager
    def _answers_for(self, site: SiteId) -> Iterator[None]:
        """Pass over a site whose part of Redis is away, and say so once."""
        try:
            yield
        except RedisUnavailable as error:
            if site not in self._away:
                log.warning("store_unavailable", site=site, error=str(error))
            self._away[site] = self.hub.now() + RETRY
        else:
            self._away.pop(site, None)

    def _see(self, topic: Topic, seen: WatchedTicket) -> None:
        """Take what is stored, when it was asked for with its counter."""
        topic.open = True
        topic.ours = self.other_rules.is_ours(seen)
        if seen.counter is not None and (seen.v or 0) < topic.v and topic in self._forced:
            # Twice the stored version was the same older one: Redis lost its tail, and what it has now is what there is.
            topic.v, topic.fresh_until = 0, 0.0
        self._forced.discard(topic)
        topic.mismatched = 0
        if seen.counter is not None:
            topic.take(seen.counter, self._fresh_until(seen))
        self.hub.decide(topic)

    # -- rounds --

    async def _rounds(self) -> None:
        """Keep watched tickets watched, learn how old they are, and find what pub/sub lost."""
        round_at = 0.0
        while True:
            now = self.hub.now()
            if now >= round_at:
                round_at = now + self._round_every
                await self._find_sites()
                await self._each(self.hub.topics.values(), self._round)
                self._look_back()
            else:
                await self._each(
                    [topic for topic in self.hub.topics.values() if not self.subscriptions.connected(topic)],
                    self._round,
                )
            await asyncio.sleep(min(LOOK_EVERY, self._round_every))

    async def _find_sites(self) -> None:
        try:
            self.hub.sites = await self.sites.reload()
        except RedisUnavailable as error:
            log.warning("store_unavailable", error=str(error))

    async def _round(self, site: SiteId, topics: list[Topic]) -> None:
        foreign: list[Topic] = []
        # Of a site that nothing is heard of the counters are asked for too: they are all that there is.
        async for topic, seen in self._watch(site, topics, counters=not self.subscriptions.connected(topics[0])):
            if seen.v is None or not self._is_open(topic):
                # Never read, or closed since it was asked for.
                continue
            topic.ours = self.other_rules.is_ours(seen)
            if topic.ours:
                self.other_rules.forget(topic)
            else:
                foreign.append(topic)
            if seen.counter is not None:
                topic.take(seen.counter, self._fresh_until(seen))
            self._compare(topic, seen)
        await self.other_rules.found(site, [topic for topic in foreign if self._is_open(topic)])

    def _look_back(self) -> None:
        """A round is over: what is known of the sites that are watched, be it from an earlier one, tells how they are."""
        watched = {topic.site for topic in self.hub.topics.values()}
        self._away = {site: until for site, until in self._away.items() if site in watched}
        self._known = {site: known for site, known in self._known.items() if site in watched}
        self.other_rules.compare(known.rules for known in self._known.values())
        metrics.silent.set(sum(known.unreported_falls is not None for known in self._known.values()))

    def _compare(self, topic: Topic, seen: WatchedTicket) -> None:
        if seen.v == topic.v:
            topic.mismatched = 0
            topic.fresh_until = self._fresh_until(seen)
            self.hub.decide(topic)
            return
        # Another counter is stored than the one we have: its age says nothing about ours.
        stored = seen.v or 0
        topic.mismatched += 1
        if topic.mismatched > 1 and topic.v > stored == topic.stored_v:
            self._forced.add(topic)
        topic.stored_v = stored
        if topic.mismatched > 1 or not topic.verified:
            self._want(topic)

    def _fresh_until(self, seen: WatchedTicket) -> float:
        return self.hub.now() + self.schedule.timing.max_stale - seen.age

    async def _tidies(self) -> None:
        """Each second withdraw what grew stale and close what nobody watches, however long a round may take."""
        while True:
            await asyncio.sleep(min(1.0, self._round_every))
            for topic in list(self.hub.topics.values()):
                self.hub.decide(topic)
            self.hub.close_idle()
            metrics.topics.set(len(self.hub.topics))

    def _is_open(self, topic: Topic) -> bool:
        """Whether it has not been closed since it was asked for."""
        return self.hub.topics.get(topic.channel) is topic

    def _closed(self, topic: Topic) -> None:
        self.subscriptions.close(topic)
        self._work.set()
        self._to_read.pop(topic, None)
        self._forced.discard(topic)
        self.other_rules.forget(topic)


def _nothing(topics: Sequence[Topic]) -> list[WatchedTicket]:
    return [WatchedTicket(topic.ticket, None, 0.0, "", None) for topic in topics]
