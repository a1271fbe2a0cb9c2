"""A topic is what is watched here, a ticket or the list of an event's tickets; an audience is some of its viewers.

In: texts, as they are stored and published. Out: frames, built once for all viewers, of what may be shown. A topic holds the
newest whole state and never queues anything. It knows no Redis and no clock.
"""

from abc import ABC, abstractmethod
from collections.abc import Collection
from enum import Enum, auto
from socket import SocketType
from typing import Protocol

from server import wire
from server.counter import Rules
from server.errors import Refused
from server.model import EventName, SiteId, TicketId
from server.wire import Close

Wanted = tuple[TicketId, ...] | EventName
"""What a viewer asks for: these tickets, or those of an event that a visitor may see."""


class TopicState(Enum):
    """Where a topic is between its first viewer and its end.

    The hub makes a topic OPENING; the feed makes it OPEN once its snapshot was read after its subscription was confirmed;
    the hub makes it LINGERING when its last viewer leaves, OPEN again when one comes, and CLOSED at the end. One whose
    viewers leave while it is OPENING stays that until it is read or closed.
    """

    OPENING = auto()
    OPEN = auto()
    LINGERING = auto()
    CLOSED = auto()


class Topic(ABC):
    """Something that viewers watch here: what they were sent of it last.

    hub.py writes `state`, `audiences` and `linger_until`; feed.py calls `read`, and hub.py `decide`. All times are the event
    loop's, in seconds.
    """

    __slots__ = ("asked_by", "audiences", "channel", "confirmed", "linger_until", "shown", "site", "sse", "state", "ws")

    def __init__(self, site: SiteId, channel: str, asked_by: str) -> None:
        self.site = site
        # Where it is published.
        self.channel = channel
        # The address that asked for it first.
        self.asked_by = asked_by
        self.state = TopicState.OPENING
        self.audiences: set[Audience] = set()
        # When it is closed; only while it has no viewer.
        self.linger_until = 0.0
        # Whether Wix ever had it: what was never read, or is gone, may be a client's invention.
        self.confirmed = False
        # What viewers were sent last, as text and as frames built once.
        self.shown: str | None = None
        self.ws = self.sse = b""

    @property
    @abstractmethod
    def verified(self) -> bool:
        """Whether viewers see what is true, rather than `unknown` or nothing."""

    @abstractmethod
    def decide(self, now: float) -> bool:
        """Show what may be shown at this time; tell whether that is a change."""

    def read(self) -> None:
        """What is stored of it was read, after the subscription was confirmed."""
        if self.state is TopicState.OPENING:
            self.state = TopicState.OPEN if self.audiences else TopicState.LINGERING

    def show(self, text: str) -> bool:
        """Build the frames of a text; tell whether that is a change."""
        if text == self.shown:
            return False
        self.shown = text
        self.ws, self.sse = wire.ws_text(text), wire.sse_data(text)
        return True


class TicketTopic(Topic):
    """One ticket that viewers watch here: counters are taken only if our own rules allow them.

    feed.py writes it by `take` and `withhold`, and directly `same_rules`, `fresh_until`, `v`, `mismatched`, `stored_v` and
    `compared_v`.
    """

    __slots__ = (
        "compared_v", "counter", "fresh_until", "mismatched", "opening_until", "rules", "same_rules", "stored_v", "ticket", "v",
    )  # fmt: skip

    def __init__(
        self,
        site: SiteId,
        ticket: TicketId,
        channel: str,
        rules: Rules,
        opening_until: float,
        *,
        asked_by: str = "",
    ) -> None:
        super().__init__(site, channel, asked_by)
        self.ticket = ticket
        self.rules = rules
        # When its viewers are told `unknown` although Redis has not answered.
        self.opening_until = opening_until
        # The newest counter, as our rules allow it, and its version; None until there is one, and while a newer one is stored
        # that our rules do not allow.
        self.counter: str | None = None
        self.v = 0
        # Whether the stored counter was made by this process's rules.
        self.same_rules = True
        # Until when the counter counts as verified.
        self.fresh_until = 0.0
        # Rounds in a row in which the stored version was not the one here, and the last such versions: stored, and here.
        self.mismatched = self.stored_v = self.compared_v = 0

    @property
    def verified(self) -> bool:
        """Whether viewers see a counter now, rather than `unknown` or nothing."""
        return self.shown is not None and self.shown == self.counter

    def take(self, text: str, fresh_until: float) -> bool:
        """Keep a counter unless a newer one is here: published messages may arrive in any order.

        Tells whether the text may be shown. This is the only way in, so what it does not take is not shown (law 13): a
        counter of another ticket, one that our rules do not allow, and any text that no process of ours wrote.
        """
        if text != self.counter:
            counter = wire.counter_of(text)
            if counter is None or counter.ticket != self.ticket or not self.rules.allow(counter):
                return False
        v = wire.v_of(text)
        if v >= self.v:
            self.counter, self.v = text, v
            self.confirmed = self.confirmed or not wire.is_gone(text)
            self.fresh_until = max(self.fresh_until, fresh_until)
        return True

    def withhold(self, v: int) -> None:
        """What is stored in version *v* may not be shown; an older counter that it has replaced is not true any more."""
        if v > self.v:
            self.counter = None

    def decide(self, now: float) -> bool:
        """Show the counter if it counts as verified at this time, else `unknown`; tell whether that is a change."""
        if self.state is TopicState.OPENING and now < self.opening_until:
            return False
        counter = self.counter
        verified = self.same_rules and counter is not None and (now < self.fresh_until or wire.stays_true(counter))
        return self.show(counter if verified and counter is not None else wire.unknown(self.ticket))


