import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import aclosing, asynccontextmanager, suppress
from pathlib import Path

import pytest

from server import metrics
from server.errors import RedisUnavailable
from server.redis.client import RedisClient, Use
from server.redis.cluster import Cluster
from server.redis.links import MAX_QUEUED, Links, MasterState
from server.redis.listener import Received
from server.redis.namespace import Namespace
from server.redis.node import Node
from tests.rig.cluster import Cluster as Servers
from tests.rig.cluster import three_masters
from tests.rig.default_keys import WAKE, channel
from tests.rig.redis import RedisServer
from tests.rig.server import until

NAMES = [channel(f"site-{number}", "T") for number in range(20)]


@asynccontextmanager
async def listening(servers: Servers, probe_timeout: float | None = None) -> AsyncIterator[Links]:
    """A listener of this cluster."""
    url = servers.url.replace("redis+cluster", "redis")
    async with aclosing(Cluster(url, lambda node: Node(node, 0.5, 0.3, pipeline_scripts=False))) as client:
        await client.refresh()
        async with aclosing(Links(client, Namespace(), probe_timeout)) as links:
            yield links


async def confirmed(links: Links, *names: str) -> None:
    """Wait until each of these is confirmed once more."""
    left = set(names)

    async def all_of_them() -> bool:
        received = await links.receive(0.2)
        if received is not None and received.text is None:
            left.discard(received.channel)
        return not left

    await until(all_of_them, 20)


def names_of(servers: Servers, master: RedisServer) -> list[str]:
    """Those of NAMES that belong to this master."""
    return [name for name in NAMES if servers.owner(name, by=master) is master]


async def test_subscribe_and_unsubscribe(clustered: RedisClient, cluster: Servers) -> None:
    """Channels of all sites receive messages, on whichever masters they are, until they are unsubscribed."""
    async with listening(cluster) as links:
        await links.subscribe(*NAMES)
        assert {Received(name, None) for name in NAMES} == {await links.receive(2) for _ in NAMES}
        assert await links.receive(0.01) is None

        for name in NAMES:
            await clustered.do("SPUBLISH", name, "text")
        assert {Received(name, "text") for name in NAMES} == {await links.receive(2) for _ in NAMES}

        await links.unsubscribe(*NAMES[1:])
        await until(lambda: _unsubscribed(clustered, NAMES[1:]))
        for name in NAMES:
            await clustered.do("SPUBLISH", name, "text")
        assert Received(NAMES[0], "text") == await links.receive(2)
        assert await links.receive(0.1) is None


async def _unsubscribed(clustered: RedisClient, names: list[str]) -> bool:
    """Whether a message to these channels reaches no subscriber."""
    return [0] * len(names) == [await clustered.do("SPUBLISH", name, "") for name in names]


async def test_subscribe_again(cluster: Servers) -> None:
    """Subscribing again to a channel confirms it again."""
    async with listening(cluster) as links:
        for _ in range(2):
            await links.subscribe(NAMES[0])
            assert Received(NAMES[0], None) == await links.receive(2)


async def test_silent_masters_delay_no_message(clustered: RedisClient, cluster: Servers) -> None:
    """A message from one master is received at once, however long the others are silent."""
    async with listening(cluster) as links:
        await links.subscribe(*NAMES)
        await confirmed(links, *NAMES)
        waits = []
        for name in NAMES[:6]:
            receiving = asyncio.create_task(links.receive(2))
            await clustered.do("SPUBLISH", name, "text")
            began = time.monotonic()
            assert Received(name, "text") == await receiving
            waits.append(time.monotonic() - began)

        assert 0.3 > max(waits)
        began = time.monotonic()
        assert await links.receive(0.2) is None
        assert 0.2 <= time.monotonic() - began < 0.5


async def test_wake_from_every_node(cluster: Servers) -> None:
    """A channel that all nodes deliver receives messages, whichever node they are published on."""
    async with listening(cluster) as links:
        await links.subscribe_all_nodes(WAKE)
        assert Received(WAKE, None) == await links.receive(2)

        for number, master in enumerate(cluster.masters):
            master.ask("PUBLISH", WAKE, f"site-{number}")

        # The nodes of a new cluster may still deliver earlier messages to each other.
        expected = {Received(WAKE, f"site-{number}") for number in range(3)}

        async def all_of_them() -> bool:
            if (received := await links.receive(2)) is not None:
                expected.discard(received)
            return not expected

        await until(all_of_them)


