"""Buyers who never stop, and the delay from each order until a viewer sees it.

`buyers = Buyers(wix, tickets)`, `async with buyers.watched(url)`, `await buy_steadily([buyers], 33, 20)`, then
`buyers.delays`.
"""

import asyncio
import random
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from tests.rig.recording_viewers import Json, RecordingViewer, websocket_viewer
from tests.rig.wix import WixRig

DICE = random.Random(5)


class Buyers:
    """Buyers of one site's tickets, and a viewer of all of these (at most 50). They only buy, so numbers only fall."""

    def __init__(self, wix: WixRig, tickets: Sequence[str]) -> None:
        self.wix = wix
        self.tickets = tickets
        self.delays: list[float] = []
        """Seconds from each order until the viewer had a number that includes it."""
        self._unseen: dict[str, deque[tuple[int, float]]] = {ticket: deque() for ticket in tickets}

    @property
    def unseen(self) -> int:
        """Orders that the viewer has not seen yet."""
        return sum(map(len, self._unseen.values()))

    def left(self, ticket: str) -> int:
        """How many are left at Wix."""
        left = self.wix.world.tickets[ticket].left
        assert left is not None
        return left

    def buy(self) -> None:
        """Buy one of a random ticket, and note the time."""
        ticket = DICE.choice(self.tickets)
        self.wix.world.buy(ticket)
        self._unseen[ticket].append((self.left(ticket), asyncio.get_running_loop().time()))

    def knows(self, viewer: RecordingViewer) -> bool:
        """Whether this viewer shows the true number of every ticket."""
        return all(viewer.unsold(ticket) == self.left(ticket) for ticket in self.tickets)

    @asynccontextmanager
    async def watched(self, url: str) -> AsyncIterator[RecordingViewer]:
        """Measure with a viewer of all tickets, as long as the block."""
        async with websocket_viewer(url, self.wix.site, self.tickets) as viewer:
            viewer.on_counter = self._seen
            yield viewer

    def _seen(self, counter: Json) -> None:
        unsold, orders = counter["unsold"], self._unseen[counter["ticket"]]
        while unsold is not None and orders and orders[0][0] >= unsold:
            self.delays.append(asyncio.get_running_loop().time() - orders.popleft()[1])


async def buy_steadily(all_buyers: Sequence[Buyers], a_second: float, seconds: float) -> int:
    """Buy so many tickets *a_second* in total, for so many seconds; answers how many were bought."""
    loop = asyncio.get_running_loop()
    began, sold = loop.time(), 0
    while True:
        passed = min(loop.time() - began, seconds)
        while sold < passed * a_second:
            DICE.choice(all_buyers).buy()
            sold += 1
        if passed == seconds:
            return sold
        await asyncio.sleep(0.005)
