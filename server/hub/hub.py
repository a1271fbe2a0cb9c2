"""The hub: who watches what in this process, and how a change reaches all of them.

In: viewers that come and go, topics that changed (feed.py). Out: to every viewer the newest frame of each topic it
watches. A flush writes what changed to each audience once, and one begins at most every FLUSH_EVERY: the first change
goes out at once, those that follow together. What changes during a flush is written along to whom the flush has yet to
reach, and to the others by the next: no change waits longer than it takes to write to everyone once. What an audience is
due is joined once, and the same bytes go to each of its sockets. Nothing is ever queued: who cannot take it now is left a
set of topics (live/), and costs the others nothing.

Anybody may ask for any ticket; those that Wix has not confirmed are bounded (unconfirmed.py), and who watches one that has
to give way is sent away.
"""

import asyncio
import itertools
from collections import OrderedDict
from collections.abc import Callable, Container, Iterator, Sequence
from socket import SocketType
from typing import TypeVar

from server import metrics, wire
from server.hub.heartbeat import BEAT_EVERY, Heartbeat
from server.hub.topics import Audience, Socket, Topic, Viewer
from server.hub.unconfirmed import Unconfirmed
from server.model import SiteId, TicketId
from server.store.keys import channel
from server.wire import Close

FLUSH_EVERY = 0.05
"""Seconds between two flushes."""
LINGER = 30.0
"""Seconds that a topic stays open without viewers: pollers and reloads find it warm."""
UNCONFIRMED_LINGER = 2.0
"""The same for an id that Wix has not confirmed: two polls in a row may share what is known."""
BACK_MS = (1_000, 10_000)
"""Milliseconds after which those may come back who had to give way."""
OPENING = 2.0
"""Seconds that viewers wait for Redis before they are told that nothing is known."""
LARGEST = 1000
"""Viewers of an audience: as many as are written to before other work gets its turn, after some 5 ms."""
EACH = 10
"""Viewers to whom writing costs what each audience costs besides its own."""

_T = TypeVar("_T")


