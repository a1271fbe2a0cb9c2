"""A Redis Cluster: which master has what, and commands that find their way there.

In: the address of any node. Out: answers, or redis-py's errors. What is away with a master are its own keys alone: no
command waits for another master, nor for the map to be drawn anew, but for the very first. redis-py's own client closes
the connections to all nodes when one of them says that a slot is not served, and sends ASKING and what it is for over
two connections.

A map is drawn from what one node says, and may be wrong for a while after a failover; whoever is asked in vain tells, and
it is drawn again.
"""

import asyncio
import random
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from redis.crc import REDIS_CLUSTER_HASH_SLOTS, key_slot
from redis.exceptions import AskError, AuthenticationError, ClusterDownError, MovedError, TryAgainError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from server.redis.node import Node

HOPS = 4
"""Nodes that a command may be sent on to: two for a slot that moves while the map is old, and as many again."""
LEARN_EVERY = 0.5
"""Seconds between two maps, however many commands find the last one wrong."""
ASKED = 5
"""Nodes that are asked for the map at once: the first answer counts, so that who is away delays nobody."""
TRY_AGAIN = (0.01, 0.02, 0.05, 0.1, 0.1)
"""Seconds between tries of a script whose keys are on their way from one master to another, some here and some there."""

_FAULTS = (RedisConnectionError, RedisTimeoutError, ClusterDownError, OSError)
_SECOND = {"XINFO", "XGROUP"}
"""Commands whose key comes after a word."""
_NO_KEY = {"PING", "PUBLISH", "PUBSUB"}
"""Commands that any node takes: what is published is told by all."""


class Address(NamedTuple):
    """Where a node is."""

    host: str
    port: int


