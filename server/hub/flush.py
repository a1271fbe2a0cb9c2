"""The flush: writes what changed to every viewer.

In: topics that changed. Out: their newest frames, to each audience once in a flush. One begins at most every FLUSH_EVERY: the
first change is written at once, those that follow together. What changes during a flush is written in the same flush to the
audiences that it has yet to reach, and to the others by the next: no change waits longer than it takes to write to all once. The
frames that an audience is due are joined once, and each of its sockets gets the same bytes. Nothing is ever queued: a viewer that
cannot take a frame now keeps its topics (live/), and costs the others nothing.
"""

import asyncio
import itertools
from collections import OrderedDict
from collections.abc import Container, Sequence
from socket import SocketType

from server import metrics
from server.hub.topics import Audience, Socket, Topic

FLUSH_EVERY = 0.05
"""Seconds between two flushes."""
AUDIENCE_COST = 10
"""Viewers to which writing costs as much as each audience costs by itself."""


class Flush:
    """The flushes of one hub. *most* viewers are written to before other tasks get their turn, after some 5 ms."""

    def __init__(self, most: int) -> None:
        self._most = most
        # What changed, and which of it each audience is still due.
        self._changed: set[Topic] = set()
        self._due: OrderedDict[Audience, set[Topic]] = OrderedDict()
        self._work = asyncio.Event()

    def changed(self, topic: Topic) -> None:
        """Write a topic to all that watch it."""
        self._changed.add(topic)
        self._work.set()

    def discard(self, topic: Topic) -> None:
        """Forget a topic that is closed."""
        self._changed.discard(topic)

    async def run(self) -> None:
        """Write what changes, for ever."""
        loop = asyncio.get_running_loop()
        while True:
            await self._work.wait()
            began = loop.time()
            await self.write_once()
            metrics.flush_seconds.observe(loop.time() - began)
            await asyncio.sleep(max(0.0, began + FLUSH_EVERY - loop.time()))

    async def write_once(self) -> None:
        """Write what changed to each audience, once."""
        due, self._due = self._due, OrderedDict()
        written: set[Audience] = set()
        spent = 0
        while self._collect(due, written):
            audience, topics = due.popitem(last=False)
            written.add(audience)
            self.write(audience, [topic for topic in audience.topics if topic in topics])
            spent += len(audience) + AUDIENCE_COST
            if spent >= self._most:
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
    def write(audience: Audience, due: Sequence[Topic]) -> None:
        """Write these topics to one audience, now."""
        for viewer in list(audience.others):
            viewer.show(due)
        # Lists of what exists: a tuple for each socket would be work for the garbage collector.
        taken = write(list(audience.fast), list(audience.fast.values()), b"".join([topic.ws for topic in due]))
        metrics.ws_frames.inc(len(due) * taken)


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
