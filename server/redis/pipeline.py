"""Commands of many tasks on one connection to Redis: what waits while Redis answers goes out together, in one write.

In: commands. Out: a future for each, with its own answer or its own error. A write and a read cost us more than all
else that Redis has to do with a webhook, so that in a rush many share one. It knows no script and no site, and never
waits for company: a command that comes alone goes alone. Who stops waiting is passed over and disturbs nobody.
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

from server.redis.faults import read

MOST = 100
"""Commands that go out together: Redis does them in one go, and some milliseconds are what others may wait for that."""

DEMOTED = (ReadOnlyError, MasterDownError)
"""What a server says that was the master and is not any more."""


RETRIED = (RedisConnectionError, RuntimeError)
"""After these a command is tried once more, on a new connection: each of ours may run twice.

That Redis closed a pooled one (it was restarted) is learned by using it. Of one that was reset while nobody used it the
pool does not know, and to write to it is a RuntimeError of uvloop's. What takes too long is never tried again.
"""


@dataclass(frozen=True, slots=True)
class PendingCommand:
    """One command as it goes over the wire, and who waits for its answer."""

    packed: bytes
    answer: asyncio.Future[Any]


class Pipeline:
    """One connection of a *pool* of redis-py's, which opens it, logs in and closes it.

    *within* are seconds from a write to the last of its answers, as Redis does one command after the other, whichever
    connections they come by. Errors are whatever redis-py lets through: faults.py knows which of them is Redis's.
    """

    def __init__(self, pool: Any, within: float) -> None:
        self._pool = pool
        self._within = within
        self._waiting: deque[PendingCommand] = deque()
        self._running: asyncio.Task[None] | None = None

    def ask(self, *command: str | float) -> asyncio.Future[Any]:
        """Ask one command. It is sent in the loop's next turn, with all that others ask in this one."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Any] = loop.create_future()
        self._waiting.append(PendingCommand(hiredis.pack_command(command), answer))  # type: ignore[arg-type] # any tuple is taken
        if self._running is None:
            self._running = loop.create_task(self._run(), name="redis: pipeline")
        return answer

    async def aclose(self) -> None:
        """Wait for what is being asked; it has its limits."""
        if self._running is not None:
            await asyncio.wait({self._running})

    async def _run(self) -> None:
        """Ask while anybody waits. The pool looks whether the connection is still good before it lends it."""
        together: deque[PendingCommand] = deque()
        try:
            while self._waiting:
                try:
                    connection = await self._pool.get_connection()
                except Exception as error:  # noqa: BLE001 - who asked hears of it, whatever it is
                    while together := self._next():
                        _fail(together, error)
                    continue
                try:
                    while together := self._next():
                        await self._exchange(connection, together)
                finally:
                    await self._pool.release(connection)
        finally:
            self._running = None
            # Nobody, but after a cancel or a fault of the pool: they would wait for ever.
            _fail([*together, *self._waiting], RedisConnectionError("nobody asks Redis any more"))
            self._waiting.clear()

    def _next(self) -> deque[PendingCommand]:
        """Who is next: those who came first and still wait."""
        found: deque[PendingCommand] = deque()
        while self._waiting and len(found) < MOST:
            one = self._waiting.popleft()
            if not one.answer.done():
                found.append(one)
        return found

    async def _exchange(self, connection: Any, together: deque[PendingCommand]) -> None:
        """Ask them, and once more on a new connection those whose answer a closed one did not bring."""
        try:
            try:
                await self._once(connection, together)
            except RETRIED:  # of others one hears the second time
                await connection.disconnect(nowait=True)
                await self._once(connection, together)
        except Exception as error:  # noqa: BLE001 - as above
            # An answer that came later would be taken for that to the next command.
            await connection.disconnect(nowait=True)
            _fail(together, error)

    async def _once(self, connection: Any, together: deque[PendingCommand]) -> None:
        # redis-py limits this itself; a limit around it could be lost in its wait_for (python/cpython#86296).
        await connection.send_packed_command(b"".join([one.packed for one in together]))
        demoted = False
        async with asyncio.timeout(self._within):
            while together:
                try:
                    found = await read(connection, math.inf)
                except ResponseError as error:
                    _fail([together.popleft()], error)
                    demoted = demoted or isinstance(error, DEMOTED)
                else:
                    answer = together.popleft().answer
                    if not answer.done():
                        answer.set_result(found)
        if demoted:
            # Behind the same address there may be another master by now: a new connection leads there.
            await connection.disconnect(nowait=True)


def _fail(those: Iterable[PendingCommand], error: Exception) -> None:
    for one in those:
        if not one.answer.done():
            one.answer.set_exception(error)
