"""Logs: one line per event, with ids and without personal data.

In: `level` and `form` (console or json). Out: structlog and the standard library set up alike, on standard error.
No module logs a payload. As a second safeguard, values under names that suggest a secret or personal data are masked,
and control characters are escaped, so that no value can forge a line.
"""

import logging
import re
import sys
import time
from collections.abc import Callable
from typing import Any

import structlog
from structlog.types import EventDict, WrappedLogger

_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")
WARN_EVERY = 60.0
"""Seconds between two warnings about the same key, unless a RepeatedWarning is given another time."""
_SECRET = ("secret", "token", "authorization", "password", "api_key", "email", "body")


def set_up(level: str = "INFO", form: str = "console") -> None:
    """Write this program's and the libraries' logs to standard error, from `level` up."""
    shared: list[structlog.types.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        mask_secrets,
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )
    if form != "json":
        shared.append(escape_control_characters)
    last: structlog.types.Processor = (
        structlog.processors.JSONRenderer()
        if form == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                last,
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    # Libraries log too much at INFO: httpx each request with its URL, uvicorn its start and end.
    for name in ("httpx", "httpcore", "uvicorn", "websockets", "asyncio"):
        logging.getLogger(name).setLevel(max(logging.WARNING, logging.getLevelName(level)))


def logger(name: str) -> structlog.stdlib.BoundLogger:
    """The logger of a module; it follows a later `set_up`."""
    found: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(name)
    return found


def mask_secrets(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Replace values whose names suggest a secret or personal data."""
    for key in event:
        if any(word in key.lower() for word in _SECRET):
            event[key] = "***"
    return event


def escape_control_characters(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Escape control characters, as JSON does, so that a text can neither forge a line nor control a terminal."""
    for key, value in event.items():
        if isinstance(value, str) and _CONTROL.search(value):
            event[key] = _CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), value)
    return event


class RepeatedWarning:
    """Limits the log lines of a fault that lasts: one at once, one every *every* seconds, and one when it is over.

    *event* names the warning; `<event>_no_more` is the last line. Each key has its own time; *clock* is in seconds.
    """

    def __init__(
        self,
        log: structlog.stdlib.BoundLogger,
        event: str,
        every: float = WARN_EVERY,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._log = log
        self._event = event
        self._every = every
        self._clock = clock
        # The faults that last, with the time of their last warning.
        self._warned: dict[str, float] = {}

    def __contains__(self, key: str) -> bool:
        return key in self._warned

    def warn(self, key: str, **fields: Any) -> None:
        """Something is wrong with *key*: log a warning, unless the last one is younger than *every*."""
        now = self._clock()
        if now - self._warned.get(key, -self._every) >= self._every:
            self._warned[key] = now
            self._log.warning(self._event, **fields)

    def resolved(self, key: str, **fields: Any) -> None:
        """Nothing is wrong with *key*: log that, if there was a warning before."""
        if self._warned.pop(key, None) is not None:
            self._log.info(f"{self._event}_no_more", **fields)
