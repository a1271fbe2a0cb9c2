"""A Redis Cluster under viewers and orders: slots move, a master dies; only its own sites may notice, and all heal."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from server.store.keys import SITES, key
from tests.rig.buyers import Buyers, buy_steadily
from tests.rig.cluster import Cluster, three_masters
from tests.rig.deployment import Deployment
from tests.rig.percentile import percentile
from tests.rig.process import Run
from tests.rig.recording_viewers import RecordingViewer
from tests.rig.redis import RedisServer
from tests.rig.report import report
from tests.rig.server import until
from tests.rig.several_sites import SeveralSites, several_sites
from tests.rig.webhook_sender import WebhookSender, webhook_sender

NODE_TIMEOUT_MS = 2000
"""Milliseconds after which the others take a node for dead."""
MAX_STALE = 20


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[Cluster]:
    """Three masters, each with a replica."""
    with three_masters(
        tmp_path / "cluster",
        NODE_TIMEOUT_MS,
        replicas=3,
        cluster_require_full_coverage="no",
        repl_diskless_sync_delay="0",
    ) as found:
        yield found


@asynccontextmanager
async def spread(servers: Cluster, number: int) -> AsyncIterator[SeveralSites]:
    """A street whose sites are spread over all masters: their ids are drawn until they are."""
    for _ in range(30):
        async with several_sites(number) as wix:
            if set(servers.masters) == {servers.owner(key(one.site, "site")) for one in wix.sites}:
                yield wix
                return
    raise AssertionError("no draw reached all masters")


class Part:
    """One site: its shop, a viewer of all its tickets, and who brings its webhooks."""

    def __init__(self, buyers: Buyers, viewer: RecordingViewer, sender: WebhookSender) -> None:
        self.buyers = buyers
        self.viewer = viewer
        self.sender = sender
        self.name = key(buyers.wix.site, "site")

    @property
    def right(self) -> bool:
        """Whether its viewer sees the truth of every ticket."""
        return self.buyers.knows(self.viewer)

    def withdrawn(self, since: float) -> int:
        """How many numbers were withdrawn from its viewer after a moment of the loop."""
        return sum(one.counter["state"] == "unknown" for one in self.viewer.received if one.at > since)

    def refused(self, since: float) -> int:
        """How many tries to bring a webhook came to nothing after a moment (time.time)."""
        return sum(one.status != 200 for one in self.sender.attempts if one.at > since)


@asynccontextmanager
async def open_for_trade(run: Run, servers: Cluster, number: int) -> AsyncIterator[tuple[Deployment, list[Part]]]:
    """So many sites on a cluster, served by one web and one worker, all right when the block begins."""
    async with AsyncExitStack() as stack:
        wix = await stack.enter_async_context(spread(servers, number))
        deployment = Deployment(run, servers.url, wix.settings(), MAX_STALE=str(MAX_STALE), WATCH_EVERY="5")
        deployment.worker()
        url = await deployment.web()
        parts = []
        for one in wix.sites:
            buyers = Buyers(one, one.sandbox.add(20, limit=100_000))
            viewer = await stack.enter_async_context(buyers.watched(url))
            parts.append(Part(buyers, viewer, await stack.enter_async_context(webhook_sender(url, wix=one))))
        await until(lambda: all(part.right for part in parts), 30)
        yield deployment, parts


async def settled(parts: Sequence[Part], seconds: float) -> float:
    """Wait until every webhook is taken and every viewer right, at most so long; answers how long it took."""
    began = time.monotonic()
    await until(lambda: all(part.right and not part.sender.pending for part in parts), seconds)
    return time.monotonic() - began


def told(parts: Sequence[Part]) -> str:
    """How soon viewers of these knew of orders."""
    took = [seconds for part in parts for seconds in part.buyers.delays]
    return f"{len(took)} orders, p99 {percentile(took, 0.99):.2f} s"


@pytest.mark.parametrize("whole", [False, True], ids=["key by key", "whole"])
async def test_a_slot_moves(command: Run, servers: Cluster, whole: bool) -> None:
    """A site whose slot moves to another master under orders loses no webhook, and shows nothing false when it is over."""
    async with open_for_trade(command, servers, 6) as (deployment, parts):
        mover, others = parts[0], parts[1:]
        loop = asyncio.get_running_loop()
        selling = asyncio.create_task(buy_steadily([part.buyers for part in parts], 60, 14))
        await asyncio.sleep(2)
        began, since = loop.time(), time.time()
        keys = 0
        for _ in range(3):
            old = servers.owner(mover.name)
            new = servers.masters[servers.masters.index(old) - 1]
            if whole:
                await asyncio.to_thread(servers.move_whole, mover.name, new)
                await until(lambda new=new: servers.owner(mover.name, by=new) is new)  # type: ignore[misc] # bound
            else:
                keys += await asyncio.to_thread(servers.move, mover.name, new)
            await asyncio.sleep(1.5)
        moved = loop.time() - began
        await selling
        late = await settled(parts, 15)
        # Whatever came in between, now it is right, and stays right.
        mover.buyers.buy()
        again = await settled(parts, 3)

    report(
        f"a slot moved three times in {moved:.1f} s ({f'{keys} keys' if keys else 'each in one step'}): "
        f"{mover.refused(since)} of {len(mover.sender.attempts)} webhooks of its site were brought again, "
        f"{sum(part.refused(since) for part in others)} of the others; all right {late:.2f} s after the last order, "
        f"then {again:.2f} s after one more; of its site {told([mover])}, of the others {told(others)}"
    )
    assert 0 == sum(part.refused(since) for part in others)
    assert 0 == sum(part.withdrawn(began) for part in parts)
    assert 3.0 > percentile([seconds for part in others for seconds in part.buyers.delays], 0.99)
    assert [] == deployment.ended


@pytest.mark.parametrize("of_the_list", [False, True], ids=["any", "that has the list of sites"])
async def test_a_master_dies(command: Run, servers: Cluster, of_the_list: bool) -> None:
    """A master that is killed is its own sites' affair: the others never notice; its own heal after the failover."""
    async with open_for_trade(command, servers, 9) as (deployment, parts):
        listing = servers.owner(SITES)
        dies = listing if of_the_list else servers.masters[servers.masters.index(listing) - 1]
        alive = next(master for master in servers.masters if master is not dies)
        its = [part for part in parts if servers.owner(part.name, by=alive) is dies]
        others = [part for part in parts if part not in its]
        loop = asyncio.get_running_loop()
        selling = asyncio.create_task(buy_steadily([part.buyers for part in parts], 60, 25))
        await asyncio.sleep(2)
        began, since = loop.time(), time.time()
        dies.kill()
        await until(lambda: servers.owner(its[0].name, by=alive) in servers.replicas, 20)
        over = loop.time() - began
        await selling
        late = await settled(parts, 30)
        its[0].buyers.buy()
        again = await settled(parts, 3)

        # It comes back as a replica of who took its place: nothing changes for anybody.
        back_at, back_since = loop.time(), time.time()
        await _back(dies)
        await buy_steadily([part.buyers for part in parts], 30, 5)
        quiet = await settled(parts, 5)

    slow = [seconds for part in others for seconds in part.buyers.delays]
    report(
        f"a master killed, another in its place after {over:.1f} s (node timeout {NODE_TIMEOUT_MS / 1000:.0f} s): "
        f"of its {len(its)} sites {sum(part.refused(since) for part in its)} webhooks were brought again and "
        f"{sum(part.withdrawn(began) for part in its)} numbers withdrawn (MAX_STALE {MAX_STALE}), "
        f"{told(its)}; all right {late:.2f} s after the last order, then {again:.2f} s after one more; "
        f"of the {len(others)} other sites {sum(part.refused(since) for part in others)} brought again, {told(others)}; "
        f"when it was back all right {quiet:.2f} s after the last order"
    )
    assert its
    assert 0 == sum(part.refused(since) for part in others)
    assert 0 == sum(part.withdrawn(began) for part in others)
    assert 0 == sum(part.refused(back_since) for part in parts)
    assert 0 == sum(part.withdrawn(back_at) for part in parts)
    assert 3.0 > percentile(slow, 0.99)
    assert [] == deployment.ended


