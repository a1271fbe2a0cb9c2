"""The hub: who watches what in this process, and how a change reaches all of them.

In: viewers that come and go, topics that changed (feed.py). Out: to every viewer the newest frame of each topic it
watches. A flush writes what changed since the last one, at most every FLUSH_EVERY: the first change at once, those that
follow together. What an audience is due is joined once, and the same bytes go to each of its sockets. Nothing is ever
queued: who cannot take it now is left a set of topics (live/), and costs the others nothing.

Anybody may ask for any ticket; those that Wix has not confirmed are bounded (unproven.py), and who watches one that has
to give way is sent away.
"""

import asyncio
import itertools
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from socket import SocketType
from typing import TypeVar

from server import metrics, wire
from server.keys import channel
from server.model import SiteId, TicketId
from server.topics import Audience, Socket, Topic, Viewer
from server.unproven import Unproven
from server.wire import Close

FLUSH_EVERY = 0.05
"""Seconds between two flushes."""
LINGER = 30.0
"""Seconds that a topic stays open without viewers: pollers and reloads find it warm."""
UNPROVEN_LINGER = 2.0
"""The same for an id that Wix has not confirmed: two polls in a row may share what is known."""
BACK_MS = (1_000, 10_000)
"""Milliseconds after which those may come back who had to give way."""
BEAT_EVERY = 25.0
"""Seconds between heartbeats: below the 30 s after which the strictest proxies cut an idle connection."""
OPENING = 2.0
"""Seconds that viewers wait for Redis before they are told that nothing is known."""
SLICE = 1000
"""Sockets written to before other work gets its turn: some 5 ms."""

_T = TypeVar("_T")


class Hub:
    """All topics and audiences of this process. Whoever keeps topics true hears of them by *opened* and *closed*."""

    def __init__(
        self,
        *,
        beat_every: float = BEAT_EVERY,
        linger: float = LINGER,
        unproven_linger: float = UNPROVEN_LINGER,
        unproven: Unproven | None = None,
    ) -> None:
        self.sites: frozenset[SiteId] = frozenset()
        self.topics: dict[str, Topic] = {}
        self.opened: Callable[[Topic], None] = lambda _: None
        self.closed: Callable[[Topic], None] = lambda _: None
        self._audiences: dict[tuple[SiteId, tuple[TicketId, ...]], Audience] = {}
        self._beat_every = beat_every
        self._linger = linger
        self._unproven_linger = unproven_linger
        self.unproven = Unproven() if unproven is None else unproven
        self._changed: set[Topic] = set()
        self._work = asyncio.Event()

    # -- for viewers --

    def admit(self, site: SiteId, tickets: Sequence[TicketId], address: str) -> None:
        """Let an address ask for these tickets of a known site; raises TooManyUnknown."""
        self.unproven.admit(sum(channel(site, ticket) not in self.topics for ticket in tickets), address)

    def audience(self, site: SiteId, tickets: Sequence[TicketId], address: str = "") -> Audience:
        """Those who watch these tickets, for one more of this *address* to join (`follows` or `lags`)."""
        wanted = (site, tuple(tickets))
        found = self._audiences.get(wanted)
        if found is None:
            found = self._audiences[wanted] = Audience(site, [self._topic(site, ticket, address) for ticket in tickets])
            for topic in found.topics:
                topic.audiences.add(found)
                if not topic.proven:
                    self.unproven.asked_for(topic)
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
        if not audience and self._audiences.get(audience.wanted) is audience:
            self._end(audience)

    @property
    def viewers(self) -> list[Viewer]:
        """Everyone who is here."""
        return [viewer for audience in self._audiences.values() for viewer in audience.viewers()]

    def __len__(self) -> int:
        return sum(map(len, self._audiences.values()))

    # -- for who keeps topics true --

    def decide(self, topic: Topic) -> None:
        """Something was learned of this topic, or time has passed: tell its viewers if that is news."""
        if topic.proven and self.unproven.discard(topic):
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
            group.create_task(self._beats(), name="hub: beat")

    async def farewell(self, low_ms: int, high_ms: int, spread: float) -> None:
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
            self._work.clear()
            began = self.now()
            await self._flush()
            metrics.flush_seconds.observe(self.now() - began)
            await asyncio.sleep(max(0.0, began + FLUSH_EVERY - self.now()))

    async def _flush(self) -> None:
        changed, self._changed = self._changed, set()
        for audience in {audience for topic in changed for audience in topic.audiences}:
            due = [topic for topic in audience.topics if topic in changed]
            for viewer in list(audience.others):
                viewer.show(due)
            data = b"".join([topic.ws for topic in due])
            # Lists of what is there already: a tuple for each socket would be work for the garbage collector.
            lines, viewers = list(audience.fast), list(audience.fast.values())
            for some, those in zip(parts(lines, SLICE), parts(viewers, SLICE), strict=True):
                missed = write(audience.fast, some, those, data)
                # Who fell behind since the lists were made, by a beat say, is told as those are who lagged before.
                for viewer in audience.others.intersection(missed):
                    viewer.show(due)
                metrics.ws_frames.inc(len(due) * (len(some) - len(missed)))
                await asyncio.sleep(0)

    async def _beats(self) -> None:
        while True:
            await asyncio.sleep(self._beat_every)
            text = wire.beat(unix_ms())
            for some in parts(self.viewers, SLICE):
                for viewer in some:
                    viewer.beat(text)
                await asyncio.sleep(0)

    def _topic(self, site: SiteId, ticket: TicketId, address: str = "") -> Topic:
        name = channel(site, ticket)
        topic = self.topics.get(name)
        if topic is None:
            topic = self.topics[name] = Topic(site, ticket, self.now() + OPENING, address)
            self.opened(topic)
        return topic

    def _end(self, audience: Audience) -> None:
        """Nobody is in it any more, or soon: its topics linger, where nobody else watches them."""
        del self._audiences[audience.wanted]
        now = self.now()
        for topic in audience.topics:
            topic.audiences.discard(audience)
            if not topic.audiences:
                unproven = topic in self.unproven
                topic.linger_until = now + (self._unproven_linger if unproven else self._linger)
                if unproven:
                    self.unproven.left(topic)

    def _make_room(self) -> None:
        """Close topics of ids that Wix has not confirmed, while there are too many; who watches has to go."""
        while topic := self.unproven.too_many:
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
        self.unproven.discard(topic)
        self._changed.discard(topic)
        self.closed(topic)


