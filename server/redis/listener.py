"""Pub/sub of one server: messages, confirmations of subscriptions, and an error when the link is lost.

In: a server, and names of channels. Out: what was received, or RedisUnavailable. It knows no topic. A lost link is never
reconnected silently: messages published meanwhile are lost, and the caller has to know. The caller
publishes to the link's probe: if that message does not return, the link is dead, or leads to a former master.
"""

import asyncio
import math
import uuid
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import hiredis
from redis.crc import key_slot
from redis.exceptions import MovedError

from server import metrics
from server.errors import RedisUnavailable
from server.redis.faults import read_response, translate_errors
from server.redis.namespace import Namespace
from server.redis.node import Node

PROBE_EVERY = 1.0
"""Seconds between two messages that the owner of a listener publishes to its probes."""
PROBE_TIMEOUT = 5.0
"""Seconds without a message from its probe after which a link counts as lost."""


@dataclass(frozen=True, slots=True)
class Received:
    """What a listener got: a message, or with `text` None the confirmation of a subscription."""

    channel: str
    text: str | None


class SlotMoved(RedisUnavailable):
    """A master of a cluster no longer has a channel, or all channels of a slot."""

    def __init__(self, text: str, channel: str | None = None, slot: int | None = None) -> None:
        super().__init__(text)
        self._channel = channel
        self._slot = slot

    def affects(self, channel: str) -> bool:
        """Whether this channel is one of them."""
        return channel == self._channel or key_slot(channel.encode()) == self._slot


class Listener(Protocol):
    """Subscriptions of one task. Methods raise RedisUnavailable when no link is left."""

    async def subscribe(self, *channels: str) -> None:
        """Subscribe to ticket channels; `receive` confirms each, again whenever its messages may have been lost."""

    async def unsubscribe(self, *channels: str) -> None:
        """End these subscriptions."""

    async def subscribe_all_nodes(self, *channels: str) -> None:
        """Subscribe to channels that a cluster delivers on every node (the wake channel)."""

    async def receive(self, timeout: float) -> Received | None:  # noqa: ASYNC109
        """Return the next message or confirmation, or None after at most `timeout` seconds, possibly earlier."""

    @property
    def probes(self) -> Sequence[str]:
        """Channels to publish to every PROBE_EVERY, as to ticket channels; none for a listener without time-out."""

    @property
    def last_probe(self) -> float:
        """When a message from a probe arrived last, in event-loop time."""

    def connected(self, channel: str) -> bool:
        """Whether there is a link that can receive messages of this channel."""


class Link:
    """A listener of one server, over one connection.

    After *probe_timeout* seconds without a message from its *probe* it counts as lost; without a probe it never does.
    """

    def __init__(
        self, node: Node, probe: str | None = None, probe_timeout: float = PROBE_TIMEOUT, *, sharded: bool = False
    ) -> None:
        self._node = node
        self._probe = probe
        self._probe_timeout = probe_timeout
        self._sharded = sharded
        self._connection: Any = None
        self._unsubscribing: set[str] = set()
        self._opened_at = 0.0
        self._last_probe = -math.inf

    async def open(self) -> None:
        """Connect, and subscribe to the probe."""
        with translate_errors("subscribe"):
            self._connection = await self._node.pool.get_connection()
        self._opened_at = _now()
        if self._probe:
            await self.subscribe(self._probe)

    async def aclose(self) -> None:
        """Close the connection, whatever state it is in."""
        if (connection := self._connection) is not None:
            self._connection = None
            await connection.disconnect(nowait=True)
            await self._node.pool.release(connection)

    async def subscribe(self, *channels: str) -> None:
        """Subscribe to ticket channels."""
        await self._send("subscribe", channels)

    async def unsubscribe(self, *channels: str) -> None:
        """End these subscriptions."""
        self._unsubscribing.update(channels)
        await self._send("unsubscribe", channels)

    async def subscribe_all_nodes(self, *channels: str) -> None:
        """Subscribe to channels that a cluster delivers on every node."""
        await self._send("subscribe", channels, sharded=False)

    async def receive(self, timeout: float) -> Received | None:  # noqa: ASYNC109
        """Return the next message or confirmation, or None.

        Raises RedisUnavailable when the link is lost, and SlotMoved when only some channels are.
        """
        with translate_errors("listen"):
            try:
                push = await self._read(timeout)
            except MovedError as error:
                raise SlotMoved(f"Redis has slot {error.slot_id} no more", slot=error.slot_id) from error
        if self._probe and _now() - max(self._last_probe, self._opened_at) > self._probe_timeout:
            metrics.silent_links.inc()
            raise RedisUnavailable(f"nothing came through from Redis for {self._probe_timeout:g} s")
        match push:
            case ["message" | "smessage", name, _] if name == self._probe:
                self._last_probe = _now()
            case ["message" | "smessage", name, text]:
                return Received(name, text)
            case ["subscribe" | "ssubscribe", name, _] if name != self._probe:
                return Received(name, None)
            case ["sunsubscribe", name, _] if name not in self._unsubscribing:
                raise SlotMoved(f"Redis ended the subscription of {name}: its slot has moved", channel=name)
            case ["unsubscribe" | "sunsubscribe", name, _]:
                self._unsubscribing.discard(name)
        return None

    @property
    def probes(self) -> Sequence[str]:
        """Its probe."""
        return [self._probe] if self._probe else []

    @property
    def last_probe(self) -> float:
        """When a message from its probe arrived last."""
        return self._last_probe

    def connected(self, channel: str) -> bool:  # noqa: ARG002 - there is one link for all
        """Whether it is open."""
        return self._connection is not None

    async def _read(self, timeout: float) -> Any:  # noqa: ASYNC109
        connection = self._connection
        if connection is None:
            raise RedisUnavailable("the link to Redis is closed")
        return await read_response(connection, timeout, disconnect_on_error=False, push_request=True)

    async def _send(self, command: str, channels: Sequence[str], *, sharded: bool | None = None) -> None:
        """Send one command, or on a cluster one for each slot: it takes only channels of one slot."""
        if not channels:
            return
        name, by_slot = command.upper(), defaultdict[int, list[str]](list)
        if self._sharded if sharded is None else sharded:
            name = f"S{name}"
            for channel in channels:
                by_slot[key_slot(channel.encode())].append(channel)
        else:
            by_slot[0] += channels
        packed = b"".join([hiredis.pack_command((name, *same_slot)) for same_slot in by_slot.values()])  # type: ignore[arg-type] # any
        with translate_errors(command):
            connection = self._connection
            if connection is None or not connection.is_connected:
                raise RedisUnavailable("the link to Redis is lost")
            try:
                await connection.send_packed_command(packed)
            except AttributeError as error:
                if connection.is_connected:
                    raise
                # Another task closed it meanwhile, or another command on it failed: redis-py's writer is None then.
                raise RedisUnavailable("the link to Redis is lost") from error


def new_probe(namespace: Namespace, hash_tag: str | None = None) -> str:
    """A unique channel name; with a *hash_tag* it belongs to the slot of that."""
    tag = "" if hash_tag is None else f"{{{hash_tag}}}:"
    return f"{namespace.channels}:{tag}probe:{uuid.uuid4()}"


def _now() -> float:
    return asyncio.get_running_loop().time()
