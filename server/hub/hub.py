"""The hub: which viewers watch what in this process, and how a change reaches all of them.

In: viewers that join and leave, topics that changed (feed.py). Out: to every viewer the newest frame of each topic it watches
(flush.py). Viewers of an event get the list of its tickets, then those; they are sent away when the list changes, and come back.

Any client may ask for any ticket; those that Wix has not confirmed are bounded (unconfirmed.py), and viewers of one that
must make room are sent away.
"""

import asyncio
import itertools
from collections.abc import Callable, Iterator, Sequence
from socket import SocketType
from typing import TypeVar

from server import metrics, wire
from server.chunks import chunks
from server.counter import Rules
from server.errors import Refused
from server.hub.flush import Flush
from server.hub.heartbeat import BEAT_EVERY, Heartbeat
from server.hub.topics import Audience, EventTopic, TicketTopic, Topic, TopicState, Viewer, Wanted
from server.hub.unconfirmed import Unconfirmed
from server.hub.withdrawals import Withdrawals
from server.model import EventName, SiteId, TicketId
from server.store.keys import Keys
from server.wire import Close

LINGER = 30.0
"""Seconds that a topic stays open without viewers: polls and reloads find it open."""
UNCONFIRMED_LINGER = 2.0
"""The same for an id that Wix has not confirmed: two polls in a row may share what is known."""
OPENING = 2.0
"""Seconds that viewers wait for Redis before they are told that nothing is known."""
MAX_AUDIENCE = 1000
"""Viewers of an audience: writing to them takes some 5 ms."""

_Topic = TypeVar("_Topic", bound=Topic)


