"""A warning of what a person has to mend: said at once, again now and then while it lasts, and its end once.

In: what is wrong, as often as it is found. Out: log lines, few. It asks nobody and remembers only what it has said.
"""

import time
from collections.abc import Callable
from typing import Any

from structlog.stdlib import BoundLogger

SELDOM = 60.0
"""Seconds between two warnings of the same, but for what changes so slowly that its own room knows better."""


class Reminder:
    """One kind of warning of one room, by the name of its event; *every* are the seconds between two of the same."""

    def __init__(
        self, log: BoundLogger, event: str, every: float = SELDOM, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._log = log
        self._event = event
        self._every = every
        self._clock = clock
        # What was warned of and is not over, and when that was said last.
        self._said: dict[str, float] = {}

    def __contains__(self, of: str) -> bool:
        return of in self._said

    def say(self, of: str, **words: Any) -> None:
        """Something is wrong with *of* (whatever its room tells apart): warn, unless that was done of late."""
        now = self._clock()
        if now - self._said.get(of, -self._every) >= self._every:
            self._said[of] = now
            self._log.warning(self._event, **words)

    def over(self, of: str, **words: Any) -> None:
        """All is well with *of*; where there had been a warning, that is said too."""
        if self._said.pop(of, None) is not None:
            self._log.info(f"{self._event}_no_more", **words)
