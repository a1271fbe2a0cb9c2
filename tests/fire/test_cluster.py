"""A Redis Cluster with viewers and orders: slots move, a master dies; only its own sites are affected, and all heal."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.rig.buyers import Buyers, buy_steadily
from tests.rig.cluster import Cluster, three_masters
from tests.rig.default_keys import SITES, key
from tests.rig.deployment import Deployment
from tests.rig.percentile import percentile
from tests.rig.process import Run
from tests.rig.recording_viewers import RecordingViewer
from tests.rig.redis import RedisServer
from tests.rig.report import report
from tests.rig.server import until
from tests.rig.several_sites import SeveralSites, several_sites
from tests.rig.tls_cluster import tls_cluster
from tests.rig.webhook_sender import WebhookSender, webhook_sender

NODE_TIMEOUT_MS = 2000
"""Milliseconds after which the others consider a node dead."""
MAX_STALE = 20


CONFIG = {"replicas": 3, "cluster_require_full_coverage": "no", "repl_diskless_sync_delay": "0"}


@pytest.fixture
async def servers(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Cluster]:
    """Three masters, each with a replica; reached over TLS alone where the parameter is `tls`."""
    config: dict[str, Any] = CONFIG
    if getattr(request, "param", "plain") == "tls":
        async with tls_cluster(tmp_path / "cluster", NODE_TIMEOUT_MS, **config) as found:
            yield found
    else:
        with three_masters(tmp_path / "cluster", NODE_TIMEOUT_MS, **config) as found:
            yield found


@asynccontextmanager
async def sites_on_all_masters(servers: Cluster, number: int) -> AsyncIterator[SeveralSites]:
    """Several sites that are spread over all masters: their ids are drawn until they are."""
    for _ in range(30):
        async with several_sites(number) as wix:
            if set(servers.masters) == {servers.owner(key(one.site, "site")) for one in wix.sites}:
                yield wix
                return
    raise AssertionError("no draw reached all masters")


class SiteUnderTest:
    """One site: its shop, a viewer of all its tickets, and the sender of its webhooks."""

    def __init__(self, buyers: Buyers, viewer: RecordingViewer, sender: WebhookSender) -> None:
        self.buyers = buyers
        self.viewer = viewer
        self.sender = sender
        self.name = key(buyers.wix.site, "site")

    @property
    def right(self) -> bool:
        """Whether its viewer sees the true number of every ticket."""
        return self.buyers.knows(self.viewer)

    def withdrawn(self, since: float) -> int:
        """How many numbers were withdrawn from its viewer since a moment of the event-loop time."""
        return sum(one.counter["state"] == "unknown" for one in self.viewer.received if one.at > since)

    def refused(self, since: float) -> int:
        """How many attempts to send a webhook failed since a moment (time.time)."""
        return sum(one.status != 200 for one in self.sender.attempts if one.at > since)


@asynccontextmanager
async def running_sites(
    run: Run, servers: Cluster, number: int
) -> AsyncIterator[tuple[Deployment, list[SiteUnderTest]]]:
    """So many sites on a cluster, served by one web and one worker, all right when the block begins."""
    async with AsyncExitStack() as stack:
        wix = await stack.enter_async_context(sites_on_all_masters(servers, number))
        deployment = Deployment(run, servers.url, wix.settings(), MAX_STALE=str(MAX_STALE), WATCH_EVERY="5")
        deployment.worker()
        url = await deployment.web()
        sites = []
        for one in wix.sites:
            buyers = Buyers(one, one.sandbox.add(20, limit=100_000))
            viewer = await stack.enter_async_context(buyers.watched(url))
            sites.append(SiteUnderTest(buyers, viewer, await stack.enter_async_context(webhook_sender(url, wix=one))))
        await until(lambda: all(site.right for site in sites), 30)
        yield deployment, sites


async def settled(sites: Sequence[SiteUnderTest], seconds: float) -> float:
    """Wait, at most so long, until every webhook is accepted and every viewer right; returns how long it took."""
    began = time.monotonic()
    await until(lambda: all(site.right and not site.sender.pending for site in sites), seconds)
    return time.monotonic() - began


def order_delays(sites: Sequence[SiteUnderTest]) -> str:
    """How soon their viewers got their orders."""
    took = [seconds for site in sites for seconds in site.buyers.delays]
    return f"{len(took)} orders, p99 {percentile(took, 0.99):.2f} s"


@pytest.mark.parametrize("whole", [False, True], ids=["key by key", "whole"])
async def test_slot_moves_to_another_master(command: Run, servers: Cluster, whole: bool) -> None:
    """A site whose slot moves to another master during orders loses no webhook, and shows no false number afterwards."""
    async with running_sites(command, servers, 6) as (deployment, sites):
        mover, others = sites[0], sites[1:]
        loop = asyncio.get_running_loop()
        selling = asyncio.create_task(buy_steadily([site.buyers for site in sites], 60, 14))
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
        late = await settled(sites, 15)
        # Whatever happened meanwhile, now it is right, and stays right.
        mover.buyers.buy()
        again = await settled(sites, 3)

    report(
        f"a slot moved three times in {moved:.1f} s ({f'{keys} keys' if keys else 'each in one step'}): "
        f"{mover.refused(since)} of {len(mover.sender.attempts)} webhooks of its site were brought again, "
        f"{sum(site.refused(since) for site in others)} of the others; all right {late:.2f} s after the last order, "
        f"then {again:.2f} s after one more; of its site {order_delays([mover])}, of the others {order_delays(others)}"
    )
    assert 0 == sum(site.refused(since) for site in others)
    assert 0 == sum(site.withdrawn(began) for site in sites)
    assert 3.0 > percentile([seconds for site in others for seconds in site.buyers.delays], 0.99)
    assert [] == deployment.ended


@pytest.mark.parametrize(
    ("servers", "of_the_list"),
    [("plain", False), ("plain", True), ("tls", False)],
    ids=["any", "that has the list of sites", "any, over TLS"],
    indirect=["servers"],
)
async def test_master_dies(command: Run, servers: Cluster, of_the_list: bool) -> None:
    """A master that is killed affects only its own sites: the others notice nothing; its own heal after the failover."""
    async with running_sites(command, servers, 9) as (deployment, sites):
        listing = servers.owner(SITES)
        dies = listing if of_the_list else servers.masters[servers.masters.index(listing) - 1]
        alive = next(master for master in servers.masters if master is not dies)
        its = [site for site in sites if servers.owner(site.name, by=alive) is dies]
        others = [site for site in sites if site not in its]
        loop = asyncio.get_running_loop()
        selling = asyncio.create_task(buy_steadily([site.buyers for site in sites], 60, 25))
        await asyncio.sleep(2)
        began, since = loop.time(), time.time()
        dies.kill()
        await until(lambda: servers.owner(its[0].name, by=alive) in servers.replicas, 20)
        over = loop.time() - began
        await selling
        late = await settled(sites, 30)
        its[0].buyers.buy()
        again = await settled(sites, 3)

        # It comes back as a replica of its successor: nothing changes for any site.
        back_at, back_since = loop.time(), time.time()
        await _back(dies)
        await buy_steadily([site.buyers for site in sites], 30, 5)
        quiet = await settled(sites, 5)

    slow = [seconds for site in others for seconds in site.buyers.delays]
    report(
        f"a master killed, another in its place after {over:.1f} s (node timeout {NODE_TIMEOUT_MS / 1000:.0f} s): "
        f"of its {len(its)} sites {sum(site.refused(since) for site in its)} webhooks were brought again and "
        f"{sum(site.withdrawn(began) for site in its)} numbers withdrawn (MAX_STALE {MAX_STALE}), "
        f"{order_delays(its)}; all right {late:.2f} s after the last order, then {again:.2f} s after one more; "
        f"of the {len(others)} other sites {sum(site.refused(since) for site in others)} brought again, {order_delays(others)}; "
        f"when it was back all right {quiet:.2f} s after the last order"
    )
    assert its
    assert 0 == sum(site.refused(since) for site in others)
    assert 0 == sum(site.withdrawn(began) for site in others)
    assert 0 == sum(site.refused(back_since) for site in sites)
    assert 0 == sum(site.withdrawn(back_at) for site in sites)
    assert 3.0 > percentile(slow, 0.99)
    assert [] == deployment.ended


async def _back(server: RedisServer) -> None:
    server.start(wait=False)
    await asyncio.to_thread(server.ready)


async def test_master_hangs(command: Run, servers: Cluster) -> None:
    """A master that hangs, and is not replaced, withdraws only its own sites' numbers; all come back with it."""
    for node in servers.nodes:
        node.ask("CONFIG", "SET", "cluster-node-timeout", 60_000)
    async with running_sites(command, servers, 12) as (deployment, sites):
        hangs = servers.masters[1]
        its = [site for site in sites if servers.owner(site.name) is hangs]
        others = [site for site in sites if site not in its]
        loop = asyncio.get_running_loop()
        selling = asyncio.create_task(buy_steadily([site.buyers for site in sites], 60, MAX_STALE + 15))
        # By then a round has updated the age of each number.
        await asyncio.sleep(7)
        began, since = loop.time(), time.time()
        hangs.freeze()
        try:
            await until(lambda: all(_unknown(site) for site in its), MAX_STALE + 10)
            withdrawn = loop.time() - began
        finally:
            hangs.thaw()
        thawed = loop.time()
        await selling
        await settled(sites, 20)
        healed = loop.time() - thawed

    report(
        f"a master hung for {withdrawn:.0f} s: the numbers of its {len(its)} sites were withdrawn after {withdrawn:.1f} s "
        f"(MAX_STALE {MAX_STALE}); of the {len(others)} others {sum(site.withdrawn(began) for site in others)}, and "
        f"{sum(site.refused(since) for site in others)} webhooks brought again, {order_delays(others)}; "
        f"all right at most {healed:.1f} s after it went on, under orders"
    )
    assert its
    assert 0 == sum(site.refused(since) for site in others)
    assert 0 == sum(site.withdrawn(began) for site in others)
    assert 3.0 > percentile([seconds for site in others for seconds in site.buyers.delays], 0.99)
    assert [] == deployment.ended


def _unknown(site: SiteUnderTest) -> bool:
    return all(site.viewer.state(ticket) == "unknown" for ticket in site.buyers.tickets)


async def test_one_master_loses_its_data(command: Run, servers: Cluster) -> None:
    """A master that lost its data under viewers, while the others kept theirs, is filled from Wix again."""
    async with running_sites(command, servers, 6) as (deployment, sites):
        empty = servers.owner(sites[0].name)
        selling = asyncio.create_task(buy_steadily([site.buyers for site in sites], 60, 5))
        await asyncio.sleep(1)
        empty.ask("FLUSHALL")
        await selling
        late = await settled(sites, 20)
        sites[0].buyers.buy()
        again = await settled(sites, 3)

    report(
        f"one master of three emptied: all right {late:.1f} s after the last order, then {again:.2f} s after one more"
    )
    assert [] == deployment.ended
