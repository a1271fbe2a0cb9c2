import asyncio
import math
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from errno import ETIMEDOUT
from typing import Any

import pytest

from server import metrics
from server.errors import RedisUnavailable
from server.redis.client import RedisClient
from server.redis.listener import Link, Received, SlotMoved, new_probe
from server.redis.namespace import Namespace
from server.redis.node import Node
from tests.rig.cluster import Cluster
from tests.rig.default_keys import channel
from tests.rig.redis import RedisServer
from tests.rig.server import until
from tests.rig.tcp_proxy import tcp_proxy

Server = Callable[..., RedisServer]

PROBE_TIMEOUT = 0.4


@asynccontextmanager
async def listening(
    url: str, probe: str | None = None, probe_timeout: float = PROBE_TIMEOUT, *, sharded: bool = False
) -> AsyncIterator[Link]:
    """An open link to this server."""
    async with (
        aclosing(Node(url, 1.0, 1.0, pipeline_scripts=False)) as node,
        aclosing(Link(node, probe, probe_timeout, sharded=sharded)) as link,
    ):
        await link.open()
        yield link


@pytest.mark.parametrize("turns", range(4))
async def test_close_during_subscribe(redis_url: str, monkeypatch: pytest.MonkeyPatch, turns: int) -> None:
    """A subscribe on a link that is closed at the same moment raises RedisUnavailable, unless it had been sent."""
    async with listening(redis_url) as link:
        sent = sent_on(link, monkeypatch)
        subscribing = asyncio.create_task(link.subscribe("a"))
        for _ in range(turns):
            await asyncio.sleep(0)
        await link.aclose()

        [outcome] = await asyncio.gather(subscribing, return_exceptions=True)
        assert (type(None) if sent else RedisUnavailable) is type(outcome)
        assert turns or not sent


@pytest.mark.parametrize("turns", range(4))
async def test_subscribe_during_failing_command(redis_url: str, monkeypatch: pytest.MonkeyPatch, turns: int) -> None:
    """A failing command closes the connection; a concurrent one raises RedisUnavailable, unless it had been sent."""
    async with listening(redis_url) as link:
        sent = sent_on(link, monkeypatch, fails=1)
        one = asyncio.create_task(link.subscribe("a"))
        for _ in range(turns):
            await asyncio.sleep(0)
        other = asyncio.create_task(link.subscribe("b"))

        with pytest.raises(RedisUnavailable):
            await one
        [outcome] = await asyncio.gather(other, return_exceptions=True)
        assert (type(None) if sent else RedisUnavailable) is type(outcome)
        assert turns < 3 or not sent


def sent_on(link: Link, monkeypatch: pytest.MonkeyPatch, *, fails: int = 0) -> list[Any]:
    """A list that grows with each command that the link's connection has sent; the first ones fail instead."""
    sends, sent = link._connection._send_packed_command, []
    failing = iter(range(fails))

    async def send(command: Any) -> None:
        if next(failing, None) is not None:
            raise ConnectionResetError(104, "reset")
        await sends(command)
        sent.append(command)

    monkeypatch.setattr(link._connection, "_send_packed_command", send)
    return sent


async def test_subscribe_and_unsubscribe(store: RedisClient, redis_url: str) -> None:
    """A subscription is confirmed, then receives messages until it is unsubscribed; silence is None."""
    async with listening(redis_url) as link:
        await link.subscribe("a", "b")
        assert [Received("a", None), Received("b", None)] == [await link.receive(2) for _ in range(2)]
        assert await link.receive(0.01) is None

        await store.do("PUBLISH", "b", "text")
        assert Received("b", "text") == await link.receive(2)

        await link.unsubscribe("b")
        assert await link.receive(2) is None
        await store.do("PUBLISH", "b", "text")
        assert await link.receive(0.05) is None


async def test_subscribe_while_receiving(store: RedisClient, redis_url: str) -> None:
    """A subscription by another task is confirmed at once, although the owner is already receiving."""
    async with listening(redis_url) as link:
        receiving = asyncio.create_task(link.receive(5))
        await asyncio.sleep(0)

        await link.subscribe("a")

        assert Received("a", None) == await asyncio.wait_for(receiving, 2)


async def test_subscribe_again(redis_url: str) -> None:
    """Subscribing again to a channel confirms it again."""
    async with listening(redis_url) as link:
        for _ in range(2):
            await link.subscribe("a")
            assert Received("a", None) == await link.receive(2)


async def test_lost_link(store: RedisClient, redis_url: str) -> None:
    """Law 6: A lost link raises RedisUnavailable every time, and is never reconnected silently."""
    async with listening(redis_url) as link:
        await link.subscribe("a")
        assert Received("a", None) == await link.receive(2)

        await store.do("CLIENT", "KILL", "TYPE", "pubsub")

        for _ in range(3):
            with pytest.raises(RedisUnavailable):
                await link.receive(2)
        assert ["a", 0] == await store.do("PUBSUB", "NUMSUB", "a")


async def test_no_channels(redis_url: str) -> None:
    """Subscribing to no channels does nothing."""
    async with listening(redis_url) as link:
        await link.subscribe()
        await link.unsubscribe()
        assert await link.receive(0.05) is None


