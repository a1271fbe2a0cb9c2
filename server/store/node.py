"""One server of Redis, or one node of a cluster: its connections, and commands over them.

In: its address, and how long it may take. Out: answers, or redis-py's errors as they are: faults.py knows which of them
say that Redis is away. It knows no script, no key and no other server.
"""

import asyncio
from collections.abc import Awaitable
from typing import Any

import hiredis
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from server.store.pipeline import DEMOTED, Pipeline

TCP_KEEPALIVE = {4: 5, 5: 2, 6: 3, 18: 4000}
"""TCP_KEEPIDLE, INTVL, CNT in seconds and TCP_USER_TIMEOUT in ms (Linux): a dead link is noticed in some 5 s."""

SCRIPTS = {"EVAL", "EVALSHA"}
OWES = 1.0
"""Seconds without an answer after which a node is not asked more, where others have work that waits behind it."""


class Node:
    """One server. *answer* and *connect* are the seconds for each; scripts that come together go together if it *shares*."""

    def __init__(self, url: str, answer: float, connect: float, *, shares: bool) -> None:
        options: dict[str, Any] = {
            "decode_responses": True,
            "socket_timeout": answer,
            "socket_connect_timeout": connect,
        }
        if not url.startswith("unix:"):
            options |= {"socket_keepalive": True, "socket_keepalive_options": TCP_KEEPALIVE}
        # That Redis closed a pooled connection (it was restarted) is learned by using it, and once more on a new one
        # costs nothing: each command of ours may run twice. What takes too long is never tried again. To write to one
        # that was reset meanwhile is a RuntimeError of uvloop's.
        errors: tuple[Any, ...] = (RedisConnectionError, RuntimeError)  # redis-py types its own alone
        again = Retry(NoBackoff(), 1, supported_errors=errors)
        self.client: Any = Redis.from_url(url, retry=again, **options)
        self.pool: Any = self.client.connection_pool
        self._pipeline = Pipeline(self.pool, answer) if shares else None
        # When each command that is not answered was asked, the oldest first; and whether the last one never was.
        self._asked: dict[object, float] = {}
        self._ailing = False

    @property
    def owes(self) -> bool:
        """Whether those who ask gently wait for it: it has not answered for a while, or one asks already if it does."""
        oldest = next(iter(self._asked.values()), None)
        return oldest is not None and (self._ailing or asyncio.get_running_loop().time() - oldest > OWES)

    def ask(self, *command: str | float) -> Awaitable[Any]:
        """Ask one command."""
        if self._pipeline and command[0] in SCRIPTS:
            return self._pipeline.ask(*command)
        return self._ask(command)

    async def ask_gently(self, *command: str | float) -> Any:
        """Ask one command, but raise redis-py's TimeoutError at once while an answer is owed: others wait behind us."""
        if self.owes:
            raise RedisTimeoutError("this node still owes an answer")
        one = object()
        self._asked[one] = asyncio.get_running_loop().time()
        try:
            answer = await self.ask(*command)
        except (RedisTimeoutError, TimeoutError):
            self._ailing = True
            raise
        except ResponseError:
            self._ailing = False
            raise
        finally:
            del self._asked[one]
        self._ailing = False
        return answer

    async def ask_importing(self, *command: str | float) -> Any:
        """Ask of a slot that is on its way here: only right after ASKING, on the same connection, it is answered."""
        connection = await self.pool.get_connection()
        try:
            both = hiredis.pack_command(("ASKING",)) + hiredis.pack_command(command)  # type: ignore[arg-type] # any tuple
            await connection.send_packed_command(both)
            try:
                await connection.read_response()
            except BaseException:
                # The second answer would be taken for that to the next command.
                await connection.disconnect(nowait=True)
                raise
            return await self.client.parse_response(connection, str(command[0]))
        finally:
            await self.pool.release(connection)

    async def aclose(self) -> None:
        """Close every connection, after what is being asked."""
        if self._pipeline:
            await self._pipeline.aclose()
        await self.client.aclose()

    async def _ask(self, command: tuple[str | float, ...]) -> Any:
        try:
            return await self.client.execute_command(*command)
        except DEMOTED:
            # Behind the same address there may be another master by now: a new connection leads there.
            await self.pool.update_active_connections_for_reconnect()
            await self.pool.disconnect(inuse_connections=False)
            raise
