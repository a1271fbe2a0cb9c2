"""Thousands of viewers in the test's loop, who come, leave and come back as the widget does.

`async with measured_visitors(port, tickets) as crowd: await crowd.come(2000)`. How they behave is in simulated_visitors.py; here is what
a test asks of them: who is connected, who is right, how each connection ended and how long it took to come back. Times
are those of time.monotonic. Some 5,000 take a tenth of a core to keep and 20 MB.
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
"""Seconds between two who come."""


@dataclass(frozen=True, slots=True)
class ConnectionEnd:
    """How a connection ended: *code* 1006 is without a word, *retry* are the seconds that its `bye` named."""

    at: float
    code: int
    spoke: bool
    retry: tuple[float, float] | None


class MeasuredVisitor(Visitor):
    """One viewer, who remembers the ends of his connections."""

    def __init__(self, visitors: Visitors, tickets: Sequence[str], dice: random.Random) -> None:
        super().__init__(visitors, tickets, dice)
        self.ends: list[ConnectionEnd] = []
        self.served: float | None = None
        """When the present connection had told a value of every ticket; None before."""
        self._untold: set[str] = set()

    @property
    def here(self) -> bool:
        """Whether he has a connection that has spoken and lives."""
        return bool(self.episodes) and self.episodes[-1].ended is None

    def heard(self, socket: WebSocket, text: str) -> None:
        """A frame has come."""
        connections = len(self.episodes)
        super().heard(socket, text)
        if len(self.episodes) > connections:
            self.served, self._untold = None, set(self.tickets)
        if self._untold and (found := canonical_counter.of_frame(text)) is not None and found[1] is not None:
            self._untold.discard(found[0])
            if not self._untold:
                self.served = time.monotonic()

    def ended(self, socket: WebSocket, code: int) -> None:
        """A connection has ended, or came to nothing."""
        self.ends.append(ConnectionEnd(time.monotonic(), code, socket.spoke < float("inf"), socket.retry))
        super().ended(socket, code)

    def back(self, end: ConnectionEnd) -> float | None:
        """Seconds from the end of a connection to the first frame on a later one; None if there was none."""
        return next((one.began - end.at for one in self.episodes if one.began > end.at), None)


class MeasuredVisitors(Visitors):
    """All of them; *ports* are where they connect, and chance says to which."""

    def __init__(self, ports: Sequence[int], tickets: Sequence[str], *, each: int, seed: int) -> None:
        super().__init__(ports, lambda _: None)
        self.pages: list[MeasuredVisitor] = []
        self._tickets = list(tickets)
        self._each = each
        self._dice = random.Random(seed)

    async def come(self, number: int, seconds: float = 60) -> list[MeasuredVisitor]:
        """Let so many more come, and wait until each has a value of each of his tickets."""
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
    def here(self) -> int:
        """How many have a connection that has spoken and lives."""
        return sum(page.here for page in self.pages)

    def wrong(self, wix: WixRig) -> int:
        """How many show a ticket otherwise than it is, or not at all."""
        truth = expected_counters(wix, self._tickets)
        return sum(any(page.shows(ticket) != truth[ticket] for ticket in page.tickets) for page in self.pages)

    def lying(self, wix: WixRig) -> int:
        """How many show a ticket otherwise than it is: who shows none does not."""
        truth = expected_counters(wix, self._tickets)
        return sum(
            any(page.shows(ticket) not in {truth[ticket], None} for ticket in page.tickets) for page in self.pages
        )

    def ends(self, since: float) -> Iterator[tuple[MeasuredVisitor, ConnectionEnd]]:
        """Every end of a connection after that moment."""
        return ((page, end) for page in self.pages for end in page.ends if end.at >= since)


def expected_counters(wix: WixRig, tickets: Sequence[str]) -> Mapping[str, CanonicalCounter]:
    """What may be said of these tickets now."""
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
    """A crowd as long as the block, nobody in it at first; each will look at so many of the tickets."""
    visitors = MeasuredVisitors([ports] if isinstance(ports, int) else ports, tickets, each=each, seed=seed)
    try:
        async with background(visitors.run()):
            await asyncio.sleep(0)  # it opens those that it finds at its start: none, yet
            yield visitors
    finally:
        await visitors.aclose()
