"""Thousands of viewers whose process ends, in order or abruptly: where they are then, and what that costs."""

import asyncio
import signal
import time
from collections import Counter
from contextlib import AsyncExitStack
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from redis.asyncio import Redis
from redis.asyncio.client import Monitor

from server import run
from server.wire import RESTART_RETRY_MS
from tests.rig.buyers import Buyers, buy_steadily
from tests.rig.deployment import Deployment
from tests.rig.haproxy import balancer
from tests.rig.loop_lag import LoopLag
from tests.rig.measured_visitors import measured_visitors
from tests.rig.percentile import percentile
from tests.rig.process import Run
from tests.rig.redis import RedisServer, Servers, free_port
from tests.rig.report import report
from tests.rig.server import until
from tests.rig.webhook_sender import webhook_sender
from tests.rig.wix import WixRig
from tests.rig.wix_calls import counted_calls

TOKEN = "token"
MANY = {"MAX_CONNECTIONS_PER_ADDRESS": "20000", "METRICS_TOKEN": TOKEN}
"""All of a test's viewers have one address."""
LEAVING, HERD = 2000, 5000
WEBHOOKS = 100
"""In one second."""
A_LITTLE = 2.0
"""Seconds beyond the promised ones: viewers, balancer and both processes share two cores."""


