import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import aclosing, asynccontextmanager, contextmanager

import pytest
from redis.exceptions import AuthenticationError, ClusterDownError, MovedError, TryAgainError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from server.redis.cluster import REFRESH_EVERY, Cluster, key_of, slot
from server.redis.node import Node
from tests.rig.cluster import Cluster as Servers
from tests.rig.redis import RedisServer, free_port
from tests.rig.server import until

NAMES = [f"{{{number}}}:key" for number in range(30)]

BOTH = "return { redis.call('GET', KEYS[1]) or '', redis.call('GET', KEYS[2]) or '' }"


@asynccontextmanager
async def clustered(url: str, *, answer: float = 1.0) -> AsyncIterator[Cluster]:
    """A client of this cluster."""
    made = Cluster(url.replace("redis+cluster", "redis"), lambda node: Node(node, answer, 0.3, pipeline_scripts=False))
    async with aclosing(made) as found:
        yield found


@pytest.fixture
async def cluster_client(cluster_url: str) -> AsyncIterator[Cluster]:
    """A client of the cluster that all tests of a run share."""
    async with clustered(cluster_url) as found:
        yield found


@contextmanager
def frozen(node: RedisServer) -> Iterator[None]:
    """Freeze a node during the block."""
    node.freeze()
    try:
        yield
    finally:
        node.thaw()


def names_of(servers: Servers, master: RedisServer) -> list[str]:
    """Those of NAMES that belong to this master."""
    return [name for name in NAMES if servers.owner(name, by=master) is master]


# -- names --


@pytest.mark.parametrize("name", ["key", "{S}:key", "tc:{S}:live:T", "{}key", "}{", "ü"])
def test_slot_of_name(cluster: Servers, name: str) -> None:
    """A name's slot is the one that Redis calculates."""
    assert cluster.slot(name) == slot(name)


@pytest.mark.parametrize(
    ("command", "key"),
    [
        (("EVALSHA", "abc", 2, "k1", "k2", "argument"), "k1"),
        (("EVAL", "text", 0, "argument"), None),
        (("GET", "k"), "k"),
        (("SPUBLISH", "k", "text"), "k"),
        (("XREADGROUP", "GROUP", "g", "r", "COUNT", 100, "STREAMS", "k", ">"), "k"),
        (("XINFO", "GROUPS", "k"), "k"),
        (("XGROUP", "CREATE", "k", "g", "0"), "k"),
        (("PING",), None),
        (("PUBLISH", "channel", "text"), None),
        (("NONSENSE",), None),
    ],
)
def test_key_of_command(command: Sequence[str | float], key: str | None) -> None:
    """The key is found wherever the command has it; a command without a key has none."""
    assert key == key_of(command)


# -- commands --


async def test_commands_go_to_owner(cluster: Servers, cluster_client: Cluster) -> None:
    """Every key is written to the master that owns it, and read from there."""
    for name in NAMES:
        await cluster_client.execute("SET", name, name)

    assert NAMES == [await cluster_client.execute("GET", name) for name in NAMES]
    for master in cluster.masters:
        mine = names_of(cluster, master)
        assert mine
        assert set(mine) == set(master.ask("KEYS", "*"))
    assert set(cluster_client.masters) == set(cluster_client.nodes)


async def test_command_without_key(cluster_client: Cluster) -> None:
    """A command without a key runs on any node."""
    assert await cluster_client.execute("PING")
    assert "text" == await cluster_client.execute("EVAL", "return ARGV[1]", 0, "text")


async def test_hash_tags(cluster_client: Cluster) -> None:
    """Each master has a hash tag whose slot it owns; a node that is no master has none."""
    await cluster_client.refresh()

    for node in cluster_client.masters:
        assert cluster_client.owner(f"tc:{{{cluster_client.hash_tag(node)}}}:probe") is node
    async with aclosing(Node("redis://127.0.0.1:9", 1, 1, pipeline_scripts=False)) as stranger:
        assert cluster_client.hash_tag(stranger) is None