async def test_wake_moves_to_another_node(breakable: Servers) -> None:
    """When the node that delivers the wake channel is lost, another one delivers it."""
    async with listening(breakable) as links:
        await links.subscribe(*NAMES)
        await links.subscribe_all_nodes(WAKE)
        await confirmed(links, WAKE, *NAMES)
        [delivering] = [master for master in links._masters.values() if WAKE in master.channels]
        [server] = [one for one in breakable.masters if one.port == delivering.node.pool.connection_kwargs["port"]]

        server.ask("CLIENT", "KILL", "TYPE", "pubsub")
        server.freeze()
        try:
            await confirmed(links, WAKE)
            breakable.masters[breakable.masters.index(server) - 1].ask("PUBLISH", WAKE, "site")
            await until(lambda: _receives(links, Received(WAKE, "site")))
        finally:
            server.thaw()
        await until(breakable.well)


async def _receives(links: Links, expected: Received) -> bool:
    """Whether the next message is this one."""
    return expected == await links.receive(0.1)


async def test_lost_link_is_confirmed_again(breakable: Servers) -> None:
    """Law 6: When the link to one master is lost, its channels are confirmed again, and no others."""
    master = breakable.masters[1]
    its = names_of(breakable, master)
    before = metrics.resyncs.labels("new_link")._value.get()
    async with listening(breakable) as links:
        await links.subscribe(*NAMES)
        await confirmed(links, *NAMES)

        master.ask("CLIENT", "KILL", "TYPE", "pubsub")

        received: list[Received] = []
        while len(received) < len(its):
            if (one := await links.receive(2)) is not None:
                received.append(one)
        assert {Received(name, None) for name in its} == set(received)
        assert await links.receive(0.3) is None
        assert before + 1 == metrics.resyncs.labels("new_link")._value.get()


@pytest.mark.parametrize("whole", [True, False])
async def test_moved_slot(breakable: Servers, whole: bool) -> None:
    """Law 6: A channel whose slot moves is confirmed on its new master, and messages published there are received."""
    name = channel(f"moves-{whole}", "T")
    async with listening(breakable) as links:
        await links.subscribe(name, *NAMES)
        await confirmed(links, name, *NAMES)
        old = breakable.owner(name)
        new = breakable.masters[breakable.masters.index(old) - 1]

        (breakable.move_whole if whole else breakable.move)(name, new)

        await confirmed(links, name)
        assert breakable.owner(name) is new
        new.ask("SPUBLISH", name, "text")
        assert Received(name, "text") == await links.receive(2)
        await links.unsubscribe(name)
        await until(lambda: new.ask("SPUBLISH", name, "text") == 0)


async def test_frozen_master(breakable: Servers) -> None:
    """A master that hangs is noticed by its probe, and its channels work again once it is back; others never stop."""
    hangs, *others = breakable.masters
    its, theirs = names_of(breakable, hangs), names_of(breakable, others[0])
    async with (
        listening(breakable, probe_timeout=1.0) as links,
        aclosing(RedisClient(breakable.url, Use.INGEST)) as store,
    ):
        probing = asyncio.create_task(publish_to_probes(store, links))
        await links.subscribe(*its, *theirs)
        await confirmed(links, *its, *theirs)
        await until(lambda: _probes_arrive(links, 3))

        hangs.freeze()
        try:
            # Only missing messages from its probe show that a master hangs.
            await until(lambda: _probes_arrive(links, 2))
            others[0].ask("SPUBLISH", theirs[0], "text")
            assert await until(lambda: _receives(links, Received(theirs[0], "text")), 1)
            assert 1.0 > asyncio.get_running_loop().time() - links.last_probe
            await until(lambda: _disconnected(links, its))
            assert all(map(links.connected, theirs))
        finally:
            hangs.thaw()

        await confirmed(links, *its)
        await until(lambda: _probes_arrive(links, 3))
        probing.cancel()
        await asyncio.wait({probing})


