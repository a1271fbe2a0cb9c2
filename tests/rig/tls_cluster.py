"""A cluster of which clients see TLS alone: each node is behind a proxy that ends TLS, whose port the cluster tells them.

The embedded Valkey is built without TLS, so the nodes talk to each other without it.
"""

from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path

from tests.rig.certificates import Authority
from tests.rig.cluster import Cluster, three_masters
from tests.rig.redis import RedisServer, free_port
from tests.rig.server import until
from tests.rig.tcp_proxy import tcp_proxy


@asynccontextmanager
async def tls_cluster(
    folder: Path, node_timeout_ms: int, *, replicas: int = 0, **config: str
) -> AsyncIterator[Cluster]:
    """A healthy cluster, as long as the block; its `url` names the authority of its certificate."""
    authority = Authority(folder / "ca")
    tls = authority.sign("node").server()
    async with AsyncExitStack() as stack:
        cluster = stack.enter_context(three_masters(folder, node_timeout_ms, replicas=replicas, **config))
        announced = {}
        for node in cluster.nodes:
            proxy = await stack.enter_async_context(tcp_proxy("127.0.0.1", node.port, tls))
            node.ask("CONFIG", "SET", "cluster-announce-client-port", proxy.port)
            # It tells the same after a restart.
            node.config = {**node.config, "cluster_announce_client_port": str(proxy.port)}
            announced[proxy.port] = node

        def told() -> bool:
            """Whether every node tells the port of every node's proxy."""
            every = [
                [node[1] for _, _, *nodes in one.ask("CLUSTER", "SLOTS") for node in nodes] for one in cluster.nodes
            ]
            return all(set(ports) == set(announced) for ports in every)

        await until(told)
        cluster.announced = announced
        port = next(port for port, node in announced.items() if node is cluster.masters[0])
        cluster.url = f"rediss+cluster://127.0.0.1:{port}?ssl_ca_certs={authority.file}"
        yield cluster


@contextmanager
def native_tls_cluster(folder: Path, node_timeout_ms: int, *, replicas: int = 0, **config: str) -> Iterator[Cluster]:
    """The same of Redis with TLS of its own, between the nodes too; it must be installed."""
    authority = Authority(folder / "ca")
    certificate = authority.sign("node")
    config |= {
        "cluster_enabled": "yes",
        "cluster_node_timeout": str(node_timeout_ms),
        "tls_cluster": "yes",
        "tls_replication": "yes",
        "tls_cert_file": str(certificate.file),
        "tls_key_file": str(certificate.key_file),
        "tls_ca_cert_file": str(authority.file),
        "tls_auth_clients": "no",
    }
    nodes = [RedisServer(folder / str(number), "redis-server", **config) for number in range(3 + replicas)]
    tls_ports = [free_port() for _ in nodes]
    try:
        for node, port in zip(nodes, tls_ports, strict=True):
            # Its other port is found by the one without TLS, over which tests inspect it.
            node.config = {**node.config, "tls_port": str(port), "cluster_port": str(node.port + 10_000)}
            node.start()
        cluster = Cluster(nodes[:3], nodes[3:])
        cluster.migrates_to = dict(zip(nodes, tls_ports, strict=True))
        cluster.form()
        cluster.url = f"rediss+cluster://127.0.0.1:{tls_ports[0]}?ssl_ca_certs={authority.file}"
        yield cluster
    finally:
        for node in nodes:
            node.kill()