async def _back(server: RedisServer) -> None:
    server.start(wait=False)
    await asyncio.to_thread(server.ready)


async def test_a_master_hangs(command: Run, servers: Cluster) -> None:
    """A master that hangs, and is not replaced for that, withdraws its own sites' numbers alone; all are back with it."""
    for node in servers.nodes:
        node.ask("CONFIG", "SET", "cluster-node-timeout", 60_000)
    async with open_for_trade(command, servers, 12) as (deployment, parts):
        hangs = servers.masters[1]
        its = [part for part in parts if servers.owner(part.name) is hangs]
        others = [part for part in parts if part not in its]
        loop = asyncio.get_running_loop()
        selling = asyncio.create_task(buy_steadily([part.buyers for part in parts], 60, MAX_STALE + 15))
        # By then a round has told how old each number is.
        await asyncio.sleep(7)
        began, since = loop.time(), time.time()
        hangs.freeze()
        try:
            await until(lambda: all(_unknown(part) for part in its), MAX_STALE + 10)
            withdrawn = loop.time() - began
        finally:
            hangs.thaw()
        thawed = loop.time()
        await selling
        await settled(parts, 20)
        healed = loop.time() - thawed

    report(
        f"a master hung for {withdrawn:.0f} s: the numbers of its {len(its)} sites were withdrawn after {withdrawn:.1f} s "
        f"(MAX_STALE {MAX_STALE}); of the {len(others)} others {sum(part.withdrawn(began) for part in others)}, and "
        f"{sum(part.refused(since) for part in others)} webhooks brought again, {told(others)}; "
        f"all right at most {healed:.1f} s after it went on, under orders"
    )
    assert its
    assert 0 == sum(part.refused(since) for part in others)
    assert 0 == sum(part.withdrawn(began) for part in others)
    assert 3.0 > percentile([seconds for part in others for seconds in part.buyers.delays], 0.99)
    assert [] == deployment.ended


def _unknown(part: Part) -> bool:
    return all(part.viewer.state(ticket) == "unknown" for ticket in part.buyers.tickets)


async def test_a_part_is_emptied(command: Run, servers: Cluster) -> None:
    """A master that lost its data under viewers, while the others kept theirs, is filled from Wix again."""
    async with open_for_trade(command, servers, 6) as (deployment, parts):
        empty = servers.owner(parts[0].name)
        selling = asyncio.create_task(buy_steadily([part.buyers for part in parts], 60, 5))
        await asyncio.sleep(1)
        empty.ask("FLUSHALL")
        await selling
        late = await settled(parts, 20)
        parts[0].buyers.buy()
        again = await settled(parts, 3)

    report(
        f"one master of three emptied: all right {late:.1f} s after the last order, then {again:.2f} s after one more"
    )
    assert [] == deployment.ended
