"""The hub: which viewers watch what in this process, and how a change reaches all of them.

In: viewers that join and leave, topics that changed (feed.py). Out: to every viewer the newest frame of each topic it
watches. A flush writes what changed to each audience once, and one begins at most every FLUSH_EVERY: the first change is
written at once, those that follow together. What changes during a flush is written in the same flush to the audiences that
it has yet to reach, and to the others by the next: no change waits longer than it takes to write to all once. The frames
that an audience is due are joined once, and each of its sockets gets the same bytes. Nothing is ever queued: a viewer that
cannot take a frame now keeps a set of topics (live/), and costs the others nothing.

Any client may ask for any ticket; those that Wix has not confirmed are bounded (unconfirmed.py), and viewers of one that
must make room are sent away.
"""

import asyncio
import itertools
from collections import OrderedDict
from collections.abc import Callable, Container, Iterator, Sequence
from socket import SocketType
from typing import TypeVar

from server import metrics, wire
from server.counter import Rules
from server.hub.heartbeat import BEAT_EVERY, Heartbeat
from server.hub.topics import Audience, Socket, Topic, TopicState, Viewer
from server.hub.unconfirmed import Unconfirmed
from server.model import SiteId, TicketId
from server.store.keys import Keys
from server.wire import Close

FLUSH_EVERY = 0.05
"""Seconds between two flushes."""
LINGER = 30.0
"""Seconds that a topic stays open without viewers: polls and reloads find it open."""
UNCONFIRMED_LINGER = 2.0
"""The same for an id that Wix has not confirmed: two polls in a row may share what is known."""
OPENING = 2.0
"""Seconds that viewers wait for Redis before they are told that nothing is known."""
MAX_AUDIENCE = 1000
"""Viewers of an audience, and viewers that are written to before other tasks get their turn, after some 5 ms."""
AUDIENCE_COST = 10
"""Viewers to which writing costs as much as each audience costs by itself."""

