import asyncio
import time
from collections.abc import Callable
from contextlib import aclosing
from errno import ETIMEDOUT
from typing import Any

import pytest

from server.errors import StoreUnavailable
from server.listener import Heard, Listener
from server.store import WAKE, Store, Use, channel
from tests.rig.redis import SLOTS, Cluster, RedisServer
from tests.rig.server import until

Server = Callable[..., RedisServer]

SITES = [f"site-{n}" for n in range(20)]


async def test_heard(store: Store) -> None:
    """A subscription is confirmed, then says what is published, until it ends; silence is None."""
    async with store.listener() as listener:
        await listener.subscribe("a", "b")
        assert [Heard("a", None), Heard("b", None)] == [await listener.hear(2) for _ in range(2)]
        assert await listener.hear(0.01) is None

        await store.do("PUBLISH", "b", "text")
        assert Heard("b", "text") == await listener.hear(2)

        await listener.unsubscribe("b")
        assert await listener.hear(2) is None
        await store.do("PUBLISH", "b", "text")
        assert await listener.hear(0.05) is None


async def test_reconnected(store: Store) -> None:
    """Law 6: After a lost connection every channel is confirmed again, which is the only sign of what was lost."""
    async with store.listener() as listener:
        await listener.subscribe("a", "b")
        assert [Heard("a", None), Heard("b", None)] == [await listener.hear(2) for _ in range(2)]

        await store.do("CLIENT", "KILL", "TYPE", "pubsub")

        again = await _confirmed(listener, 2)
        assert {"a", "b"} == again
        await store.do("PUBLISH", "a", "text")
        assert Heard("a", "text") == await listener.hear(2)


async def _confirmed(listener: Listener, count: int) -> set[str]:
    """What is confirmed after a fault, which may be told first."""
    found: set[str] = set()

    async def all_of_them() -> bool:
        try:
            heard = await listener.hear(0.2)
        except StoreUnavailable:
            return False
        if heard is not None and heard.text is None:
            found.add(heard.channel)
        return len(found) == count

    await until(all_of_them)
    return found


async def test_listening_to_nobody(redis_server: Server) -> None:
    """A listener of a Redis that is gone says so, and can be closed."""
    server = redis_server()
    async with aclosing(Store(server.url, Use.LISTEN)) as store, store.listener() as listener:
        with pytest.raises(StoreUnavailable):
            await listener.hear(0.1)
        await listener.subscribe("a")
        assert await listener.hear(2)

        server.kill()

        with pytest.raises(StoreUnavailable):
            await listener.hear(2)
        with pytest.raises(StoreUnavailable):
            await listener.subscribe("b")
        with pytest.raises(StoreUnavailable):
            await listener.unsubscribe("a")


def dies(connection: Any) -> None:
    """End a link as its transport does when the kernel has given up; nobody can make a link of one machine die."""
    connection._reader.set_exception(TimeoutError(ETIMEDOUT, "Connection timed out"))


async def test_dead_link(store: Store) -> None:
    """A link that the kernel has given up is told at once, and is not taken for silence."""
    async with store.listener() as listener:
        await listener.subscribe("a")
        assert Heard("a", None) == await listener.hear(2)

        dies(listener._pubsub.connection)

        with pytest.raises(StoreUnavailable, match="timed out"):
            await listener.hear(2)


async def test_dead_link_to_one_node(clustered: Store) -> None:
    """A link to one node of a cluster that the kernel has given up is told, though the others are well."""
    async with clustered.listener() as listener:
        channels = [channel(site, "T") for site in SITES]
        await listener.subscribe(*channels)
        for _ in channels:
            assert await listener.hear(2)

        dies(next(iter(listener._pubsub.node_pubsub_mapping.values())).connection)

        with pytest.raises(StoreUnavailable, match="timed out"):
            await listener.hear(2)


async def test_cluster_is_heard(clustered: Store, cluster_url: str) -> None:
    """A listener hears the channels of all sites, on whichever node each is, though it never ran a command before."""
    async with aclosing(Store(cluster_url, Use.LISTEN)) as fresh, fresh.listener() as listener:
        channels = [channel(site, "T") for site in SITES]
        await listener.subscribe(*channels)
        assert {Heard(one, None) for one in channels} == {await listener.hear(2) for _ in channels}

        for one in channels:
            await clustered.do("SPUBLISH", one, "text")

        assert {Heard(one, "text") for one in channels} == {await listener.hear(2) for _ in channels}


