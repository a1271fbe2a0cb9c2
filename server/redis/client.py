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
from server.redis.faults import translate_errors
from server.redis.links import Links
from server.redis.listener import Link, Listener, new_probe
from server.redis.namespace import CLUSTER_SCHEME, DEFAULT_PREFIX, Namespace
from server.redis.node import Node

OLDEST_VERSION = 7
"""Redis 7 brought sharded pub/sub and script flags, which the store needs."""


class Use(Enum):
    """What a client is for: its time-outs in seconds, for one answer and for a connection.

    With redis-py's own defaults a webhook may wait for a minute; Wix waits for 1.25 s.
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
    """One client of Redis. Every method raises RedisUnavailable when Redis does not take the command.

    The names of all keys and channels that it is used for are in its `namespace`, which *url* and *prefix* decide.
    """

    def __init__(self, url: str, use: Use, prefix: str = DEFAULT_PREFIX) -> None:
        answer_timeout, connect_timeout = use.value
        self.namespace = Namespace.of(url, prefix)
        self.clustered = url.startswith(CLUSTER_SCHEME)
        self.publish_command = "SPUBLISH" if self.clustered else "PUBLISH"

        def new_node(url: str) -> Node:
            # Webhooks that come at the same time share a round trip.
            return Node(url, answer_timeout, connect_timeout, pipeline_scripts=use is Use.INGEST)

        self._redis: Node | Cluster
        if self.clustered:
            self._redis = Cluster(url.replace(CLUSTER_SCHEME, "redis://", 1), new_node)
        else:
            self._redis = new_node(url)

    async def run(self, script: Script, keys: Sequence[str], args: Sequence[str | int | float]) -> Any:
        """Run a script by its SHA-1; send its text to a server that has not cached it."""
        rest = (len(keys), *keys, *args)
        with translate_errors(script.name):
            try:
                return await self._redis.execute("EVALSHA", script.sha, *rest)
            except NoScriptError:
                return await self._redis.execute("EVAL", script.text, *rest)

    async def do(self, *command: str | float) -> Any:
        """Run one command."""
        with translate_errors(str(command[0]).lower()):
            return await self._redis.execute(*command)

    async def wait(self, timeout: float) -> None:  # noqa: ASYNC109
        """Wait until Redis answers; raises RedisUnavailable if it does not within *timeout* seconds.

        Raises RedisUnfit at once if it rejects the password: waiting would not help.
        """
        deadline = asyncio.get_running_loop().time() + timeout
        while True:
            try:
                await self.do("PING")
            except RedisUnavailable as error:
                if isinstance(error.__cause__, AuthenticationError):
                    raise RedisUnfit(
                        "Redis refused us: write its password into REDIS_URL, as in redis://:password@host:6379/0"
                    ) from None
                if asyncio.get_running_loop().time() >= deadline:
                    raise
                await asyncio.sleep(0.2)
            else:
                return

    async def check(self, *, unsafe: bool = False) -> list[str]:
        """Check the version and configuration of the server, or of all nodes of a cluster.

        Raises RedisUnfit for a configuration that would lose data, naming the missing lines of redis.conf; with
        `unsafe` it returns these faults. Raises RedisUnfit in any case for a version or a URL that cannot work.
        """
        wrong: set[str] = set()
        for info in await self._infos():
            if int(str(info["redis_version"]).split(".")[0]) < OLDEST_VERSION:
                raise RedisUnfit(f"Redis {info['redis_version']} is too old: {OLDEST_VERSION}.0 or Valkey is needed")
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
    async def listener(self, probe_timeout: float | None = None) -> AsyncIterator[Listener]:
        """A listener over connections of its own, which are closed at the end whatever state they are in.

        With *probe_timeout*, the seconds after which a silent link counts as lost, the caller publishes to its probes.
        Raises RedisUnavailable.
        """
        if isinstance(self._redis, Cluster):
            with translate_errors("subscribe"):
                await self._redis.refresh()
            links = Links(self._redis, self.namespace, probe_timeout)
            try:
                yield links
            finally:
                await links.aclose()
        else:
            link = Link(self._redis)
            if probe_timeout is not None:
                link = Link(self._redis, new_probe(self.namespace), probe_timeout)
            try:
                await link.open()
                yield link
            finally:
                await link.aclose()

    async def aclose(self) -> None:
        """Close every connection."""
        await self._redis.aclose()

    async def _infos(self) -> list[dict[str, Any]]:
        """INFO of the server, or of each node of a cluster that answers."""
        with translate_errors("info"):
            if isinstance(self._redis, Node):
                return [await self._redis.client.info("everything")]
            await self._redis.refresh()
            queries = (node.client.info("everything") for node in self._redis.nodes)
            results = await asyncio.gather(*queries, return_exceptions=True)
            infos = [info for info in results if isinstance(info, dict)]
            if not infos and isinstance(results[0], BaseException):
                raise results[0]
            return infos
