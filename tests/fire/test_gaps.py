"""What falls into a gap: Redis dies, goes silent, hangs up, fails over, is emptied or full, under viewers and orders."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

import httpx
import pytest
from redis.asyncio import Redis
from redis.exceptions import RedisError
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from server import metrics
from server.store.keys import channel, key
from tests.rig.buyers import Buyers, buy_steadily
from tests.rig.deployment import Deployment
from tests.rig.process import Run
from tests.rig.recording_viewers import RecordingViewer, counters_path, websocket_viewer
from tests.rig.redis import RedisServer, Servers
from tests.rig.report import report
from tests.rig.server import StartServer, until
from tests.rig.tcp_proxy import tcp_proxy
from tests.rig.webhook_sender import webhook_sender
from tests.rig.wix import WixRig

VIEWERS = 50
COME_BACK = range(4000, 4500)
"""Codes with which a socket is closed that is welcome later."""


@asynccontextmanager
async def crowd(url: str, shop: Buyers, number: int = VIEWERS) -> AsyncIterator[list[RecordingViewer]]:
    """So many viewers of a shop's tickets, who all know the truth when the block begins."""
    async with AsyncExitStack() as stack:
        eyes = [
            await stack.enter_async_context(websocket_viewer(url, shop.wix.site, shop.tickets)) for _ in range(number)
        ]
        await until(lambda: all(map(shop.knows, eyes)), 30)
        yield eyes


async def converge(shop: Buyers, eyes: Sequence[RecordingViewer], seconds: float) -> float:
    """Wait until all of them know the truth, at most so long; answers how long it took."""
    began = time.monotonic()
    await until(lambda: all(map(shop.knows, eyes)), seconds)
    return time.monotonic() - began


async def back(server: RedisServer) -> float:
    """Start a server again and wait until it answers; when that was, by the clock of the machine."""
    server.start(wait=False)
    async with Redis(port=server.port, socket_connect_timeout=0.1) as redis:

        async def answers() -> bool:
            try:
                return bool(await redis.ping())
            except (RedisError, OSError):
                return False

        await until(answers)
    return time.time()


async def test_killed(command: Run, redis_server: Servers, wix: WixRig) -> None:
    """A Redis that is killed and comes back has lost no webhook that was answered 200, and all works 3 s later."""
    server = redis_server()
    shop, after = (Buyers(wix, wix.sandbox.add(number, limit=100_000)) for number in (10, 1))
    house = Deployment(command, server.url, wix.settings(), WATCH_EVERY="5")
    house.worker()
    url = await house.web()
    async with (
        crowd(url, shop) as eyes,
        websocket_viewer(url, wix.site, after.tickets) as eye,
        webhook_sender(url, of=wix) as post,
    ):
        await until(lambda: after.knows(eye))
        selling = asyncio.create_task(buy_steadily([shop], 50, 8))
        await asyncio.sleep(2)
        server.kill()
        killed = time.time()
        await asyncio.sleep(2)
        started = time.time()
        there = await back(server)

        after.buy()
        await until(lambda: after.knows(eye), 3)
        works = time.time() - there
        sold = await selling + 1
        late = await converge(shop, eyes, 15)
        await until(lambda: not post.untaken)

    heard = server.ask("HGETALL", key(wix.site, "heard"))
    [counted] = [int(count) for name, count in heard.items() if name.endswith("OrderConfirmed:count")]
    down = [one for one in post.tries if one.at > killed and one.ended < started]
    report(
        f"kill -9, away for {there - killed:.1f} s: {sold} orders, {len(down)} webhooks refused, slowest of all answers "
        f"{max(one.seconds for one in post.tries):.2f} s; works {works:.2f} s after it is back, "
        f"all right {late:.2f} s after the last order"
    )
    assert down
    assert {503} == {one.status for one in down}
    assert 1.0 >= max(one.seconds for one in post.tries)
    assert sold <= counted
    assert [] == house.ended


