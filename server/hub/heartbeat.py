"""The heartbeat: every viewer gets a frame each BEAT_EVERY, though nothing changes, and not all at the same moment.

In: audiences as they begin; one that ends is forgotten by itself. Out: a beat for each of its viewers, once in every turn
of a timing wheel whose slots hold the audiences. All at once, beats and pongs would delay a change by tenths of a second.
"""

import asyncio
import itertools
import time
from weakref import WeakSet

from server import wire
from server.hub.topics import Audience

BEAT_EVERY = 25.0
"""Seconds between two heartbeats: below the 30 s after which the strictest proxies cut an idle connection."""
SLOTS = 100
YIELD_EVERY = 1000
"""Beats before other tasks get their turn. Yielding after each audience would, where each has one viewer and the loop is
busy, wait for as many turns of the loop, and the wheel would come round too late."""


class Heartbeat:
    """The heartbeat of all viewers of a hub. *every* is in seconds."""

    def __init__(self, every: float = BEAT_EVERY) -> None:
        self._step = every / SLOTS
        self._slots = [WeakSet[Audience]() for _ in range(SLOTS)]
        # A new viewer has just got a beat: the first audiences are placed half a turn away.
        self._next = itertools.islice(itertools.cycle(self._slots), SLOTS // 2, None)

    def add(self, audience: Audience) -> None:
        """An audience begins: it goes to the next slot, so that all slots are equally full."""
        next(self._next).add(audience)

    async def run(self) -> None:
        """Turn the wheel, for ever."""
        loop = asyncio.get_running_loop()
        due = loop.time()
        for slot in itertools.cycle(self._slots):
            # After a suspension of the process missed beats are not made up for: a viewer needs time for its pong.
            due = max(due, loop.time() - self._step) + self._step
            await asyncio.sleep(due - loop.time())
            text = wire.beat(unix_ms())
            sent = 0
            for audience in list(slot):
                for viewer in audience.viewers():
                    viewer.beat(text)
                sent += len(audience)
                if sent >= YIELD_EVERY:
                    sent = 0
                    await asyncio.sleep(0)


def unix_ms() -> int:
    """The server's time, for countdowns; nothing here is decided by it."""
    return time.time_ns() // 1_000_000