_T = TypeVar("_T")


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
        self._audiences: dict[tuple[SiteId, tuple[TicketId, ...]], list[Audience]] = {}
        self._heartbeat = Heartbeat(beat_every)
        self._linger = linger
        self._unconfirmed_linger = unconfirmed_linger
        self._max_audience = max_audience
        # What changed, and which of it each audience is still due.
        self._changed: set[Topic] = set()
        self._due: OrderedDict[Audience, set[Topic]] = OrderedDict()
        self._work = asyncio.Event()

    # -- for viewers --

    def admit(self, site: SiteId, tickets: Sequence[TicketId], address: str) -> None:
        """Let an address ask for these tickets of a known site; raises TooManyUnconfirmed."""
        # Most viewers ask for what others watch: then none of it is new, and no channel name need be built to find out.
        if (site, tuple(tickets)) not in self._audiences:
            self.unconfirmed.admit(
                sum(self.keys.channel(site, ticket) not in self.topics for ticket in tickets), address
            )

    def audience(self, site: SiteId, tickets: Sequence[TicketId], address: str = "") -> Audience:
        """An audience of these tickets with room for one more viewer, of this *address* (`add_fast` or `add_slow`)."""
        alike = self._audiences.setdefault((site, tuple(tickets)), [])
        found = next((audience for audience in reversed(alike) if len(audience) < self._max_audience), None)
        if found is None:
            found = Audience(site, [self._topic(site, ticket, address) for ticket in tickets])
            alike.append(found)
            self._heartbeat.add(found)
            for topic in found.topics:
                topic.audiences.add(found)
                if topic.state is TopicState.LINGERING:
                    topic.state = TopicState.OPEN
                if not topic.confirmed:
                    self.unconfirmed.add(topic)
            self._make_room()
        return found

    def join(self, viewer: Viewer, site: SiteId, tickets: Sequence[TicketId], address: str = "") -> Audience:
        """Add a viewer that has no socket of its own: it is shown what is known at once, the rest when it is read."""
        audience = self.audience(site, tickets, address)
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
        if topic.decide(self.now()):
            if verified and not topic.verified:
                metrics.withdrawn.inc()
            self._changed.add(topic)
            self._work.set()

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
            group.create_task(self._flushes(), name="hub: flush")
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

    async def _flushes(self) -> None:
        while True:
            await self._work.wait()
            began = self.now()
            await self._flush()
            metrics.flush_seconds.observe(self.now() - began)
            await asyncio.sleep(max(0.0, began + FLUSH_EVERY - self.now()))

    async def _flush(self) -> None:
        """Write what changed to each audience, once."""
        due, self._due = self._due, OrderedDict()
        written: set[Audience] = set()
        spent = 0
        while self._collect(due, written):
            audience, topics = due.popitem(last=False)
            written.add(audience)
            self._write(audience, [topic for topic in audience.topics if topic in topics])
            spent += len(audience) + AUDIENCE_COST
            if spent >= self._max_audience:
                spent = 0
                await asyncio.sleep(0)
        if not self._due:
            self._work.clear()

    def _collect(self, due: dict[Audience, set[Topic]], written: Container[Audience]) -> bool:
        """Add each changed topic to what its audiences are *due*; those *written* to wait for the next flush. Tell if any is due."""
        changed, self._changed = self._changed, set()
        for topic in changed:
            for audience in topic.audiences:
                (self._due if audience in written else due).setdefault(audience, set()).add(topic)
        return bool(due)

    @staticmethod
    def _write(audience: Audience, due: Sequence[Topic]) -> None:
        for viewer in list(audience.others):
            viewer.show(due)
        # Lists of what exists: a tuple for each socket would be work for the garbage collector.
        taken = write(list(audience.fast), list(audience.fast.values()), b"".join([topic.ws for topic in due]))
        metrics.ws_frames.inc(len(due) * taken)

    def _all_audiences(self) -> Iterator[Audience]:
        return itertools.chain.from_iterable(self._audiences.values())

    def _topic(self, site: SiteId, ticket: TicketId, address: str = "") -> Topic:
        name = self.keys.channel(site, ticket)
        topic = self.topics.get(name)
        if topic is None:
            topic = self.topics[name] = Topic(site, ticket, name, self.rules, self.now() + OPENING, asked_by=address)
            self.opened(topic)
        return topic

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
        while topic := self.unconfirmed.over_limit:
            for audience in list(topic.audiences):
                self._send_away(audience)
            self._close(topic)

    def _send_away(self, audience: Audience) -> None:
        text = wire.bye(*wire.CROWDED_RETRY_MS)
        for viewer in audience.viewers():
            metrics.refused.labels("unknown_tickets").inc()
            viewer.bye(text, Close.FULL)
        if audience:
            # Viewers without a socket leave by themselves, a little later.
            self._end(audience)

    def _close(self, topic: Topic) -> None:
        del self.topics[topic.channel]
        topic.state = TopicState.CLOSED
        self.unconfirmed.discard(topic)
        self._changed.discard(topic)
        self.closed(topic)


def write(socks: Sequence[SocketType], viewers: Sequence[Socket], data: bytes) -> int:
    """Write the same bytes to each of these sockets, past its transport and in one loop in C.

    This is right because a socket is in an audience's `fast` only while its transport buffers nothing, and the lists are of
    this turn of the event loop. What the kernel does not take goes to the transport, which then pauses the viewer: it is out
    of `fast` until it has caught up. Measured (bench/): a third more sockets per CPU second than transport.write, and a
    twelfth more than os.write, whose way through the kernel is longer.

    Returns to how many it was written.
    """
    taken: list[int] = []
    rest = iter(socks)
    while True:
        try:
            taken.extend(map(SocketType.send, rest, itertools.repeat(data)))
            break
        except BlockingIOError:
            taken.append(0)
        except OSError:
            # The connection broke without a close.
            taken.append(-1)
    if taken.count(len(data)) < len(taken):
        for viewer, size in zip(viewers, taken, strict=True):
            if size < 0:
                viewer.drop("dead")
            elif size < len(data):
                viewer.write_rest(data[size:])
    return len(taken) - taken.count(-1)


def chunks(items: Sequence[_T], size: int) -> Iterator[Sequence[_T]]:
    """Cut a sequence into pieces of this size, the last one shorter."""
    return (items[start : start + size] for start in range(0, len(items), size))