@pytest.mark.parametrize("both", [False, True], ids=["listening", "both"])
async def test_silence(
    start_server: StartServer, redis_shared: RedisServer, redis_url: str, wix: WixRig, both: bool
) -> None:
    """Law 6: A link that is cut in silence is noticed in 6 s; who watches is right 8 s after, or 5 s after it heals."""
    shop = Buyers(wix, wix.sandbox.add(10, limit=100_000))
    worker = await start_server(worker=True, **wix.settings())
    wix.send_to(worker.url)
    async with tcp_proxy("127.0.0.1", redis_shared.port) as link:
        through = f"redis://127.0.0.1:{link.port}/0"
        links = {"redis_url": through} if both else {"listens_to": through}
        web = await start_server(**{**wix.settings(), **links})
        async with crowd(web.url, shop) as eyes:
            before = metrics.silent_links._value.get()
            selling = asyncio.create_task(buy_steadily([shop], 10, 5))
            link.silence()
            began = time.monotonic()
            await until(lambda: metrics.silent_links._value.get() > before, 6)
            noticed = time.monotonic() - began
            await selling
            if not both:
                await converge(shop, eyes, 8 - (time.monotonic() - began))
            right = time.monotonic() - began
            # It goes on being cut, and being sold.
            await buy_steadily([shop], 10, 14.5 - (time.monotonic() - began))
            late = 0.0 if both else await converge(shop, eyes, 8)
            await asyncio.sleep(max(0.0, 15 - (time.monotonic() - began)))
            await link.heal()
            healed = await converge(shop, eyes, 5)

            # The new link is as good as the old one was.
            await until(lambda: web.web.feed.healthy)
            shop.buy()
            again = await converge(shop, eyes, 2)

    kept = f"all right {right:.1f} s after the cut and {late:.1f} s after the last order in it, " if not both else ""
    report(
        f"noticed {noticed:.1f} s after the cut, {kept}{healed:.1f} s after it healed, then {again:.2f} s after an order"
    )


@pytest.mark.parametrize("kind", ["pubsub", "normal"])
async def test_hung_up(command: Run, redis_server: Servers, wix: WixRig, kind: str) -> None:
    """Law 6: However often Redis hangs up on us, every topic is subscribed and read again, and nobody keeps an old number."""
    server = redis_server()
    wix.knobs.turn(resend_scale=0.02)
    shop = Buyers(wix, wix.sandbox.add(10, limit=100_000))
    house = Deployment(command, server.url, wix.settings(), WATCH_EVERY="5")
    house.worker()
    url = await house.web()
    wix.send_to(url)
    async with crowd(url, shop) as eyes, Redis.from_url(server.url, decode_responses=True) as redis:
        selling = asyncio.create_task(buy_steadily([shop], 20, 10))
        killed = 0
        while not selling.done():
            killed += await redis.client_kill_filter(_type=kind, skipme=True)
            await asyncio.sleep(0.3)
        await selling
        late = await converge(shop, eyes, 10)
        subscribed = dict(await redis.pubsub_numsub(*(channel(wix.site, ticket) for ticket in shop.tickets)))

    report(f"{killed} connections closed in 10 s of 20 orders a second; all right {late:.2f} s after the last order")
    assert 20 <= killed
    assert {1} == set(subscribed.values())
    assert [] == house.ended


async def _followed(master: RedisServer, replica: RedisServer) -> bool:
    return str(master.ask("INFO", "replication")["master_repl_offset"]) == str(
        replica.ask("INFO", "replication")["master_repl_offset"]
    )


@pytest.mark.parametrize("hangs_up", [True, False], ids=["hangs up", "stays"])
async def test_failover(command: Run, redis_server: Servers, wix: WixRig, hangs_up: bool) -> None:
    """Behind one address a replica takes over, and the tail that it did not have is read from Wix; versions go on.

    The old master hangs up, or stays as a replica that takes no writes, and is left for that.
    """
    old, new = redis_server(), redis_server(repl_diskless_sync_delay="0")
    wix.knobs.turn(resend_scale=0.02)
    shop = Buyers(wix, wix.sandbox.add(10, limit=100_000))
    async with tcp_proxy("127.0.0.1", old.port) as link, tcp_proxy("127.0.0.1", old.port) as copying:
        new.ask("REPLICAOF", "127.0.0.1", copying.port)
        house = Deployment(command, f"redis://127.0.0.1:{link.port}/0", wix.settings(), WATCH_EVERY="5")
        house.worker()
        url = await house.web()
        wix.send_to(url)
        async with crowd(url, shop) as eyes:
            await until(lambda: _followed(old, new))
            copying.silence()
            await buy_steadily([shop], 20, 2)
            await converge(shop, eyes, 5)
            seen = max(one.counter["v"] for eye in eyes for one in eye.told)
            lost = sum(
                old.ask("HGET", name, "version") != new.ask("HGET", name, "version")
                for name in (key(wix.site, "ticket", ticket) for ticket in shop.tickets)
            )

            selling = asyncio.create_task(buy_steadily([shop], 20, 4))
            await asyncio.sleep(0.5)
            new.ask("REPLICAOF", "NO", "ONE")
            link.target = ("127.0.0.1", new.port)
            began = time.monotonic()
            if hangs_up:
                link.snap()
            else:
                old.ask("REPLICAOF", "127.0.0.1", new.port)
            await selling
            over = time.monotonic() - began
            late = await converge(shop, eyes, 12)
            fresh = min(eye.last[ticket]["v"] for eye in eyes for ticket in shop.tickets)
            ours = [line for line in new.ask("CLIENT", "LIST").splitlines() if "cmd=evalsha" in line]

    report(
        f"failover with the last changes of {lost} of 10 tickets lost, the old master "
        f"{'hangs up' if hangs_up else 'stays as a replica'}: all right {late:.2f} s after the last order, "
        f"{over + late:.1f} s after the failover"
    )
    assert lost
    assert ours
    assert fresh > seen
    assert [] == house.ended