async def test_moved_redirect(breakable: Servers) -> None:
    """A slot that has moved is found by one redirect, and later commands go to its new master directly."""
    name = "{moves}:key"
    async with clustered(breakable.url) as client:
        await client.execute("SET", name, "value")
        old = client.owner(name)
        there = breakable.owner(name)
        new = breakable.masters[breakable.masters.index(there) - 1]
        breakable.move(name, new)

        assert "value" == await client.execute("GET", name)

        assert client.owner(name) is not old
        before = there.ask("INFO", "errorstats")["errorstat_MOVED"]
        assert "value" == await client.execute("GET", name)
        assert before == there.ask("INFO", "errorstats")["errorstat_MOVED"]


async def test_slot_migration(breakable: Servers) -> None:
    """During a migration moved keys are read from the new master; a script whose keys are split retries, then fails."""
    one, two = "{half}:1", "{half}:2"
    async with clustered(breakable.url) as client:
        for name in (one, two):
            await client.execute("SET", name, "value")
        old = breakable.owner(one)
        new = breakable.masters[breakable.masters.index(old) - 1]
        number = breakable.slot(one)
        new.ask("CLUSTER", "SETSLOT", number, "IMPORTING", breakable.id(old))
        old.ask("CLUSTER", "SETSLOT", number, "MIGRATING", breakable.id(new))
        old.ask("MIGRATE", "127.0.0.1", new.port, one, 0, 5000)

        assert ["value", "value"] == [await client.execute("GET", name) for name in (one, two)]
        with pytest.raises(TryAgainError):
            await client.execute("EVAL", BOTH, 2, one, two)
        waiting = asyncio.create_task(client.execute("EVAL", BOTH, 2, one, two))
        await asyncio.sleep(0.02)
        old.ask("MIGRATE", "127.0.0.1", new.port, two, 0, 5000)
        assert ["value", "value"] == await waiting

        for node in (new, *(master for master in breakable.masters if master is not new)):
            node.ask("CLUSTER", "SETSLOT", number, "NODE", breakable.id(new))
        assert ["value", "value"] == await client.execute("EVAL", BOTH, 2, one, two)


async def test_redirect_loop(breakable: Servers) -> None:
    """Two masters that redirect to each other end in an error after a few redirects."""
    name = "{circles}:key"
    owner = breakable.owner(name)
    other = breakable.masters[breakable.masters.index(owner) - 1]
    async with clustered(breakable.url) as client:

        async def loops() -> bool:
            owner.ask("CLUSTER", "SETSLOT", slot(name), "NODE", breakable.id(other))
            try:
                with pytest.raises(MovedError):
                    await client.execute("GET", name)
            except ClusterDownError:
                return False  # The masters have told each other meanwhile, so the slot has no master.
            finally:
                for node in breakable.masters:
                    node.ask("CLUSTER", "SETSLOT", slot(name), "NODE", breakable.id(owner))
                await until(breakable.well)
            return True

        await client.refresh()
        await until(loops)


# -- unavailable masters --


async def test_frozen_master_affects_own_keys(breakable: Servers) -> None:
    """A master that hangs costs its own keys their time-out once, and delays no keys of others."""
    hangs, *others = breakable.masters
    its, theirs = names_of(breakable, hangs), [name for other in others for name in names_of(breakable, other)]
    async with clustered(breakable.url, answer=0.4) as client:
        for name in NAMES:
            await client.execute("SET", name, name)
        with frozen(hangs):
            failing = asyncio.create_task(client.execute("GET", its[0]))
            began = time.monotonic()
            for _ in range(20):
                assert theirs == [await client.execute("GET", name) for name in theirs]
                await asyncio.sleep(0.02)
            slowest = (time.monotonic() - began) / 20

            with pytest.raises((RedisTimeoutError, TimeoutError)):
                await failing
            # While one command tries whether it is back, others fail fast.
            asking = asyncio.create_task(client.execute("GET", its[0]))
            await asyncio.sleep(0)
            began = time.monotonic()
            with pytest.raises(RedisTimeoutError, match="not answered"):
                await client.execute("GET", its[1])
            at_once = time.monotonic() - began
            with pytest.raises((RedisTimeoutError, TimeoutError)):
                await asking

        assert 0.3 > at_once
        assert 0.3 > slowest
        await until(lambda: _answers(client, its))


async def _answers(client: Cluster, names: Sequence[str]) -> bool:
    try:
        return list(names) == [await client.execute("GET", name) for name in names]
    except (RedisConnectionError, RedisTimeoutError, ClusterDownError, OSError):
        return False


