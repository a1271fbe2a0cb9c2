"""Logs: one line per event, with ids and without personal data.

In: `level` and `form` (console or json). Out: structlog and the standard library set up alike, on standard error.
No module logs a payload. As a second safeguard, values under names that suggest a secret or personal data are masked,
and control characters are escaped, so that no value can forge a line.
"""

import logging
import math
import re
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import structlog
from structlog.types import EventDict, WrappedLogger

_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")
WARN_EVERY = 60.0
"""Seconds between two warnings about the same key, unless a RepeatedWarning is given another time."""
WARN_LONGEST = 900.0
"""Seconds between two lines about an outage that lasts: the time doubles from WARN_EVERY to this."""
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


def log_bug(log: structlog.stdlib.BoundLogger, event: str, error: BaseException, **fields: Any) -> None:
    """Log an error that is a bug by its type and place alone, where its text, a traceback's last line, may have personal data."""
    where = [f"{Path(one.filename).name}:{one.lineno}" for one in traceback.extract_tb(error.__traceback__)]
    log.error(event, error=type(error).__name__, where=" ".join(where), **fields)


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

    def warn(self, key: str, **fields: Any) -> bool:
        """Something is wrong with *key*: log a warning, unless the last one is younger than *every*; tells whether it was logged."""
        now = self._clock()
        if now - self._warned.get(key, -self._every) >= self._every:
            self._warned[key] = now
            self._log.warning(self._event, **fields)
            return True
        return False

    def resolved(self, key: str, **fields: Any) -> None:
        """Nothing is wrong with *key*: log that, if there was a warning before."""
        if self._warned.pop(key, None) is not None:
            self._log.info(f"{self._event}_no_more", **fields)


class OutageLog:
    """The log lines of one thing that fails for a while: at once, after 1, 3, 7 and 15 minutes, then every 15, and one when it is over.

    An outage that begins soon after the last one continues its times, so that something that fails and recovers by turns does not
    fill the log; whatever the turns, the last line says how it is, or is at most as old as the time between two lines. The end is
    told by *over*, with the seconds that it took and how often it failed. *clock* is in seconds.
    """

    def __init__(
        self,
        log: structlog.stdlib.BoundLogger,
        event: str,
        over: str,
        *,
        every: float = WARN_EVERY,
        longest: float = WARN_LONGEST,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._log = log
        self._event = event
        self._over = over
        self._every = every
        self._longest = longest
        self._clock = clock
        # When the outage began; None while there is none.
        self.since: float | None = None
        self._times = 0
        self._last = self._next = -math.inf
        self._between = every
        # Whether a line said that there is an outage, and none yet that it is over.
        self.told = False

    def fault(self, **fields: Any) -> None:
        """It has failed: log a warning with these fields, if one is due."""
        now = self._clock()
        if self.since is None:
            self.since, self._times = now, 0
            if now - self._last >= 2 * self._every:
                self._between, self._next = self._every, now
        self._last = now
        self._times += 1
        if now < self._next:
            return
        self._log.warning(self._event, **fields, **({"times": self._times} if self._times > 1 else {}))
        self.told = True
        self._next, self._between = now + self._between, min(2 * self._between, self._longest)

    def forget(self) -> bool:
        """Nobody needs to know any more how it is; tells whether a line had said that there is an outage."""
        told, self.told, self.since = self.told, False, None
        return told

    def works(self, **fields: Any) -> None:
        """It works: log that the outage is over, if the last line says that there is one."""
        if self.since is None:
            return
        seconds, self.since = self._clock() - self.since, None
        if self.told:
            self.told = False
            self._log.info(self._over, seconds=round(seconds, 1), times=self._times, **fields)