@pytest.mark.parametrize("given", [True, False], ids=["WIX_SITES", "installed"])
async def test_emptied(command: Run, redis_server: Servers, wix: WixRig, given: bool) -> None:
    """A Redis that was emptied under viewers is filled from Wix without a restart, sites that no setting names too."""
    server = redis_server()
    shop = Buyers(wix, wix.sandbox.add(10, limit=100_000))
    settings = wix.settings() if given else {**wix.settings(), "wix_sites": ""}
    house = Deployment(command, server.url, settings, WATCH_EVERY="5", MAX_STALE="10")
    house.worker()
    url = await house.web()
    wix.send_to(url)
    if not given:
        await wix.http.post("/sandbox/app/install")
        async with Redis.from_url(server.url) as redis:
            await until(lambda: redis.scard("tc:sites"))
        await until(lambda: _served(url, wix), 15)
    codes: list[int] = []

    async def comes(times: int) -> None:
        """A visitor who reloads the page again and again."""
        for _ in range(times):
            try:
                async with connect(url.replace("http", "ws", 1) + counters_path(wix.site, shop.tickets)) as socket:
                    await asyncio.wait_for(socket.recv(), 5)
            except ConnectionClosed as closed:
                codes.append(closed.rcvd.code if closed.rcvd else 1006)
            await asyncio.sleep(0.05)

    async with crowd(url, shop) as eyes:
        server.ask("FLUSHALL")
        began = time.monotonic()
        coming = asyncio.create_task(comes(100))
        await buy_steadily([shop], 20, 3)
        await converge(shop, eyes, 15)
        healed = time.monotonic() - began
        async with crowd(url, shop, 5) as late:
            shop.buy()
            quick = await converge(shop, [*eyes, *late], 3)
        await coming

    report(f"all right {healed:.1f} s after FLUSHALL under orders, then {quick:.2f} s after an order")
    assert all(code in COME_BACK for code in codes)
    assert [] == house.ended


async def _served(url: str, wix: WixRig) -> bool:
    async with httpx.AsyncClient(base_url=url, trust_env=False) as client:
        answer = await client.get(counters_path(wix.site, list(wix.tickets.values())[:1]))
    return answer.status_code == httpx.codes.OK


async def test_full(command: Run, redis_server: Servers, wix: WixRig) -> None:
    """Law 8: While Redis is full webhooks are refused and numbers withdrawn; when there is room all is right again."""
    server = redis_server()
    shop = Buyers(wix, wix.sandbox.add(10, limit=100_000))
    house = Deployment(command, server.url, wix.settings(), WATCH_EVERY="2", MAX_STALE="8")
    house.worker()
    url = await house.web()
    async with crowd(url, shop) as eyes, webhook_sender(url, of=wix) as post:
        selling = asyncio.create_task(buy_steadily([shop], 20, 20))
        await asyncio.sleep(1)
        server.ask("CONFIG", "SET", "maxmemory", 1)
        full = time.time()
        await until(lambda: all(eye.state(ticket) == "unknown" for eye in eyes for ticket in shop.tickets), 8 + 10)
        withdrawn = time.time() - full
        await selling
        room = time.time()
        server.ask("CONFIG", "SET", "maxmemory", 0)
        healed = await converge(shop, eyes, 15)
        await until(lambda: not post.untaken)

    refused = [one for one in post.tries if one.at > full + 0.1 and one.ended < room]
    report(
        f"full for {room - full:.0f} s: {len(refused)} webhooks refused, all withdrawn after {withdrawn:.1f} s "
        f"(MAX_STALE 8), all right {healed:.1f} s after there is room"
    )
    assert refused
    assert {503} == {one.status for one in refused}
    assert 1.0 >= max(one.seconds for one in post.tries)
    assert [] == house.ended
