"""The local Wix in this process, the orders that are placed at it, and how much of the time is its own.

Its own time is from the moment when it has an order until the order's webhooks are signed and sent, and from the
moment when a query arrives until it is answered. Times are those of time.monotonic(), which all processes of a machine share.
"""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send

from sandbox.__main__ import Server, listen
from sandbox.app import Sandbox
from sandbox.site import Site
from tests.rig.wix import WixRig

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]

ANSWER_WITHIN = 5.0
"""Seconds that the web process has to answer a webhook."""
QUERY = "/events/v3/ticket-definitions/query"
ORDER = ".OrderConfirmed"
"""How the type of the webhook ends that an order has at least."""
LEFT = 1_000_000


@dataclass(frozen=True, slots=True)
class Order:
    """When the local Wix had an order, when its webhooks were on their way, and how many tickets were left then."""

    ticket: str
    left: int
    at: float
    sent: float


@dataclass(frozen=True, slots=True)
class Query:
    """When a query arrived, and when its answer was written."""

    began: float
    ended: float


class Queries:
    """An ASGI application around the local Wix that records its queries."""

    def __init__(self, app: ASGIApp) -> None:
        self.all: list[Query] = []
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        began = time.monotonic()
        await self._app(scope, receive, send)
        if scope["type"] == "http" and scope["path"] == QUERY:
            self.all.append(Query(began, time.monotonic()))


class LocalWix:
    """The running local Wix: `settings` of a server, `tickets` on sale, `queries` so far, and orders."""

    def __init__(self, rig: WixRig, queries: Queries, tickets: list[str]) -> None:
        self.rig = rig
        self.tickets = tickets
        self.orders: list[Order] = []
        self._queries = queries
        self._idle: list[Connection] = []

    @property
    def settings(self) -> dict[str, str]:
        """The settings of a server that uses it."""
        return {name.upper(): value for name, value in self.rig.settings().items()}

    @property
    def queries(self) -> list[Query]:
        """The queries so far that were answered, in the order of their answers."""
        return self._queries.all

    async def trade(self, port: int, moments: Iterator[float], dice: random.Random, *, all_webhooks: bool) -> None:
        """Sell a random ticket at each of these moments (seconds from now), and tell the web process at this port of it."""
        began = time.monotonic()
        async with asyncio.TaskGroup() as answers:
            for moment in moments:
                await asyncio.sleep(max(0.0, began + moment - time.monotonic()))
                for line in await self._sell(port, dice.choice(self.tickets), all_webhooks=all_webhooks):
                    answers.create_task(self._answer(line))
        for _, writer in self._idle:
            writer.close()

    async def _sell(self, port: int, ticket: str, *, all_webhooks: bool) -> list[Connection]:
        """Sell one, and send what Wix would send of it; answers the connections."""
        delivery, world = self.rig.sandbox.delivery, self.rig.world
        last = delivery.last
        world.buy(ticket)
        at = time.monotonic()
        left = world.tickets[ticket].left
        assert left is not None
        bodies = [one.jwt.encode() for one in delivery.since(last) if all_webhooks or one.type.endswith(ORDER)]
        lines = [await self._connection(port) for _ in bodies]
        sent = time.monotonic()
        for (_, writer), body in zip(lines, bodies, strict=True):
            writer.write(
                b"POST /webhooks/wix HTTP/1.1\r\nHost: bench\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
            )
        self.orders.append(Order(ticket, left, at, sent))
        return lines

    async def _connection(self, port: int) -> Connection:
        """The connection that was used last, if the web process has not closed it meanwhile; else a new one."""
        while self._idle:
            reader, writer = self._idle.pop()
            if not reader.at_eof():
                return reader, writer
            writer.close()
        return await asyncio.open_connection("127.0.0.1", port)

    async def _answer(self, line: Connection) -> None:
        async with asyncio.timeout(ANSWER_WITHIN):
            head = await line[0].readuntil(b"\r\n\r\n")
        if b" 200 " not in head.split(b"\r\n", 1)[0]:
            raise RuntimeError(f"a webhook was answered {head!r}")
        self._idle.append(line)


@asynccontextmanager
async def local_wix(tickets: int) -> AsyncIterator[LocalWix]:
    """Run it with so many tickets. All its sales have begun: only orders, and time, make a ticket due."""
    sandbox = Sandbox(Site.new(), seeded_at=time.time() - 120)
    sandbox.delivery.paused = True
    on_sale = sandbox.add(tickets, limit=LEFT)
    queries = Queries(sandbox.app)
    with listen("127.0.0.1", 0) as listening:
        started = asyncio.Event()
        config = uvicorn.Config(
            queries, log_config=None, access_log=False, server_header=False, timeout_graceful_shutdown=1
        )
        server = Server(config, started.set)
        serving = asyncio.create_task(server.serve([listening]))
        await asyncio.wait_for(started.wait(), 10)
        rig = WixRig(sandbox, f"http://127.0.0.1:{listening.getsockname()[1]}")
        try:
            yield LocalWix(rig, queries, on_sale)
        finally:
            await rig.aclose()
            server.should_exit = True
            await serving
