"""The rounds of a task in the background: one after another until its process ends, whatever a round raises.

In: what one round does. Out: a log line where Redis does not answer and one when it does again, and a line for a bug, which must not
stop the counter: the same process serves it.
"""

from collections.abc import Awaitable, Callable
from typing import Any

from server.errors import RedisUnavailable
from server.logs import RepeatedWarning
from server.timed_event import TimedEvent

AFTER_BUG = 5.0
"""Seconds until the next round after an error that is a bug."""


async def repeat(
    once: Callable[[], Awaitable[float]],
    stopping: TimedEvent,
    *,
    warning: RepeatedWarning,
    key: str,
    on_bug: Callable[[Exception], None],
    retry: float,
    expected: tuple[type[Exception], ...] = (RedisUnavailable,),
    after_bug: float | None = None,
    **fields: Any,
) -> None:
    """Call *once* until *stopping* is set; it answers how many seconds the next round is away (0: other tasks have their turn first).

    An *expected* error is warned of under *key*, with these *fields*, and the next round comes *retry* seconds later. Any other one is
    given to *on_bug*, and the next round comes *after_bug* seconds later (None = `AFTER_BUG`).
    """
    while not stopping.is_set():
        try:
            wait = await once()
        except expected as error:
            warning.warn(key, **fields, error=str(error))
            wait = retry
        except Exception as error:  # noqa: BLE001 - see the first lines of this file
            on_bug(error)
            wait = AFTER_BUG if after_bug is None else after_bug
        else:
            warning.resolved(key, **fields)
        await stopping.within(wait)
