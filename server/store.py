"""Redis as this house uses it: one server or a cluster, three kinds of client, scripts by name.

In: a URL (redis://, rediss://, unix:// or redis+cluster://) and what the client is for. Out: answers, or
StoreUnavailable: no other error of Redis leaves this room, but for bugs of ours in a script. It knows no ticket.
"""

import asyncio
import hashlib
import math
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import Enum
from functools import cache
from pathlib import Path
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.cluster import RedisCluster
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import (
    AuthenticationError,
    NoScriptError,
    RedisClusterException,
    RedisError,
)
from redis.exceptions import ConnectionError as RedisConnectionError

from server import metrics
from server.errors import StoreUnavailable, StoreUnfit
from server.faults import faults
from server.listener import Listener
from server.pipeline import Pipeline

CLUSTER_SCHEME = "redis+cluster://"
OLDEST = 7
"""Redis 7 brought sharded pub/sub and script flags that we rely on."""

WAKE = "tc:wake"
"""Names a site whose schedule has something due now. A hint as well: who misses it looks within a second."""

TCP_KEEPALIVE = {4: 5, 5: 2, 6: 3, 18: 4000}
"""TCP_KEEPIDLE, INTVL, CNT in seconds and TCP_USER_TIMEOUT in ms (Linux): a dead link is noticed in some 5 s."""


class Use(Enum):
    """What a client is for: seconds for one answer, and for a connection.

    redis-py's own defaults may hold a webhook for a minute, and Wix waits for 1.25 s.
    """

    INGEST = (0.4, 0.3)
    WORK = (10.0, 2.0)
    LISTEN = (5.0, 2.0)


@dataclass(frozen=True, slots=True)
class Script:
    """A Lua script: its whole text and the name by which Redis caches it."""

    name: str
    text: str
    sha: str


@cache
def script(name: str) -> Script:
    """Read lua/<name>.lua; a first line `-- with: a b` puts lua/a.lua and lua/b.lua before it."""
    folder = Path(__file__).parent / "lua"
    text = (folder / f"{name}.lua").read_text()
    first = text.splitlines()[0]
    if first.startswith("-- with: "):
        shared = [(folder / f"{part}.lua").read_text() for part in first.removeprefix("-- with: ").split()]
        text = "\n".join([*shared, text])
    return Script(name, text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())


def key(site: str, *parts: str) -> str:
    """A key of a site; the braces keep all keys of a site in one slot of a cluster."""
    return ":".join((f"tc:{{{site}}}", *parts))


def channel(site: str, ticket: str) -> str:
    """The public channel of a ticket's counter."""
    return key(site, "live", ticket)


