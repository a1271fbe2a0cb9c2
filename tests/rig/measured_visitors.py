"""Thousands of simulated visitors in the test's loop, who connect and reconnect as the widget does.

`async with measured_visitors(port, tickets) as visitors: await visitors.add(2000)`. Their behaviour is that of
simulated_visitors.py; here is what a test measures: who is connected, who sees the truth, how each connection ended and
how long it took to reconnect. Times are those of time.monotonic. 5,000 take a tenth of a core and 20 MB.
"""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from tests.rig import canonical_counter
from tests.rig.background import background
from tests.rig.canonical_counter import CanonicalCounter
from tests.rig.server import until
from tests.rig.simulated_visitors import Visitor, Visitors
from tests.rig.websocket import WebSocket
from tests.rig.wix import WixRig

APART = 0.002
"""Seconds between two new visitors."""


@dataclass(frozen=True, slots=True)
class ConnectionEnd:
    """How a connection ended: *code* 1006 is without a close frame, *retry* are the seconds that its `bye` named."""

    at: float
    code: int
    got_frames: bool
    retry: tuple[float, float] | None


class MeasuredVisitor(Visitor):
    """One visitor, and the ends of all connections of the page."""

    def __init__(self, visitors: Visitors, tickets: Sequence[str], dice: random.Random) -> None:
        super().__init__(visitors, tickets, dice)
        self.ends: list[ConnectionEnd] = []
        self.served: float | None = None
        """When the present connection had sent a counter of every ticket; None before."""
        self._missing: set[str] = set()

    @property
    def connected(self) -> bool:
        """Whether there is an open connection that has delivered a frame."""
        return bool(self.sessions) and self.sessions[-1].ended is None

    def on_text(self, socket: WebSocket, text: str) -> None:
        """Take a frame."""
        connections = len(self.sessions)
        super().on_text(socket, text)
        if len(self.sessions) > connections:
            self.served, self._missing = None, set(self.tickets)
        if self._missing and (found := canonical_counter.of_frame(text)) is not None and found[1] is not None:
            self._missing.discard(found[0])
            if not self._missing:
                self.served = time.monotonic()

    def on_end(self, socket: WebSocket, code: int) -> None:
        """Record the end of a connection, or the failure to connect."""
        self.ends.append(ConnectionEnd(time.monotonic(), code, socket.first_frame < float("inf"), socket.retry))
        super().on_end(socket, code)

    def back(self, end: ConnectionEnd) -> float | None:
        """Seconds from the end of a connection to the first frame on a later one; None if there was none."""
        return next((one.began - end.at for one in self.sessions if one.began > end.at), None)


class MeasuredVisitors(Visitors):
    """All visitors; each connection goes to a random one of these *ports*."""

    def __init__(self, ports: Sequence[int], tickets: Sequence[str], *, each: int, seed: int) -> None:
        super().__init__(ports, lambda _: None)
        self.pages: list[MeasuredVisitor] = []
        self._tickets = list(tickets)
        self._each = each
        self._dice = random.Random(seed)

    async def add(self, number: int, seconds: float = 60) -> list[MeasuredVisitor]:
        """Add so many visitors, and wait until each has a counter of each ticket."""
        new = [
            MeasuredVisitor(self, self._dice.sample(self._tickets, self._each), random.Random(self._dice.random()))
            for _ in range(number)
        ]
        for page in new:
            self.pages.append(page)
            self.viewers.append(page)
            page.open()
            await asyncio.sleep(APART)
        await until(lambda: all(page.served is not None for page in new), seconds)
        return new

    @property
    def connected(self) -> int:
        """How many are connected."""
        return sum(page.connected for page in self.pages)

    def wrong(self, wix: WixRig) -> int:
        """How many show a false counter of some ticket, or none."""
        truth = expected_counters(wix, self._tickets)
        return sum(any(page.shows(ticket) != truth[ticket] for ticket in page.tickets) for page in self.pages)

    def showing_false(self, wix: WixRig) -> int:
        """How many show a false counter of some ticket."""
        truth = expected_counters(wix, self._tickets)
        return sum(
            any(page.shows(ticket) not in {truth[ticket], None} for ticket in page.tickets) for page in self.pages
        )

    def ends(self, since: float) -> Iterator[tuple[MeasuredVisitor, ConnectionEnd]]:
        """Every end of a connection after that moment."""
        return ((page, end) for page in self.pages for end in page.ends if end.at >= since)


def expected_counters(wix: WixRig, tickets: Sequence[str]) -> Mapping[str, CanonicalCounter]:
    """What the counters of these tickets must be now."""
    found = {}
    for id_ in tickets:
        ticket = wix.world.tickets.get(id_)
        event = wix.world.events.get(ticket.event) if ticket else None
        found[id_] = canonical_counter.of_ticket(ticket, event, id_)
    return found


@asynccontextmanager
async def measured_visitors(
    ports: int | Sequence[int], tickets: Sequence[str], *, each: int = 1, seed: int = 1
) -> AsyncIterator[MeasuredVisitors]:
    """Visitors as long as the block, none at first; each page has so many of the tickets."""
    visitors = MeasuredVisitors([ports] if isinstance(ports, int) else ports, tickets, each=each, seed=seed)
    try:
        async with background(visitors.run()):
            await asyncio.sleep(0)  # `run` opens the visitors that there are at its start: none yet
            yield visitors
    finally:
        await visitors.aclose()
