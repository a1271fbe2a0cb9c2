"""Pipelines commands of many tasks on one connection: those that queue while Redis answers go out in one write.

In: commands. Out: a future for each, with its own answer or error. For a webhook a write and a read cost more than
anything else in Redis, so in a rush many webhooks share one. A command is never delayed to wait for others. A command
whose future was cancelled is skipped, and the others are not affected.
"""

import asyncio
import math
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import hiredis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import MasterDownError, ReadOnlyError, ResponseError

from server.redis.faults import read_response

MAX_BATCH = 100
"""Commands in one write: Redis runs them in a row, and others may wait some milliseconds for that."""

NOT_MASTER = (ReadOnlyError, MasterDownError)
"""Errors of a server that was the master and is now a replica."""

RETRY_ON = (RedisConnectionError, RuntimeError)
"""Errors after which a command is sent once more, on a new connection: each of our commands may run twice.

That Redis closed a pooled connection (it restarted) shows only on use. A connection that was reset while idle is not
noticed by the pool, and uvloop raises RuntimeError on writing to it. A time-out is never retried.
"""


@dataclass(frozen=True, slots=True)
class PendingCommand:
    """One command in wire format, and the future for its answer."""

    packed: bytes
    answer: asyncio.Future[Any]


class Pipeline:
    """One connection at a time from redis-py's *pool*, which opens, authenticates and closes it.

    *timeout* is in seconds from a write to the last of its answers: Redis runs all commands one after the other, over
    whichever connections they come. Errors are those of redis-py; faults.py translates them.
    """

    def __init__(self, pool: Any, timeout: float) -> None:
        self._pool = pool
        self._timeout = timeout
        self._queue: deque[PendingCommand] = deque()
        self._running: asyncio.Task[None] | None = None

    def execute(self, *command: str | float) -> asyncio.Future[Any]:
        """Queue one command. It is sent in the loop's next iteration, with all that are queued in this one."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Any] = loop.create_future()
        self._queue.append(PendingCommand(hiredis.pack_command(command), answer))  # type: ignore[arg-type] # any tuple is taken
        if self._running is None:
            self._running = loop.create_task(self._run(), name="redis: pipeline")
        return answer

    async def aclose(self) -> None:
        """Wait for the queued commands; their time-outs limit that."""
        if self._running is not None:
            await asyncio.wait({self._running})

    async def _run(self) -> None:
        """Send batches until the queue is empty. The pool checks a connection before it lends it."""
        batch: deque[PendingCommand] = deque()
        try:
            while self._queue:
                try:
                    connection = await self._pool.get_connection()
                except Exception as error:  # noqa: BLE001 - the callers get it, whatever it is
                    while batch := self._next_batch():
                        _fail(batch, error)
                    continue
                try:
                    while batch := self._next_batch():
                        await self._send_with_retry(connection, batch)
                finally:
                    await self._pool.release(connection)
        finally:
            self._running = None
            # None is left, but after a cancellation or an error of the pool; their callers would wait for ever.
            _fail([*batch, *self._queue], RedisConnectionError("the pipeline to Redis has ended"))
            self._queue.clear()

    def _next_batch(self) -> deque[PendingCommand]:
        """Take the oldest commands that are not cancelled."""
        batch: deque[PendingCommand] = deque()
        while self._queue and len(batch) < MAX_BATCH:
            command = self._queue.popleft()
            if not command.answer.done():
                batch.append(command)
        return batch

    async def _send_with_retry(self, connection: Any, batch: deque[PendingCommand]) -> None:
        """Send the batch; if the connection was closed, send those without an answer once more on a new one."""
        try:
            try:
                await self._send(connection, batch)
            except RETRY_ON:  # the second attempt raises an error that persists
                await connection.disconnect(nowait=True)
                await self._send(connection, batch)
        except Exception as error:  # noqa: BLE001 - as above
            # A late answer would be taken for the answer to the next command.
            await connection.disconnect(nowait=True)
            _fail(batch, error)

    async def _send(self, connection: Any, batch: deque[PendingCommand]) -> None:
        """Send the batch and read its answers; a command leaves *batch* once it has its answer or its own error."""
        # redis-py limits the time of a write; a time-out around it could be lost in its wait_for (python/cpython#86296).
        await connection.send_packed_command(b"".join([command.packed for command in batch]))
        not_master = False
        async with asyncio.timeout(self._timeout):
            while batch:
                try:
                    response = await read_response(connection, math.inf)
                except ResponseError as error:
                    _fail([batch.popleft()], error)
                    not_master = not_master or isinstance(error, NOT_MASTER)
                else:
                    answer = batch.popleft().answer
                    if not answer.done():
                        answer.set_result(response)
        if not_master:
            # The same address may lead to the new master by now: a new connection reaches it.
            await connection.disconnect(nowait=True)


def _fail(commands: Iterable[PendingCommand], error: Exception) -> None:
    for command in commands:
        if not command.answer.done():
            command.answer.set_exception(error)
