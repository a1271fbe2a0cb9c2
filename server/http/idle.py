"""Idle connections: those without a request that is being answered, bounded in number and in time.

In: connections as they become idle and busy. Out: a time-out for a request that does not become complete, and eviction
of the oldest connection if there are too many. One timer serves all time-outs, as they are equally long.

The oldest is evicted, never the newest. Browsers, proxies and Wix send their request with a connection's first packets,
so one that has sent nothing while a thousand others came is part of a flood; if the newest were refused instead, a
thousand silent connections would keep Wix out until they time out. It is the oldest of the longest list: a flood of
silent connections evicts silent ones, and the keep-alive connections of Wix's webhooks stay.
"""

import asyncio
import sys
from collections import OrderedDict
from typing import Any, Protocol

MOST = 1024
"""Idle connections at once. When 10,000 browsers connect in one second, some 10 are idle at a time."""
SCARCE_FOR = 10.0
"""Seconds for which descriptors count as scarce after all were in use: those that are freed have low numbers."""
MOST_WHEN_SCARCE = 8
"""Idle connections at once while descriptors are scarce: each is about to send its request."""


class IdleConnection(Protocol):
    """A connection without a request that is being answered."""

    def evict(self) -> None:
        """End now: a newer connection needs the place."""


class IncompleteConnection(IdleConnection, Protocol):
    """A connection whose request is incomplete, or whose last response was not read yet."""

    def timed_out(self) -> None:
        """End now: the time for that is over."""


class Idle:
    """The idle connections of one server; each is in one of three lists, once.

    When there are *most*, or when no descriptor below *first_reserved* is free, each new connection evicts an idle one.
    There are more than *most* only after many requests end at once; those time out in seconds.
    """

    def __init__(self, *, most: int = MOST, first_reserved: int = sys.maxsize, scarce_for: float = SCARCE_FOR) -> None:
        self._most = most
        self._first_reserved = first_reserved
        self._scarce_for = scarce_for
        # How many there may be now: *most*, or a few while descriptors are scarce.
        self._allowed = most
        # Event-loop time until which descriptors count as scarce.
        self._scarce_until = 0.0
        # Each with its time-out in event-loop time; all wait equally long, so the first is the next.
        self._incomplete: OrderedDict[IncompleteConnection, float] = OrderedDict()
        self._keep_alive: OrderedDict[IdleConnection, None] = OrderedDict()
        self._closing: OrderedDict[IdleConnection, None] = OrderedDict()
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._incomplete) + len(self._keep_alive) + len(self._closing)

    def __contains__(self, connection: object) -> bool:
        """Whether a time-out runs for it."""
        return connection in self._incomplete

    def admit(self, fd: int) -> bool:
        """Make room for a new connection with this descriptor; False if no other can be evicted for it."""
        if fd >= self._first_reserved:
            self._allowed = min(self._most, MOST_WHEN_SCARCE)
            self._scarce_until = asyncio.get_running_loop().time() + self._scarce_for
        elif self._allowed < self._most and asyncio.get_running_loop().time() >= self._scarce_until:
            self._allowed = self._most
        # The hot path: it compares numbers, and reads no clock.
        if fd < self._first_reserved and len(self) < self._allowed:
            return True
        lists: tuple[OrderedDict[Any, Any], ...] = (self._closing, self._incomplete, self._keep_alive)
        longest = max(lists, key=len)
        if not longest:
            return fd < self._first_reserved
        oldest: IdleConnection = longest.popitem(last=False)[0]
        oldest.evict()
        return True

    def add_incomplete(self, connection: IncompleteConnection, seconds: float) -> None:
        """Start its time-out, equal for all: its request is incomplete, or its last response is not read."""
        self.remove(connection)
        self.remove_closing(connection)
        loop = asyncio.get_running_loop()
        due = self._incomplete[connection] = loop.time() + seconds
        if self._timer is None:
            self._timer = loop.call_at(due, self._expire)

    def add_keep_alive(self, connection: IdleConnection) -> None:
        """Its request is answered, and another may follow. A connection that is closing stays in that list."""
        if connection not in self._closing:
            self._keep_alive[connection] = None

    def remove(self, connection: IncompleteConnection) -> None:
        """Its request is complete, or it has closed: it is neither incomplete nor in keep-alive any more."""
        self._incomplete.pop(connection, None)
        self._keep_alive.pop(connection, None)

    def add_closing(self, connection: IdleConnection) -> None:
        """It was told to close, or does not read its response. Its own timer ends it, unless its time-out here still runs."""
        if connection not in self._incomplete:
            self._keep_alive.pop(connection, None)
            self._closing[connection] = None

    def remove_closing(self, connection: IdleConnection) -> None:
        """It has closed, or read its response."""
        self._closing.pop(connection, None)

    def _expire(self) -> None:
        """End the connections whose time is over, and start the timer for the next."""
        loop = asyncio.get_running_loop()
        self._timer = None
        while self._incomplete:
            connection, due = next(iter(self._incomplete.items()))
            if due > loop.time():
                self._timer = loop.call_at(due, self._expire)
                return
            del self._incomplete[connection]
            connection.timed_out()
