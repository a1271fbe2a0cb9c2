"""
A real Redis Cluster for tests: its nodes are servers of tests/rig/redis.py, and its slots can be moved.

    cluster_url     three masters for the whole run, emptied before each test that asks for it
    cluster         its servers, to inspect: do not kill them or change their configuration
    three_masters   a cluster of one test, with replicas if it wants some

All functions here block.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.rig.redis import RedisServer, until

SLOTS = 16384


class Cluster:
    """Masters with equal shares of the slots, and replicas of each in turn.

    It is created with the commands that `redis-cli --cluster create` sends.
    """

    def __init__(self, masters: list[RedisServer], replicas: list[RedisServer] | None = None) -> None:
        self.masters = masters
        self.replicas = replicas or []
        self.url = f"redis+cluster://127.0.0.1:{masters[0].port}"
        self.announced = {node.port: node for node in self.nodes}
        """The nodes by the port that clients are told."""
        self.migrates_to = {node: node.port for node in self.nodes}
        """The port at which a node takes keys from another."""

    @property
    def nodes(self) -> list[RedisServer]:
        """Masters and replicas, as they were when the cluster was created."""
        return [*self.masters, *self.replicas]

    def form(self) -> None:
        """Join the started, empty servers; return when each reports that the whole cluster is healthy."""
        share = SLOTS // len(self.masters) + 1
        for number, node in enumerate(self.nodes):
            # Different epochs from the start, or the masters spend seconds on resolving the conflict.
            node.ask("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
        for number, master in enumerate(self.masters):
            master.ask("CLUSTER", "ADDSLOTSRANGE", share * number, min(share * (number + 1), SLOTS) - 1)
        for node in self.nodes[1:]:
            self.masters[0].ask("CLUSTER", "MEET", "127.0.0.1", node.port)
        until(self.well, self._complaint, 20)
        for number, replica in enumerate(self.replicas):
            replica.ask("CLUSTER", "REPLICATE", self.id(self.masters[number % len(self.masters)]))
        until(self.replicated, self._complaint, 20)

    def well(self) -> bool:
        """Return whether every node knows every other and that all slots are served."""
        wanted = {"cluster_state:ok", f"cluster_size:{len(self.masters)}", f"cluster_known_nodes:{len(self.nodes)}"}
        return all(wanted <= set(node.ask("CLUSTER", "INFO").split()) for node in self.nodes)

    def replicated(self) -> bool:
        """Return whether each replica is in sync, and every node knows which master it belongs to."""
        linked = all(one.ask("INFO", "replication").get("master_link_status") == "up" for one in self.replicas)
        known = [sum(len(nodes) - 1 for _, _, *nodes in node.ask("CLUSTER", "SLOTS")) for node in self.nodes]
        return linked and known == [len(self.replicas)] * len(self.nodes)

    def flush(self) -> None:
        """Empty all masters."""
        for master in self.masters:
            master.ask("FLUSHALL")

    def slot(self, name: str) -> int:
        """The slot of a key or a channel."""
        return int(self.masters[0].ask("CLUSTER", "KEYSLOT", name))

    def owner(self, name: str, by: RedisServer | None = None) -> RedisServer:
        """The master of this key or channel, *by* what a node answers: by default the first one, which must be running."""
        slot = self.slot(name) if by is None else int(by.ask("CLUSTER", "KEYSLOT", name))
        ranges = (by or self.masters[0]).ask("CLUSTER", "SLOTS")
        port = next(master[1] for first, last, master, *_ in ranges if first <= slot <= last)
        return self.announced[port]

    def id(self, node: RedisServer) -> str:
        """A node's id in the cluster."""
        return str(node.ask("CLUSTER", "MYID"))

    def move(self, name: str, to: RedisServer) -> int:
        """Move the slot of a name to another master, key by key; answers the number of keys."""
        slot, old = self.slot(name), self.owner(name)
        to.ask("CLUSTER", "SETSLOT", slot, "IMPORTING", self.id(old))
        old.ask("CLUSTER", "SETSLOT", slot, "MIGRATING", self.id(to))
        moved = 0
        while keys := old.ask("CLUSTER", "GETKEYSINSLOT", slot, 10):
            old.ask("MIGRATE", "127.0.0.1", self.migrates_to[to], "", 0, 5000, "KEYS", *keys)
            moved += len(keys)
        for node in (to, old, *(other for other in self.masters if other not in {to, old})):
            node.ask("CLUSTER", "SETSLOT", slot, "NODE", self.id(to))
        return moved

    def move_whole(self, name: str, to: RedisServer) -> None:
        """Move the slot of a name to another master in one step, as Valkey 9 can; returns when that has begun."""
        slot = self.slot(name)
        self.owner(name).ask("CLUSTER", "MIGRATESLOTS", "SLOTSRANGE", slot, slot, "NODE", self.id(to))

    def _complaint(self) -> str:
        return f"no cluster:\n{[(node.port, node.ask('CLUSTER', 'INFO')) for node in self.nodes]}"


@contextmanager
def three_masters(folder: Path, node_timeout_ms: int, *, replicas: int = 0, **config: str) -> Iterator[Cluster]:
    """A healthy cluster, as long as the block; *config* is that of each node."""
    config |= {"cluster_enabled": "yes", "cluster_node_timeout": str(node_timeout_ms)}
    nodes = [RedisServer(folder / str(number), **config) for number in range(3 + replicas)]
    try:
        for node in nodes:
            node.start()
        cluster = Cluster(nodes[:3], nodes[3:])
        cluster.form()
        yield cluster
    finally:
        for node in nodes:
            node.kill()


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """The cluster of `cluster_url`."""
    with three_masters(tmp_path_factory.mktemp("cluster"), 2000) as cluster:
        yield cluster


@pytest.fixture
def cluster_url(cluster: Cluster) -> str:
    """The address of an empty cluster."""
    cluster.flush()
    return cluster.url
