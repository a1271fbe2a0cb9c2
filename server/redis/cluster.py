"""A Redis Cluster: finds the master of each key, and runs commands there.

In: the address of any node. Out: answers, or redis-py's errors. A master that is unavailable affects its own keys alone:
no command waits for another master, and only the very first waits for the slot map. redis-py's own client closes the
connections to all nodes when one of them says that a slot is not served, and sends ASKING and the command after it over
two connections.

The slot map is read from one node, and may be wrong for a while after a failover. A command that was sent to the wrong
master, or to one that is unavailable, starts a refresh.
"""

import asyncio
import random
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from redis.crc import REDIS_CLUSTER_HASH_SLOTS, key_slot
from redis.exceptions import AskError, AuthenticationError, ClusterDownError, MovedError, TryAgainError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from server.redis.node import Node

MAX_REDIRECTS = 4
"""Redirects of one command: two for a slot that moves while the slot map is old, and as many again."""
REFRESH_EVERY = 0.5
"""Seconds between two refreshes of the slot map, however many commands find it wrong."""
REFRESH_NODES = 5
"""Nodes that are asked for the slot map at once: the first answer counts, so an unresponsive node delays nothing."""
TRYAGAIN_DELAYS = (0.01, 0.02, 0.05, 0.1, 0.1)
"""Seconds between attempts of a script while only some of its keys have moved to another master."""

_FAILOVER_ON = (RedisConnectionError, RedisTimeoutError, ClusterDownError, OSError)
_KEY_AFTER_SUBCOMMAND = {"XINFO", "XGROUP"}
_KEYLESS = {"PING", "PUBLISH", "PUBSUB"}
"""Commands that any node takes: every node delivers what is published on one."""


class Address(NamedTuple):
    """The address of a node."""

    host: str
    port: int


