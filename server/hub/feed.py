"""The feed keeps every topic of this process true.

In: counters from Redis pub/sub, and what the script `watch` returns: what is stored and how old it is. Out: topics that
hold the newest counter and the time until which it is verified; the hub tells the viewers. The lists of events are read as
counters are (event_lists.py).

Opening a topic: subscribe, wait for the confirmation, then read the snapshot, so that nothing falls between. Pub/sub
loses messages silently, so three things check it: each confirmed subscription, also on a new link, has its topic read;
while there is no link for a site, its topics are read each second; and every round compares what was sent with what is
stored. In a cluster a part of Redis may be unavailable: its sites wait for it, the others never do.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence

from server import logs, metrics, wire
from server.chunks import chunks
from server.errors import RedisUnavailable
from server.hub.by_site import RETRY, BySite
from server.hub.disallowed import Disallowed
from server.hub.event_lists import EventLists
from server.hub.hub import Hub
from server.hub.other_rules import OtherRules
from server.hub.rereads import Rereads
from server.hub.site_status import SiteStatus
from server.hub.subscriptions import Subscriptions
from server.hub.topics import EventTopic, TicketTopic, Topic, TopicState
from server.model import SiteId, WatchedTicket
from server.redis.client import RedisClient
from server.store.schedule import READ_AT_ONCE, Schedule
from server.store.shown import Shown
from server.store.sites import Sites

ROUND_EVERY = 5.0
"""Seconds between two rounds of `watch`; a ticket that is in none of four rounds is no longer watched."""
POLL_EVERY = 1.0
"""Seconds between two reads of topics for which there is no link."""
FRESH_FOR = 2 * ROUND_EVERY
"""Seconds that a published counter counts as verified: by then a round has found its exact age."""

log = logs.logger("feed")


class Feed:
    """One process's view of Redis: *redis* answers commands, *listening* subscribes, *sites* remembers which there are."""

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
        # Whatever was published before a confirmation is lost, be it the first one or not: the topic is read.
        self.subscriptions = Subscriptions(redis, listening, hub, on_confirmed=self._want, on_message=self._published)
        self.sites = sites
        self.rereads = Rereads(schedule, hub.now)
        self.other_rules = OtherRules(self.rereads, sites.rules.hash, hub.now)
        self.disallowed = Disallowed(hub.now)
        self.by_site = BySite(hub.now)
        self.event_lists = EventLists(Shown(redis, schedule.timing), hub)
        self.site_status = SiteStatus()
        self._round_every = round_every
        # Topics to read, in the order in which they were asked for.
        self._to_read: dict[Topic, None] = {}
        self._work = asyncio.Event()
        # Topics whose stored counter is to be shown even though it is older.
        self._accept_older: set[TicketTopic] = set()
        # Wakes `_read` when a site may be read again for which Redis did not answer.
        self._retry: asyncio.TimerHandle | None = None
        hub.opened = self.subscriptions.open
        hub.closed = self._closed

    @property
    def healthy(self) -> bool:
        """Whether published messages reach this process."""
        return self.subscriptions.healthy

    async def start(self) -> None:
        """Load the sites."""
        await self._reload_sites()

    async def run(self) -> None:
        """Keep every topic true, for ever."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.subscriptions.run(), name="feed: subscriptions")
            group.create_task(self._read(), name="feed: read")
            group.create_task(self._rounds(), name="feed: rounds")
            group.create_task(self._expire(), name="feed: expire")

    # -- pub/sub --

    def _published(self, topic: Topic, text: str) -> None:
        if not isinstance(topic, TicketTopic):
            self._want(topic)
            return
        fresh_until = self.hub.now() + min(FRESH_FOR, self.schedule.timing.max_stale)
        if not topic.take(text, fresh_until) and self.disallowed.published(topic):
            # If a process of ours wrote it, by other rules, something newer is stored than what is shown.
            self._want(topic)
        self.hub.update(topic)

    # -- snapshots --

    def _want(self, topic: Topic) -> None:
        self._to_read.setdefault(topic)
        self._work.set()

    async def _read(self) -> None:
        """Read the topics that are to be read, as many at once as there are."""
        while True:
            await self._work.wait()
            self._work.clear()
            await self.by_site.each([t for t in self._to_read if self.by_site.may_ask(t.site)], self._read_wanted)
            if self._retry is not None:
                self._retry.cancel()
                self._retry = None
            if any(self.by_site.failed(topic.site) for topic in self._to_read):
                self._retry = asyncio.get_running_loop().call_later(RETRY, self._work.set)

    async def _read_wanted(self, site: SiteId, topics: list[Topic]) -> None:
        # A topic that is asked for again meanwhile is read again: this read may not have seen why.
        for topic in topics:
            self._to_read.pop(topic, None)
        tickets, events = _by_kind(topics)
        left = dict.fromkeys(topics)
        disallowed: list[TicketTopic] = []
        try:
            await self.event_lists.read(site, events)
            for event in events:
                del left[event]
            async for topic, stored in self._watch(site, tickets, counters=True):
                del left[topic]
                if topic.state is not TopicState.CLOSED and not self._take_snapshot(topic, stored):
                    disallowed.append(topic)
        finally:
            self._to_read |= {topic: None for topic in left if topic.state is not TopicState.CLOSED}
        await self.rereads.ask(site, disallowed)

    async def _watch(
        self, site: SiteId, topics: Sequence[TicketTopic], *, counters: bool
    ) -> AsyncIterator[tuple[TicketTopic, WatchedTicket]]:
        """Keep these tickets watched, and yield what is stored of each: nothing, where the site is unknown."""
        for some in chunks(topics, READ_AT_ONCE):
            found = await self.schedule.watch(site, [topic.ticket for topic in some], counters=counters)
            self.site_status.take(site, found)
            for topic, stored in zip(some, found.tickets if found else _nothing(some), strict=True):
                yield topic, stored

    def _take_snapshot(self, topic: TicketTopic, stored: WatchedTicket) -> bool:
        """Take what is stored, after it was asked for with its counter; tell whether our rules allow it."""
        topic.read()
        topic.same_rules = self.other_rules.are_ours(stored)
        if stored.counter is not None and (stored.v or 0) < topic.v and topic in self._accept_older:
            # Twice an older version was stored: Redis lost its newest writes, or somebody else published what is here.
            topic.v, topic.fresh_until = 0, 0.0
        self._accept_older.discard(topic)
        allowed = self._take(topic, stored)
        if topic.v == stored.v:
            topic.mismatched = 0
        self.hub.update(topic)
        return allowed

    def _take(self, topic: TicketTopic, stored: WatchedTicket) -> bool:
        """Take the stored counter, if it was asked for; tell whether our rules allow it."""
        counter = stored.counter
        if counter is None:
            return True
        if wire.v_of(counter) == stored.v and topic.take(counter, self._fresh_until(stored)):
            return True
        topic.withhold(stored.v or 0)
        self.hub.update(topic)
        if topic.same_rules:  # else it is no wonder, and reported by other_rules.py
            self.disallowed.stored(topic)
        return False

    # -- rounds --

    async def _rounds(self) -> None:
        """Keep watched tickets watched, learn how old they are, and find what pub/sub lost."""
        round_at = 0.0
        while True:
            now = self.hub.now()
            topics = self.hub.topics.values()
            if now >= round_at:
                round_at = now + self._round_every
                await self._reload_sites()
                await self.by_site.each(topics, self._round)
                self._update_site_status()
            else:
                await self.by_site.each(
                    [topic for topic in topics if not self.subscriptions.connected(topic)], self._round
                )
            await asyncio.sleep(min(POLL_EVERY, self._round_every))

    async def _reload_sites(self) -> None:
        try:
            await self.sites.reload()
        except RedisUnavailable as error:
            log.warning("store_unavailable", error=str(error))

    async def _round(self, site: SiteId, topics: list[Topic]) -> None:
        tickets, events = _by_kind(topics)
        await self.event_lists.read(site, events)
        others: list[TicketTopic] = []
        disallowed: list[TicketTopic] = []
        # Without a link the counters are asked for too: nothing else brings them.
        async for topic, stored in self._watch(site, tickets, counters=not self.subscriptions.connected(topics[0])):
            if stored.v is None or topic.state is TopicState.CLOSED:
                # Never read, or closed since it was asked for.
                continue
            topic.same_rules = self.other_rules.are_ours(stored)
            if not topic.same_rules:
                others.append(topic)
            if not self._take(topic, stored):
                disallowed.append(topic)
            elif topic.same_rules and topic.counter is not None:
                self.rereads.discard(topic)
            self._compare(topic, stored)
        await self.rereads.ask(site, disallowed)
        await self.other_rules.found(site, [topic for topic in others if topic.state is not TopicState.CLOSED])

    def _update_site_status(self) -> None:
        """After a round: note which sites are silent or have other rules, by what Redis returned last of each."""
        sites = {topic.site for topic in self.hub.topics.values()}
        self.by_site.keep_only(sites)
        self.site_status.keep_only(sites)
        self.other_rules.compare(self.site_status.rules)

    def _compare(self, topic: TicketTopic, stored: WatchedTicket) -> None:
        if stored.v == topic.v:
            topic.mismatched = 0
            topic.fresh_until = self._fresh_until(stored)
            self.hub.update(topic)
            if topic.counter is None:
                self._want(topic)
            return
        # Another counter is stored than the one we have: its age says nothing about ours.
        v = stored.v or 0
        topic.mismatched += 1
        # In two rounds in a row either nothing newer was stored than this, or nothing newer came than what is here.
        if topic.mismatched > 1 and topic.v > v and (v == topic.stored_v or topic.v == topic.compared_v):
            self._accept_older.add(topic)
        topic.stored_v, topic.compared_v = v, topic.v
        if topic.mismatched > 1 or not topic.verified:
            self._want(topic)

    def _fresh_until(self, stored: WatchedTicket) -> float:
        return self.hub.now() + self.schedule.timing.max_stale - stored.age

    async def _expire(self) -> None:
        """Each second withdraw what is stale and close topics without viewers, however long a round may take."""
        while True:
            await asyncio.sleep(min(1.0, self._round_every))
            for topic in list(self.hub.topics.values()):
                self.hub.update(topic)
            self.hub.close_idle()
            self.hub.withdrawals.tell()
            metrics.topics.set(len(self.hub.topics))

    def _closed(self, topic: Topic) -> None:
        self.subscriptions.close(topic)
        self._to_read.pop(topic, None)
        if not isinstance(topic, TicketTopic):
            return
        self._accept_older.discard(topic)
        self.rereads.discard(topic)
        self.disallowed.discard(topic)


def _by_kind(topics: Iterable[Topic]) -> tuple[list[TicketTopic], list[EventTopic]]:
    """The tickets, and the events."""
    tickets: list[TicketTopic] = []
    events: list[EventTopic] = []
    for topic in topics:
        if isinstance(topic, TicketTopic):
            tickets.append(topic)
        elif isinstance(topic, EventTopic):
            events.append(topic)
    return tickets, events


def _nothing(topics: Sequence[TicketTopic]) -> list[WatchedTicket]:
    return [WatchedTicket(topic.ticket, None, 0.0, "", None) for topic in topics]
