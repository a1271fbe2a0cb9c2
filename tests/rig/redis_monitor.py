"""What a Redis is asked, as it says itself: `async with monitored(url) as commands`, each as its words.

A list that grows; `await commands.all()` answers once everything is in it that was asked before.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import uuid4

from redis.asyncio import Redis

from tests.rig.server import until


class Commands(list[list[str]]):
    """Commands in the order in which Redis took them, those of scripts left out."""

    def __init__(self, redis: "Redis") -> None:
        super().__init__()
        self._redis = redis

    async def all(self) -> list[list[str]]:
        """Everything that was asked until now."""
        mark = str(uuid4())
        await self._redis.echo(mark)
        await until(lambda: any(mark in words for words in self))
        return list(self)

    async def subscribed(self, channel: str) -> int:
        """How often somebody subscribed to this channel."""
        return sum(words[0] == "SUBSCRIBE" and channel in words for words in await self.all())

    async def read(self, ticket: str) -> int:
        """How often `watch` was asked for this ticket's counter: what follows its keys is said in store/lua/watch.lua."""
        arguments = [words[3 + int(words[2]) :] for words in await self.all() if words[0] == "EVALSHA"]
        return sum(len(words) > 7 and words[6] == "1" and ticket in words[7:] for words in arguments)


@asynccontextmanager
async def monitored(url: str) -> AsyncIterator[Commands]:
    """Listen to everything that this Redis is asked, as long as the block."""
    async with Redis.from_url(url, decode_responses=True) as redis, redis.monitor() as monitor:
        commands = Commands(redis)

        async def listen() -> None:
            async for heard in monitor.listen():
                if heard["client_type"] != "lua":
                    commands.append(heard["command"].split())

        listening = asyncio.create_task(listen())
        yield commands
        listening.cancel()
        await asyncio.wait({listening})
