"""The viewers of a run: as many pages as wished, each with the widget's way of connecting, waiting and withdrawing.

In: ports of the web processes, tickets, dice. Out: for each viewer what he showed of each ticket and when, and when
his connections began to speak and ended. What he does is what widget/ticket-counter.js does, with its numbers: obey
`bye`, come back after a random while that doubles, let the old number stand until the new socket has spoken of it, and
withdraw it after a minute in which nobody vouched for it.
"""

import asyncio
import random
import time
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

from tests.rig import canonical_counter
from tests.rig.canonical_counter import CanonicalCounter
from tests.rig.websocket import WebSocket

SILENCE = 60.0
SETTLED = 5.0
SOON, LATEST = 0.5, 30.0
"""Seconds: SILENCE, SETTLED, SOON and LATEST of the widget."""
WATCH_EVERY = 1.0
SIZES = (1, 2, 4, 8)
"""Tickets of a page."""


@dataclass(frozen=True, slots=True)
class Shown:
    """A value that stood on a page, and from when to when; None = nothing was claimed."""

    value: Hashable
    begin: float
    end: float


@dataclass(slots=True)
class Episode:
    """A connection that spoke: to which web, from its first frame to its end."""

    to: int
    began: float
    ended: float | None = None


class Visitor:
    """One page with the counters of some tickets."""

    def __init__(self, visitors: "Visitors", tickets: Sequence[str], dice: random.Random) -> None:
        self.tickets = tuple(tickets)
        self.told: dict[str, list[tuple[float, CanonicalCounter | None]]] = {ticket: [] for ticket in tickets}
        self.episodes: list[Episode] = []
        self._crowd = visitors
        self._dice = dice
        self._path = "/v1/counters?" + urlencode([("ticket", ticket) for ticket in tickets])
        self._said: dict[str, CanonicalCounter | None] = {}
        self._owed: set[str] = set()
        self._socket: WebSocket | None = None
        self._next: WebSocket | None = None
        self._began = self._heard = 0.0
        self._failures = 0
        self._timer: asyncio.TimerHandle | None = None

    # -- what he shows --

    def shows(self, ticket: str) -> CanonicalCounter | None:
        """What stands on the page now."""
        return self._said.get(ticket)

    def showings(self, ticket: str, end: float) -> list[Shown]:
        """All that stood there, up to the *end*."""
        told = self.told[ticket]
        ends = [at for at, _ in told[1:]] + [end]
        return [Shown(claim, at, over) for (at, claim), over in zip(told, ends, strict=True) if over > at]

    def _say(self, ticket: str, claim: CanonicalCounter | None) -> None:
        self._owed.discard(ticket)
        if self._said.get(ticket) != claim:
            self.told[ticket].append((time.monotonic(), claim))
        self._said[ticket] = claim

    def _withdraw(self, tickets: Sequence[str]) -> None:
        for ticket in tickets:
            self._say(ticket, None)

    # -- the widget's ways --

    def open(self) -> None:
        """Have a new socket, to a web that chance names, as a balancer would."""
        self._plan(None)
        if self._next is not None:
            self._next.leave()
        self._began = time.monotonic()
        to = self._dice.randrange(len(self._crowd.ports))
        self._next = WebSocket(to, self._path, self)
        self._crowd.connect(self._next)

    def heard(self, socket: WebSocket, text: str) -> None:
        """A frame has come."""
        now = self._heard = time.monotonic()
        if socket is self._next:
            self._end(self._socket)
            self._socket, self._next = socket, None
            self._owed = set(self._said)
            socket.spoke = now
            self.episodes.append(Episode(socket.to, now))
        if text.startswith('{"bye"'):
            low, high = canonical_counter.retry_ms(text)
            socket.retry = low / 1000, high / 1000
        elif (found := canonical_counter.of_frame(text)) is not None:
            ticket, claim = found
            self._crowd.look(ticket)
            self._say(ticket, claim)

    def ended(self, socket: WebSocket, code: int) -> None:
        """A socket has ended, or came to nothing."""
        if socket is self._socket:
            self._over()
            self._socket = None
        else:
            self._next = None
        if self._next is not None:
            return
        if 4500 <= code < 5000:
            self._crowd.refused.append(code)
            return
        if time.monotonic() - socket.spoke >= SETTLED:
            self._failures = 0
        low, high = socket.retry or (SOON, SOON + min(LATEST, 2.0**self._failures))
        self._failures += socket.retry is None
        self._plan(low + self._dice.random() * (high - low))

    def watch(self) -> None:
        """Once a second: withdraw what nobody vouches for, replace a silent socket."""
        now = time.monotonic()
        silence = self._crowd.silence
        silent, stuck = now - self._heard >= silence, now - self._began >= silence
        if silent:
            self._withdraw(list(self._said))
        elif self._next is None and stuck:
            self._withdraw(list(self._owed))
        if stuck if self._next is not None else self._socket is not None and silent:
            self.open()

    def reload(self) -> None:
        """Leave the page and come again: nothing is shown at first."""
        self.leave()
        self._withdraw(list(self._said))
        self._failures = 0
        self.open()

    def leave(self) -> None:
        """Close all."""
        self._plan(None)
        self._end(self._socket)
        if self._next is not None:
            self._next.leave()
        self._socket = self._next = None

    def _plan(self, seconds: float | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None if seconds is None else asyncio.get_running_loop().call_later(seconds, self.open)

    def _end(self, socket: WebSocket | None) -> None:
        if socket is not None:
            socket.leave()
            self._over()

    def _over(self) -> None:
        if self.episodes and self.episodes[-1].ended is None:
            self.episodes[-1].ended = time.monotonic()


class Visitors:
    """All viewers. *look* is called with a ticket before anything that is said of it counts; *silence* in seconds."""

    def __init__(self, ports: Sequence[int], look: Callable[[str], None], *, silence: float = SILENCE) -> None:
        self.ports = ports
        self.silence = silence
        self.look = look
        self.viewers: list[Visitor] = []
        self.refused: list[int] = []
        self._connecting: set[asyncio.Task[None]] = set()

    def fill(self, number: int, tickets: Sequence[str], dice: random.Random) -> None:
        """So many pages, each with one to eight of the tickets."""
        for _ in range(number):
            some = dice.sample(list(tickets), min(dice.choice(SIZES), len(tickets)))
            self.viewers.append(Visitor(self, some, random.Random(dice.random())))

    async def run(self) -> None:
        """Come, a few at a time, and look after the pages for ever."""
        for viewer in self.viewers:
            viewer.open()
            await asyncio.sleep(0.002)
        while True:
            await asyncio.sleep(WATCH_EVERY)
            for viewer in self.viewers:
                viewer.watch()

    def connect(self, socket: WebSocket) -> None:
        """Let a socket be made; one that cannot be has ended."""
        task = asyncio.get_running_loop().create_task(self._connect(socket))
        self._connecting.add(task)
        task.add_done_callback(self._connecting.discard)

    async def aclose(self) -> None:
        """Close every page."""
        for viewer in self.viewers:
            viewer.leave()
        for task in self._connecting:
            task.cancel()
        if self._connecting:
            await asyncio.wait(self._connecting)

    async def _connect(self, socket: WebSocket) -> None:
        try:
            await asyncio.get_running_loop().create_connection(lambda: socket, "127.0.0.1", self.ports[socket.to])
        except OSError:
            socket.fail()