def write(
    fast: Mapping[SocketType, Socket], lines: Sequence[SocketType], viewers: Sequence[Socket], data: bytes
) -> Sequence[Socket]:
    """Write the same bytes to each of these sockets, past its transport and in one loop in C.

    It is right because a socket is in `fast` only while its transport holds nothing of it. What the kernel does not
    take goes to the transport, which then pauses the viewer: it is out of `fast` until it has caught up. Measured:
    bench/, a third more sockets a CPU second than transport.write, and a twelfth more than os.write, whose way through
    the kernel is longer.

    Answers those that it was not written to.
    """
    missed: list[Socket] = []
    if [*map(fast.get, lines)] != viewers:
        # Some have left since the lists were made, or lag: a frame past their transport would come before its turn.
        here = [fast.get(line) is viewer for line, viewer in zip(lines, viewers, strict=True)]
        missed = [viewer for viewer, is_here in zip(viewers, here, strict=True) if not is_here]
        lines, viewers = [*itertools.compress(lines, here)], [*itertools.compress(viewers, here)]
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
    if taken.count(len(data)) == len(taken):
        return missed
    for viewer, size in zip(viewers, taken, strict=True):
        if size < 0:
            viewer.drop("dead")
            missed.append(viewer)
        elif size < len(data):
            viewer.behind(data[size:])
    return missed


def unix_ms() -> int:
    """The server's time for countdowns; nothing here is decided by it."""
    return time.time_ns() // 1_000_000


def parts(items: Sequence[_T], size: int) -> Iterator[Sequence[_T]]:
    """Cut a list into pieces of so many."""
    return (items[start : start + size] for start in range(0, len(items), size))
