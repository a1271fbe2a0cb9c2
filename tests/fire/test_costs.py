"""What each part costs and holds, for docs/scaling.md: each figure with the bound that is tested."""

import asyncio
import os
import time
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from pathlib import Path

import pytest

from server.counter import Rules
from server.model import Hint, Pace, SiteId, TicketId
from server.redis.client import RedisClient, Use
from server.store.claims import Listing, Lot, NextRead
from server.store.schedule import Schedule
from tests.rig.cluster import Cluster
from tests.rig.deployment import Deployment
from tests.rig.fake_reader import FakeReader, definition
from tests.rig.hint_load import hint_load
from tests.rig.process import Command, Run
from tests.rig.recording_viewers import websocket_viewer
from tests.rig.redis import RedisServer, Servers
from tests.rig.report import report
from tests.rig.server import SITE, until
from tests.rig.wix import WixRig
from tests.rig.wix_calls import counted_calls

SITE_ID = SiteId(SITE)
TICKETS = [TicketId(f"33333333-aaaa-4aaa-8aaa-{number:012}") for number in range(5000)]


def used(server: RedisServer) -> int:
    """Bytes that a server uses."""
    return int(server.ask("INFO", "memory")["used_memory"])


async def test_memory_of_redis_for_each_ticket(redis_server: Servers) -> None:
    """A tracked ticket takes about 2 kB of Redis, and a change of its number about 500 bytes for as long as it is kept."""
    server = redis_server()
    async with aclosing(FakeReader(server.url, SITE)) as reads:
        await reads.schedule.add_site(SITE_ID, Rules(), everything=True)
        await reads.version()
        before = used(server)
        for unsold in range(11):
            for start in range(0, len(TICKETS), 100):
                version = _now()
                some = [definition(ticket, 100 + unsold) for ticket in TICKETS[start : start + 100]]
                await reads.read(*some, version=version)
                await reads.schedule.track(SITE_ID, version, [NextRead(one.id, Pace.LIVE) for one in some])
            if unsold == 0:
                first = used(server)
        changed = (used(server) - first) / len(TICKETS) / 10
    ticket = (first - before) / len(TICKETS)

    report(f"{ticket:.0f} bytes of Redis a tracked ticket, {changed:.0f} more for each change of its number")
    assert 4000 > ticket
    assert 1000 > changed


@pytest.mark.alone
async def test_scripts_block_redis_for_milliseconds(redis_server: Servers) -> None:
    """No script blocks Redis for longer than some milliseconds, however much it gets at once."""
    server = redis_server()
    some = TICKETS[:100]
    async with aclosing(FakeReader(server.url, SITE)) as reads:
        schedule = reads.schedule
        await schedule.add_site(SITE_ID, Rules(), everything=True)
        lots: list[Lot] = []

        async def claim() -> None:
            lot = await schedule.claim(SITE_ID, Rules())
            assert isinstance(lot, Lot), "every claim that is measured takes the hundred tickets"
            lots.append(lot)

        async def again() -> None:
            """Make all of them due, and their event not, whatever the budget allows and however lately they were claimed."""
            server.ask("DEL", *(f"tc:{{{SITE}}}:{name}" for name in ("reads", "claimed", "events_due")))
            await schedule.mark(SITE_ID, Hint("load", tuple(some)))

        async def took(
            call: Callable[[], Awaitable[object]], before: Callable[[], Awaitable[object]] | None = None
        ) -> float:
            """Milliseconds of Redis for each call, over 100 calls."""
            total = 0.0
            for _ in range(100):
                if before:
                    await before()
                since = _scripts(server)
                await call()
                total += _scripts(server) - since
            return total / 100

        if isinstance(listing := await schedule.claim(SITE_ID, Rules()), Listing):
            await schedule.listing_done(listing)
        figures = {
            "keep of 100 that changed": await took(
                lambda: reads.read(*(definition(one, next(_LEFT)) for one in some), version=_now())
            ),
            "keep of 100 that did not": await took(
                lambda: reads.read(*(definition(one, 5) for one in some), version=_now())
            ),
            "watch of 100": await took(lambda: schedule.watch(SITE_ID, some)),
            "mark of 1": await took(lambda: schedule.mark(SITE_ID, Hint("load", tuple(some[:1])))),
            "claim of 100": await took(claim, again),
        }
        figures["settle of 100"] = await took(
            lambda: schedule.settle(lots.pop(), [NextRead(one, Pace.LIVE) for one in some])
        )

    report("milliseconds of Redis: " + ", ".join(f"{name} {ms:.2f}" for name, ms in figures.items()))
    assert 30 > max(figures.values())


_LEFT = iter(range(1_000_000, 0, -1))


