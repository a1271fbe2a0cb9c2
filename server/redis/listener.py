"""Pub/sub as this house hears it: messages, confirmations, and word of every link that was lost.

In: a server, and names of channels. Out: what was heard, or RedisUnavailable. It knows no topic. A link is never opened
again in silence: what was published meanwhile is lost, and who listens has to know. Nor is a silent one trusted: what
its owner publishes to a probe comes back, or the link is dead, or it leads to a server that is not the master any more.
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
from server.redis.faults import faults, read
from server.redis.node import Node

PROBE_EVERY = 1.0
PROBE_LOST = 5.0
"""Seconds without our own probe after which a link is taken for dead."""


@dataclass(frozen=True, slots=True)
class Received:
    """What a listener got: a message, or with `text` None the confirmation of a subscription."""

    channel: str
    text: str | None


class Ended(RedisUnavailable):
    """A server of a cluster has a channel no more, or all of a slot."""

    def __init__(self, text: str, channel: str | None = None, slot: int | None = None) -> None:
        super().__init__(text)
        self._channel = channel
        self._slot = slot

    def tells(self, channel: str) -> bool:
        """Whether this channel is one of them."""
        return channel == self._channel or key_slot(channel.encode()) == self._slot


class Listener(Protocol):
    """What is said on some channels. All of it is for one task; methods raise RedisUnavailable when nothing is left."""

    async def subscribe(self, *channels: str) -> None:
        """Ask for ticket channels; each is confirmed later by `hear`, and again whenever messages may have been lost."""

    async def unsubscribe(self, *channels: str) -> None:
        """Stop listening to them."""

    async def subscribe_all_nodes(self, *channels: str) -> None:
        """Ask for channels that a cluster tells on every node (the wake channel)."""

    async def receive(self, timeout: float) -> Received | None:  # noqa: ASYNC109
        """Answer the next message or confirmation, or None after at most `timeout` seconds, and also earlier."""

    @property
    def probes(self) -> Sequence[str]:
        """What to publish to every PROBE_EVERY, as ticket channels are; none of a listener without patience."""

    @property
    def last_probe(self) -> float:
        """When a probe came back last, by the loop's time."""

    def connected(self, channel: str) -> bool:
        """Whether there is a link on which this one would be heard."""


class Link:
    """A listener of one server, over one connection.

    After *patience* seconds without its *probe* it is taken for dead; without a probe it never is.
    """

    def __init__(
        self, node: Node, probe: str | None = None, patience: float = PROBE_LOST, *, sharded: bool = False
    ) -> None:
        self._node = node
        self._patience = patience
        self._sharded = sharded
        self._connection: Any = None
        self._leaving: set[str] = set()
        self._probe = probe
        # When it was opened, and when the probe came back last.
        self._began = 0.0
        self._last_probe = -math.inf

    async def open(self) -> None:
        """Connect."""
        with faults("subscribe"):
            self._connection = await self._node.pool.get_connection()
        self._began = _now()
        if self._probe:
            await self.subscribe(self._probe)

    async def aclose(self) -> None:
        """Close the connection, whatever state it is in."""
        if (connection := self._connection) is not None:
            self._connection = None
            await connection.disconnect(nowait=True)
            await self._node.pool.release(connection)

    async def subscribe(self, *channels: str) -> None:
        """Ask for ticket channels."""
        await self._say("subscribe", channels)

    async def unsubscribe(self, *channels: str) -> None:
        """Stop listening to them."""
        self._leaving.update(channels)
        await self._say("unsubscribe", channels)

    async def subscribe_all_nodes(self, *channels: str) -> None:
        """Ask for channels that a cluster tells on every node."""
        await self._say("subscribe", channels, sharded=False)

    async def receive(self, timeout: float) -> Received | None:  # noqa: ASYNC109
        """Answer the next message or confirmation, or None.

        Raises RedisUnavailable when the link is lost, and Ended when a channel is, while the link is well.
        """
        with faults("listen"):
            try:
                said = await self._read(timeout)
            except MovedError as error:
                raise Ended(f"Redis has slot {error.slot_id} no more", slot=error.slot_id) from error
        if self._probe and _now() - max(self._last_probe, self._began) > self._patience:
            metrics.silent_links.inc()
            raise RedisUnavailable(f"nothing came through from Redis for {self._patience:g} s")
        match said:
            case ["message" | "smessage", name, _] if name == self._probe:
                self._last_probe = _now()
            case ["message" | "smessage", name, text]:
                return Received(name, text)
            case ["subscribe" | "ssubscribe", name, _] if name != self._probe:
                return Received(name, None)
            case ["sunsubscribe", name, _] if name not in self._leaving:
                raise Ended(f"Redis ended the subscription of {name}: its slot has moved", channel=name)
            case ["unsubscribe" | "sunsubscribe", name, _]:
                self._leaving.discard(name)
        return None

    @property
    def probes(self) -> Sequence[str]:
        """Its probe."""
        return [self._probe] if self._probe else []

    @property
    def last_probe(self) -> float:
        """When its probe came back last."""
        return self._last_probe

    def connected(self, channel: str) -> bool:  # noqa: ARG002 - there is one link for all
        """Whether it is open."""
        return self._connection is not None

    async def _read(self, timeout: float) -> Any:  # noqa: ASYNC109
        connection = self._connection
        if connection is None:
            raise RedisUnavailable("nothing is subscribed")
        return await read(connection, timeout, disconnect_on_error=False, push_request=True)

    async def _say(self, what: str, channels: Sequence[str], *, sharded: bool | None = None) -> None:
        """Send one command, or on a cluster one a slot: it takes no two slots in one."""
        if not channels:
            return
        word, parts = what.upper(), defaultdict[int, list[str]](list)
        if self._sharded if sharded is None else sharded:
            word = f"S{word}"
            for name in channels:
                parts[key_slot(name.encode())].append(name)
        else:
            parts[0] += channels
        packed = b"".join([hiredis.pack_command((word, *names)) for names in parts.values()])  # type: ignore[arg-type] # any
        with faults(what):
            connection = self._connection
            if connection is None or not connection.is_connected:
                raise RedisUnavailable("the link to Redis is lost")
            try:
                await connection.send_packed_command(packed)
            except AttributeError as error:
                if connection.is_connected:
                    raise
                # Closed meanwhile, by who listens or by another's command that failed: redis-py's writer is None then.
                raise RedisUnavailable("the link to Redis is lost") from error


def new_probe(tag: str | None = None) -> str:
    """A channel that nobody else has; with a *tag* it belongs to the slot of that."""
    name = f"probe:{uuid.uuid4()}"
    return f"tc:{name}" if tag is None else f"tc:{{{tag}}}:{name}"


def _now() -> float:
    return asyncio.get_running_loop().time()
