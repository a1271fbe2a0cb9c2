"""One server of Redis, or one node of a cluster: its connections, and commands over them.

In: its address, and how long it may take. Out: answers, or redis-py's errors as they are: faults.py knows which of them
say that Redis is away. It knows no script, no key and no other server.
"""

import asyncio
import socket
from collections.abc import Awaitable
from typing import Any

import hiredis
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from server.redis.pipeline import DEMOTED, RETRIED, Pipeline

KEEPALIVE = {socket.TCP_KEEPIDLE: 5, socket.TCP_KEEPINTVL: 2, socket.TCP_KEEPCNT: 3, socket.TCP_USER_TIMEOUT: 4000}
"""Seconds, and for the last milliseconds (Linux): a dead link is noticed in some 5 s."""

SCRIPTS = {"EVAL", "EVALSHA"}
STALLED_AFTER = 1.0
"""Seconds without an answer after which a node is asked no more, where others have work that waits behind it."""


class Node:
    """One server. *answer* and *connect* are the seconds for each; scripts that come together go together if it *shares*."""

    def __init__(self, url: str, answer: float, connect: float, *, shares: bool) -> None:
        options: dict[str, Any] = {
            "decode_responses": True,
            "socket_timeout": answer,
            "socket_connect_timeout": connect,
        }
        if not url.startswith("unix:"):
            options |= {"socket_keepalive": True, "socket_keepalive_options": KEEPALIVE}
        errors: tuple[Any, ...] = RETRIED  # redis-py types its own alone
        again = Retry(NoBackoff(), 1, supported_errors=errors)
        self.client: Any = Redis.from_url(url, retry=again, **options)
        self.pool: Any = self.client.connection_pool
        self._pipeline = Pipeline(self.pool, answer) if shares else None
        # When each command that is not answered was asked, the oldest first; and whether the last one never was.
        self._asked: dict[object, float] = {}
        self._timed_out = False

    @property
    def stalled(self) -> bool:
        """Whether no more is asked of it for now: an answer is overdue, or the last one was and the next is awaited."""
        oldest = next(iter(self._asked.values()), None)
        return oldest is not None and (self._timed_out or asyncio.get_running_loop().time() - oldest > STALLED_AFTER)

    def ask(self, *command: str | float) -> Awaitable[Any]:
        """Ask one command."""
        if self._pipeline and command[0] in SCRIPTS:
            return self._pipeline.ask(*command)
        return self._ask(command)

    async def ask_or_fail_fast(self, *command: str | float) -> Any:
        """Ask one command, but raise redis-py's TimeoutError at once while it is stalled: others wait behind us."""
        if self.stalled:
            raise RedisTimeoutError("this node has not answered what it was asked before")
        one = object()
        self._asked[one] = asyncio.get_running_loop().time()
        try:
            answer = await self.ask(*command)
        except (RedisTimeoutError, TimeoutError):
            self._timed_out = True
            raise
        except ResponseError:
            self._timed_out = False
            raise
        finally:
            del self._asked[one]
        self._timed_out = False
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