async def test_silent_nodes_delay_nobody(clustered: Store) -> None:
    """What one node says is heard at once, however long the others are silent."""
    async with clustered.listener() as listener:
        channels = [channel(site, "T") for site in SITES]
        await listener.subscribe(*channels)
        for _ in channels:
            assert await listener.hear(2)
        waits = []
        for one in channels[:6]:
            hearing = asyncio.create_task(listener.hear(2))
            await clustered.do("SPUBLISH", one, "text")
            began = time.monotonic()
            assert Heard(one, "text") == await hearing
            waits.append(time.monotonic() - began)

        assert 0.3 > max(waits)
        began = time.monotonic()
        assert await listener.hear(0.2) is None
        assert 0.4 > time.monotonic() - began


async def test_wake_from_every_node(clustered: Store, cluster: Cluster) -> None:
    """The wake channel is heard whichever node of a cluster it was published on."""
    async with clustered.listener() as listener:
        await listener.subscribe_all_nodes(WAKE)
        assert Heard(WAKE, None) == await listener.hear(2, sharded=False)

        for number, master in enumerate(cluster.masters):
            master.ask("PUBLISH", WAKE, f"site-{number}")

        heard = {await listener.hear(2, sharded=False) for _ in cluster.masters}
        assert {Heard(WAKE, f"site-{number}") for number in range(3)} == heard


async def test_cluster_reconnected(clustered: Store, cluster: Cluster) -> None:
    """Law 6: After lost connections to the nodes of a cluster every channel is confirmed again."""
    async with clustered.listener() as listener:
        channels = [channel(site, "T") for site in SITES]
        await listener.subscribe(*channels)
        for _ in channels:
            assert await listener.hear(2)

        for master in cluster.masters:
            master.ask("CLIENT", "KILL", "TYPE", "pubsub")

        assert set(channels) == await _confirmed(listener, len(channels))


async def test_cluster_unsubscribed(clustered: Store) -> None:
    """A channel of a cluster that was unsubscribed is not heard any more, and nothing is wrong with that."""
    async with clustered.listener() as listener:
        await listener.subscribe(channel("A", "T"), channel("B", "T"))
        for _ in range(2):
            assert await listener.hear(2)

        await listener.unsubscribe(channel("A", "T"))
        assert await listener.hear(0.3) is None
        for site in "AB":
            await clustered.do("SPUBLISH", channel(site, "T"), "text")

        assert Heard(channel("B", "T"), "text") == await listener.hear(2)
        assert await listener.hear(0.1) is None


async def test_nothing_subscribed_on_a_cluster(clustered: Store) -> None:
    """A listener that was never told what to listen to says so, rather than to wait for nothing."""
    async with clustered.listener() as listener:
        with pytest.raises(StoreUnavailable):
            await listener.hear(5)


async def test_moved_slot(breakable: Cluster) -> None:
    """Law 6: A slot that moves to another node ends its subscriptions; that is told, and a new listener finds it."""
    name = channel("moved", "T")
    async with (
        aclosing(Store(breakable.url, Use.WORK)) as store,
        aclosing(Store(breakable.url, Use.LISTEN)) as listening,
    ):
        slot = breakable.masters[0].ask("CLUSTER", "KEYSLOT", name)
        owner = slot // (SLOTS // 3 + 1)
        old, new = breakable.masters[owner], breakable.masters[owner - 1]
        async with listening.listener() as listener:
            await listener.subscribe(name)
            assert Heard(name, None) == await listener.hear(2)

            for master in (new, old):
                master.ask("CLUSTER", "SETSLOT", slot, "NODE", new.ask("CLUSTER", "MYID"))

            with pytest.raises(StoreUnavailable, match="moved"):
                await until(lambda: listener.hear(0.1))

        async def found_again() -> bool:
            try:
                async with listening.listener() as listener:
                    await listener.subscribe(name)
                    confirmed = await listener.hear(0.5)
                    await store.do("SPUBLISH", name, "text")
                    return [Heard(name, None), Heard(name, "text")] == [confirmed, await listener.hear(0.5)]
            except StoreUnavailable:
                # Of three nodes one learns of the move from the others, and may be the one that was asked.
                return False

        assert await until(found_again)
