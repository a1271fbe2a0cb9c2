"""What unauthenticated clients can use up: they ask for unknown tickets, and connect and leave, by the thousand."""

import asyncio
import itertools
import random
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, aclosing, suppress
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from redis.asyncio import Redis

from server.hub.unconfirmed import MAX_UNCONFIRMED as MOST_UNPROVEN
from server.store.budget import Budget
from tests.rig.background import background
from tests.rig.default_keys import key
from tests.rig.deployment import Deployment
from tests.rig.fake_reader import FakeReader, definition
from tests.rig.percentile import percentile
from tests.rig.process import Command, Run
from tests.rig.recording_viewers import RecordingViewer, counters_path, websocket_viewer
from tests.rig.redis import Servers
from tests.rig.report import report
from tests.rig.server import OTHER, SITE, TICKET, StartServer, until
from tests.rig.wix import WixRig
from tests.rig.wix_calls import counted_calls

TOKEN = "token"
FLOOD_S = 20.0
VIEWERS_A_SECOND = 20
TICKETS_EACH = 50
"""As many as one request may name."""
POLLERS = 20
REAL = 40
FIRST_READS = Budget().first_reads
VISITS_S = 40.0
VISITS_A_SECOND = 500

UPGRADE = (
    "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)


class ProcessMeter:
    """A process's memory and its subscriptions in Redis, measured again and again."""

    def __init__(self, web: Command, redis: Redis) -> None:
        self.pid = web.process.pid
        self.redis = redis
        self.rss: list[float] = []
        self.subscribed: list[int] = []

    async def look(self) -> tuple[float, int]:
        """MB that the process uses now, and channels that it is subscribed to."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        self.rss.append(int(status.partition("VmRSS:")[2].split()[0]) / 1024)
        self.subscribed.append(len(await self.redis.pubsub_channels("tc:*")))
        return self.rss[-1], self.subscribed[-1]

    async def keep_looking(self, seconds: float = 0.5) -> None:
        """Measure until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(seconds)

    @property
    def descriptors(self) -> int:
        """How many file descriptors it has open."""
        return len(list(Path(f"/proc/{self.pid}/fd").iterdir()))


class Clients:
    """Clients of one server, each with its own address as a proxy would forward it."""

    def __init__(self, url: str, site: str) -> None:
        parts = urlsplit(url)
        self.host, self.port = parts.hostname or "", parts.port or 0
        self.site = site
        self.open: list[asyncio.StreamWriter] = []
        self.came = 0
        self.asked = 0
        self._addresses = (f"198.18.{a}.{b}" for a, b in itertools.cycle(itertools.product(range(256), range(256))))

    async def ask(self, tickets: Sequence[str], more: str = "", where: str = "") -> asyncio.StreamReader:
        """Connect and ask for these."""
        reader, writer = await asyncio.open_connection(self.host, self.port, limit=2**20)
        self.open.append(writer)
        self.came += 1
        self.asked += len(tickets)
        target = counters_path(self.site, tickets).replace("?", f"{where}?")
        head = f"GET {target} HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: {next(self._addresses)}\r\n{more}\r\n"
        writer.write(head.encode())
        return reader

    def leave(self, writer: asyncio.StreamWriter, *, abrupt: bool) -> None:
        """Close one connection, in order or abruptly."""
        self.open.remove(writer)
        if abrupt:
            writer.transport.abort()
        else:
            writer.close()

    def end(self) -> None:
        """Close all."""
        for writer in self.open:
            writer.transport.abort()
        self.open.clear()


def invented(number: int = TICKETS_EACH) -> list[str]:
    """Tickets that do not exist."""
    return [str(uuid.uuid4()) for _ in range(number)]


async def each(seconds: float, for_seconds: float) -> AsyncIterator[int]:
    """Count, so many seconds apart, for so long; a late count catches up."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    for number in range(round(for_seconds / seconds)):
        await asyncio.sleep(max(0.0, began + number * seconds - loop.time()))
        yield number


async def flood(clients: Clients) -> None:
    """Viewers that stay, and pollers that come back, each with tickets that do not exist."""

    async def viewers() -> None:
        async for number in each(1 / VIEWERS_A_SECOND, FLOOD_S):
            streams = number % 4 == 0
            await clients.ask(invented(), "" if streams else UPGRADE, where="/stream" if streams else "")

    async def poll() -> None:
        async for _ in each(1.0, FLOOD_S):
            reader = await clients.ask(invented(), "Connection: close\r\n")
            with suppress(OSError):
                await reader.read()

    await asyncio.gather(viewers(), *(poll() for _ in range(POLLERS)))


@pytest.mark.alone
async def test_flood_of_unknown_tickets_is_bounded(command: Run, redis_server: Servers, wix: WixRig) -> None:
    """Law 9: Thousands of unknown tickets use little of memory, Redis and Wix, and nothing later; numbers stay right."""
    server = redis_server()
    deployment = Deployment(command, server.url, wix.settings(), TRUSTED_PROXIES="127.0.0.1")
    tickets = wix.sandbox.add(2 * REAL, limit=100_000)
    deployment.worker()
    web = deployment.start("web")
    url = await web.url()
    wix.send_to(url)
    loop = asyncio.get_running_loop()
    to_truth: list[float] = []
    to_first: list[float] = []
    viewers: dict[str, RecordingViewer] = {}
    async with AsyncExitStack() as stack:

        async def arrive(ticket: str) -> None:
            """Watch a real ticket; notes how long until its number is shown."""
            began = loop.time()
            viewers[ticket] = viewer = await stack.enter_async_context(websocket_viewer(url, wix.site, [ticket]))
            await until(lambda: viewer.unsold(ticket) == wix.world.tickets[ticket].left, 20)
            to_first.append(loop.time() - began)

        async def newcomers(some: Sequence[str]) -> None:
            async for _ in each(FLOOD_S / len(some), FLOOD_S):
                if fresh := next((one for one in some if one not in viewers), None):
                    await arrive(fresh)

        def knows(ticket: str, left: int | None) -> bool:
            return viewers[ticket].unsold(ticket) == left

        async def sales() -> None:
            """Orders for watched tickets; notes how long until their viewers show them."""
            async for _ in each(0.5, FLOOD_S):
                one = random.choice(list(viewers))
                wix.world.buy(one)
                began, left = loop.time(), wix.world.tickets[one].left
                await until(partial(knows, one, left), 20)
                to_truth.append(loop.time() - began)

        redis: Redis = await stack.enter_async_context(Redis.from_url(server.url, decode_responses=True))
        await until(lambda: deployment.right(wix, tickets), 30)
        for one in tickets[:REAL]:
            await arrive(one)
        meter = ProcessMeter(web, redis)
        clients = Clients(url, wix.site)
        stack.callback(clients.end)
        before = await meter.look()
        calls, known = len(counted_calls(wix)), len(wix.world.tickets)
        peaks = []
        for some in (tickets[REAL : REAL + REAL // 2], tickets[REAL + REAL // 2 :]):
            async with background(meter.keep_looking()):
                await asyncio.gather(flood(clients), sales(), newcomers(some))
            peaks.append(max(meter.rss))
            clients.end()
            await until(lambda: _subscribed(meter, before[1] + len(viewers) - REAL), 15)
        after = await meter.look()
        calls = len(counted_calls(wix)) - calls
        read = [one async for one in redis.scan_iter(key(wix.site, "ticket", "*"), count=1000)]
        states = {viewer.state(one) for one, viewer in viewers.items()}
        right = [viewer.unsold(one) == wix.world.tickets[one].left for one, viewer in viewers.items()]

    report(
        f"{clients.asked:,} invented tickets in {2 * FLOOD_S:.0f} s: at most {max(meter.subscribed):,} subscriptions "
        f"({before[1]} before, {after[1]} after with {len(viewers) - REAL} viewers more), RSS {before[0]:.0f} MB before, "
        f"at most {peaks[0]:.0f} and then {peaks[1]:.0f}; {len(read) - known} of them asked of Wix in the last minute, "
        f"{calls} calls in all; order to viewer p50 {percentile(to_truth, 0.5):.2f} s, "
        f"p99 {percentile(to_truth, 0.99):.2f} s; newcomers to their number p99 {percentile(to_first, 0.99):.2f} s"
    )
    assert clients.asked > 4 * MOST_UNPROVEN
    assert max(meter.subscribed) < 1.2 * MOST_UNPROVEN
    assert peaks[0] < before[0] + 50
    assert peaks[1] < peaks[0] + 10
    assert len(read) - known <= FIRST_READS
    assert {"available"} == states
    assert all(right)
    assert percentile(to_truth, 0.99) < 5
    assert percentile(to_first, 0.99) < 5


async def _subscribed(meter: ProcessMeter, wanted: int) -> bool:
    return (await meter.look())[1] == wanted


# -- coming and going --


async def visits(clients: Clients, seconds: float, tickets: Sequence[str]) -> None:
    """Viewers of each kind that come, get something and go, half of them abruptly."""
    going: set[asyncio.Task[None]] = set()
    async for number in each(1 / VISITS_A_SECOND, seconds):
        going.add(task := asyncio.create_task(visit(clients, number, tickets)))
        task.add_done_callback(going.discard)
    await until(lambda: not going, 30)


async def visit(clients: Clients, number: int, tickets: Sequence[str]) -> None:
    """One of them: over a socket three times of four, to a real ticket nearly always."""
    wanted = invented(1) if number % 10 == 0 else [tickets[number % len(tickets)]]
    kind = number // 2 % 8
    with suppress(OSError, asyncio.IncompleteReadError):
        if kind == 0:
            reader = await clients.ask(wanted)
        elif kind == 1:
            reader = await clients.ask(wanted, where="/stream")
        else:
            reader = await clients.ask(wanted, UPGRADE)
        writer = clients.open[-1]
        await reader.readuntil(b"\r\n\r\n")
        await asyncio.sleep(random.random() / 5)
        clients.leave(writer, abrupt=number % 2 == 0)


@pytest.mark.alone
async def test_viewers_that_come_and_go_leak_nothing(command: Run, redis_server: Servers) -> None:
    """20,000 viewers that come and go within 40 s, half of them abruptly, leave no descriptor, memory or subscription."""
    server = redis_server()
    tickets = [f"11111111-aaaa-4aaa-8aaa-{number:012}" for number in range(20)]
    web = command("web", REDIS_URL=server.url, METRICS_TOKEN=TOKEN, TRUSTED_PROXIES="127.0.0.1")
    url = await web.url()
    async with AsyncExitStack() as stack:
        redis: Redis = await stack.enter_async_context(Redis.from_url(server.url, decode_responses=True))
        reads = await stack.enter_async_context(aclosing(FakeReader(server.url, SITE)))
        http = await stack.enter_async_context(httpx.AsyncClient(base_url=url, trust_env=False))
        await reads.read(*(definition(one, 3) for one in tickets))
        meter = ProcessMeter(web, redis)
        clients = Clients(url, SITE)
        stack.callback(clients.end)

        async def quiet() -> tuple[int, float, int] | None:
            """Descriptors, MB and subscriptions, once no viewer and no topic is left."""
            text = (await http.get("/metrics", headers={"Authorization": f"Bearer {TOKEN}"})).text
            values = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
            names = ('ticketcounter_viewers{kind="ws"}', 'ticketcounter_viewers{kind="sse"}', "ticketcounter_topics")
            rss, subscribed = await meter.look()
            return (meter.descriptors, rss, subscribed) if all(float(values[name]) == 0 for name in names) else None

        # The first ones make it allocate memory that it then keeps.
        await visits(clients, VISITS_S / 8, tickets)
        before = await until(quiet, 60)
        came = clients.came
        began = asyncio.get_running_loop().time()
        await visits(clients, VISITS_S, tickets)
        took = asyncio.get_running_loop().time() - began
        came = clients.came - came
        after = await until(quiet, 60)

    report(
        f"{came:,} viewers in {took:.0f} s, half abrupt: descriptors {before[0]} before, {after[0]} after; "
        f"RSS {before[1]:.1f} MB, {after[1]:.1f} MB; subscriptions {before[2]}, {after[2]}"
    )
    assert came >= 20_000
    assert abs(after[0] - before[0]) <= 5
    assert after[1] <= before[1] + 10
    assert after[2] == before[2]


async def test_viewers_leave_no_task_running(start_server: StartServer, reads: FakeReader) -> None:
    """However viewers leave, none of their tasks is left running."""
    running = await start_server(trusted_proxies="127.0.0.1")
    await reads.read(definition(TICKET, 3), definition(OTHER, 4))
    clients = Clients(running.url, SITE)
    await visits(clients, 1.0, [TICKET, OTHER])
    clients.end()
    await until(lambda: not running.web.hub.viewers)
    before = len(asyncio.all_tasks())

    for _ in range(3):
        await visits(clients, 2.0, [TICKET, OTHER])
        clients.end()

    await until(lambda: not running.web.hub.viewers)
    await until(lambda: abs(len(asyncio.all_tasks()) - before) <= 5)
    report(f"{clients.came:,} viewers: {before} tasks before, {len(asyncio.all_tasks())} after")