class EventTopic(Topic):
    """The tickets of an event that a visitor may see; *name* is its id or its slug, as viewers ask for it."""

    __slots__ = ("list", "name", "refusal", "tickets")

    def __init__(self, site: SiteId, name: EventName, channel: str, *, asked_by: str = "") -> None:
        super().__init__(site, channel, asked_by)
        self.name = name
        # The newest list, as text and as its tickets; None until there is one.
        self.list: str | None = None
        self.tickets: tuple[TicketId, ...] = ()
        # Why it has none, as far as that is known.
        self.refusal: Refused | None = None

    @property
    def verified(self) -> bool:
        """Whether viewers have the list."""
        return self.shown is not None

    def take(self, text: str) -> bool:
        """Keep a list, if a process of ours wrote it, and of this event as far as its name tells; tell whether it did."""
        found = wire.list_of(text)
        if found is None or (wire.guid(self.name) or found[0]) != found[0]:
            return False
        self.list, self.tickets = text, found[1]
        self.confirmed, self.refusal = True, None
        return True

    def refuse(self, refusal: Refused) -> None:
        """There is no list, for this reason."""
        self.list = self.shown = None
        self.tickets = ()
        self.refusal = refusal

    def decide(self, now: float) -> bool:  # noqa: ARG002 - a list has no age: each of its tickets has
        """Show the list, if there is one; tell whether that is a change."""
        return self.list is not None and self.show(self.list)


class Viewer(Protocol):
    """One connection as the hub sees it."""

    def show(self, topics: Collection[Topic]) -> None:
        """Write the newest frames of these topics, or remember the topics until the connection can take more."""

    def beat(self, text: str) -> None:
        """Write a heartbeat."""

    def bye(self, text: str, code: Close = Close.RESTART) -> None:
        """Write the message before a planned close, then close with this code."""

    def refuse(self, refusal: Refused) -> None:
        """There is nothing of what the viewer asked for: end the connection with this reason."""


class Socket(Viewer, Protocol):
    """A connection whose socket may be written to directly, past its transport."""

    def write_rest(self, rest: bytes) -> None:
        """The kernel did not take this much of what was written directly."""

    def drop(self, reason: str) -> None:
        """End the connection, which is unreachable; the reason is a label of a metric."""


class Audience:
    """Some viewers of the same tickets, or of the same event: all of them are due the same bytes.

    `fast` are the sockets whose transport buffers nothing; they are written to directly (hub.py). `others` are all other
    viewers: sockets that have not taken everything yet, and viewers that are no WebSocket.
    """

    __slots__ = ("__weakref__", "fast", "others", "topics", "wanted")

    def __init__(self, site: SiteId, wanted: Wanted) -> None:
        # In the order in which they are written: of an event its list, which is alone until it is known, then its tickets.
        self.topics: tuple[Topic, ...] = ()
        self.wanted = (site, wanted)
        self.fast: dict[SocketType, Socket] = {}
        self.others: set[Viewer] = set()

    def __len__(self) -> int:
        return len(self.fast) + len(self.others)

    def viewers(self) -> list[Viewer]:
        """All viewers at this moment."""
        return [*self.fast.values(), *self.others]

    @property
    def tickets(self) -> list[TicketTopic]:
        """The topics that are tickets."""
        return [topic for topic in self.topics if isinstance(topic, TicketTopic)]

    def shown(self) -> list[Topic]:
        """The topics that have something to show."""
        return [topic for topic in self.topics if topic.shown is not None]

    def add_fast(self, sock: SocketType, viewer: Socket) -> None:
        """The viewer joins, or has taken everything."""
        self.others.discard(viewer)
        self.fast[sock] = viewer

    def add_slow(self, sock: SocketType, viewer: Socket) -> None:
        """The viewer joins, or no longer takes everything at once."""
        self.fast.pop(sock, None)
        self.others.add(viewer)
