"""Redis dies, goes silent, hangs up, fails over, loses its data or is full, during orders and with viewers."""

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
from tests.rig.buyers import Buyers, buy_steadily
from tests.rig.default_keys import channel, key
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
"""Close codes after which a client may reconnect."""


@asynccontextmanager
async def several_viewers(url: str, buyers: Buyers, number: int = VIEWERS) -> AsyncIterator[list[RecordingViewer]]:
    """So many viewers of a shop's tickets, which all show the true numbers when the block begins."""
    async with AsyncExitStack() as stack:
        viewers = [
            await stack.enter_async_context(websocket_viewer(url, buyers.wix.site, buyers.tickets))
            for _ in range(number)
        ]
        await until(lambda: all(map(buyers.knows, viewers)), 30)
        yield viewers


async def until_all_know(buyers: Buyers, viewers: Sequence[RecordingViewer], seconds: float) -> float:
    """Wait, at most so long, until all of them show the true numbers; returns how long it took."""
    began = time.monotonic()
    await until(lambda: all(map(buyers.knows, viewers)), seconds)
    return time.monotonic() - began


async def started_again(server: RedisServer) -> float:
    """Start a server again and wait until it answers; returns when that was, by the clock of the machine."""
    server.start(wait=False)
    async with Redis(port=server.port, socket_connect_timeout=0.1) as redis:

        async def answers() -> bool:
            try:
                return bool(await redis.ping())
            except (RedisError, OSError):
                return False

        await until(answers)
    return time.time()


@pytest.mark.alone
async def test_killed_redis_loses_no_webhook(command: Run, redis_server: Servers, wix: WixRig) -> None:
    """A Redis that is killed and comes back has lost no webhook that was answered 200, and all works 3 s later."""
    server = redis_server()
    buyers, after = (Buyers(wix, wix.sandbox.add(number, limit=100_000)) for number in (10, 1))
    deployment = Deployment(command, server.url, wix.settings(), WATCH_EVERY="5")
    deployment.worker()
    url = await deployment.web()
    async with (
        several_viewers(url, buyers) as viewers,
        websocket_viewer(url, wix.site, after.tickets) as viewer,
        webhook_sender(url, wix=wix) as sender,
    ):
        await until(lambda: after.knows(viewer))
        selling = asyncio.create_task(buy_steadily([buyers], 50, 8))
        await asyncio.sleep(2)
        server.kill()
        killed = time.time()
        await asyncio.sleep(2)
        started = time.time()
        there = await started_again(server)

        after.buy()
        await until(lambda: after.knows(viewer), 3)
        works = time.time() - there
        sold = await selling + 1
        late = await until_all_know(buyers, viewers, 15)
        await until(lambda: not sender.pending)

    heard = server.ask("HGETALL", key(wix.site, "heard"))
    [counted] = [int(count) for name, count in heard.items() if name.endswith("OrderConfirmed:count")]
    down = [one for one in sender.attempts if one.at > killed and one.ended < started]
    report(
        f"kill -9, away for {there - killed:.1f} s: {sold} orders, {len(down)} webhooks refused, slowest of all answers "
        f"{max(one.seconds for one in sender.attempts):.2f} s; works {works:.2f} s after it is back, "
        f"all right {late:.2f} s after the last order"
    )
    assert down
    assert {503} == {one.status for one in down}
    assert 1.0 >= max(one.seconds for one in sender.attempts)
    assert sold <= counted
    assert [] == deployment.ended