async def test_refresh_with_frozen_seed(breakable: Servers) -> None:
    """The slot map comes from the first node that answers: a frozen node, even the one of the URL, delays nothing."""
    async with clustered(breakable.url, answer=1.0) as client:
        await client.refresh()
        await asyncio.sleep(REFRESH_EVERY)
        with frozen(breakable.masters[0]):
            began = time.monotonic()
            await client.refresh()
            took = time.monotonic() - began

        assert 0.8 > took
        assert 3 == len(client.masters)


async def test_refresh_is_shared(breakable: Servers) -> None:
    """However many commands need the slot map, it is read once; a cancelled command does not cancel it for others."""
    async with clustered(breakable.url) as client:
        asking = [asyncio.create_task(client.execute("GET", name)) for name in NAMES]
        await asyncio.sleep(0)
        asking[0].cancel()
        await asyncio.gather(*asking, return_exceptions=True)
        refreshed_at = client._refreshed_at

        for _ in range(10):
            client.refresh_soon()
            await client.refresh()

        assert [True] + [False] * 29 == [one.cancelled() for one in asking]
        assert refreshed_at == client._refreshed_at


async def test_no_node_answers() -> None:
    """Without any reachable node a command raises an error that says so."""
    async with clustered(f"redis://127.0.0.1:{free_port()}") as client:
        with pytest.raises(RedisConnectionError, match="no node of the cluster says where its slots are"):
            await client.execute("GET", "key")


async def test_server_without_cluster(redis_url: str) -> None:
    """A command to a server that is no cluster raises an error that says so."""
    async with clustered(redis_url) as client:
        with pytest.raises(RedisConnectionError, match="cluster support disabled"):
            await client.execute("GET", "key")


async def test_missing_password(redis_server: Callable[..., RedisServer]) -> None:
    """A missing password raises AuthenticationError."""
    server = redis_server(cluster_enabled="yes")
    server.ask("CONFIG", "SET", "requirepass", "secret")
    async with clustered(server.url) as client:
        with pytest.raises(AuthenticationError):
            await client.execute("GET", "key")


async def test_slot_without_master(breakable: Servers) -> None:
    """A key whose slot has no master is unavailable until the slot has one again; other keys are not affected."""
    name = next(name for name in NAMES if breakable.owner(name) is breakable.masters[0])
    other = next(name for name in NAMES if breakable.owner(name) is breakable.masters[1])
    breakable.masters[0].ask("SET", name, name)
    for master in breakable.masters:
        master.ask("CONFIG", "SET", "cluster-require-full-coverage", "no")
        master.ask("CLUSTER", "DELSLOTS", breakable.slot(name))
    try:
        async with clustered(breakable.url) as client:
            with pytest.raises(ClusterDownError):
                await client.execute("GET", name)
            await client.execute("SET", other, "value")
            breakable.masters[0].ask("CLUSTER", "ADDSLOTS", breakable.slot(name))
            await until(lambda: _answers(client, [name]) if client.owner(name) else _refreshed(client))
            assert "value" == await client.execute("GET", other)
    finally:
        for master in breakable.masters:
            master.ask("CONFIG", "SET", "cluster-require-full-coverage", "yes")
        await until(breakable.well)


async def _refreshed(client: Cluster) -> bool:
    await client.refresh()
    return False


async def test_nodes_without_host() -> None:
    """A node reported without a host is on the host of the reporting node; one that is no longer listed is removed."""
    made: list[str] = []

    def node(url: str) -> Node:
        made.append(url)
        return Node(url, 1, 1, pipeline_scripts=False)

    async with aclosing(Cluster("redis://user:password@[::1]:7000/0", node)) as client:
        source = client._node_at(None, "::1", 7000)
        client._apply(source, [[0, 9, ["", 7001, "id"], ["?", 7002, "id"]], [10, 16383, [None, 7003, "id"]]])
        assert [None, None] != [client.owner(name) for name in "ab"]
        assert 4 == len(client.nodes)

        client._apply(source, [[0, 16383, ["::1", 7001, "id"]]])

        assert [f"redis://user:password@[::1]:{7000 + number}/0" for number in range(4)] == made
        assert [client._node_at(None, "::1", 7001)] == list(client.masters)
        assert 2 == len(client.nodes)
