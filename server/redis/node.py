"""One Redis server, one node of a cluster, or the master that Sentinels name: its connection pool, and commands over it.

In: its URL and time-outs. Out: answers, or redis-py's errors unchanged; faults.py knows which of them mean that Redis is
unavailable. It knows no script, no key and no other server.
"""

import asyncio
import contextlib
import socket
from collections.abc import Awaitable
from typing import Any

import hiredis
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from server.redis.pipeline import NOT_MASTER, RETRY_ON, Pipeline
from server.redis.sentinel import new_client
from server.redis.url import read_url

KEEPALIVE = {socket.TCP_KEEPIDLE: 5, socket.TCP_KEEPINTVL: 2, socket.TCP_KEEPCNT: 3, socket.TCP_USER_TIMEOUT: 4000}
"""TCP keep-alive in seconds, and in milliseconds for the last (Linux): a dead connection is noticed in some 5 s."""

SCRIPTS = {"EVAL", "EVALSHA"}
UNRESPONSIVE_AFTER = 1.0
"""Seconds without an answer after which more commands fail fast, where others have to wait behind them."""


class Node:
    """One server. Time-outs are in seconds; with *pipeline_scripts* scripts that run at the same time share a write."""

    def __init__(self, url: str, answer_timeout: float, connect_timeout: float, *, pipeline_scripts: bool) -> None:
        options: dict[str, Any] = {
            "decode_responses": True,
            # Another program may have written anything: such a text names nothing here, and is no counter.
            "encoding_errors": "replace",
            "socket_timeout": answer_timeout,
            "socket_connect_timeout": connect_timeout,
        }
        if not url.startswith("unix:"):
            options |= {"socket_keepalive": True, "socket_keepalive_options": KEEPALIVE}
        errors: tuple[Any, ...] = RETRY_ON  # redis-py's annotation allows only its own
        retry = Retry(NoBackoff(), 1, supported_errors=errors)
        address = read_url(url)
        if address.master is None:
            self.client: Any = Redis.from_url(url, retry=retry, **options)
        else:
            self.client = new_client(address, retry=retry, **options)
        self.pool: Any = self.client.connection_pool
        self._pipeline = Pipeline(self.pool, answer_timeout) if pipeline_scripts else None
        # When each unanswered command was sent, the oldest first; and whether the last command to end timed out.
        self._sent_at: dict[object, float] = {}
        self._timed_out = False

    @property
    def unresponsive(self) -> bool:
        """Whether an answer is overdue, or the last command timed out and the one that tries again has no answer yet."""
        oldest = next(iter(self._sent_at.values()), None)
        return oldest is not None and (
            self._timed_out or asyncio.get_running_loop().time() - oldest > UNRESPONSIVE_AFTER
        )

    def execute(self, *command: str | float) -> Awaitable[Any]:
        """Run one command."""
        if self._pipeline and command[0] in SCRIPTS:
            return self._pipeline.execute(*command)
        return self._execute(command)

    async def execute_or_fail_fast(self, *command: str | float) -> Any:
        """Run one command, or raise redis-py's TimeoutError at once while the node is unresponsive."""
        if self.unresponsive:
            raise RedisTimeoutError("this node has not answered an earlier command")
        sent = object()
        self._sent_at[sent] = asyncio.get_running_loop().time()
        try:
            answer = await self.execute(*command)
        except (RedisTimeoutError, TimeoutError):
            self._timed_out = True
            raise
        except ResponseError:
            self._timed_out = False
            raise
        finally:
            del self._sent_at[sent]
        self._timed_out = False
        return answer

    async def execute_asking(self, *command: str | float) -> Any:
        """Run one command on a slot that this node is importing: it must follow ASKING on the same connection."""
        connection = await self.pool.get_connection()
        try:
            both = hiredis.pack_command(("ASKING",)) + hiredis.pack_command(command)  # type: ignore[arg-type] # any tuple
            await connection.send_packed_command(both)
            try:
                await connection.read_response()
            except BaseException:
                # The second answer would be taken for the answer to the next command.
                await connection.disconnect(nowait=True)
                raise
            return await self.client.parse_response(connection, str(command[0]))
        finally:
            await self.pool.release(connection)

    async def aclose(self) -> None:
        """Close every connection, after the commands in the pipeline have ended."""
        if self._pipeline:
            await self._pipeline.aclose()
        # Over TLS the other side has to answer; one that does not in time is left all the same.
        with contextlib.suppress(RedisTimeoutError):
            await self.client.aclose()

    async def _execute(self, command: tuple[str | float, ...]) -> Any:
        try:
            return await self.client.execute_command(*command)
        except NOT_MASTER:
            # The same address may lead to the new master by now: new connections reach it.
            await self.pool.update_active_connections_for_reconnect()
            await self.pool.disconnect(inuse_connections=False)
            raise
