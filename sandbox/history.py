"""What things were a while ago, so that a read can lag behind the world as Wix's read model may.

In: each new value of a thing and when it came. Out: everything as it was at a moment. It keeps MAX_LAG seconds.
"""

from collections import deque
from typing import Generic, TypeVar

T = TypeVar("T")

MAX_LAG = 60.0
"""Seconds that a read may lag behind at most."""

ALWAYS = float("-inf")


class History(Generic[T]):
    """The values that each key had; None stands for gone."""

    def __init__(self) -> None:
        self._lines: dict[str, deque[tuple[float, T | None]]] = {}

    def put(self, key: str, at: float, value: T | None) -> None:
        """From *at* on the thing is this."""
        line = self._lines.setdefault(key, deque())
        line.append((at, value))
        while len(line) > 1 and line[1][0] <= at - MAX_LAG:
            line.popleft()

    def at(self, moment: float) -> dict[str, T]:
        """Everything that was there at that moment, in the order it first came."""
        found = {}
        for key, line in self._lines.items():
            value = next((value for since, value in reversed(line) if since <= moment), None)
            if value is not None:
                found[key] = value
        return found

    def forget(self) -> None:
        """Let everything have always been as it is now: a new world has no yesterday without tickets."""
        self._lines = {
            key: deque([(ALWAYS, line[-1][1])]) for key, line in self._lines.items() if line[-1][1] is not None
        }
