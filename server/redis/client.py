"""The client of Redis, one server or a cluster: runs commands and scripts, and opens listeners.

In: a URL (url.py), what the client is for, commands and scripts. Out: answers, RedisUnavailable, or RedisUnfit where
waiting would not help. Any other error of Redis that it lets through is a bug in a script or a command.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from enum import Enum
from typing import Any

from redis.exceptions import NoPermissionError, NoScriptError, ResponseError

from server.errors import RedisUnavailable, RedisUnfit
from server.redis import rights
from server.redis.cluster import Cluster
from server.redis.faults import translate_errors
from server.redis.links import Links
from server.redis.listener import Link, Listener, new_probe
from server.redis.namespace import DEFAULT_PREFIX, Namespace
from server.redis.node import Node
from server.redis.unfit import denied, lasting, wrong_protocol
from server.redis.url import CLUSTER_SCHEME, SENTINEL_SCHEME, read_url

OLDEST_VERSION = 7
"""Redis 7 brought sharded pub/sub and script flags, which the store needs."""

LATE_AFTER = 1.0
"""Seconds without an answer after which a start says that it waits."""


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
        self._url = read_url(url)
        self.clustered = self._url.clustered
        self.publish_command = "SPUBLISH" if self.clustered else "PUBLISH"

        def new_node(url: str) -> Node:
            # Webhooks that come at the same time share a round trip.
            return Node(url, answer_timeout, connect_timeout, pipeline_scripts=use is Use.INGEST)

        self._redis: Node | Cluster
        if self.clustered:
            self._redis = Cluster(self._url.plain, new_node)
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

    async def wait(self, timeout: float, late: Callable[[str], None] | None = None) -> None:  # noqa: ASYNC109
        """Wait until Redis answers; raises RedisUnavailable if it does not within *timeout* seconds.

        *late* is called once where it did not within LATE_AFTER, with the error so far. Raises RedisUnfit at once if
        it rejects the password, or if the address is wrong in another way: waiting would not help.
        """
        loop = asyncio.get_running_loop()
        deadline, last = loop.time() + timeout, ["it does not answer"]
        saying = loop.call_later(LATE_AFTER, lambda: late and late(last[-1]))
        try:
            while True:
                try:
                    await self.do("PING")
                except RedisUnavailable as error:
                    if text := lasting(error) or await wrong_protocol(self._url):
                        raise RedisUnfit(text) from None
                    last.append(str(error))
                    if loop.time() >= deadline:
                        raise
                    await asyncio.sleep(0.2)
                else:
                    return
        finally:
            saying.cancel()

    async def check(self, *, unsafe: bool = False) -> list[str]:
        """Check the version, configuration and permissions of the server, or of all nodes of a cluster.

        Raises RedisUnfit for a configuration that would lose data, naming the missing lines of redis.conf; with
        `unsafe` it returns these faults, also that it does not tell its configuration (INFO is refused). Raises RedisUnfit
        in any case for a version, a URL or an ACL that cannot work.
        """
        for hello in await self._ask_nodes("HELLO"):
            self._check_hello(hello)
        await self._check_rights()
        wrong: set[str] = set()
        would = "would"
        try:
            for info in await self._ask_nodes("INFO", "everything"):
                wrong |= self._check_info(info)
        except (RedisUnavailable, ResponseError) as error:
            if not isinstance(error.__cause__ or error, ResponseError):
                raise
            wrong.add("it does not tell its configuration: allow INFO (`ACL SETUSER name +info`)")
            would = "may"
        if wrong and not unsafe:
            raise RedisUnfit(
                f"this Redis {would} lose what we promise to keep: {'; '.join(sorted(wrong))}. "
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

    async def _ask_nodes(self, *command: str) -> list[dict[str, Any]]:
        """The answers of the server, or of each node of a cluster that answers."""
        with translate_errors(command[0].lower()):
            if isinstance(self._redis, Node):
                return [await self._redis.client.execute_command(*command)]
            await self._redis.refresh()
            queries = (node.client.execute_command(*command) for node in self._redis.nodes)
            results = await asyncio.gather(*queries, return_exceptions=True)
            found = [result for result in results if isinstance(result, dict)]
            if not found and isinstance(results[0], BaseException):
                raise results[0]
            return found

    def _check_hello(self, hello: dict[str, Any]) -> None:
        """Raise RedisUnfit for what Redis says of itself on every connection, whatever the ACL."""
        version, mode = hello.get("version"), hello.get("mode")
        if mode == "sentinel":
            raise RedisUnfit(
                f"REDIS_URL leads to a Sentinel, not to Redis: write {SENTINEL_SCHEME}host:26379/NAME/0, "
                "with the name of the master that it watches"
            )
        if mode == "cluster" and not self.clustered:
            raise RedisUnfit(f"this Redis is a cluster: write its URL as {CLUSTER_SCHEME}host:port")
        if version is not None:
            _check_version(str(version))

    def _check_info(self, info: dict[str, Any]) -> set[str]:
        """What would lose data, by INFO; raises RedisUnfit for an old version, and for a cluster's node alone."""
        wrong = set()
        _check_version(str(info["redis_version"]))
        if info.get("cluster_enabled") == 1 and not self.clustered:
            raise RedisUnfit(f"this Redis is a cluster: write its URL as {CLUSTER_SCHEME}host:port")
        if not info.get("aof_enabled"):
            wrong.add("it keeps nothing over a restart: set `appendonly yes`")
        if info.get("maxmemory_policy", "noeviction") != "noeviction":
            wrong.add(f"it evicts keys ({info['maxmemory_policy']}): set `maxmemory-policy noeviction`")
        return wrong

    async def _check_rights(self) -> None:
        """Raise RedisUnfit with the permissions that the user lacks."""
        lines = rights.commands(self.namespace, clustered=self.clustered)
        try:
            refused = await self.do("EVAL", rights.CHECK, 1, rights.key_of(self.namespace), *lines)
        except RedisUnavailable as error:
            if not isinstance(error.__cause__, NoPermissionError):
                raise
            needed = f"~{self.namespace.keys}:*" if "key" in str(error.__cause__) else "+eval +evalsha"
            raise RedisUnfit(denied([needed])) from None
        if isinstance(refused, list) and (text := rights.missing(refused, self.namespace, clustered=self.clustered)):
            raise RedisUnfit(text)


def _check_version(version: str) -> None:
    if int(version.partition(".")[0]) < OLDEST_VERSION:
        raise RedisUnfit(f"Redis {version} is too old: {OLDEST_VERSION}.0 or Valkey is needed")
