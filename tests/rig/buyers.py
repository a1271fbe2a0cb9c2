"""A shop whose buyers never stop, and a stopwatch on each order until a viewer knows of it.

`shop = Shop(wix, tickets)`, `async with shop.watched(url)`, `await trade([shop], 33, 20)`, then `shop.took`.
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
    """The tickets of one site and one viewer of them all (at most 50); they only sell, so that numbers only fall."""

    def __init__(self, wix: WixRig, tickets: Sequence[str]) -> None:
        self.wix = wix
        self.tickets = tickets
        self.took: list[float] = []
        """Seconds from each order until the viewer had a number that knows of it."""
        self._untold: dict[str, deque[tuple[int, float]]] = {ticket: deque() for ticket in tickets}

    @property
    def untold(self) -> int:
        """Orders that the viewer does not know of yet."""
        return sum(map(len, self._untold.values()))

    def left(self, ticket: str) -> int:
        """What is truly left."""
        left = self.wix.world.tickets[ticket].left
        assert left is not None
        return left

    def buy(self) -> None:
        """Sell one of some ticket, and start its watch."""
        ticket = DICE.choice(self.tickets)
        self.wix.world.buy(ticket)
        self._untold[ticket].append((self.left(ticket), asyncio.get_running_loop().time()))

    def knows(self, viewer: RecordingViewer) -> bool:
        """Whether this viewer sees the truth of every ticket."""
        return all(viewer.unsold(ticket) == self.left(ticket) for ticket in self.tickets)

    @asynccontextmanager
    async def watched(self, url: str) -> AsyncIterator[RecordingViewer]:
        """Let one look at all of it, as long as the block."""
        async with websocket_viewer(url, self.wix.site, self.tickets) as viewer:
            viewer.on = self._told
            yield viewer

    def _told(self, counter: Json) -> None:
        unsold, orders = counter["unsold"], self._untold[counter["ticket"]]
        while unsold is not None and orders and orders[0][0] >= unsold:
            self.took.append(asyncio.get_running_loop().time() - orders.popleft()[1])


async def buy_steadily(all_buyers: Sequence[Buyers], a_second: float, seconds: float) -> int:
    """Sell so many a second over these shops for so long; answers how many were sold."""
    loop = asyncio.get_running_loop()
    began, sold = loop.time(), 0
    while (passed := loop.time() - began) < seconds:
        while sold < passed * a_second:
            DICE.choice(all_buyers).buy()
            sold += 1
        await asyncio.sleep(0.005)
    return sold