def _now() -> int:
    """A version that is newer than all before."""
    return time.time_ns() // 1000


def _scripts(server: RedisServer) -> float:
    """Milliseconds that scripts have taken so far."""
    stats = server.ask("INFO", "commandstats")
    return sum(float(stats.get(f"cmdstat_{name}", {}).get("usec", 0)) for name in ("eval", "evalsha")) / 1000


async def test_connections_to_redis_are_limited(
    command: Run, redis_server: Servers, cluster: Cluster, wix: WixRig
) -> None:
    """A process has at most twelve connections to each Redis server or master, however much is watched and sold."""
    found = {}
    cluster.flush()
    tickets = wix.sandbox.add(50)
    for name, url, servers in (
        ("one server", (one := redis_server()).url, [one]),
        ("each of 3 masters", cluster.url, cluster.masters),
    ):
        idle = [_clients(server) for server in servers]
        deployment = Deployment(command, url, wix.settings())
        worker = deployment.worker()
        web = await deployment.web()
        wix.send_to(web)
        async with websocket_viewer(web, wix.site, tickets) as viewer:
            await until(lambda: len(viewer.last) == len(tickets), 30)
            for ticket in tickets:
                wix.world.buy(ticket)
            await until(lambda: all(viewer.unsold(one) == wix.world.tickets[one].left for one in tickets), 30)
            both = [_clients(server) - was for server, was in zip(servers, idle, strict=True)]
            await worker.stop()
            of_web = [_clients(server) - was for server, was in zip(servers, idle, strict=True)]
        await deployment.processes[-1].stop()
        found[name] = (max(of_web), max(all_ - some for all_, some in zip(both, of_web, strict=True)))

    report(
        "connections of a web and of a worker: "
        + ", ".join(f"{name} {web}, {worker}" for name, (web, worker) in found.items())
    )
    assert 12 >= max(max(pair) for pair in found.values())


def _clients(server: RedisServer) -> int:
    return sum(
        "cmd=client|list" not in line
        for line in server.ask("CLIENT", "LIST").splitlines()
        if "flags=N" in line or "flags=P" in line
    )


def cpu(process: Command) -> float:
    """Seconds of a core that a process has used."""
    fields = Path(f"/proc/{process.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def test_cpu_of_a_worker(command: Run, redis_server: Servers, wix: WixRig) -> None:
    """A worker takes less than 100 ms of a core to read 100 tickets: one core reads three sites at Wix's rate limit."""
    tickets = wix.sandbox.add(600)
    deployment = Deployment(command, redis_server().url, wix.settings())
    worker = deployment.worker()
    await until(lambda: deployment.right(wix, tickets), 30)
    await until(lambda: time.time() - counted_calls(wix)[-1] > 8, 30)
    idle = cpu(worker)
    await asyncio.sleep(20)
    idle = (cpu(worker) - idle) / 20
    began, since, before = time.time(), len(counted_calls(wix)), cpu(worker)
    async with hint_load(deployment.redis_url, wix.site, tickets):
        await asyncio.sleep(20)
    took, calls = cpu(worker) - before, len(counted_calls(wix)) - since
    seconds = time.time() - began
    each = (took - idle * seconds) / calls

    report(
        f"a worker: {1000 * each:.1f} ms of a core for a read of 100 tickets ({calls} in {seconds:.0f} s), "
        f"{1000 * idle:.1f} ms a second when nothing is due"
    )
    assert 0.1 > each
    assert 0.1 > idle


@pytest.mark.alone
async def test_marking_on_a_cluster_costs_little_more(redis_url: str, cluster_url: str) -> None:
    """Marking on a cluster costs a web process less than three times as much: concurrent commands are still batched."""
    rates = {}
    for name, url in (("one server", redis_url), ("three masters", cluster_url)):
        async with aclosing(RedisClient(url, Use.INGEST)) as store:
            schedule = Schedule(store)
            sites = [SiteId(f"{number:08}-1111-4111-8111-00000000b001") for number in range(30)]
            for site in sites:
                await schedule.add_site(site, Rules(), everything=True)

            async def some(turn: int, schedule: Schedule = schedule, sites: list[SiteId] = sites) -> None:
                for number in range(100):
                    await schedule.mark(sites[(turn + number) % len(sites)], Hint("load", (TICKETS[number],)))

            began = time.process_time()
            await asyncio.gather(*(some(turn) for turn in range(50)))
            rates[name] = 5000 / (time.process_time() - began)

    report("marks a CPU second of a web process: " + ", ".join(f"{name} {rate:.0f}" for name, rate in rates.items()))
    assert rates["three masters"] > rates["one server"] / 3
