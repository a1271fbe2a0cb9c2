"""A topic is one ticket that is watched here; an audience is some of those who watch the same tickets.

In: counters as texts with the time until which they count as verified. Out: frames, built once for all who get them.
Whole states and nothing else: a topic holds the newest, and nothing is ever queued. It knows no Redis and no clock.
"""

from collections.abc import Collection, Sequence
from socket import SocketType
from typing import Protocol

from server import wire
from server.model import SiteId, TicketId
from server.store.keys import channel
from server.wire import Close


class Topic:
    """One ticket that somebody watches here."""

    __slots__ = (
        "asked_by", "audiences", "channel", "confirmed", "counter", "fresh_until", "linger_until", "mismatched", "open",
        "opening_until", "ours", "proven", "shown", "site", "sse", "stored_v", "ticket", "v", "ws",
    )  # fmt: skip

    def __init__(self, site: SiteId, ticket: TicketId, opening_until: float, asked_by: str = "") -> None:
        self.site = site
        # The address that asked for it first.
        self.asked_by = asked_by
        self.ticket = ticket
        self.channel = channel(site, ticket)
        self.audiences: set[Audience] = set()
        # Whether Redis confirmed the subscription, and whether the snapshot was read after that.
        self.confirmed = False
        self.open = False
        # The loop's time after which its viewers are told `unknown` even though Redis has not answered.
        self.opening_until = opening_until
        # The newest counter and its version; None until one was ever read.
        self.counter: str | None = None
        self.v = 0
        # Whether its ticket was ever one: what nobody has read, or is gone, may be a stranger's invention.
        self.proven = False
        # Whether the stored counter was made by our rules.
        self.ours = True
        # The loop's time until which the counter counts as verified.
        self.fresh_until = 0.0
        # Rounds in a row in which the stored version was not the one shown, and which one that was last.
        self.mismatched = self.stored_v = 0
        # The loop's time at which it is closed; only while nobody watches.
        self.linger_until = 0.0
        # What viewers were told last, as text and as frames built once.
        self.shown: str | None = None
        self.ws = self.sse = b""

    @property
    def verified(self) -> bool:
        """Whether viewers see a counter now, rather than `unknown` or nothing."""
        return self.shown is not None and self.shown == self.counter

    def take(self, counter: str, fresh_until: float) -> None:
        """Keep a counter unless a newer one is here: publishes may come in any order."""
        v = wire.v_of(counter)
        if v >= self.v:
            self.counter, self.v = counter, v
            self.proven = self.proven or not wire.is_gone(counter)
            self.fresh_until = max(self.fresh_until, fresh_until)

    def decide(self, now: float) -> bool:
        """Show the counter if it can be vouched for at this time of the loop, else `unknown`; tell if that is news."""
        if not self.open and now < self.opening_until:
            return False
        counter = self.counter
        vouched = self.ours and counter is not None and (now < self.fresh_until or wire.holds_still(counter))
        text = counter if vouched and counter is not None else wire.unknown(self.ticket)
        if text == self.shown:
            return False
        self.shown = text
        self.ws, self.sse = wire.ws_text(text), wire.sse_data(text)
        return True


class Viewer(Protocol):
    """One connection as the hub sees it."""

    def show(self, topics: Collection[Topic]) -> None:
        """Write the newest frames of these topics, or remember them until the connection can take more."""

    def beat(self, text: str) -> None:
        """Write a heartbeat."""

    def bye(self, text: str, code: Close = Close.RESTART) -> None:
        """Write the word before a close of ours, then close; the code says why."""


class Socket(Viewer, Protocol):
    """A connection that may be written to past its transport."""

    def behind(self, rest: bytes) -> None:
        """This much of what was written directly to its socket was not taken."""

    def drop(self, reason: str) -> None:
        """It cannot be reached any more; the reason is one word, for the metrics."""


class Audience:
    """Some viewers of the same tickets: what one of them is due is what all are, byte for byte.

    `fast` are those with nothing waiting in them, by the socket that is written to directly (hub.py). `others` are all
    the rest: those that have not taken what they got yet, and those that are no WebSocket.
    """

    __slots__ = ("__weakref__", "fast", "others", "topics", "wanted")

    def __init__(self, site: SiteId, topics: Sequence[Topic]) -> None:
        self.topics = tuple(topics)
        self.wanted = (site, tuple(topic.ticket for topic in topics))
        self.fast: dict[SocketType, Socket] = {}
        self.others: set[Viewer] = set()

    def __len__(self) -> int:
        return len(self.fast) + len(self.others)

    def viewers(self) -> list[Viewer]:
        """Everyone, at this moment."""
        return [*self.fast.values(), *self.others]

    def known(self) -> list[Topic]:
        """Its topics of which something can be told."""
        return [topic for topic in self.topics if topic.shown is not None]

    def follows(self, line: SocketType, viewer: Socket) -> None:
        """Whoever has this socket takes everything."""
        self.others.discard(viewer)
        self.fast[line] = viewer

    def lags(self, line: SocketType, viewer: Socket) -> None:
        """Whoever has this socket has something to take yet."""
        self.fast.pop(line, None)
        self.others.add(viewer)
