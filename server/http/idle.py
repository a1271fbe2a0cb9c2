"""Connections that ask for nothing: whose request has not come whole, who are between two, who do not go or take.

In: connections as they begin and cease to be so. Out: an end for who keeps us waiting too long, and for the oldest when
there are too many. One timer serves all who must hurry, as they have the same time.

The oldest goes, never the newest. A browser, a proxy and Wix send their request with the connection's first packets, so
who has said nothing while a thousand others came is what we are flooded with; were the newest refused, a thousand
silent strangers would keep Wix out for as long as they may be silent. And it goes from the longest of the lists: who
floods us with silence takes from the silent, and the connections that Wix's webhooks come over stay.
"""

import asyncio
import sys
from collections import OrderedDict
from typing import Any, Protocol

MOST = 1024
"""Connections that ask for nothing, at once: 10,000 browsers that connect in one second are some 10 at a time."""
SCARCE = 10.0
"""Seconds that descriptors count as scarce after all were seen in use: the freed ones come back with low numbers."""
ALWAYS = 8
"""Connections that may ask for nothing even then: they are on their way to ask."""


class Idler(Protocol):
    """A connection that asks for nothing."""

    def outnumbered(self) -> None:
        """A newer one needs its place."""


class Slow(Idler, Protocol):
    """A connection whose request has not come whole, or whose last answer has not gone."""

    def late(self) -> None:
        """Its time is over."""


class Idle:
    """Those of one server: from *most* on, and where no descriptor below *edge* is free, each newcomer takes a place.

    So there are more only where many requests end at once: they had been let in, and are gone in seconds. Each stands
    in one list, and once.
    """

    def __init__(self, *, most: int = MOST, edge: int = sys.maxsize, scarce: float = SCARCE) -> None:
        self._most = most
        self._edge = edge
        self._scarce = scarce
        # From how many on a newcomer takes a place now: from *most* on, or where descriptors are scarce from a few on.
        self._room = most
        # The loop's time until which they count as scarce.
        self._scarce_until = 0.0
        # Each with the loop's time at which it is late; all wait equally long, so the first is the next.
        self._incomplete: OrderedDict[Slow, float] = OrderedDict()
        self._between: OrderedDict[Idler, None] = OrderedDict()
        self._leaving: OrderedDict[Idler, None] = OrderedDict()
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._incomplete) + len(self._between) + len(self._leaving)

    def __contains__(self, one: object) -> bool:
        """Whether something is awaited of it."""
        return one in self._incomplete

    def admits(self, fd: int) -> bool:
        """Make room for a new connection with this descriptor; False if there is none: all others are in use."""
        if fd >= self._edge:
            self._room = min(self._most, ALWAYS)
            self._scarce_until = asyncio.get_running_loop().time() + self._scarce
        elif self._room < self._most and asyncio.get_running_loop().time() >= self._scarce_until:
            self._room = self._most
        # Nearly all come here: lengths and numbers are compared, no clock is asked.
        if fd < self._edge and len(self) < self._room:
            return True
        lists: tuple[OrderedDict[Any, Any], ...] = (self._leaving, self._incomplete, self._between)
        longest = max(lists, key=len)
        if not longest:
            return fd < self._edge
        oldest: Idler = longest.popitem(last=False)[0]
        oldest.outnumbered()
        return True

    def awaits(self, one: Slow, seconds: float) -> None:
        """The rest of a request is to come, or a last answer to be taken, within so many seconds, alike for everyone."""
        self.leave(one)
        self.gone(one)
        loop = asyncio.get_running_loop()
        due = self._incomplete[one] = loop.time() + seconds
        if self._timer is None:
            self._timer = loop.call_at(due, self._look)

    def keeps(self, one: Idler) -> None:
        """Its request is answered, and another may follow, once it has taken that answer."""
        if one not in self._leaving:
            self._between[one] = None

    def leave(self, one: Slow) -> None:
        """It asks for something now, or has gone."""
        self._incomplete.pop(one, None)
        self._between.pop(one, None)

    def dismisses(self, one: Idler) -> None:
        """It was told to go, or does not take what it was answered, and has a while; less, where its rest is awaited."""
        if one not in self._incomplete:
            self._between.pop(one, None)
            self._leaving[one] = None

    def gone(self, one: Idler) -> None:
        """It went, or took it, whether it was to or not."""
        self._leaving.pop(one, None)

    def _look(self) -> None:
        """End those who are late, and look again when the next may be."""
        loop = asyncio.get_running_loop()
        self._timer = None
        while self._incomplete:
            one, due = next(iter(self._incomplete.items()))
            if due > loop.time():
                self._timer = loop.call_at(due, self._look)
                return
            del self._incomplete[one]
            one.late()