class Cluster:
    """All known nodes. *new_node* makes one from its URL, which is *url* with another host and port."""

    def __init__(self, url: str, new_node: Callable[[str], Node]) -> None:
        self._url = urlsplit(url)
        self._new_node = new_node
        self._nodes: dict[Address, Node] = {}
        self._owners: list[Node | None] = [None] * REDIS_CLUSTER_HASH_SLOTS
        self._seed = Address(self._url.hostname or "localhost", self._url.port or 6379)
        self._refreshed_at: float | None = None
        self._refreshing: asyncio.Task[None] | None = None
        self._background: set[asyncio.Task[Any]] = set()
        self.masters: tuple[Node, ...] = ()
        """Masters that have slots, by the slot map."""

    @property
    def nodes(self) -> Sequence[Node]:
        """Masters and replicas."""
        return list(self._nodes.values())

    # -- commands --

    async def execute(self, *command: str | float) -> Any:
        """Run one command on the master of its key."""
        key = key_of(command)
        node = await self._master_for(key)
        redirects, delays = iter(range(MAX_REDIRECTS)), iter(TRYAGAIN_DELAYS)
        while True:
            try:
                return await node.execute_or_fail_fast(*command)
            except MovedError as error:
                if next(redirects, None) is None:
                    raise
                node = self._record_move(node, error)
            except AskError as error:
                return await self._node_at(node, error.host, error.port).execute_asking(*command)
            except TryAgainError:
                if (delay := next(delays, None)) is None:
                    raise
                await asyncio.sleep(delay)
            except _FAILOVER_ON:
                replacement = await self._replacement(node, key)
                if replacement is None or next(redirects, None) is None:
                    raise
                node = replacement

    # -- the slot map --

    def owner(self, name: str) -> Node | None:
        """The master that has this key or channel, by the slot map; None where no master has."""
        return self._owners[slot(name)]

    def hash_tag(self, node: Node) -> str | None:
        """A hash tag (the part of a name in braces) whose slot this master has; None where it has no slot."""
        if node not in self.masters:
            return None
        return next(text for text in map(str, range(10 * REDIS_CLUSTER_HASH_SLOTS)) if self.owner(text) is node)

    def refresh_soon(self) -> None:
        """Refresh the slot map in the background, unless it is fresh."""
        if self._refreshing is None and not self._fresh:
            self._refreshing = asyncio.get_running_loop().create_task(self._refresh(), name="redis: slot map")
            self._refreshing.add_done_callback(self._refresh_done)

    async def refresh(self) -> None:
        """Refresh the slot map, unless it is fresh; raises redis-py's ConnectionError where no node answers."""
        self.refresh_soon()
        if self._refreshing is not None:
            # Other tasks wait for it too.
            await asyncio.shield(self._refreshing)

    async def aclose(self) -> None:
        """Close every connection."""
        while pending := {*self._background, *({self._refreshing} if self._refreshing else ())}:
            await asyncio.wait(pending)
        for node in self._nodes.values():
            await node.aclose()

    @property
    def _fresh(self) -> bool:
        now = asyncio.get_running_loop().time()
        return self._refreshed_at is not None and now - self._refreshed_at < REFRESH_EVERY

    def _refresh_done(self, task: asyncio.Task[None]) -> None:
        self._refreshing = None
        _consume_exception(task)

    async def _refresh(self) -> None:
        # The seed may be an address that always leads to some node, such as a load balancer.
        nodes = {*random.sample(self.nodes, min(REFRESH_NODES, len(self._nodes))), self._node_at(None, *self._seed)}
        queries = {self._in_background(_read_slots(node)): node for node in nodes}
        pending = set(queries)
        # The answer of a node that is cut off from the others: better than none.
        isolated: tuple[Node, list[Any]] | None = None
        error: BaseException | None = None
        while pending:
            done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
            for query in done:
                if query_error := query.exception():
                    error = query_error
                    continue
                state_ok, ranges = query.result()
                if state_ok:
                    self._apply(queries[query], ranges)
                    return
                isolated = queries[query], ranges
        if isolated is not None:
            self._apply(*isolated)
        elif isinstance(error, AuthenticationError):
            raise error
        else:
            raise RedisConnectionError(f"no node of the cluster says where its slots are: {error}") from error

    def _apply(self, source: Node, ranges: Sequence[Any]) -> None:
        """Replace the slot map by the answer of *source*: ranges of slots, each with its master and replicas."""
        owners: list[Node | None] = [None] * REDIS_CLUSTER_HASH_SLOTS
        masters: dict[Node, None] = {}
        listed = {self._node_at(None, *self._seed)}
        for first, last, *nodes in ranges:
            [master, *replicas] = [self._node_at(source, node[0], node[1]) for node in nodes]
            owners[first : last + 1] = [master] * (last + 1 - first)
            masters[master] = None
            listed |= {master, *replicas}
        self._owners, self.masters = owners, tuple(masters)
        self._refreshed_at = asyncio.get_running_loop().time()
        for address, node in list(self._nodes.items()):
            if node not in listed:
                del self._nodes[address]
                self._in_background(node.aclose())

    async def _master_for(self, key: str | None) -> Node:
        """The master to which a command with this key is sent first."""
        if self._refreshed_at is None:
            await self.refresh()
        node = self._any_master() if key is None else self.owner(key)
        if node is None:
            await self.refresh()
            node = self.owner(key or "")
        if node is None:
            raise ClusterDownError(f"no master has slot {slot(key or '')}", status_code="CLUSTERDOWN")
        return node

    def _any_master(self) -> Node:
        """A master that is responsive, if there is one."""
        return min(self.masters or self.nodes, key=lambda node: node.unresponsive)

    async def _replacement(self, node: Node, key: str | None) -> Node | None:
        """The master that took over from an unavailable one, or without a key any other; None where there is none yet."""
        try:
            await self.refresh()
        except _FAILOVER_ON:
            return None
        replacement = self._other_master(node) if key is None else self.owner(key)
        return None if replacement is node else replacement

    def _other_master(self, node: Node) -> Node | None:
        return next((other for other in self.masters if other is not node and not other.unresponsive), None)

    def _record_move(self, source: Node, error: MovedError) -> Node:
        node = self._owners[error.slot_id] = self._node_at(source, error.host, error.port)
        # Other slots have probably moved too.
        self.refresh_soon()
        return node

    def _node_at(self, source: Node | None, host: str | None, port: int) -> Node:
        """The node at this address; without a host it is on the host of *source*, which reported it."""
        if not host or host == "?":
            host = next((address.host for address, node in self._nodes.items() if node is source), self._seed.host)
        address = Address(host, int(port))
        node = self._nodes.get(address)
        if node is None:
            user, at, _ = self._url.netloc.rpartition("@")
            location = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
            node = self._nodes[address] = self._new_node(self._url._replace(netloc=f"{user}{at}{location}").geturl())
        return node

    def _in_background(self, coroutine: Any) -> asyncio.Task[Any]:
        """Start a task that need not be awaited; it has its own time-outs."""
        task = asyncio.get_running_loop().create_task(coroutine)
        self._background.add(task)
        task.add_done_callback(self._background.discard)
        task.add_done_callback(_consume_exception)
        return task


async def _read_slots(node: Node) -> tuple[bool, list[Any]]:
    """Whether the cluster's state is ok for this node, and its slots; a node that is cut off has an old slot map."""
    info = await node.client.execute_command("CLUSTER", "INFO")
    return "cluster_state:ok" in info, await node.client.execute_command("CLUSTER", "SLOTS")


def _consume_exception(task: asyncio.Task[Any]) -> None:
    """Retrieve the exception of a task that is not awaited, so that asyncio does not log it."""
    if not task.cancelled():
        task.exception()


def slot(name: str) -> int:
    """The slot of a key or channel: that of its hash tag, where it has one."""
    return key_slot(name.encode())


def key_of(command: Sequence[str | float]) -> str | None:
    """The key by which a command finds its master; None where any node will do."""
    match command:
        case ("EVAL" | "EVALSHA", _, int(count), *rest):
            return str(rest[0]) if count else None
        case ("XREADGROUP", *rest):
            return str(rest[rest.index("STREAMS") + 1])
        case (word, *_) if word in _KEYLESS:
            return None
        case (word, _, key, *_) if word in _KEY_AFTER_SUBCOMMAND:
            return str(key)
        case (_, key, *_):
            return str(key)
        case _:
            return None