async def figures(client: httpx.AsyncClient, url: str) -> dict[str, float]:
    """The metrics of a process by their names and labels."""
    text = (await client.get(f"{url}/metrics", headers={"Authorization": f"Bearer {TOKEN}"})).text
    rows = (line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    return {name: float(value) for name, value in rows}


async def webhooks(client: httpx.AsyncClient, url: str) -> float:
    """How many webhooks a process has got."""
    found = await figures(client, url)
    return sum(value for name, value in found.items() if name.startswith("ticketcounter_webhooks_total"))


async def watching(client: httpx.AsyncClient, url: str) -> float:
    """How many viewers of a process use WebSockets."""
    return (await figures(client, url))['ticketcounter_viewers{kind="ws"}']


@pytest.mark.alone
async def test_rolling_restart_moves_2000_viewers(
    command: Run, redis_server: Servers, wix: WixRig, tmp_path: Path
) -> None:
    """Law 11: 2,000 viewers of a process that ends under load get `bye`, return and are right; no webhook fails."""
    tickets = wix.sandbox.add(10, limit=100_000)
    wix.knobs.turn(reservation_events=False)
    deployment = Deployment(command, redis_server().url, wix.settings(), TRUSTED_PROXIES="127.0.0.1", **MANY)
    deployment.worker()
    first, second = ports = free_port(), free_port()
    async with (
        balancer(tmp_path / "haproxy", [f"http://127.0.0.1:{port}" for port in ports]) as door,
        measured_visitors(urlsplit(door).port or 0, tickets) as visitors,
        httpx.AsyncClient(base_url=door, trust_env=False) as client,
        AsyncExitStack() as stack,
    ):

        async def lets_in() -> bool:
            return (await client.get("/readyz")).status_code == httpx.codes.OK

        leaves = await deployment.web(PORT=str(first))
        leaving = deployment.processes[-1]
        await until(lets_in)
        await visitors.add(LEAVING)
        assert LEAVING == await watching(client, leaves)
        stays = await deployment.web(PORT=str(second))
        sender = await stack.enter_async_context(webhook_sender(door, wix=wix))
        trading = asyncio.create_task(buy_steadily([Buyers(wix, tickets)], WEBHOOKS, 25))

        async def both_get_webhooks() -> bool:
            await asyncio.sleep(0.2)
            return min(await webhooks(client, leaves), await webhooks(client, stays)) > WEBHOOKS

        await until(both_get_webhooks, 20)
        assert not trading.done()

        began = time.monotonic()
        leaving.process.send_signal(signal.SIGTERM)
        status, _ = await leaving.ended()
        ended = time.monotonic() - began
        await until(lambda: visitors.connected == LEAVING, RESTART_RETRY_MS[1] / 1000 + A_LITTLE)
        assert not trading.done()
        sold = await trading
        await until(lambda: sender.pending == 0)
        await until(lambda: visitors.wrong(wix) == 0, 20)
        watched = await watching(client, stays)

    left = list(visitors.ends(began))
    moments = [end.at - began for _, end in left]
    # A viewer that comes before the balancer has noticed would be refused as full, and retry: none does here.
    back = [page.back(end) or 0.0 for page, end in left]
    statuses = Counter(one.status for one in sender.attempts)
    late = percentile((one.seconds for one in sender.attempts), 0.99)
    report(
        f"{len(left):,} sockets sent away over {max(moments) - min(moments):.1f} s, the process ended {ended:.1f} s after "
        f"SIGTERM; back after {min(back):.1f} to {max(back):.1f} s; of {sold:,} orders' webhooks {dict(statuses)}, p99 {late * 1000:.0f} ms"
    )
    low, high = (ms / 1000 for ms in RESTART_RETRY_MS)
    assert 0 == status
    assert ended <= run.DRAIN + A_LITTLE
    assert LEAVING == len(left)
    assert {(1012, True, (low, high))} == {(end.code, end.got_frames, end.retry) for _, end in left}
    assert max(moments) - min(moments) >= 2
    assert min(back) >= low
    assert max(back) <= high + A_LITTLE
    assert LEAVING == watched
    assert {200} == set(statuses)
    assert sold == statuses[200]
    assert "Traceback" not in deployment.log


class NewClientCommands:
    """The commands that a Redis gets from clients not connected at first; commands of scripts do not count."""

    def __init__(self, redis: RedisServer) -> None:
        self.names: Counter[str] = Counter()
        lines = redis.ask("CLIENT", "LIST").splitlines()
        self._known = {line.partition(" addr=")[2].split()[0] for line in lines}

    async def listen(self, monitor: Monitor) -> None:
        """Count until cancelled."""
        async for heard in monitor.listen():
            if heard["client_type"] != "lua" and f"{heard['client_address']}:{heard['client_port']}" not in self._known:
                self.names[heard["command"].split()[0]] += 1


@pytest.mark.alone
async def test_reconnecting_viewers_do_not_overload_redis_or_wix(
    command: Run, redis_server: Servers, wix: WixRig
) -> None:
    """5,000 viewers of a killed process come back as pages do: no call to Wix, few commands to Redis, no late event loop.

    Counted are the Redis commands of the process that was started in its place, from its first command on: a script is one
    command. It may send three for each ticket and one a second. Reads of Wix are so rare that none is due in that time.
    """
    redis = redis_server()
    tickets = wix.sandbox.add(20, limit=1000)
    rare = {"WATCH_EVERY": "240", "MAX_STALE": "300", "RECONCILE": "86400"}
    deployment = Deployment(command, redis.url, wix.settings(), **rare, **MANY)
    deployment.worker()
    port = free_port()
    url = await deployment.web(PORT=str(port))
    loop_lag = LoopLag(command, url)
    await until(lambda: deployment.right(wix, tickets), 20)
    async with (
        measured_visitors(port, tickets) as visitors,
        Redis.from_url(redis.url, decode_responses=True) as client,
        client.monitor() as monitor,
    ):
        await visitors.add(HERD)
        calls = len(counted_calls(wix))
        asked = NewClientCommands(redis)
        counting = asyncio.create_task(asked.listen(monitor))

        killed = time.monotonic()
        deployment.processes[-1].process.kill()
        await deployment.web(PORT=str(port))
        listens = time.monotonic()
        await until(lambda: all(page.served is not None and page.served > killed for page in visitors.pages), 40)
        served = max(page.served or 0.0 for page in visitors.pages)
        seconds = time.monotonic() - listens
        commands = Counter(asked.names)
        called = len(counted_calls(wix)) - calls
        lag = loop_lag.delays(listens, served)

        wix.send_to(url)
        for ticket in tickets:
            wix.world.buy(ticket)
        await until(lambda: visitors.wrong(wix) == 0, 20)
        counting.cancel()
        await asyncio.wait({counting})

    first = [end.at - killed for _, end in visitors.ends(killed) if end.got_frames]
    p99 = percentile(lag, 0.99)
    report(
        f"{len(first):,} sockets killed; all had a value {served - killed:.1f} s later, {served - listens:.1f} s after the "
        f"next process listened; {called} calls to Wix, {commands.total()} commands to Redis in {seconds:.1f} s for "
        f"{len(tickets)} tickets ({dict(commands)}); its loop late by p99 {p99 * 1000:.0f} ms, at most {max(lag) * 1000:.0f} ms"
    )
    assert HERD == len(first)
    assert served - listens <= 15
    assert 0 == called
    assert 0 < commands.total() <= 3 * len(tickets) + seconds
    assert p99 <= 0.25
    assert "Traceback" not in deployment.log
