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
from server.redis.listener import Ended, Link, Received, new_probe
from server.redis.node import Node
from server.store.keys import channel
from tests.rig.cluster import Cluster
from tests.rig.redis import RedisServer
from tests.rig.server import until
from tests.rig.tcp_proxy import tcp_proxy

Server = Callable[..., RedisServer]

PATIENCE = 0.4


@asynccontextmanager
async def listening(
    url: str, probe: str | None = None, patience: float = PATIENCE, *, sharded: bool = False
) -> AsyncIterator[Link]:
    """A link to this server."""
    async with (
        aclosing(Node(url, 1.0, 1.0, shares=False)) as node,
        aclosing(Link(node, probe, patience, sharded=sharded)) as link,
    ):
        await link.open()
        yield link


@pytest.mark.parametrize("turns", range(4))
async def test_closed_while_something_is_said(redis_url: str, monkeypatch: pytest.MonkeyPatch, turns: int) -> None:
    """Who says something on a link that is closed in this moment hears that it is lost, unless it had been sent."""
    async with listening(redis_url) as link:
        sent = sent_on(link, monkeypatch)
        saying = asyncio.create_task(link.subscribe("a"))
        for _ in range(turns):
            await asyncio.sleep(0)
        await link.aclose()

        [outcome] = await asyncio.gather(saying, return_exceptions=True)
        assert (type(None) if sent else RedisUnavailable) is type(outcome)
        assert turns or not sent


@pytest.mark.parametrize("turns", range(4))
async def test_said_while_another_command_fails(redis_url: str, monkeypatch: pytest.MonkeyPatch, turns: int) -> None:
    """A command that fails takes the connection from under the next one, which hears that the link is lost, unless it had been sent."""
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


async def test_heard(store: RedisClient, redis_url: str) -> None:
    """A subscription is confirmed, then says what is published, until it ends; silence is None."""
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


async def test_told_while_it_listens(store: RedisClient, redis_url: str) -> None:
    """What another task asks for is confirmed at once, though its owner waits for what comes."""
    async with listening(redis_url) as link:
        hearing = asyncio.create_task(link.receive(5))
        await asyncio.sleep(0)

        await link.subscribe("a")

        assert Received("a", None) == await asyncio.wait_for(hearing, 2)


async def test_again(redis_url: str) -> None:
    """What is asked for again is confirmed again."""
    async with listening(redis_url) as link:
        for _ in range(2):
            await link.subscribe("a")
            assert Received("a", None) == await link.receive(2)


async def test_lost(store: RedisClient, redis_url: str) -> None:
    """Law 6: A lost link is told, again and again, and is never opened anew in silence."""
    async with listening(redis_url) as link:
        await link.subscribe("a")
        assert Received("a", None) == await link.receive(2)

        await store.do("CLIENT", "KILL", "TYPE", "pubsub")

        for _ in range(3):
            with pytest.raises(RedisUnavailable):
                await link.receive(2)
        assert ["a", 0] == await store.do("PUBSUB", "NUMSUB", "a")


async def test_nothing_to_say(redis_url: str) -> None:
    """To ask for no channel is nothing."""
    async with listening(redis_url) as link:
        await link.subscribe()
        await link.unsubscribe()
        assert await link.receive(0.05) is None


async def test_nobody_there(redis_server: Server) -> None:
    """A link to a Redis that is gone says so, and can be closed; to none there is no link."""
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
            pytest.fail("there is nobody to listen to")


async def test_dead_link(redis_url: str) -> None:
    """A link that the kernel has given up is told at once, and is not taken for silence."""
    async with listening(redis_url) as link:
        await link.subscribe("a")
        assert Received("a", None) == await link.receive(2)

        # As a transport tells what its socket said; nobody can make a link of one machine die.
        link._connection._reader.set_exception(TimeoutError(ETIMEDOUT, "Connection timed out"))

        with pytest.raises(RedisUnavailable, match="timed out"):
            await link.receive(2)


# -- probes --


async def test_probe(store: RedisClient, redis_url: str) -> None:
    """A link has a pulse when its probe comes back, which is heard by nobody else; without a probe it has none."""
    async with listening(redis_url, new_probe(), 5.0) as link, listening(redis_url) as without:
        began = asyncio.get_running_loop().time()
        assert -math.inf == link.last_probe
        [probe] = link.probes
        await store.do("PUBLISH", probe, "probe")

        assert [None, None] == [await link.receive(2) for _ in range(2)]

        assert began <= link.last_probe <= asyncio.get_running_loop().time()
        assert ([], -math.inf) == (without.probes, without.last_probe)


async def test_probe_lost(redis_server: Server) -> None:
    """Law 6: A link on which nothing comes any more is dead after its patience, while others talk too."""
    server = redis_server()
    async with (
        tcp_proxy("127.0.0.1", server.port) as way,
        listening(f"redis://127.0.0.1:{way.port}/0", new_probe()) as link,
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

        assert PATIENCE - 0.1 < asyncio.get_running_loop().time() - began < PATIENCE + 1
        assert before + 1 == metrics.silent_links._value.get()


async def test_probe_lost_in_a_crowd(store: RedisClient, redis_url: str) -> None:
    """A link on which only the probe does not come any more is not trusted either: it may lead to a former master."""
    async with listening(redis_url, new_probe()) as link:
        await link.subscribe("a")

        async def talk() -> None:
            while True:
                await store.do("PUBLISH", "a", "text")
                await asyncio.sleep(0.01)

        talking = asyncio.create_task(talk())
        with pytest.raises(RedisUnavailable, match="nothing came through"):
            await until(lambda: _deaf(link))
        talking.cancel()


async def _deaf(link: Link) -> bool:
    await link.receive(0.1)
    return False


# -- shards --


async def test_shards(breakable: Cluster) -> None:
    """A link to one master of a cluster hears its channels, of many slots, and those that any node tells."""
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


async def test_not_here(breakable: Cluster) -> None:
    """A channel that this master does not have is told as ended, and the others on the link go on."""
    [master, other, _] = breakable.masters
    names = [channel(f"{n}", "T") for n in range(30)]
    here = next(name for name in names if breakable.owner(name) is master)
    there = next(name for name in names if breakable.owner(name) is other)
    async with listening(master.url, sharded=True) as link:
        await link.subscribe(there)
        with pytest.raises(Ended) as ended:
            await link.receive(2)
        await link.subscribe(here)

        assert Received(here, None) == await link.receive(2)
        assert (True, False) == (ended.value.tells(there), ended.value.tells(here))


async def test_moved_slot(breakable: Cluster) -> None:
    """Law 6: A slot that moves to another master ends its subscriptions, and that is told."""
    name = channel("moved", "T")
    old = breakable.owner(name)
    new = breakable.masters[breakable.masters.index(old) - 1]
    async with listening(old.url, sharded=True) as link:
        await link.subscribe(name)
        assert Received(name, None) == await link.receive(2)

        breakable.move(name, new)

        with pytest.raises(Ended, match="moved") as ended:
            await until(lambda: link.receive(0.1))
        assert ended.value.tells(name)
        assert await link.receive(0.05) is None
