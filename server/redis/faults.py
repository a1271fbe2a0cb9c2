"""Every way in which Redis can be away, told apart from bugs of ours.

In: what redis-py raises. Out: RedisUnavailable, or the same error for what is no fault of Redis.
"""

import asyncio
from typing import Any

from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import NoPermissionError, RedisError, ResponseError

from server import metrics
from server.errors import RedisUnavailable

_AWAY = {
    "OOM",
    "READONLY",
    "LOADING",
    "CLUSTERDOWN",
    "MASTERDOWN",
    "NOREPLICAS",
    "TRYAGAIN",
    "MOVED",
    "ASK",
    "MISCONF",
    "BUSY",
}
"""First words of the errors with which a Redis that is there takes nothing for now."""


class faults:  # noqa: N801 - reads as a statement at the call
    """Turn every way in which Redis can be away into RedisUnavailable; anything else is a bug and stays itself.

    A cancel is heard as well: redis-py sends inside asyncio.wait_for, which on Python 3.11 loses a cancel that comes in
    the turn in which the bytes are written (python/cpython#86296), and the task would go on for ever.
    """

    def __init__(self, call: str) -> None:
        self.call = call

    def __enter__(self) -> None:
        self.cancels = _cancels()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if _cancels() > self.cancels and not isinstance(error, asyncio.CancelledError):
            raise asyncio.CancelledError
        if error is not None and _away(error):
            metrics.store_faults.labels(self.call).inc()
            raise RedisUnavailable(f"Redis did not take {self.call}: {type(error).__name__}: {error}") from error


async def read(connection: Any, timeout: float, **how: bool) -> Any:  # noqa: ASYNC109 - as redis-py has it
    """Read one answer on a connection of redis-py's, None after so many seconds without one; raises its errors.

    It takes the kernel's ETIMEDOUT, of a link that is dead, for the end of its own waiting.
    """
    found = await connection.read_response(timeout=timeout, **how)
    if found is None and (lost := connection._reader.exception()):  # noqa: SLF001 - nobody else tells
        raise RedisConnectionError(f"the link to Redis is dead: {lost}")
    return found


def _cancels() -> int:
    task = asyncio.current_task()
    return task.cancelling() if task else 0


def _away(error: BaseException) -> bool:
    match error:
        case NoPermissionError():
            return True
        case ResponseError():
            # redis-py takes the first word off the text of those errors that it has a class for.
            return (error.status_code or str(error).partition(" ")[0]) in _AWAY
        case RuntimeError():
            # uvloop's, of a connection that was reset.
            return "the handler is closed" in str(error)
        case _:
            return isinstance(error, (RedisError, OSError))
