from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from server.errors import RedisUnavailable, RedisUnfit
from server.redis.client import RedisClient, Use
from tests.rig.cluster import Cluster
from tests.rig.redis import SERVERS
from tests.rig.server import until
from tests.rig.tls_cluster import native_tls_cluster, tls_cluster

KEYS = [f"key-{number}" for number in range(30)]


NATIVE = pytest.param(
    "redis-server",
    marks=pytest.mark.skipif(
        "redis-server" not in SERVERS, reason="no redis-server is installed, and the embedded Valkey has no TLS"
    ),
)


@pytest.fixture(params=["proxies", NATIVE])
async def servers(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Cluster]:
    """Three masters with a replica each, which clients reach by TLS alone: by proxies, or by TLS of their own."""
    config: dict[str, Any] = {"replicas": 3, "cluster_require_full_coverage": "no", "repl_diskless_sync_delay": "0"}
    if request.param == "proxies":
        async with tls_cluster(tmp_path, 1000, **config) as found:
            yield found
    else:
        with native_tls_cluster(tmp_path, 1000, **config) as found:
            yield found


async def test_commands_and_messages(servers: Cluster) -> None:
    """Over TLS each command finds the master of its key, also after a slot has moved, and messages arrive."""
    async with (
        aclosing(RedisClient(servers.url, Use.WORK)) as store,
        aclosing(RedisClient(servers.url, Use.LISTEN)) as listening,
    ):
        await store.wait(5)
        assert [] == await store.check()
        for name in KEYS:
            await store.do("SET", name, name)
        assert {*servers.masters} == {servers.owner(name) for name in KEYS}
        target = next(master for master in servers.masters if master is not servers.owner(KEYS[0]))
        servers.move(KEYS[0], target)
        assert KEYS == [await store.do("GET", name) for name in KEYS]

        async with listening.listener() as links:
            await links.subscribe(*KEYS)
            confirmed: set[str] = set()

            async def all_confirmed() -> bool:
                if received := await links.receive(1):
                    confirmed.add(received.channel)
                return confirmed == set(KEYS)

            await until(all_confirmed)
            for name in KEYS:
                await store.do("SPUBLISH", name, name)
            texts = {received.text for _ in KEYS if (received := await links.receive(2))}

    assert set(KEYS) == texts


async def test_failover(servers: Cluster) -> None:
    """A master that is killed is replaced by its replica over TLS too, without a new client."""
    name = KEYS[0]
    async with aclosing(RedisClient(servers.url, Use.INGEST)) as store:
        await store.do("SET", name, "before")
        dies = servers.owner(name)
        await until(lambda: any(replica.ask("DBSIZE") for replica in servers.replicas))
        dies.kill()

        async def works() -> bool:
            try:
                await store.do("SET", name, "after")
            except RedisUnavailable:
                return False
            return True

        await until(works, 20)
        alive = next(master for master in servers.masters if master is not dies)

        assert servers.owner(name, by=alive) in servers.replicas
        assert "after" == await store.do("GET", name)


async def test_authority_is_needed(servers: Cluster) -> None:
    """Without the authority of its certificate a cluster is not trusted, and TLS is needed: both are told at once."""
    without = servers.url.partition("?")[0]
    for url, text in {without: r"[?]ssl_ca_certs=FILE", without.replace("rediss", "redis"): "write `rediss`"}.items():
        async with aclosing(RedisClient(url, Use.WORK)) as store:
            with pytest.raises(RedisUnfit, match=text):
                await store.wait(30)
