"""Tells errors that mean "Redis is unavailable" from bugs.

In: errors of redis-py. Out: RedisUnavailable; RedisUnfit where Redis refuses how it is set up or addressed; or the same
error where Redis is not the cause.
"""

import asyncio
from typing import Any

from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import NoPermissionError, RedisError, ResponseError

from server import metrics
from server.errors import RedisUnavailable, RedisUnfit
from server.redis.unfit import refusal

_UNAVAILABLE = {
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
"""First words of error replies with which a running Redis refuses commands for now."""


class translate_errors:  # noqa: N801 - reads as a statement at the call
    """Raise RedisUnavailable for errors that mean so, and count them by *call*; let bugs pass unchanged.

    Also raise a cancellation that the block swallowed: redis-py sends inside asyncio.wait_for, which on Python 3.11 loses
    a cancellation in the loop iteration in which the bytes are written (python/cpython#86296); the task would never end.
    """

    def __init__(self, call: str) -> None:
        self.call = call

    def __enter__(self) -> None:
        self.cancellations = _cancellations()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if _cancellations() > self.cancellations and not isinstance(error, asyncio.CancelledError):
            raise asyncio.CancelledError
        if error is None:
            return
        if text := refusal(error):
            raise RedisUnfit(text) from None
        if _is_unavailable(error):
            metrics.store_faults.labels(self.call).inc()
            raise RedisUnavailable(f"Redis did not take {self.call}: {type(error).__name__}: {error}") from error


async def read_response(connection: Any, timeout: float, **options: bool) -> Any:  # noqa: ASYNC109 - as in redis-py
    """Read one response on a connection of redis-py, or None after *timeout* seconds; raises redis-py's errors.

    redis-py takes the kernel's ETIMEDOUT, of a dead TCP connection, for its own time-out, and returns None for it too.
    """
    response = await connection.read_response(timeout=timeout, **options)
    if response is None and (error := connection._reader.exception()):  # noqa: SLF001 - there is no public way
        raise RedisConnectionError(f"the link to Redis is dead: {error}")
    return response


def _cancellations() -> int:
    task = asyncio.current_task()
    return task.cancelling() if task else 0


def _is_unavailable(error: BaseException) -> bool:
    match error:
        case NoPermissionError():
            return True
        case ResponseError():
            # redis-py removes the first word from the text of errors for which it has a class.
            return (error.status_code or str(error).partition(" ")[0]) in _UNAVAILABLE
        case RuntimeError():
            # Raised by uvloop on a connection that was reset.
            return "the handler is closed" in str(error)
        case _:
            return isinstance(error, (RedisError, OSError))
