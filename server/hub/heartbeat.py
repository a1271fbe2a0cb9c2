"""The heartbeat: every viewer hears of us each BEAT_EVERY, though nothing changes, and not all at one moment.

In: audiences as they begin; one that ends is forgotten by itself. Out: a beat for each of its viewers, in every turn of a
wheel on whose spokes the audiences stand. All at once they and their pongs would hold a change up for tenths of a second.
"""

import asyncio
import itertools
import time
from weakref import WeakSet

from server import wire
from server.hub.topics import Audience

BEAT_EVERY = 25.0
"""Seconds between two heartbeats: below the 30 s after which the strictest proxies cut an idle connection."""
SPOKES = 100
AT_ONCE = 1000
"""Beats before other work gets its turn: not after each audience, or where each is one viewer and the loop is busy the
wheel would wait for as many turns of it, and come round too late."""


class Heartbeat:
    """One for all viewers of a hub. *every* is in seconds."""

    def __init__(self, every: float = BEAT_EVERY) -> None:
        self._step = every / SPOKES
        self._spokes = [WeakSet[Audience]() for _ in range(SPOKES)]
        # Who comes has just been told: the first stand half a turn away.
        self._next = itertools.islice(itertools.cycle(self._spokes), SPOKES // 2, None)

    def add(self, audience: Audience) -> None:
        """An audience begins: it stands on the next spoke, so that all carry alike."""
        next(self._next).add(audience)

    async def run(self) -> None:
        """Turn the wheel, for ever."""
        loop = asyncio.get_running_loop()
        due = loop.time()
        for spoke in itertools.cycle(self._spokes):
            # Who was stopped for a while does not make up for it: a viewer has to have time for its pong.
            due = max(due, loop.time() - self._step) + self._step
            await asyncio.sleep(due - loop.time())
            text = wire.beat(unix_ms())
            told = 0
            for audience in list(spoke):
                for viewer in audience.viewers():
                    viewer.beat(text)
                told += len(audience)
                if told >= AT_ONCE:
                    told = 0
                    await asyncio.sleep(0)


def unix_ms() -> int:
    """The server's time for countdowns; nothing here is decided by it."""
    return time.time_ns() // 1_000_000