class Store:
    """One client of Redis. Every method raises StoreUnavailable when Redis does not take the command."""

    def __init__(self, url: str, use: Use) -> None:
        answer, connect = use.value
        options: dict[str, Any] = {
            "decode_responses": True,
            "socket_timeout": answer,
            "socket_connect_timeout": connect,
        }
        if not url.startswith("unix:"):
            options |= {"socket_keepalive": True, "socket_keepalive_options": TCP_KEEPALIVE}
        self.clustered = url.startswith(CLUSTER_SCHEME)
        self.client: Any
        if self.clustered:
            # It follows a slot that moved all the same; after any other fault it learns the nodes anew at the next call.
            once = Retry(NoBackoff(), 0)
            self.client = RedisCluster.from_url(url.replace(CLUSTER_SCHEME, "redis://", 1), retry=once, **options)
        else:
            # That Redis closed a pooled connection (it was restarted) is learned by using it, and once more on a new
            # one costs nothing: each command of ours may run twice. What takes too long is never tried again. To write
            # to one that was reset meanwhile is a RuntimeError of uvloop's.
            errors: tuple[Any, ...] = (RedisConnectionError, RuntimeError)  # redis-py types its own alone
            again = Retry(NoBackoff(), 1, supported_errors=errors)
            self.client = Redis.from_url(url, retry=again, **options)
        # A webhook's script shares a round trip with those that came meanwhile. Not on a cluster: there each goes to the
        # node that has its site now, and only redis-py's own call follows a slot that moved.
        shares = use is Use.INGEST and not self.clustered
        self._pipeline = Pipeline(self.client.connection_pool, answer) if shares else None
        self.publish_command = "SPUBLISH" if self.clustered else "PUBLISH"

    async def run(self, name: str, keys: Sequence[str], args: Sequence[str | int | float]) -> Any:
        """Run a script by its cached name; a server that has not seen it yet gets the text."""
        wanted = script(name)
        rest = (len(keys), *keys, *args)
        ask = self._pipeline.ask if self._pipeline else self._ask
        with faults(name):
            try:
                return await ask("EVALSHA", wanted.sha, *rest)
            except NoScriptError:
                return await ask("EVAL", wanted.text, *rest)

    async def do(self, *command: str | float) -> Any:
        """Run one command."""
        with faults(str(command[0]).lower()):
            return await self._ask(*command)

    async def _ask(self, *command: str | float) -> Any:
        if self.clustered:
            # While it does not know the nodes, redis-py sends a command to any of them, and after a few answers of
            # "not here" closes the connections of all the others: in a rush it never came out of that.
            await self.client.initialize()
        return await self.client.execute_command(*command)

    async def wait(self, patience: float) -> None:
        """Wait up to *patience* seconds for a Redis that is not there yet; raises StoreUnavailable after that.

        Raises StoreUnfit at once for one that does not let us in: waiting would not help.
        """
        until = asyncio.get_running_loop().time() + patience
        while True:
            try:
                await self.do("PING")
            except StoreUnavailable as error:
                if isinstance(error.__cause__, AuthenticationError):
                    raise StoreUnfit(
                        "Redis refused us: write its password into REDIS_URL, as in redis://:password@host:6379/0"
                    ) from None
                if asyncio.get_running_loop().time() >= until:
                    raise
                await asyncio.sleep(0.2)
            else:
                return

    async def check(self, *, unsafe: bool = False) -> list[str]:
        """Refuse a Redis that would lose data, or with `unsafe` answer what is wrong with it; all nodes of a cluster.

        Raises StoreUnfit naming the lines of redis.conf that are missing, and for a Redis that cannot do at all.
        """
        every = {"target_nodes": RedisCluster.ALL_NODES} if self.clustered else {}
        with faults("info"):
            found = await self.client.info("everything", **every)
        wrong: set[str] = set()
        for info in [found] if "redis_version" in found else found.values():
            if int(str(info["redis_version"]).split(".")[0]) < OLDEST:
                raise StoreUnfit(f"Redis {info['redis_version']} is too old: {OLDEST}.0 or Valkey is needed")
            if info.get("cluster_enabled") == 1 and not self.clustered:
                raise StoreUnfit(f"this Redis is a cluster: write its URL as {CLUSTER_SCHEME}host:port")
            if not info.get("aof_enabled"):
                wrong.add("it keeps nothing over a restart: set `appendonly yes`")
            if info.get("maxmemory_policy", "noeviction") != "noeviction":
                wrong.add(f"it evicts keys ({info['maxmemory_policy']}): set `maxmemory-policy noeviction`")
        if wrong and not unsafe:
            raise StoreUnfit(
                f"this Redis would lose what we promise to keep: {'; '.join(sorted(wrong))}. "
                "Start it with our redis.conf, or accept the loss with ALLOW_UNSAFE_REDIS=1"
            )
        return sorted(wrong)

    @asynccontextmanager
    async def listener(self) -> AsyncIterator[Listener]:
        """A subscription of its own connection, closed at the end whatever state it is in; raises StoreUnavailable."""
        if self.clustered:
            # A subscription goes to the node that was last known to have the slot, and nobody asks again by itself.
            with faults("subscribe"):
                await self.client.initialize()
                await self.client.nodes_manager.initialize()
        pubsub = self.client.pubsub()
        try:
            yield Listener(pubsub, sharded=self.clustered)
        finally:
            try:
                await pubsub.aclose()
            except (RedisError, RedisClusterException, OSError):
                metrics.store_faults.labels("unsubscribe").inc()

    async def aclose(self) -> None:
        """Close every connection."""
        if self._pipeline:
            await self._pipeline.aclose()
        await self.client.aclose()


def seconds(us: float) -> float:
    """Microseconds, as Redis counts here, to seconds."""
    return us / 1e6


def micros(amount: float) -> int:
    """Seconds to microseconds, as Redis counts here."""
    return math.floor(amount * 1e6)