@pytest.mark.alone
@pytest.mark.parametrize("both", [False, True], ids=["listening", "both"])
async def test_silent_link_is_noticed_and_healed(
    start_server: StartServer, redis_shared: RedisServer, redis_url: str, wix: WixRig, both: bool
) -> None:
    """Law 6: A link that is cut silently is noticed in 6 s; viewers are right 8 s after, or 5 s after it heals."""
    buyers = Buyers(wix, wix.sandbox.add(10, limit=100_000))
    worker = await start_server(worker=True, **wix.settings())
    wix.send_to(worker.url)
    async with tcp_proxy("127.0.0.1", redis_shared.port) as proxy:
        through = f"redis://127.0.0.1:{proxy.port}/0"
        links = {"redis_url": through} if both else {"listens_to": through}
        web = await start_server(**{**wix.settings(), **links})
        async with several_viewers(web.url, buyers) as viewers:
            before = metrics.silent_links._value.get()
            selling = asyncio.create_task(buy_steadily([buyers], 10, 5))
            proxy.silence()
            began = time.monotonic()
            await until(lambda: metrics.silent_links._value.get() > before, 6)
            noticed = time.monotonic() - began
            await selling
            if not both:
                await until_all_know(buyers, viewers, 8 - (time.monotonic() - began))
            right = time.monotonic() - began
            # The cut continues, and so do the orders.
            await buy_steadily([buyers], 10, 14.5 - (time.monotonic() - began))
            late = 0.0 if both else await until_all_know(buyers, viewers, 8)
            await asyncio.sleep(max(0.0, 15 - (time.monotonic() - began)))
            await proxy.heal()
            healed = await until_all_know(buyers, viewers, 5)

            # The new link works as well as the old one.
            await until(lambda: web.web.feed.healthy)
            buyers.buy()
            again = await until_all_know(buyers, viewers, 2)

    kept = f"all right {right:.1f} s after the cut and {late:.1f} s after the last order in it, " if not both else ""
    report(
        f"noticed {noticed:.1f} s after the cut, {kept}{healed:.1f} s after it healed, then {again:.2f} s after an order"
    )


@pytest.mark.parametrize("kind", ["pubsub", "normal"])
async def test_closed_links_are_subscribed_again(command: Run, redis_server: Servers, wix: WixRig, kind: str) -> None:
    """Law 6: However often Redis closes links, every topic is subscribed and read again, and no old number stays."""
    server = redis_server()
    wix.knobs.turn(resend_scale=0.02)
    buyers = Buyers(wix, wix.sandbox.add(10, limit=100_000))
    deployment = Deployment(command, server.url, wix.settings(), WATCH_EVERY="5")
    deployment.worker()
    url = await deployment.web()
    wix.send_to(url)
    async with several_viewers(url, buyers) as viewers, Redis.from_url(server.url, decode_responses=True) as redis:
        selling = asyncio.create_task(buy_steadily([buyers], 20, 10))
        killed = 0
        while not selling.done():
            killed += await redis.client_kill_filter(_type=kind, skipme=True)
            await asyncio.sleep(0.3)
        await selling
        late = await until_all_know(buyers, viewers, 10)
        subscribed = dict(await redis.pubsub_numsub(*(channel(wix.site, ticket) for ticket in buyers.tickets)))

    report(f"{killed} connections closed in 10 s of 20 orders a second; all right {late:.2f} s after the last order")
    assert 20 <= killed
    assert {1} == set(subscribed.values())
    assert [] == deployment.ended


async def _followed(master: RedisServer, replica: RedisServer) -> bool:
    return str(master.ask("INFO", "replication")["master_repl_offset"]) == str(
        replica.ask("INFO", "replication")["master_repl_offset"]
    )


@pytest.mark.parametrize("hangs_up", [True, False], ids=["hangs up", "stays"])
async def test_failover_to_a_replica(command: Run, redis_server: Servers, wix: WixRig, hangs_up: bool) -> None:
    """A replica takes over behind one address, and the changes that it lacked are read from Wix; versions still rise.

    The old master closes its connections, or stays as a replica that accepts no writes, and is left for that.
    """
    old, new = redis_server(), redis_server(repl_diskless_sync_delay="0")
    wix.knobs.turn(resend_scale=0.02)
    buyers = Buyers(wix, wix.sandbox.add(10, limit=100_000))
    async with tcp_proxy("127.0.0.1", old.port) as proxy, tcp_proxy("127.0.0.1", old.port) as copying:
        new.ask("REPLICAOF", "127.0.0.1", copying.port)
        deployment = Deployment(command, f"redis://127.0.0.1:{proxy.port}/0", wix.settings(), WATCH_EVERY="5")
        deployment.worker()
        url = await deployment.web()
        wix.send_to(url)
        async with several_viewers(url, buyers) as viewers:
            await until(lambda: _followed(old, new))
            copying.silence()
            await buy_steadily([buyers], 20, 2)
            await until_all_know(buyers, viewers, 5)
            seen = max(one.counter["v"] for viewer in viewers for one in viewer.received)
            lost = sum(
                old.ask("HGET", name, "version") != new.ask("HGET", name, "version")
                for name in (key(wix.site, "ticket", ticket) for ticket in buyers.tickets)
            )

            selling = asyncio.create_task(buy_steadily([buyers], 20, 4))
            await asyncio.sleep(0.5)
            new.ask("REPLICAOF", "NO", "ONE")
            proxy.target = ("127.0.0.1", new.port)
            began = time.monotonic()
            if hangs_up:
                proxy.snap()
            else:
                old.ask("REPLICAOF", "127.0.0.1", new.port)
            await selling
            over = time.monotonic() - began
            late = await until_all_know(buyers, viewers, 12)
            fresh = min(viewer.last[ticket]["v"] for viewer in viewers for ticket in buyers.tickets)
            ours = [line for line in new.ask("CLIENT", "LIST").splitlines() if "cmd=evalsha" in line]

    report(
        f"failover with the last changes of {lost} of 10 tickets lost, the old master "
        f"{'hangs up' if hangs_up else 'stays as a replica'}: all right {late:.2f} s after the last order, "
        f"{over + late:.1f} s after the failover"
    )
    assert lost
    assert ours
    assert fresh > seen
    assert [] == deployment.ended


