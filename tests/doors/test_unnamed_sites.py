"""Requests that name no site, on a server with several: what a flood of invented tickets costs, and what it takes from others."""

import asyncio
from contextlib import AsyncExitStack, suppress
from functools import partial

import pytest
from redis.asyncio import Redis

from server.hub.unconfirmed import MAX_UNCONFIRMED
from tests.doors.test_strangers import UPGRADE, Clients, ProcessMeter, each, invented
from tests.rig.background import background
from tests.rig.default_keys import key
from tests.rig.deployment import Deployment
from tests.rig.percentile import percentile
from tests.rig.process import Run
from tests.rig.recording_viewers import RecordingViewer, websocket_viewer
from tests.rig.redis import Servers
from tests.rig.report import report
from tests.rig.server import until
from tests.rig.several_sites import several_sites

SITES = 4
FLOOD_S = 15.0
A_SECOND = 40
REAL = 20


@pytest.mark.alone
async def test_flood_without_a_site_is_bounded(command: Run, redis_server: Servers) -> None:
    """Law 9: Invented tickets without a site cost Wix nothing and leave nothing in Redis, and real ones are found meanwhile."""
    server = redis_server()
    loop = asyncio.get_running_loop()
    to_first: list[float] = []
    async with AsyncExitStack() as stack:
        wix = await stack.enter_async_context(several_sites(SITES))
        tickets = [(one, ticket) for one in wix.sites for ticket in one.sandbox.add(REAL // SITES, limit=100_000)]
        deployment = Deployment(command, server.url, wix.settings(), TRUSTED_PROXIES="127.0.0.1")
        deployment.worker()
        web = deployment.start("web")
        url = await web.url()
        redis: Redis = await stack.enter_async_context(Redis.from_url(server.url, decode_responses=True))
        for one in wix.sites:
            mine = [ticket for its, ticket in tickets if its is one]
            await until(partial(deployment.right, one, mine), 60)
        meter = ProcessMeter(web, redis)
        clients = Clients(url, "")
        stack.callback(clients.end)
        rss, _ = await meter.look()
        stored = len([name async for name in redis.scan_iter(key("*", "ticket", "*"), count=1000)])
        scripts = await _scripts(redis)
        answers: list[bytes] = []

        async def flood() -> None:
            async for number in each(1 / A_SECOND, FLOOD_S):
                reader = await clients.ask(invented(), UPGRADE if number % 2 else "Connection: close\r\n")
                if number % 2 == 0:
                    with suppress(OSError):
                        answers.append((await reader.readline())[9:12])

        async def newcomers() -> None:
            for number, (one, ticket) in enumerate(tickets):
                await asyncio.sleep(FLOOD_S / REAL if number else 0)
                began = loop.time()
                viewer = await stack.enter_async_context(websocket_viewer(url, "", [ticket]))
                await until(partial(_knows, viewer, ticket, one.world.tickets[ticket].left), 20)
                to_first.append(loop.time() - began)

        async with background(meter.keep_looking()):
            await asyncio.gather(flood(), newcomers())
        asked = await _scripts(redis) - scripts
        left = len([name async for name in redis.scan_iter(key("*", "ticket", "*"), count=1000)])

    report(
        f"{clients.asked:,} invented tickets without a site in {FLOOD_S:.0f} s on {SITES} sites: {asked:,.0f} scripts in all, RSS "
        f"{rss:.0f} MB before, at most {max(meter.rss):.0f}; real ones to their number p50 {percentile(to_first, 0.5):.2f} s, "
        f"p99 {percentile(to_first, 0.99):.2f} s"
    )
    assert {b"404", b"503"} >= set(answers)
    assert b"404" in answers
    assert clients.asked > MAX_UNCONFIRMED
    assert stored == left
    assert max(meter.rss) < rss + 50
    assert percentile(to_first, 0.99) < 5


async def _scripts(redis: Redis) -> float:
    """How many scripts Redis has run."""
    found = await redis.info("commandstats")
    return float(found["cmdstat_evalsha"]["calls"])


def _knows(viewer: RecordingViewer, ticket: str, left: int | None) -> bool:
    return viewer.unsold(ticket) == left
