"""The commands that a Redis receives (MONITOR): `async with monitored(url) as commands`, each as a list of words.

The list grows; `await commands.all()` answers once it has every command that was sent before.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import uuid4

from redis.asyncio import Redis

from tests.rig.server import until


class Commands(list[list[str]]):
    """Commands in the order in which Redis ran them, without those of scripts."""

    def __init__(self, redis: "Redis") -> None:
        super().__init__()
        self._redis = redis

    async def all(self) -> list[list[str]]:
        """Every command until now."""
        mark = str(uuid4())
        await self._redis.echo(mark)
        await until(lambda: any(mark in words for words in self))
        return list(self)

    async def subscribed(self, channel: str) -> int:
        """How often this channel was subscribed to."""
        return sum(words[0] == "SUBSCRIBE" and channel in words for words in await self.all())

    async def read(self, ticket: str) -> int:
        """How often `watch` was called for this ticket's counter: its arguments are those of store/lua/watch.lua."""
        arguments = [words[3 + int(words[2]) :] for words in await self.all() if words[0] == "EVALSHA"]
        return sum(len(words) > 7 and words[6] == "1" and ticket in words[7:] for words in arguments)


@asynccontextmanager
async def monitored(url: str) -> AsyncIterator[Commands]:
    """Record every command of this Redis, as long as the block."""
    async with Redis.from_url(url, decode_responses=True) as redis, redis.monitor() as monitor:
        commands = Commands(redis)

        async def listen() -> None:
            async for found in monitor.listen():
                if found["client_type"] != "lua":
                    commands.append(found["command"].split())

        listening = asyncio.create_task(listen())
        yield commands
        listening.cancel()
        await asyncio.wait({listening})
