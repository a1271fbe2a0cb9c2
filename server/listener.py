"""Pub/sub as this house hears it: messages, and the confirmations that tell of a lost connection.

In: a pub/sub of redis-py's, of one server or of a cluster. Out: what was heard, or StoreUnavailable. It knows no topic.
"""

import asyncio
from dataclasses import dataclass
from typing import Any

from redis.asyncio.client import PubSub
from redis.exceptions import PubSubError

from server.errors import StoreUnavailable
from server.faults import faults

TURN = 0.02
"""Seconds for which one node of a cluster is listened to before the next one: what the others say waits for that."""


@dataclass(frozen=True, slots=True)
class Heard:
    """What a listener got: a message, or with `text` None the confirmation of a subscription."""

    channel: str
    text: str | None


class Listener:
    """Pub/sub. A confirmation for a channel that was already confirmed means that messages may have been lost."""

    def __init__(self, pubsub: PubSub, *, sharded: bool) -> None:
        self._pubsub: Any = pubsub
        self._sharded = sharded
        self._leaving: set[str] = set()

    async def subscribe(self, *channels: str) -> None:
        """Ask for ticket channels; each is confirmed later by `hear`."""
        with faults("subscribe"):
            await (self._pubsub.ssubscribe if self._sharded else self._pubsub.subscribe)(*channels)

    async def unsubscribe(self, *channels: str) -> None:
        """Stop listening."""
        self._leaving.update(channels)
        with faults("unsubscribe"):
            await (self._pubsub.sunsubscribe if self._sharded else self._pubsub.unsubscribe)(*channels)

    async def subscribe_all_nodes(self, *channels: str) -> None:
        """Ask for channels that a cluster tells on every node (the wake channel)."""
        with faults("subscribe"):
            await self._pubsub.subscribe(*channels)

    async def hear(self, timeout: float, *, sharded: bool | None = None) -> Heard | None:  # noqa: ASYNC109
        """Answer the next message or confirmation, or None after at most `timeout` seconds.

        Raises StoreUnavailable when the link is lost, or when a channel ended that nobody unsubscribed: on a cluster
        its slot has moved, and a new listener finds it.
        """
        with faults("listen"):
            if self._sharded if sharded is None else sharded:
                message = await self._hear_nodes(timeout)
            else:
                message = await self._pubsub.get_message(ignore_subscribe_messages=False, timeout=timeout)
        if message is None:
            self._look()
            return None
        name: str = message["channel"]
        match message["type"]:
            case "message" | "smessage":
                return Heard(name, message["data"])
            case "subscribe" | "ssubscribe":
                return Heard(name, None)
            case "sunsubscribe" if name not in self._leaving:
                raise StoreUnavailable(f"Redis ended the subscription of {name}: its slot has moved")
            case _:
                self._leaving.discard(name)
                return None

    def _look(self) -> None:
        """Tell silence from a dead link: redis-py takes the kernel's ETIMEDOUT for the end of its own waiting.

        It says so at once, again and again, so that who listens would leave the loop to nobody else.
        """
        nodes = self._pubsub.node_pubsub_mapping.values() if self._sharded else ()
        for connection in (self._pubsub.connection, *(node.connection for node in nodes)):
            reader = connection and connection._reader  # noqa: SLF001 - nobody else tells
            if reader and (lost := reader.exception()):
                raise StoreUnavailable(f"the link to Redis is dead: {lost}")

    async def _hear_nodes(self, timeout: float) -> dict[str, Any] | None:  # noqa: ASYNC109
        """Listen to each node in turn: redis-py would wait on a silent one while another has something to say."""
        loop = asyncio.get_running_loop()
        until = loop.time() + timeout
        while (left := until - loop.time()) > 0:
            if not self._pubsub.node_pubsub_mapping:
                raise PubSubError("nothing is subscribed")
            message: dict[str, Any] | None = await self._pubsub.get_sharded_message(timeout=min(TURN, left))
            if message is not None:
                return message
            self._look()
        return None