async def test_server_down(redis_server: Server) -> None:
    """A link to a Redis that is down raises RedisUnavailable and can be closed; a new one cannot be opened."""
    server = redis_server()
    async with listening(server.url) as link:
        await link.subscribe("a")
        assert await link.receive(2)

        server.kill()

        with pytest.raises(RedisUnavailable):
            await link.receive(2)
        assert link.connected("a")
        await link.aclose()
        assert not link.connected("a")
        for ask in (link.subscribe, link.unsubscribe, link.subscribe_all_nodes):
            with pytest.raises(RedisUnavailable):
                await ask("b")
        with pytest.raises(RedisUnavailable):
            await link.receive(2)
    with pytest.raises(RedisUnavailable):
        async with listening(server.url):
            pytest.fail("a link was opened")


async def test_dead_link(redis_url: str) -> None:
    """A connection that the kernel has given up raises RedisUnavailable at once, and is not taken for silence."""
    async with listening(redis_url) as link:
        await link.subscribe("a")
        assert Received("a", None) == await link.receive(2)

        # As a transport reports an error of its socket; a loopback connection cannot be made to die.
        link._connection._reader.set_exception(TimeoutError(ETIMEDOUT, "Connection timed out"))

        with pytest.raises(RedisUnavailable, match="timed out"):
            await link.receive(2)


# -- probes --


async def test_probe_comes_back_and_proves_the_link(store: RedisClient, redis_url: str) -> None:
    """A link knows when a message from its probe arrived, and does not return it; without a probe it never does."""
    async with listening(redis_url, new_probe(Namespace()), 5.0) as link, listening(redis_url) as without:
        began = asyncio.get_running_loop().time()
        assert -math.inf == link.last_probe
        [probe] = link.probes
        await store.do("PUBLISH", probe, "probe")

        assert [None, None] == [await link.receive(2) for _ in range(2)]

        assert began <= link.last_probe <= asyncio.get_running_loop().time()
        assert ([], -math.inf) == (without.probes, without.last_probe)


async def test_probe_timeout(redis_server: Server) -> None:
    """Law 6: A link that receives nothing counts as lost after its probe time-out, although Redis still publishes."""
    server = redis_server()
    async with (
        tcp_proxy("127.0.0.1", server.port) as way,
        listening(f"redis://127.0.0.1:{way.port}/0", new_probe(Namespace())) as link,
    ):
        await link.subscribe("a")
        while not await link.receive(2):
            pass
        before = metrics.silent_links._value.get()
        way.silence()
        server.ask("PUBLISH", link.probes[0], "probe")
        began = asyncio.get_running_loop().time()

        with pytest.raises(RedisUnavailable, match="nothing came through"):
            await until(lambda: link.receive(0.05))

        assert PROBE_TIMEOUT - 0.1 < asyncio.get_running_loop().time() - began < PROBE_TIMEOUT + 1
        assert before + 1 == metrics.silent_links._value.get()


async def test_probe_timeout_among_messages(store: RedisClient, redis_url: str) -> None:
    """A link that receives other messages but not its probe counts as lost too: it may lead to a former master."""
    async with listening(redis_url, new_probe(Namespace())) as link:
        await link.subscribe("a")

        async def publish() -> None:
            while True:
                await store.do("PUBLISH", "a", "text")
                await asyncio.sleep(0.01)

        publishing = asyncio.create_task(publish())
        with pytest.raises(RedisUnavailable, match="nothing came through"):
            await until(lambda: _receive(link))
        publishing.cancel()


async def _receive(link: Link) -> bool:
    await link.receive(0.1)
    return False


# -- shards --


async def test_sharded_channels(breakable: Cluster) -> None:
    """A link to one master receives sharded channels of many slots, and channels that every node delivers."""
    [master, other, _] = breakable.masters
    names = [name for name in (channel(f"{n}", "T") for n in range(30)) if breakable.owner(name) is master]
    async with listening(master.url, sharded=True) as link:
        await link.subscribe(*names)
        assert {Received(name, None) for name in names} == {await link.receive(2) for _ in names}
        await link.subscribe_all_nodes("everywhere")
        assert Received("everywhere", None) == await link.receive(2)

        master.ask("SPUBLISH", names[0], "text")
        assert Received(names[0], "text") == await link.receive(2)
        other.ask("PUBLISH", "everywhere", "text")
        assert Received("everywhere", "text") == await link.receive(2)

        await link.unsubscribe(names[0])
        assert await link.receive(2) is None
        assert 0 == master.ask("SPUBLISH", names[0], "text")


async def test_channel_of_another_master(breakable: Cluster) -> None:
    """Subscribing to a channel that this master does not have raises SlotMoved, and the other channels go on."""
    [master, other, _] = breakable.masters
    names = [channel(f"{n}", "T") for n in range(30)]
    here = next(name for name in names if breakable.owner(name) is master)
    there = next(name for name in names if breakable.owner(name) is other)
    async with listening(master.url, sharded=True) as link:
        await link.subscribe(there)
        with pytest.raises(SlotMoved) as ended:
            await link.receive(2)
        await link.subscribe(here)

        assert Received(here, None) == await link.receive(2)
        assert (True, False) == (ended.value.affects(there), ended.value.affects(here))


async def test_moved_slot(breakable: Cluster) -> None:
    """Law 6: A slot that moves to another master ends its subscriptions, which raises SlotMoved."""
    name = channel("moved", "T")
    old = breakable.owner(name)
    new = breakable.masters[breakable.masters.index(old) - 1]
    async with listening(old.url, sharded=True) as link:
        await link.subscribe(name)
        assert Received(name, None) == await link.receive(2)

        breakable.move(name, new)

        with pytest.raises(SlotMoved, match="moved") as ended:
            await until(lambda: link.receive(0.1))
        assert ended.value.affects(name)
        assert await link.receive(0.05) is None
