"""A Redis whose master is named by Sentinels: each new connection asks them where it is now.

In: an address of Sentinels (redis+sentinel://) and options of redis-py. Out: a client of redis-py whose connections lead to the master.
All Sentinels are asked at once, and the newest configuration counts: one that is cut off from the others may name a
former master for ever ("Redis Sentinel client spec", and the `config-epoch` of SENTINEL MASTER). redis-py's own search asks
one after the other, so each that is silent would cost a webhook its whole time.
"""

import asyncio
from collections.abc import Sequence
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.connection import SSLConnection
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import (
    MasterNotFoundError,
    Sentinel,
    SentinelConnectionPool,
    SentinelManagedConnection,
)
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError, ResponseError

from server.errors import RedisUnfit
from server.redis.url import TLS_PARAMETERS, RedisUrl

OTHERS_WITHIN = 0.1
"""Seconds that are waited for the other Sentinels once one has answered."""

Address = tuple[str, int]


class Sentinels(Sentinel):
    """The Sentinels of an address."""

    async def discover_master(self, service_name: str) -> Address:
        """The master's address; raises MasterNotFoundError where none knows it, RedisUnfit where waiting would not help."""
        queries = [asyncio.create_task(_state(one, service_name)) for one in self.sentinels]
        try:
            await self._first_answer(queries)
            done, _ = await asyncio.wait(queries, timeout=OTHERS_WITHIN)
        finally:
            for query in queries:
                query.cancel()
            await asyncio.gather(*queries, return_exceptions=True)
        found = [query.result() for query in done if query.exception() is None]
        if found:
            newest = max(found, key=lambda state: int(state["config-epoch"]))
            return str(newest["ip"]), int(newest["port"])
        errors = [error for query in queries if not query.cancelled() and (error := query.exception())]
        raise await self._not_found(service_name, errors) from (errors[0] if errors else None)

    async def _first_answer(self, queries: Sequence[asyncio.Task[Any]]) -> None:
        """Wait until one has answered, or all have failed: each has its time-outs."""
        pending = set(queries)
        while pending:
            done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
            if any(query.exception() is None for query in done):
                return

    async def _not_found(self, name: str, errors: Sequence[BaseException]) -> Exception:
        """The error that no Sentinel has named the master."""
        if errors and all(isinstance(error, AuthenticationError) for error in errors):
            return RedisUnfit(
                "the Sentinels refused us: end REDIS_URL with ?sentinel_password=, and sentinel_username= if needed"
            )
        refusals = [error for error in errors if isinstance(error, ResponseError)]
        if any("unknown command" in str(error).lower() for error in refusals):
            return RedisUnfit(
                "REDIS_URL names Sentinels (redis+sentinel://), but there is a Redis: write redis://, or the Sentinels' port, 26379"
            )
        if len(refusals) < len(self.sentinels):
            return MasterNotFoundError(f"no Sentinel says where {name!r} is: {errors[0] if errors else 'no answer'}")
        if all("no such master" in str(error).lower() for error in refusals):
            return RedisUnfit(f"no Sentinel knows the master {name!r} of REDIS_URL: they know {await self._masters()}")
        return MasterNotFoundError(f"no Sentinel says where {name!r} is: {refusals[0]}")

    async def _masters(self) -> str:
        known: set[str] = set()
        for answer in await asyncio.gather(*(one.sentinel_masters() for one in self.sentinels), return_exceptions=True):
            if isinstance(answer, dict):
                known.update(map(str, answer))
        return ", ".join(sorted(known)) or "none"


async def _state(sentinel: Any, name: str) -> dict[str, Any]:
    return dict(await sentinel.sentinel_master(name))


class MasterConnection(SentinelManagedConnection):
    """A connection that asks the Sentinels again whenever it has to be opened again.

    redis-py's own opens a lost one to the address that it had, when a command is sent over it.
    """

    async def send_packed_command(self, command: Any, check_health: bool = True) -> None:
        """Send a command."""
        if not self.is_connected:
            await self.connect()  # type: ignore[no-untyped-call] # redis-py has no annotations here
        await super().send_packed_command(command, check_health)


class MasterTlsConnection(MasterConnection, SSLConnection):
    """The same with TLS."""


class MasterClient(Redis):
    """redis-py's client, which closes its pool and the connections to the Sentinels too."""

    async def aclose(self, close_connection_pool: bool | None = None) -> None:
        """Close every connection."""
        await super().aclose(close_connection_pool)
        pool: Any = self.connection_pool
        await pool.aclose()
        await pool.sentinel_manager.aclose()


def new_client(url: RedisUrl, **options: Any) -> MasterClient:
    """A client of the master that the Sentinels of *url* name; *options* are those of redis-py's connections."""
    own = url.options
    tls = {name: value for name, value in own.items() if name in TLS_PARAMETERS}
    name, password = url.sentinel_login
    to_sentinels = {
        **options,
        **tls,
        "ssl": url.tls,
        "username": name,
        "password": password,
        # They are all asked again with the next connection.
        "retry": Retry(NoBackoff(), 0),
    }
    new_sentinels: Any = Sentinels  # redis-py's classes have no annotations
    new_pool: Any = SentinelConnectionPool
    sentinels = new_sentinels(url.addresses, sentinel_kwargs=to_sentinels)
    connection = MasterTlsConnection if url.tls else MasterConnection
    pool = new_pool(url.master, sentinels, connection_class=connection, **own, **options)
    return MasterClient(connection_pool=pool)
