"""Earlier states of objects, so that reads can lag behind writes as in Wix's read model.

In: each new value of an object and its time. Out: all objects as they were at a given time. It keeps MAX_LAG seconds.
"""

from collections import deque
from typing import Generic, TypeVar

T = TypeVar("T")

MAX_LAG = 60.0
"""The longest lag of a read, in seconds."""

ALWAYS = float("-inf")


class History(Generic[T]):
    """The values of each key over time; None means deleted."""

    def __init__(self) -> None:
        self._values: dict[str, deque[tuple[float, T | None]]] = {}

    def put(self, key: str, at: float, value: T | None) -> None:
        """Set the value from the time *at* on."""
        values = self._values.setdefault(key, deque())
        values.append((at, value))
        while len(values) > 1 and values[1][0] <= at - MAX_LAG:
            values.popleft()

    def at(self, moment: float) -> dict[str, T]:
        """All objects that existed at that time, in order of creation."""
        found = {}
        for key, values in self._values.items():
            value = next((value for since, value in reversed(values) if since <= moment), None)
            if value is not None:
                found[key] = value
        return found

    def forget(self) -> None:
        """Drop earlier values, as if the current ones had always been there: a lagging read finds the first tickets."""
        self._values = {
            key: deque([(ALWAYS, values[-1][1])]) for key, values in self._values.items() if values[-1][1] is not None
        }