@pytest.mark.parametrize("given", [True, False], ids=["WIX_SITES", "installed"])
async def test_emptied_redis_is_filled_from_wix(command: Run, redis_server: Servers, wix: WixRig, given: bool) -> None:
    """A Redis that lost its data under viewers is filled from Wix without a restart, also for sites not in the settings."""
    server = redis_server()
    buyers = Buyers(wix, wix.sandbox.add(10, limit=100_000))
    settings = wix.settings() if given else {**wix.settings(), "wix_sites": ""}
    deployment = Deployment(command, server.url, settings, WATCH_EVERY="5", MAX_STALE="10")
    deployment.worker()
    url = await deployment.web()
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
                async with connect(url.replace("http", "ws", 1) + counters_path(wix.site, buyers.tickets)) as socket:
                    await asyncio.wait_for(socket.recv(), 5)
            except ConnectionClosed as closed:
                codes.append(closed.rcvd.code if closed.rcvd else 1006)
            await asyncio.sleep(0.05)

    async with several_viewers(url, buyers) as viewers:
        server.ask("FLUSHALL")
        began = time.monotonic()
        coming = asyncio.create_task(comes(100))
        await buy_steadily([buyers], 20, 3)
        await until_all_know(buyers, viewers, 15)
        healed = time.monotonic() - began
        async with several_viewers(url, buyers, 5) as late:
            buyers.buy()
            quick = await until_all_know(buyers, [*viewers, *late], 3)
        await coming

    report(f"all right {healed:.1f} s after FLUSHALL under orders, then {quick:.2f} s after an order")
    assert all(code in COME_BACK for code in codes)
    assert [] == deployment.ended


async def _served(url: str, wix: WixRig) -> bool:
    async with httpx.AsyncClient(base_url=url, trust_env=False) as client:
        answer = await client.get(counters_path(wix.site, list(wix.tickets.values())[:1]))
    return answer.status_code == httpx.codes.OK


@pytest.mark.alone
async def test_full_redis_refuses_webhooks_and_withdraws_numbers(
    command: Run, redis_server: Servers, wix: WixRig
) -> None:
    """Law 8: While Redis is full webhooks are refused and numbers withdrawn; once it has room all is right again."""
    server = redis_server()
    buyers = Buyers(wix, wix.sandbox.add(10, limit=100_000))
    deployment = Deployment(command, server.url, wix.settings(), WATCH_EVERY="2", MAX_STALE="8")
    deployment.worker()
    url = await deployment.web()
    async with several_viewers(url, buyers) as viewers, webhook_sender(url, wix=wix) as sender:
        selling = asyncio.create_task(buy_steadily([buyers], 20, 20))
        await asyncio.sleep(1)
        server.ask("CONFIG", "SET", "maxmemory", 1)
        full = time.time()
        await until(
            lambda: all(viewer.state(ticket) == "unknown" for viewer in viewers for ticket in buyers.tickets), 8 + 10
        )
        withdrawn = time.time() - full
        await selling
        room = time.time()
        server.ask("CONFIG", "SET", "maxmemory", 0)
        healed = await until_all_know(buyers, viewers, 15)
        await until(lambda: not sender.pending)

    refused = [one for one in sender.attempts if one.at > full + 0.1 and one.ended < room]
    report(
        f"full for {room - full:.0f} s: {len(refused)} webhooks refused, all withdrawn after {withdrawn:.1f} s "
        f"(MAX_STALE 8), all right {healed:.1f} s after there is room"
    )
    assert refused
    assert {503} == {one.status for one in refused}
    assert 1.0 >= max(one.seconds for one in sender.attempts)
    assert [] == deployment.ended
