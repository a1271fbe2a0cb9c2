"""Simulated visitors: pages that connect, reconnect and withdraw counters as the widget does.

In: ports of the web processes, tickets, a random generator. Out: for each visitor what the page showed of each ticket
and when, and when its connections delivered their first frame and ended. The behaviour and its constants are those of
widget/ticket-counter.js: obey `bye`, reconnect with a random back-off that doubles, show the old number until the new
socket has sent that ticket, and withdraw it after a minute without a frame.
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
    """A value that a page showed, and from when to when (time.monotonic); None: no counter was shown."""

    value: Hashable
    begin: float
    end: float


@dataclass(slots=True)
class Session:
    """A connection that delivered a frame: to which web process, from its first frame to its end."""

    to: int
    began: float
    ended: float | None = None


class Visitor:
    """One page with the counters of some tickets."""

    def __init__(self, visitors: "Visitors", tickets: Sequence[str], dice: random.Random) -> None:
        self.tickets = tuple(tickets)
        self.history: dict[str, list[tuple[float, CanonicalCounter | None]]] = {ticket: [] for ticket in tickets}
        self.sessions: list[Session] = []
        self._visitors = visitors
        self._dice = dice
        self._path = "/v1/counters?" + urlencode([("ticket", ticket) for ticket in tickets])
        self._shown: dict[str, CanonicalCounter | None] = {}
        self._stale: set[str] = set()
        self._socket: WebSocket | None = None
        self._next: WebSocket | None = None
        self._began = self._last_frame = 0.0
        self._failures = 0
        self._timer: asyncio.TimerHandle | None = None

    # -- what the page shows --

    def shows(self, ticket: str) -> CanonicalCounter | None:
        """What the page shows now; None: no counter."""
        return self._shown.get(ticket)

    def showings(self, ticket: str, end: float) -> list[Shown]:
        """All that the page showed of a ticket, up to the *end*."""
        history = self.history[ticket]
        ends = [at for at, _ in history[1:]] + [end]
        return [Shown(counter, at, over) for (at, counter), over in zip(history, ends, strict=True) if over > at]

    def _show(self, ticket: str, counter: CanonicalCounter | None) -> None:
        self._stale.discard(ticket)
        if self._shown.get(ticket) != counter:
            self.history[ticket].append((time.monotonic(), counter))
        self._shown[ticket] = counter

    def _withdraw(self, tickets: Sequence[str]) -> None:
        for ticket in tickets:
            self._show(ticket, None)

    # -- what the widget does --

    def open(self) -> None:
        """Open a new socket, to a random web process, as a balancer would."""
        self._plan(None)
        if self._next is not None:
            self._next.leave()
        self._began = time.monotonic()
        to = self._dice.randrange(len(self._visitors.ports))
        self._next = WebSocket(to, self._path, self)
        self._visitors.connect(self._next)

    def on_text(self, socket: WebSocket, text: str) -> None:
        """Take a frame."""
        now = self._last_frame = time.monotonic()
        if socket is self._next:
            self._end(self._socket)
            self._socket, self._next = socket, None
            self._stale = set(self._shown)
            socket.first_frame = now
            self.sessions.append(Session(socket.to, now))
        if text.startswith('{"bye"'):
            low, high = canonical_counter.retry_ms(text)
            socket.retry = low / 1000, high / 1000
        elif (found := canonical_counter.of_frame(text)) is not None:
            ticket, counter = found
            self._visitors.look(ticket)
            self._show(ticket, counter)

    def on_end(self, socket: WebSocket, code: int) -> None:
        """Reconnect after a socket has ended or could not connect."""
        if socket is self._socket:
            self._over()
            self._socket = None
        else:
            self._next = None
        if self._next is not None:
            return
        if 4500 <= code < 5000:
            self._visitors.refused.append(code)
            return
        if time.monotonic() - socket.first_frame >= SETTLED:
            self._failures = 0
        low, high = socket.retry or (SOON, SOON + min(LATEST, 2.0**self._failures))
        self._failures += socket.retry is None
        self._plan(low + self._dice.random() * (high - low))

    def watch(self) -> None:
        """Once a second: withdraw counters that no frame confirmed in time, replace a silent socket."""
        now = time.monotonic()
        silence = self._visitors.silence
        silent, stuck = now - self._last_frame >= silence, now - self._began >= silence
        if silent:
            self._withdraw(list(self._shown))
        elif self._next is None and stuck:
            self._withdraw(list(self._stale))
        if stuck if self._next is not None else self._socket is not None and silent:
            self.open()

    def reload(self) -> None:
        """Reload the page: nothing is shown at first."""
        self.leave()
        self._withdraw(list(self._shown))
        self._failures = 0
        self.open()

    def leave(self) -> None:
        """Leave the page: close all sockets."""
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
        if self.sessions and self.sessions[-1].ended is None:
            self.sessions[-1].ended = time.monotonic()


class Visitors:
    """All visitors. *look* is called with a ticket before a counter of it is recorded; *silence* in seconds."""

    def __init__(self, ports: Sequence[int], look: Callable[[str], None], *, silence: float = SILENCE) -> None:
        self.ports = ports
        self.silence = silence
        self.look = look
        self.viewers: list[Visitor] = []
        self.refused: list[int] = []
        self._connecting: set[asyncio.Task[None]] = set()

    def fill(self, number: int, tickets: Sequence[str], dice: random.Random) -> None:
        """Add so many visitors, each with one to eight of the tickets."""
        for _ in range(number):
            some = dice.sample(list(tickets), min(dice.choice(SIZES), len(tickets)))
            self.viewers.append(Visitor(self, some, random.Random(dice.random())))

    async def run(self) -> None:
        """Open the pages one after the other, and then watch them; runs forever."""
        for viewer in self.viewers:
            viewer.open()
            await asyncio.sleep(0.002)
        while True:
            await asyncio.sleep(WATCH_EVERY)
            for viewer in self.viewers:
                viewer.watch()

    def connect(self, socket: WebSocket) -> None:
        """Connect a socket; one that cannot connect has ended."""
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