class Hub:
    """All topics and audiences of this process: what is shown is what *rules* allow.

    The feed sets `opened` and `closed`, which are called with each topic.
    """

    def __init__(
        self,
        keys: Keys,
        rules: Rules,
        *,
        beat_every: float = BEAT_EVERY,
        linger: float = LINGER,
        unconfirmed_linger: float = UNCONFIRMED_LINGER,
        unconfirmed: Unconfirmed | None = None,
        max_audience: int = MAX_AUDIENCE,
    ) -> None:
        self.keys = keys
        self.rules = rules
        self.topics: dict[str, Topic] = {}
        self.opened: Callable[[Topic], None] = lambda _: None
        self.closed: Callable[[Topic], None] = lambda _: None
        self.unconfirmed = Unconfirmed() if unconfirmed is None else unconfirmed
        self._audiences: dict[tuple[SiteId, Wanted], list[Audience]] = {}
        self._heartbeat = Heartbeat(beat_every)
        self._linger = linger
        self._unconfirmed_linger = unconfirmed_linger
        self._max_audience = max_audience
        self.flush = Flush(max_audience)
        self.withdrawals = Withdrawals()

    # -- for viewers --

    def admit(self, site: SiteId, wanted: Wanted, address: str) -> None:
        """Let an address ask for this, of a known site; raises TooManyUnconfirmed, or UnknownEvent where that is known."""
        # Most viewers ask for what others watch: then none of it is new, and no channel name need be built to find out.
        if (site, wanted) in self._audiences:
            return
        if isinstance(wanted, str):
            names = [self.keys.event_channel(site, wanted)]
        else:
            names = [self.keys.channel(site, ticket) for ticket in wanted]
        self.unconfirmed.admit(sum(name not in self.topics for name in names), address)
        topic = self.topics.get(names[0])
        if isinstance(topic, EventTopic) and topic.refusal is not None:
            # It is raised many times, and would keep the frames of each.
            raise topic.refusal.with_traceback(None)

    def audience(self, site: SiteId, wanted: Wanted, address: str = "") -> Audience:
        """An audience of these tickets with room for one more viewer, of this *address* (`add_fast` or `add_slow`)."""
        alike = self._audiences.setdefault((site, wanted), [])
        found = next((audience for audience in reversed(alike) if len(audience) < self._max_audience), None)
        if found is None:
            found = Audience(site, wanted)
            alike.append(found)
            self._heartbeat.add(found)
            if isinstance(wanted, str):
                self._watch_event(found, self._event_topic(site, wanted, address))
            else:
                self._watch(found, [self._ticket_topic(site, ticket, address) for ticket in wanted])
            self._make_room()
        return found

    def join(self, viewer: Viewer, site: SiteId, wanted: Wanted, address: str = "") -> Audience:
        """Add a viewer that has no socket of its own: it is shown what is known at once, the rest when it is read."""
        audience = self.audience(site, wanted, address)
        audience.others.add(viewer)
        if shown := audience.shown():
            viewer.show(shown)
        return audience

    def leave(self, audience: Audience, viewer: Viewer, sock: SocketType | None = None) -> None:
        """Remove a viewer, and its socket if it has one; when the last viewer leaves, the topics begin to linger."""
        if sock is not None:
            audience.fast.pop(sock, None)
        audience.others.discard(viewer)
        if not audience and audience in self._audiences.get(audience.wanted, ()):
            self._end(audience)

    @property
    def viewers(self) -> list[Viewer]:
        """All viewers."""
        return [viewer for audience in self._all_audiences() for viewer in audience.viewers()]

    def __len__(self) -> int:
        return sum(map(len, self._all_audiences()))

    # -- for the feed --

    def update(self, topic: Topic) -> None:
        """The topic has new data, or time has passed: tell its viewers if what they see changes."""
        if topic.confirmed and self.unconfirmed.discard(topic):
            topic.linger_until = self.now() + self._linger
        verified = topic.verified
        if not topic.decide(self.now()):
            return
        if isinstance(topic, EventTopic):
            self._list_changed(topic, first=not verified)
            return
        if verified and not topic.verified:
            metrics.withdrawn.inc()
            if isinstance(topic, TicketTopic):
                self.withdrawals.add(topic)
        self.flush.changed(topic)

    def refuse(self, topic: EventTopic, refusal: Refused) -> None:
        """There is no such event: who asks for it is refused; viewers who have its list come back first, and are refused then."""
        verified = topic.verified
        topic.refuse(refusal)
        for audience in list(topic.audiences):
            if verified:
                self._send_back(audience)
            else:
                self._send_away(audience, lambda viewer: viewer.refuse(refusal), refusal.reason)

    def close_idle(self) -> None:
        """Close the topics that have had no viewer for long enough."""
        now = self.now()
        for topic in [topic for topic in self.topics.values() if not topic.audiences and now >= topic.linger_until]:
            self._close(topic)

    @staticmethod
    def now() -> float:
        """The event loop's time, by which everything here is timed."""
        return asyncio.get_running_loop().time()

    # -- its tasks --

    async def run(self) -> None:
        """Write changes and heartbeats to viewers, for ever."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.flush.run(), name="hub: flush")
            group.create_task(self._heartbeat.run(), name="hub: beat")

    async def close_all(self, low_ms: int, high_ms: int, spread: float) -> None:
        """Send every viewer away, in waves over *spread* seconds, with the range of times at which to come back."""
        text = wire.bye(low_ms, high_ms)
        waves = 10
        viewers = self.viewers
        for some in chunks(viewers, max(1, -(-len(viewers) // waves))):
            for viewer in some:
                viewer.bye(text)
            await asyncio.sleep(spread / waves)

    def _all_audiences(self) -> Iterator[Audience]:
        return itertools.chain.from_iterable(self._audiences.values())

    def _ticket_topic(self, site: SiteId, ticket: TicketId, address: str = "") -> TicketTopic:
        channel = self.keys.channel(site, ticket)
        topic = self.topics.get(channel)
        if isinstance(topic, TicketTopic):
            return topic
        return self._open(TicketTopic(site, ticket, channel, self.rules, self.now() + OPENING, asked_by=address))

    def _event_topic(self, site: SiteId, name: EventName, address: str) -> EventTopic:
        channel = self.keys.event_channel(site, name)
        topic = self.topics.get(channel)
        return topic if isinstance(topic, EventTopic) else self._open(EventTopic(site, name, channel, asked_by=address))

    def _open(self, topic: _Topic) -> _Topic:
        self.topics[topic.channel] = topic
        self.opened(topic)
        return topic

    def _watch(self, audience: Audience, topics: Sequence[Topic]) -> None:
        """Have an audience watch these topics, and write to it what they show already."""
        audience.topics = tuple(topics)
        for topic in topics:
            topic.audiences.add(audience)
            if topic.state is TopicState.LINGERING:
                topic.state = TopicState.OPEN
            if not topic.confirmed:
                self.unconfirmed.add(topic)

    def _list_changed(self, topic: EventTopic, *, first: bool) -> None:
        """Send viewers of the event back for the new list; those who have none yet get it now, and viewers to come at once."""
        for audience in list(topic.audiences):
            if first:
                self._watch_event(audience, topic)
                self.flush.write(audience, audience.shown())
            else:
                self._send_back(audience)

    def _watch_event(self, audience: Audience, event: EventTopic) -> None:
        """Have an audience watch an event: its list, and the tickets of it, as soon as that is known."""
        tickets = [self._ticket_topic(event.site, ticket) for ticket in event.tickets]
        for ticket in tickets:
            # They are in the list, so Wix has them.
            ticket.confirmed = True
            self.update(ticket)
        self._watch(audience, [event, *tickets])

    def _end(self, audience: Audience) -> None:
        """The audience has no viewer left, or is about to have none: its topics linger, unless another watches them."""
        alike = self._audiences[audience.wanted]
        alike.remove(audience)
        if not alike:
            del self._audiences[audience.wanted]
        now = self.now()
        for topic in audience.topics:
            topic.audiences.discard(audience)
            if not topic.audiences:
                unconfirmed = topic in self.unconfirmed
                topic.linger_until = now + (self._unconfirmed_linger if unconfirmed else self._linger)
                if topic.state is TopicState.OPEN:
                    topic.state = TopicState.LINGERING
                if unconfirmed:
                    self.unconfirmed.unwatched(topic)

    def _make_room(self) -> None:
        """Close topics of unconfirmed ids while there are too many; their viewers are sent away."""
        text = wire.bye(*wire.CROWDED_RETRY_MS)
        while topic := self.unconfirmed.over_limit:
            for audience in list(topic.audiences):
                self._send_away(audience, lambda viewer: viewer.bye(text, Close.FULL), "unknown_tickets")
            self._close(topic)

    def _send_back(self, audience: Audience) -> None:
        """The list of an event has changed: its viewers come back for the new one."""
        text = wire.bye(*wire.LIST_RETRY_MS)
        self._send_away(audience, lambda viewer: viewer.bye(text, Close.RESTART))

    def _send_away(self, audience: Audience, send: Callable[[Viewer], None], refused: str = "") -> None:
        """End an audience: *send* tells each viewer; *refused* is a label of the metric."""
        for viewer in audience.viewers():
            if refused:
                metrics.refused.labels(refused).inc()
            send(viewer)
        if audience:
            # Viewers without a socket leave by themselves, a little later.
            self._end(audience)

    def _close(self, topic: Topic) -> None:
        del self.topics[topic.channel]
        topic.state = TopicState.CLOSED
        self.unconfirmed.discard(topic)
        self.flush.discard(topic)
        self.closed(topic)
