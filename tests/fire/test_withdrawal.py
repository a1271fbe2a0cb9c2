"""A number that cannot be verified is withdrawn from every viewer, whatever the cause, and comes back by itself."""

import asyncio
import json
import signal
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial

import httpx
import pytest

from tests.rig.deployment import Deployment
from tests.rig.process import Command, Run
from tests.rig.recording_viewers import get_counters, polling_viewer, sse_viewer, websocket_viewer
from tests.rig.redis import RedisServer, Servers
from tests.rig.report import report
from tests.rig.server import until
from tests.rig.wix import WixRig

MAX_STALE = 6
WITHIN = MAX_STALE + 10
"""Seconds in which every viewer must have been updated."""
FAULT = 18
"""Seconds that a fault lasts, if it does not end by itself."""


@dataclass
class RunningParts:
    """Everything that can be broken."""

    wix: WixRig
    deployment: Deployment
    worker: Command
    redis: RedisServer


async def wix_is_down(parts: RunningParts) -> None:
    parts.wix.knobs.turn(outage="503")


async def wix_hangs(parts: RunningParts) -> None:
    parts.wix.knobs.turn(outage="hang")


async def wix_is_well(parts: RunningParts) -> None:
    parts.wix.knobs.turn(outage="none")


async def budget_is_gone(parts: RunningParts) -> None:
    parts.wix.knobs.turn(rate_limit=0)


async def budget_is_back(parts: RunningParts) -> None:
    parts.wix.knobs.turn(rate_limit=200)


async def site_is_paused(parts: RunningParts) -> None:
    """One answer says to retry after the fault's time and a little more; Wix works again at once."""
    refused = len(parts.wix.calls("query"))
    parts.wix.knobs.turn(outage="429", retry_after=FAULT + 2)
    await until(lambda: len(parts.wix.calls("query")) > refused)
    parts.wix.knobs.turn(outage="none")


async def pause_is_over(_: RunningParts) -> None:
    pass


async def worker_is_killed(parts: RunningParts) -> None:
    await parts.worker.stop(signal.SIGKILL)


async def worker_is_started(parts: RunningParts) -> None:
    parts.deployment.worker()


async def redis_is_frozen(parts: RunningParts) -> None:
    parts.redis.freeze()


async def redis_is_thawed(parts: RunningParts) -> None:
    parts.redis.thaw()


async def redis_is_killed(parts: RunningParts) -> None:
    parts.redis.kill()


async def redis_is_started(parts: RunningParts) -> None:
    parts.redis.start(wait=False)


Act = Callable[[RunningParts], Awaitable[None]]
CAUSES: dict[str, tuple[Act, Act]] = {
    "wix-is-down": (wix_is_down, wix_is_well),
    "wix-hangs": (wix_hangs, wix_is_well),
    "the-budget-is-gone": (budget_is_gone, budget_is_back),
    "the-site-is-paused": (site_is_paused, pause_is_over),
    "the-worker-is-killed": (worker_is_killed, worker_is_started),
    "redis-is-frozen": (redis_is_frozen, redis_is_thawed),
    "redis-is-killed": (redis_is_killed, redis_is_started),
}


@pytest.mark.parametrize("cause", CAUSES)
async def test_unverified_number_is_withdrawn_and_comes_back(
    command: Run, redis_server: Servers, wix: WixRig, cause: str
) -> None:
    """Law 8: Old and new viewers see no number after MAX_STALE + 10 s, and the true one when it can be verified again."""
    breaks, heals = CAUSES[cause]
    ticket, unwatched = wix.tickets["fixed"], wix.tickets["free"]
    redis = redis_server()
    deployment = Deployment(command, redis.url, wix.settings(), WATCH_EVERY="1", MAX_STALE=str(MAX_STALE))
    parts = RunningParts(wix, deployment, deployment.worker(), redis)
    url = await deployment.web()
    await until(lambda: deployment.right(wix, [ticket, unwatched]), 20)
    loop = asyncio.get_running_loop()
    async with AsyncExitStack() as stack:
        viewers = [
            await stack.enter_async_context(kind(url, wix.site, [ticket]))
            for kind in (websocket_viewer, sse_viewer, polling_viewer)
        ]
        await until(lambda: all(viewer.unsold(ticket) == 120 for viewer in viewers))

        await breaks(parts)
        wix.world.buy(ticket, 20)
        wix.world.buy(unwatched, 5)
        began = loop.time()
        await until(lambda: all(viewer.state(ticket) == "unknown" for viewer in viewers), WITHIN)
        told = loop.time() - began
        await until(lambda: loop.time() - began > WITHIN, WITHIN)
        for one in (ticket, unwatched):
            assert ["unknown"] * 3 == await newcomer(url, wix.site, one)

        await until(lambda: loop.time() - began > FAULT, FAULT)
        await heals(parts)
        healed = loop.time()
        assert [[]] * 3 == [
            [one for one in viewer.numbers(ticket, began + WITHIN) if one.at < healed] for viewer in viewers
        ]
        await until(lambda: all(viewer.unsold(ticket) == 100 for viewer in viewers), 60)
        back = loop.time() - healed

    report(f"withdrawn {told:.1f} s later with MAX_STALE={MAX_STALE}, back {back:.1f} s after it was over")


@pytest.mark.parametrize("cause", CAUSES)
async def test_watch_prints_unknown_and_then_the_number(
    command: Run, redis_server: Servers, wix: WixRig, cause: str
) -> None:
    """Law 8: `watch`, which alone watches a ticket, prints `unknown` within MAX_STALE + 5 s, and the same number after it."""
    breaks, heals = CAUSES[cause]
    ticket = wix.tickets["fixed"]
    redis = redis_server()
    deployment = Deployment(command, redis.url, wix.settings(), WATCH_EVERY="1", MAX_STALE=str(MAX_STALE))
    parts = RunningParts(wix, deployment, deployment.worker(), redis)
    await until(lambda: deployment.right(wix, [ticket]), 20)
    loop = asyncio.get_running_loop()
    watching = deployment.watch(ticket)
    await watching.says('"unsold":120')
    await asyncio.sleep(MAX_STALE + 5)
    before = states(watching)
    assert "available" == before[-1], "its own watching keeps it verified"

    await breaks(parts)
    began = loop.time()
    await until(lambda: [*before, "unknown"] == states(watching), MAX_STALE + 5)
    told = loop.time() - began
    await heals(parts)
    healed = loop.time()
    await until(lambda: [*before, "unknown", "available"] == states(watching), 60)
    back = loop.time() - healed

    report(f"`watch`: unknown {told:.1f} s later with MAX_STALE={MAX_STALE}, back {back:.1f} s after it was over")


def states(watching: Command) -> list[str]:
    """The states that a `watch --json` has printed."""
    return [json.loads(line)["state"] for line in watching.out.splitlines()]


async def newcomer(url: str, site: str, ticket: str) -> list[str]:
    """The states that a new viewer gets, in each of the three ways."""
    states = []
    for kind in (websocket_viewer, sse_viewer):
        async with kind(url, site, [ticket]) as viewer:
            states.append(str(await until(partial(viewer.state, ticket))))
    async with httpx.AsyncClient(base_url=url, trust_env=False) as client:
        states += [one["state"] for one in await get_counters(client, site, [ticket])]
    return states
