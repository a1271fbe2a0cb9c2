"""Processes of two versions with different contracts run on one Redis: nobody is shown a counter of the other.

`python -m bench.upgrade --old REVISION` does the same with the code of an older revision, which a clone of this repository may not
have. Here the older version is this code with another CONTRACT, and a sample of what revision 3e4cf51 wrote (CONTRACT 1).
"""

import json
import re
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from redis.asyncio import Redis

from tests.rig.default_keys import channel, key
from tests.rig.deployment import Deployment
from tests.rig.process import Run
from tests.rig.recording_viewers import RecordingViewer, polling_viewer, sse_viewer, websocket_viewer
from tests.rig.report import report
from tests.rig.server import until
from tests.rig.wix import WixRig

OLDER = "import server.counter; server.counter.CONTRACT = 1; from server.cli import main; main()"
SAMPLE = json.loads((Path(__file__).parent.parent / "samples" / "contract_1.json").read_text())
"""What revision 3e4cf51 stored of a site and its tickets while registration was paused; it published each `counter` as it is."""
LOOKS_WITHIN = 7.0
"""Seconds within which a web process has looked at what is stored: far less than MAX_STALE."""


@asynccontextmanager
async def viewers(url: str, site: str, tickets: Sequence[str]) -> AsyncIterator[list[RecordingViewer]]:
    """A viewer of each kind."""
    async with AsyncExitStack() as stack:
        kinds = (websocket_viewer, sse_viewer, polling_viewer)
        yield [await stack.enter_async_context(kind(url, site, tickets)) for kind in kinds]


def all_see(watching: Sequence[RecordingViewer], ticket: str, state: str, unsold: int | None = None) -> bool:
    """Whether each of them is shown this."""
    return {(state, unsold)} == {(one.state(ticket), one.unsold(ticket)) for one in watching}


async def test_two_contracts_run_together(command: Run, redis_url: str, wix: WixRig) -> None:
    """Whoever added the site last is right, the others show `unknown`: upgrade in either order, restarts, and rollback."""
    ticket = wix.tickets["low"]
    wix.world.update(ticket, limit=3)
    deployment = Deployment(command, redis_url, wix.settings(), WATCH_EVERY="1")
    async with AsyncExitStack() as stack:

        async def web(**more: str) -> list[RecordingViewer]:
            url = await deployment.web(**more)
            wix.send_to(url)
            return await stack.enter_async_context(viewers(url, wix.site, [ticket]))

        old_worker = deployment.worker(program=OLDER)
        old = await web(program=OLDER)
        await until(lambda: all_see(old, ticket, "low", 3))

        # A new web, and no worker of its version: what the older worker read is withdrawn long before it is stale.
        new = await web()
        added = time.monotonic()
        await until(lambda: all_see(old, ticket, "unknown"), LOOKS_WITHIN)
        withdrawn = time.monotonic() - added
        await until(lambda: all_see(new, ticket, "unknown"))

        before = [len(one.received) for one in old]
        new_worker = deployment.worker()
        wix.world.pause_registration(wix.event)
        await until(lambda: all_see(new, ticket, "closed"))
        wix.world.open_registration(wix.event)
        wix.world.update(ticket, limit=2)
        await until(lambda: all_see(new, ticket, "low", 2))
        since = [found.counter["state"] for one, n in zip(old, before, strict=True) for found in one.received[n:]]
        assert {"unknown"} >= set(since)

        await old_worker.stop()
        old_worker = deployment.worker(program=OLDER)
        await until(lambda: all_see(old, ticket, "low", 2) and all_see(new, ticket, "unknown"))

        await new_worker.stop()
        new_worker = deployment.worker()
        await until(lambda: all_see(new, ticket, "low", 2) and all_see(old, ticket, "unknown"))

        # All new, and then the rollback.
        await old_worker.stop()
        wix.world.update(ticket, limit=4)
        await until(lambda: all_see(new, ticket, "low", 4) and all_see(old, ticket, "unknown"))
        await new_worker.stop()
        deployment.worker(program=OLDER)
        await until(lambda: all_see(old, ticket, "low", 4) and all_see(new, ticket, "unknown"))

    shown = [found.counter for one in (*old, *new) for found in one.received]
    report(
        f"two contracts: {len(shown)} counters shown; withdrawn {withdrawn:.1f} s after a new web had added the site"
    )
    assert {("low", 2), ("low", 3), ("low", 4), ("closed", None), ("unknown", None)} == {
        (one["state"], one["unsold"]) for one in shown
    }


def renewed(text: str, v: int) -> str:
    """A counter of the sample, in another version."""
    return re.sub(r'^\{"v":\d+', f'{{"v":{v}', text)


def older_counters(watching: Sequence[RecordingViewer]) -> list[dict[str, Any]]:
    """What these viewers were shown that this version has not written."""
    return [found.counter for one in watching for found in one.received if "fees" not in found.counter]


async def test_what_the_version_before_wrote_is_not_shown(command: Run, redis_url: str, wix: WixRig) -> None:
    """No counter of contract 1 is on any wire, published or stored; they are `unknown`, and right when a worker has read them."""
    tickets = {wix.tickets[kind]: snapshot for kind, snapshot in SAMPLE["tickets"].items()}
    deployment = Deployment(command, redis_url, wix.settings(), WATCH_EVERY="1")
    wix.world.pause_registration(wix.event)
    worker = deployment.worker()
    url = await deployment.web()
    right = {wix.tickets[kind]: "gone" if kind == "hidden" else "closed" for kind in SAMPLE["tickets"]}

    async with (
        viewers(url, wix.site, list(tickets)) as watching,
        Redis.from_url(redis_url, decode_responses=True) as redis,
    ):

        def all_right() -> bool:
            return all(all_see(watching, ticket, state) for ticket, state in right.items())

        def none_known() -> bool:
            return all(all_see(watching, ticket, "unknown") for ticket in tickets)

        await until(all_right)
        # An older worker was about to publish when the site got these rules: nothing is lost by it.
        for ticket, snapshot in tickets.items():
            await redis.publish(channel(wix.site, ticket), renewed(snapshot["counter"], time.time_ns() // 1000))
        await until(lambda: "counter_disallowed" in deployment.log)
        await until(all_right)

        # An older worker has added the site and read all tickets.
        await worker.stop()
        await redis.hset(key(wix.site, "site"), mapping=SAMPLE["site"])
        now = time.time_ns() // 1000
        for ticket, snapshot in tickets.items():
            text = renewed(snapshot["counter"], now)
            await redis.hset(
                key(wix.site, "ticket", ticket),
                mapping={**snapshot, "version": now, "read_at": now, "v": now, "counter": text},
            )
            await redis.publish(channel(wix.site, ticket), text)
        await until(none_known, LOOKS_WITHIN)

        worker = deployment.worker()
        await until(all_right)

    states = {json.loads(snapshot["counter"])["state"] for snapshot in SAMPLE["tickets"].values()}
    assert {"available", "low", "sold_out", "scheduled", "gone"} == states
    assert [] == older_counters(watching)
    assert {"closed", "gone", "unknown"} == {found.counter["state"] for one in watching for found in one.received}