async def _disconnected(links: Links, names: list[str]) -> bool:
    """Whether none of these channels is connected."""
    await links.receive(0.05)
    return not any(map(links.connected, names))


async def _probes_arrive(links: Links, number: int) -> bool:
    """Whether messages from the probes of exactly this many masters have arrived within the last second."""
    await links.receive(0.05)
    since = asyncio.get_running_loop().time() - 1.0
    return number == sum(
        master.link is not None and master.link.last_probe > since for master in links._masters.values()
    )


async def publish_to_probes(store: RedisClient, links: Links) -> None:
    """Publish to every probe, as the owner of a listener has to."""

    async def publish(name: str) -> None:
        with suppress(RedisUnavailable):
            await store.do("SPUBLISH", name, "probe")

    while True:
        await asyncio.gather(*(publish(name) for name in links.probes))
        await asyncio.sleep(0.1)


async def test_all_masters_down(tmp_path: Path) -> None:
    """Receiving raises RedisUnavailable when the last master is down, and not before."""
    with three_masters(tmp_path, 2000) as servers:
        async with listening(servers) as links:
            await links.subscribe(*NAMES)
            await confirmed(links, *NAMES)
            assert (True, False) == (links.connected(NAMES[0]), links.connected("nowhere"))
            *some, last = servers.masters
            for master in some:
                master.kill()
            for _ in range(5):
                await links.receive(0.1)

            last.kill()

            with pytest.raises(RedisUnavailable):
                await until(lambda: _receives(links, Received("", "")))


async def test_full_queue(clustered: RedisClient, cluster: Servers) -> None:
    """While nothing is received the queue is limited; later every message is received, in order."""
    name = NAMES[0]
    async with listening(cluster) as links:
        await links.subscribe(name)
        await confirmed(links, name)
        for number in range(MAX_QUEUED + 500):
            await clustered.do("SPUBLISH", name, number)
        await until(lambda: links._queue.qsize() == MAX_QUEUED)

        received = [await links.receive(2) for _ in range(MAX_QUEUED + 500)]

        assert [Received(name, f"{number}") for number in range(MAX_QUEUED + 500)] == received


async def test_task_error_is_raised(cluster: Servers) -> None:
    """An unexpected error that ends the task of a link is raised by `receive`."""
    async with listening(cluster) as links:

        async def broken(_: MasterState) -> None:
            raise KeyError("bug")

        wrong: Callable[[MasterState], Awaitable[None]] = broken
        links._start(wrong(MasterState(links._cluster.masters[0])))  # type: ignore[arg-type] # any awaitable that ends so
        await asyncio.sleep(0)
        await asyncio.sleep(0)

        with pytest.raises(KeyError, match="bug"):
            await links.receive(1)


async def test_unsubscribe_during_reassignment(cluster: Servers) -> None:
    """Unsubscribing channels while they are assigned to other masters leaves none assigned and causes no error."""
    async with listening(cluster) as links:
        await links.subscribe(*NAMES)
        await confirmed(links, *NAMES)
        for master in links._masters.values():
            master.channels.clear()
        links._assigned.update(dict.fromkeys(NAMES))
        ask = links._subscribe_on

        async def slowly(master: MasterState, names: Collection[str]) -> None:
            await asyncio.sleep(0.1)
            await ask(master, names)

        links._subscribe_on = slowly  # type: ignore[method-assign]
        links._reassign.set()
        # Some channels have their master by now, and others do not.
        await until(lambda: any(links._assigned.values()))

        await links.unsubscribe(*NAMES)

        assert {} == links._assigned
        for _ in range(5):
            await links.receive(0.1)


async def test_master_gets_first_slots(cluster: Servers) -> None:
    """A link opened while its master had no slot, and so without a probe, is opened again with one."""
    async with listening(cluster, 5.0) as links:
        hash_tag = links._cluster.hash_tag
        links._cluster.hash_tag = lambda node: None  # type: ignore[method-assign]
        await links.subscribe(*NAMES)
        await confirmed(links, *NAMES)
        assert [] == links.probes

        links._cluster.hash_tag = hash_tag  # type: ignore[method-assign]

        await until(lambda: len(links.probes) == len(links._masters))
        await links.subscribe(*NAMES)
        await confirmed(links, *NAMES)
