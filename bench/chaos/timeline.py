"""Values over time, and whether a claim was true while it was shown: exact, from times of changes, without sampling.

In: each value of an object and its time; when reads lagged; when a viewer showed a claim, and when its connection was
alive. Out: the time spans of false claims, the age of outdated claims, and when a viewer caught up. Values can be
anything hashable; None is no claim, and never false. Times are seconds on one clock.
"""

import math
from bisect import bisect_right
from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from tests.rig.simulated_visitors import Shown

Value = Hashable
Span = tuple[float, float]
"""A half-open interval: begin (included) and end (excluded)."""

SLACK = 0.05
"""Longest delay with which a timed change (such as an expired hold) is recorded, in seconds."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """How long an outdated claim may be shown, in seconds, while the connection is alive and while it is not."""

    connected: float
    disconnected: float


class Timeline:
    """All values of an object over time; *lags* are the spans in which Wix's reads lagged, and by how many seconds."""

    def __init__(self, lags: Sequence[tuple[Span, float]] = (), *, slack: float = SLACK) -> None:
        self._changes: list[tuple[float, Value]] = []
        self._lags = lags
        self._slack = slack
        self._known: dict[Value, list[Span]] = {}

    def add(self, at: float, value: Value) -> bool:
        """Set the value from the time *at* on; return whether it is a new value."""
        if self._changes and self._changes[-1][1] == value:
            return False
        self._changes.append((at, value))
        self._known.clear()
        return True

    @property
    def now(self) -> Value:
        """The current value; raises IndexError if there never was one."""
        return self._changes[-1][1]

    def changed(self, begin: float, end: float) -> bool:
        """Whether the value changed between two times, both included."""
        return any(begin <= at <= end for at, _ in self._changes)

    def actual_spans(self, value: Value) -> list[Span]:
        """When the object had this value."""
        return list(self._actual_spans(value))

    def allowed_spans(self, value: Value) -> list[Span]:
        """When the object had this value, or lagging reads of Wix still returned it: the server cannot know better."""
        if value not in self._known:
            self._known[value] = self._allowed_spans(value)
        return self._known[value]

    def _allowed_spans(self, value: Value) -> list[Span]:
        own = list(self._actual_spans(value))
        late = [
            (max(begin + lag, since), min(end + lag, until))
            for (since, until), lag in self._lags
            for begin, end in own
            if max(begin + lag, since) < min(end + lag, until)
        ]
        return merge((begin - self._slack, end + self._slack) for begin, end in own + late)

    def _actual_spans(self, value: Value) -> Iterator[Span]:
        ends = [at for at, _ in self._changes[1:]] + [math.inf]
        for (begin, one), end in zip(self._changes, ends, strict=True):
            if one == value:
                yield begin, end


# -- checks --


def false_spans(shown: Shown, true: Sequence[Span], connected: Sequence[Span], bounds: Bounds) -> list[Span]:
    """When a claim was shown for longer than allowed, given when its value was *true*."""
    if shown.value is None:
        return []
    shown_span = [(shown.begin, shown.end)]
    while_connected = intersect(shown_span, connected)
    while_disconnected = subtract(shown_span, connected)
    false = subtract(while_connected, _extend(true, bounds.connected)) + subtract(
        while_disconnected, _extend(true, bounds.disconnected)
    )
    return merge(false)


def claim_age(shown: Shown, true: Sequence[Span], within: Sequence[Span]) -> float:
    """The longest time within these spans that an outdated claim was shown; inf if it had never been true."""
    if shown.value is None:
        return 0.0
    oldest = 0.0
    for begin, end in subtract(intersect([(shown.begin, shown.end)], within), true):
        last = max((over for _, over in true if over <= begin), default=-math.inf)
        oldest = max(oldest, end - last) if end > begin else oldest
    return oldest


def caught_up(showings: Iterable[Shown], timeline: Timeline, since: float) -> float | None:
    """When a viewer first showed a value that was true at the time *since* or later; None if never."""
    for shown in showings:
        if shown.end <= since or shown.value is None:
            continue
        for begin, end in timeline.actual_spans(shown.value):
            at = max(begin, shown.begin, since)
            if end > since and at < shown.end:
                return at
    return None


def ending_after(stretches: Sequence[Shown], since: float) -> Sequence[Shown]:
    """Those that end after a given time."""
    return stretches[bisect_right(stretches, since, key=lambda one: one.end) :]


# -- spans --


def merge(spans: Iterable[Span]) -> list[Span]:
    """The union of these spans, in order."""
    found: list[Span] = []
    for begin, end in sorted(spans):
        if found and begin <= found[-1][1]:
            found[-1] = (found[-1][0], max(end, found[-1][1]))
        elif end > begin:
            found.append((begin, end))
    return found


def intersect(some: Iterable[Span], others: Sequence[Span]) -> list[Span]:
    """The times that are in both lists."""
    both = ((max(a, c), min(b, d)) for a, b in some for c, d in others)
    return merge((begin, end) for begin, end in both if begin < end)


def subtract(some: Sequence[Span], others: Iterable[Span]) -> list[Span]:
    """The times in the first list that are not in the second."""
    left = merge(some)
    for begin, end in others:
        pairs = ((piece, (begin, end)) for piece in left)
        left = [part for piece, hole in pairs for part in _without(piece, hole) if part[0] < part[1]]
    return left


def seconds(spans: Iterable[Span]) -> float:
    """The total duration."""
    return sum(end - begin for begin, end in spans)


def _without(piece: Span, hole: Span) -> Iterator[Span]:
    if hole[1] <= piece[0] or piece[1] <= hole[0]:
        yield piece
        return
    yield piece[0], min(piece[1], hole[0])
    yield max(piece[0], hole[1]), piece[1]


def _extend(spans: Iterable[Span], by: float) -> list[Span]:
    return merge((begin, end + by) for begin, end in spans)