class Cluster:
    """All nodes that are known. *node* makes one from its URL, which is *url* but for host and port."""

    def __init__(self, url: str, node: Callable[[str], Node]) -> None:
        self._parts = urlsplit(url)
        self._node = node
        self._nodes: dict[Address, Node] = {}
        self._owners: list[Node | None] = [None] * REDIS_CLUSTER_HASH_SLOTS
        self._first = Address(self._parts.hostname or "localhost", self._parts.port or 6379)
        self._learned_at: float | None = None
        self._learning: asyncio.Task[None] | None = None
        self._leaving: set[asyncio.Task[Any]] = set()
        self.masters: tuple[Node, ...] = ()
        """Those that have slots, by the last map."""

    @property
    def nodes(self) -> Sequence[Node]:
        """Masters and replicas."""
        return list(self._nodes.values())

    # -- commands --

    async def ask(self, *command: str | float) -> Any:
        """Ask the master that has the command's key."""
        name = key_of(command)
        node = await self._home(name)
        hops, pauses = iter(range(HOPS)), iter(TRY_AGAIN)
        while True:
            try:
                return await node.ask_or_fail_fast(*command)
            except MovedError as error:
                if next(hops, None) is None:
                    raise
                node = self._moved(node, error)
            except AskError as error:
                return await self._at(node, error.host, error.port).ask_importing(*command)
            except TryAgainError:
                if (pause := next(pauses, None)) is None:
                    raise
                await asyncio.sleep(pause)
            except _FAULTS:
                other = await self._instead(node, name)
                if other is None or next(hops, None) is None:
                    raise
                node = other

    # -- the map --

    def owner(self, name: str) -> Node | None:
        """The master that has this key or channel, by the last map; None where none has."""
        return self._owners[slot(name)]

    def tag(self, node: Node) -> str | None:
        """A text that belongs to this master as the part in braces of a name; None where it has no slot."""
        if node not in self.masters:
            return None
        return next(text for text in map(str, range(10 * REDIS_CLUSTER_HASH_SLOTS)) if self.owner(text) is node)

    def doubt(self) -> None:
        """Draw the map anew, soon, in nobody's time."""
        if self._learning is None and not self._fresh:
            self._learning = asyncio.get_running_loop().create_task(self._learn(), name="redis: map")
            self._learning.add_done_callback(self._learned)

    async def learn(self) -> None:
        """Draw the map, unless it is new; raises redis-py's ConnectionError where no node answers."""
        self.doubt()
        if self._learning is not None:
            # Others wait for it too.
            await asyncio.shield(self._learning)

    async def aclose(self) -> None:
        """Close every connection."""
        while left := {*self._leaving, *({self._learning} if self._learning else ())}:
            await asyncio.wait(left)
        for node in self._nodes.values():
            await node.aclose()

    @property
    def _fresh(self) -> bool:
        return self._learned_at is not None and asyncio.get_running_loop().time() - self._learned_at < LEARN_EVERY

    def _learned(self, learning: asyncio.Task[None]) -> None:
        self._learning = None
        _heard(learning)

    async def _learn(self) -> None:
        # The first one may be an address that always leads to some node.
        asked = {*random.sample(self.nodes, min(ASKED, len(self._nodes))), self._at(None, *self._first)}
        asking = {self._apart(_map(node)): node for node in asked}
        left = set(asking)
        doubtful: Callable[[], None] | None = None
        error: BaseException | None = None
        while left:
            done, left = await asyncio.wait(left, return_when=asyncio.FIRST_COMPLETED)
            for one in done:
                if fault := one.exception():
                    error = fault
                    continue
                well, ranges = one.result()
                doubtful = partial(self._draw, asking[one], ranges)
                if well:
                    doubtful()
                    return
        if doubtful is not None:
            doubtful()
        elif isinstance(error, AuthenticationError):
            raise error
        else:
            raise RedisConnectionError(f"no node of the cluster says where its slots are: {error}")

    def _draw(self, told: Node, ranges: Sequence[Any]) -> None:
        """Take the answer of one node: ranges of slots, each with its master and replicas."""
        owners: list[Node | None] = [None] * REDIS_CLUSTER_HASH_SLOTS
        masters: dict[Node, None] = {}
        listed = {self._at(None, *self._first)}
        for first, last, *nodes in ranges:
            [master, *replicas] = [self._at(told, one[0], one[1]) for one in nodes]
            owners[first : last + 1] = [master] * (last + 1 - first)
            masters[master] = None
            listed |= {master, *replicas}
        self._owners, self.masters = owners, tuple(masters)
        self._learned_at = asyncio.get_running_loop().time()
        for address, node in list(self._nodes.items()):
            if node not in listed:
                del self._nodes[address]
                self._apart(node.aclose())

    async def _home(self, name: str | None) -> Node:
        """Who is asked first."""
        if self._learned_at is None:
            await self.learn()
        node = self._any() if name is None else self.owner(name)
        if node is None:
            await self.learn()
            node = self.owner(name or "")
        if node is None:
            raise ClusterDownError(f"no master has slot {slot(name or '')}", status_code="CLUSTERDOWN")
        return node

    def _any(self) -> Node:
        """A master that is not known to be away."""
        return min(self.masters or self.nodes, key=lambda node: node.stalled)

    async def _instead(self, node: Node, name: str | None) -> Node | None:
        """Who is to be asked instead of a master that is away: one that took its place; None where there is none yet."""
        try:
            await self.learn()
        except _FAULTS:
            return None
        other = self._others(node) if name is None else self.owner(name)
        return None if other is node else other

    def _others(self, node: Node) -> Node | None:
        return next((other for other in self.masters if other is not node and not other.stalled), None)

    def _moved(self, told: Node, error: MovedError) -> Node:
        node = self._owners[error.slot_id] = self._at(told, error.host, error.port)
        # It has seldom moved alone.
        self.doubt()
        return node

    def _at(self, told: Node | None, host: str | None, port: int) -> Node:
        """The node of this address; one that does not say its host is on the same as who *told* of it."""
        if not host or host == "?":
            host = next((address.host for address, node in self._nodes.items() if node is told), self._first.host)
        address = Address(host, int(port))
        node = self._nodes.get(address)
        if node is None:
            who, at, _ = self._parts.netloc.rpartition("@")
            where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
            node = self._nodes[address] = self._node(self._parts._replace(netloc=f"{who}{at}{where}").geturl())
        return node

    def _apart(self, coroutine: Any) -> asyncio.Task[Any]:
        """Do something that nobody need wait for; it has its limits."""
        task = asyncio.get_running_loop().create_task(coroutine)
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)
        task.add_done_callback(_heard)
        return task


async def _map(node: Node) -> tuple[bool, list[Any]]:
    """Whether this node is in touch with the others, and its map; one that is cut off from them has an old one."""
    info = await node.client.execute_command("CLUSTER", "INFO")
    return "cluster_state:ok" in info, await node.client.execute_command("CLUSTER", "SLOTS")


def _heard(task: asyncio.Task[Any]) -> None:
    """Take note of a fault that nobody waits for."""
    if not task.cancelled():
        task.exception()


def slot(name: str) -> int:
    """The slot of a key or a channel: of its part in braces, where it has one."""
    return key_slot(name.encode())


def key_of(command: Sequence[str | float]) -> str | None:
    """The key by which a command finds its master; None where any node will do."""
    match command:
        case ("EVAL" | "EVALSHA", _, int(count), *rest):
            return str(rest[0]) if count else None
        case ("XREADGROUP", *rest):
            return str(rest[rest.index("STREAMS") + 1])
        case (word, *_) if word in _NO_KEY:
            return None
        case (word, _, key, *_) if word in _SECOND:
            return str(key)
        case (_, key, *_):
            return str(key)
        case _:
            return None
