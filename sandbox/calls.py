"""The record of API calls, and the limit on them.

In: each call as it begins and ends. Out: whether it is one too many within a minute, and a list for whoever wants to
see what a client does. Token requests are recorded and do not count.
Source: Wix, "Rate limits" (200 a minute and app instance).
"""

import time
from collections import deque
from dataclasses import dataclass

from sandbox.clock import Clock

WINDOW = 60.0
MAX_KEPT = 100_000
"""Calls that are remembered."""

TOKEN = "token"  # noqa: S105 - the kind of a call
NO_ANSWER = 0


@dataclass(slots=True)
class Call:
    """One call, the *n*-th, begun at *at*; *status* is 0 while there is no answer, and where none came."""

    n: int
    at: float
    method: str
    path: str
    kind: str
    status: int = NO_ANSWER
    ms: int = 0


class CallLog:
    """All calls of the site."""

    def __init__(self, *, clock: Clock = time.time, keep: int = MAX_KEPT) -> None:
        self._clock = clock
        self._kept: deque[Call] = deque(maxlen=keep)
        self._count = 0
        self._window: deque[float] = deque()

    def begin(self, method: str, path: str, kind: str) -> Call:
        """Record a call that has come."""
        self._count += 1
        call = Call(self._count, self._clock(), method, path, kind)
        self._kept.append(call)
        return call

    def end(self, call: Call, status: int) -> None:
        """Record its answer."""
        call.status = status
        call.ms = int((self._clock() - call.at) * 1000)

    def allow(self, limit: int) -> bool:
        """Count one call, unless there were *limit* in the minute before now; those refused do not count."""
        now = self._clock()
        while self._window and self._window[0] <= now - WINDOW:
            self._window.popleft()
        if len(self._window) >= limit:
            return False
        self._window.append(now)
        return True

    def since(self, n: int = 0, kind: str | None = None) -> list[Call]:
        """The remembered calls after the *n*-th, oldest first."""
        return [call for call in self._kept if call.n > n and kind in (None, call.kind)]
