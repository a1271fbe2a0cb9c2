"""The client of Redis, one server or a cluster: runs commands and scripts, and opens listeners.

In: a URL (redis://, rediss://, unix:// or redis+cluster://), what the client is for, commands and scripts. Out: answers,
or RedisUnavailable. Any other error of Redis that it lets through is a bug in a script or a command.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from enum import Enum
from typing import Any

from redis.exceptions import AuthenticationError, NoScriptError

from server.errors import RedisUnavailable, RedisUnfit
from server.redis.cluster import Cluster
from server.redis.faults import faults
from server.redis.links import Links
from server.redis.listener import Link, Listener, new_probe
from server.redis.node import Node

CLUSTER_SCHEME = "redis+cluster://"
OLDEST = 7
"""Redis 7 brought sharded pub/sub and script flags that we rely on."""


class Use(Enum):
    """What a client is for: seconds for one answer, and for a connection.

    redis-py's own defaults may hold a webhook for a minute, and Wix waits for 1.25 s.
    """

    INGEST = (0.4, 0.3)
    WORK = (4.0, 2.0)
    LISTEN = (2.0, 2.0)


class Script:
    """A Lua script: its text, a name for errors and metrics, and the SHA-1 under which Redis caches it."""

    def __init__(self, name: str, text: str) -> None:
        self.name = name
        self.text = text
        self.sha = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()


class RedisClient:
    """One client of Redis. Every method raises RedisUnavailable when Redis does not take the command."""

    def __init__(self, url: str, use: Use) -> None:
        answer, connect = use.value
        self.clustered = url.startswith(CLUSTER_SCHEME)
        self.publish_command = "SPUBLISH" if self.clustered else "PUBLISH"

        def node(url: str) -> Node:
            # A webhook's script shares a round trip with those that came meanwhile.
            return Node(url, answer, connect, shares=use is Use.INGEST)

        self._redis: Node | Cluster
        if self.clustered:
            self._redis = Cluster(url.replace(CLUSTER_SCHEME, "redis://", 1), node)
        else:
            self._redis = node(url)

    async def run(self, script: Script, keys: Sequence[str], args: Sequence[str | int | float]) -> Any:
        """Run a script by its SHA-1; send its text to a server that has not cached it."""
        rest = (len(keys), *keys, *args)
        with faults(script.name):
            try:
                return await self._redis.ask("EVALSHA", script.sha, *rest)
            except NoScriptError:
                return await self._redis.ask("EVAL", script.text, *rest)

    async def do(self, *command: str | float) -> Any:
        """Run one command."""
        with faults(str(command[0]).lower()):
            return await self._redis.ask(*command)

    async def wait(self, patience: float) -> None:
        """Wait up to *patience* seconds for a Redis that is not there yet; raises RedisUnavailable after that.

        Raises RedisUnfit at once for one that does not let us in: waiting would not help.
        """
        until = asyncio.get_running_loop().time() + patience
        while True:
            try:
                await self.do("PING")
            except RedisUnavailable as error:
                if isinstance(error.__cause__, AuthenticationError):
                    raise RedisUnfit(
                        "Redis refused us: write its password into REDIS_URL, as in redis://:password@host:6379/0"
                    ) from None
                if asyncio.get_running_loop().time() >= until:
                    raise
                await asyncio.sleep(0.2)
            else:
                return

    async def check(self, *, unsafe: bool = False) -> list[str]:
        """Refuse a Redis that would lose data, or with `unsafe` answer what is wrong with it; all nodes of a cluster.

        Raises RedisUnfit naming the lines of redis.conf that are missing, and for a Redis that cannot do at all.
        """
        wrong: set[str] = set()
        for info in await self._infos():
            if int(str(info["redis_version"]).split(".")[0]) < OLDEST:
                raise RedisUnfit(f"Redis {info['redis_version']} is too old: {OLDEST}.0 or Valkey is needed")
            if info.get("cluster_enabled") == 1 and not self.clustered:
                raise RedisUnfit(f"this Redis is a cluster: write its URL as {CLUSTER_SCHEME}host:port")
            if not info.get("aof_enabled"):
                wrong.add("it keeps nothing over a restart: set `appendonly yes`")
            if info.get("maxmemory_policy", "noeviction") != "noeviction":
                wrong.add(f"it evicts keys ({info['maxmemory_policy']}): set `maxmemory-policy noeviction`")
        if wrong and not unsafe:
            raise RedisUnfit(
                f"this Redis would lose what we promise to keep: {'; '.join(sorted(wrong))}. "
                "Start it with our redis.conf, or accept the loss with ALLOW_UNSAFE_REDIS=1"
            )
        return sorted(wrong)

    @asynccontextmanager
    async def listener(self, patience: float | None = None) -> AsyncIterator[Listener]:
        """A subscription over connections of its own, closed at the end whatever state they are in.

        With *patience*, the seconds after which a silent link is taken for dead, its owner publishes to its probes.
        Raises RedisUnavailable.
        """
        if isinstance(self._redis, Cluster):
            with faults("subscribe"):
                await self._redis.learn()
            links = Links(self._redis, patience)
            try:
                yield links
            finally:
                await links.aclose()
        else:
            link = Link(self._redis) if patience is None else Link(self._redis, new_probe(), patience)
            try:
                await link.open()
                yield link
            finally:
                await link.aclose()

    async def aclose(self) -> None:
        """Close every connection."""
        await self._redis.aclose()

    async def _infos(self) -> list[dict[str, Any]]:
        """What each server says of itself; of a cluster those that are away say nothing."""
        with faults("info"):
            if isinstance(self._redis, Node):
                return [await self._redis.client.info("everything")]
            await self._redis.learn()
            asked = (node.client.info("everything") for node in self._redis.nodes)
            found = await asyncio.gather(*asked, return_exceptions=True)
            infos = [one for one in found if isinstance(one, dict)]
            if not infos and isinstance(found[0], BaseException):
                raise found[0]
            return infos