class Hub:
    """All topics and audiences of this process. Whoever keeps topics true hears of them by *opened* and *closed*."""

    def __init__(
        self,
        *,
        beat_every: float = BEAT_EVERY,
        linger: float = LINGER,
        unconfirmed_linger: float = UNCONFIRMED_LINGER,
        unconfirmed: Unconfirmed | None = None,
        largest: int = LARGEST,
    ) -> None:
        self.sites: frozenset[SiteId] = frozenset()
        self.topics: dict[str, Topic] = {}
        self.opened: Callable[[Topic], None] = lambda _: None
        self.closed: Callable[[Topic], None] = lambda _: None
        self._audiences: dict[tuple[SiteId, tuple[TicketId, ...]], list[Audience]] = {}
        self._heartbeat = Heartbeat(beat_every)
        self._linger = linger
        self._unconfirmed_linger = unconfirmed_linger
        self._largest = largest
        self.unconfirmed = Unconfirmed() if unconfirmed is None else unconfirmed
        # What changed, and of what changed what each audience is still due.
        self._changed: set[Topic] = set()
        self._due: OrderedDict[Audience, set[Topic]] = OrderedDict()
        self._work = asyncio.Event()

    # -- for viewers --

    def admit(self, site: SiteId, tickets: Sequence[TicketId], address: str) -> None:
        """Let an address ask for these tickets of a known site; raises TooManyUnconfirmed."""
        # Nearly all come for what others watch: then none of it is new, and no name has to be made to find that out.
        if (site, tuple(tickets)) not in self._audiences:
            self.unconfirmed.admit(sum(channel(site, ticket) not in self.topics for ticket in tickets), address)

    def audience(self, site: SiteId, tickets: Sequence[TicketId], address: str = "") -> Audience:
        """Some who watch these tickets, for one more of this *address* to join (`follows` or `lags`)."""
        alike = self._audiences.setdefault((site, tuple(tickets)), [])
        found = next((audience for audience in reversed(alike) if len(audience) < self._largest), None)
        if found is None:
            found = Audience(site, [self._topic(site, ticket, address) for ticket in tickets])
            alike.append(found)
            self._heartbeat.add(found)
            for topic in found.topics:
                topic.audiences.add(found)
                if not topic.proven:
                    self.unconfirmed.asked_for(topic)
            self._make_room()
        return found

    def join(self, viewer: Viewer, site: SiteId, tickets: Sequence[TicketId], address: str = "") -> Audience:
        """Let a viewer in that is no socket of its own: what is known is shown at once, the rest when it is read."""
        audience = self.audience(site, tickets, address)
        audience.others.add(viewer)
        if known := audience.known():
            viewer.show(known)
        return audience

    def leave(self, audience: Audience, viewer: Viewer, line: SocketType | None = None) -> None:
        """A viewer has gone, and its socket if it has one; with the last viewer its topics begin to linger."""
        if line is not None:
            audience.fast.pop(line, None)
        audience.others.discard(viewer)
        if not audience and audience in self._audiences.get(audience.wanted, ()):
            self._end(audience)

    @property
    def viewers(self) -> list[Viewer]:
        """Everyone who is here."""
        return [viewer for audience in self._everyone() for viewer in audience.viewers()]

    def __len__(self) -> int:
        return sum(map(len, self._everyone()))

    # -- for who keeps topics true --

    def decide(self, topic: Topic) -> None:
        """Something was learned of this topic, or time has passed: tell its viewers if that is news."""
        if topic.proven and self.unconfirmed.discard(topic):
            topic.linger_until = self.now() + self._linger
        verified = topic.verified
        if topic.decide(self.now()):
            if verified and not topic.verified:
                metrics.withdrawn.inc()
            self._changed.add(topic)
            self._work.set()

    def close_idle(self) -> None:
        """Close the topics that have lingered long enough."""
        now = self.now()
        for topic in [topic for topic in self.topics.values() if not topic.audiences and now >= topic.linger_until]:
            self._close(topic)

    @staticmethod
    def now() -> float:
        """The loop's time, by which everything here is timed."""
        return asyncio.get_running_loop().time()

    # -- its tasks --

    async def run(self) -> None:
        """Tell viewers what changed and that we are here, for ever."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._flushes(), name="hub: flush")
            group.create_task(self._heartbeat.run(), name="hub: beat")

    async def close_all(self, low_ms: int, high_ms: int, spread: float) -> None:
        """Send every viewer away, in waves over *spread* seconds, with a time at which to come back."""
        text = wire.bye(low_ms, high_ms)
        waves = 10
        everyone = self.viewers
        for some in parts(everyone, max(1, -(-len(everyone) // waves))):
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
        while self._spread(due, written):
            audience, topics = due.popitem(last=False)
            written.add(audience)
            self._write(audience, [topic for topic in audience.topics if topic in topics])
            spent += len(audience) + EACH
            if spent >= self._largest:
                spent = 0
                await asyncio.sleep(0)
        if not self._due:
            self._work.clear()

    def _spread(self, due: dict[Audience, set[Topic]], written: Container[Audience]) -> bool:
        """Tell who is due what changed, those that this flush has written to in the next; tell if any is left in this."""
        changed, self._changed = self._changed, set()
        for topic in changed:
            for audience in topic.audiences:
                (self._due if audience in written else due).setdefault(audience, set()).add(topic)
        return bool(due)

    @staticmethod
    def _write(audience: Audience, due: Sequence[Topic]) -> None:
        for viewer in list(audience.others):
            viewer.show(due)
        # Lists of what is there already: a tuple for each socket would be work for the garbage collector.
        taken = write(list(audience.fast), list(audience.fast.values()), b"".join([topic.ws for topic in due]))
        metrics.ws_frames.inc(len(due) * taken)

    def _everyone(self) -> Iterator[Audience]:
        return itertools.chain.from_iterable(self._audiences.values())

    def _topic(self, site: SiteId, ticket: TicketId, address: str = "") -> Topic:
        name = channel(site, ticket)
        topic = self.topics.get(name)
        if topic is None:
            topic = self.topics[name] = Topic(site, ticket, self.now() + OPENING, address)
            self.opened(topic)
        return topic

    def _end(self, audience: Audience) -> None:
        """Nobody is in it any more, or soon: its topics linger, where nobody else watches them."""
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
                if unconfirmed:
                    self.unconfirmed.left(topic)

    def _make_room(self) -> None:
        """Close topics of ids that Wix has not confirmed, while there are too many; who watches has to go."""
        while topic := self.unconfirmed.too_many:
            for audience in list(topic.audiences):
                self._dismiss(audience)
            self._close(topic)

    def _dismiss(self, audience: Audience) -> None:
        text = wire.bye(*BACK_MS)
        for viewer in audience.viewers():
            metrics.refused.labels("unknown_tickets").inc()
            viewer.bye(text, Close.FULL)
        if audience:
            # Who is no socket leaves by itself, a little later.
            self._end(audience)

    def _close(self, topic: Topic) -> None:
        del self.topics[topic.channel]
        self.unconfirmed.discard(topic)
        self._changed.discard(topic)
        self.closed(topic)


def write(lines: Sequence[SocketType], viewers: Sequence[Socket], data: bytes) -> int:
    """Write the same bytes to each of these sockets, past its transport and in one loop in C.

    It is right because a socket is in an audience's `fast` only while its transport holds nothing of it, and the lists
    are of this turn of the loop. What the kernel does not take goes to the transport, which then pauses the viewer: it is
    out of `fast` until it has caught up. Measured: bench/, a third more sockets a CPU second than transport.write, and a
    twelfth more than os.write, whose way through the kernel is longer.

    Answers to how many it was written.
    """
    taken: list[int] = []
    rest = iter(lines)
    while True:
        try:
            taken.extend(map(SocketType.send, rest, itertools.repeat(data)))
            break
        except BlockingIOError:
            taken.append(0)
        except OSError:
            # Gone without a word.
            taken.append(-1)
    if taken.count(len(data)) < len(taken):
        for viewer, size in zip(viewers, taken, strict=True):
            if size < 0:
                viewer.drop("dead")
            elif size < len(data):
                viewer.behind(data[size:])
    return len(taken) - taken.count(-1)


def parts(items: Sequence[_T], size: int) -> Iterator[Sequence[_T]]:
    """Cut a list into pieces of so many."""
    return (items[start : start + size] for start in range(0, len(items), size))
