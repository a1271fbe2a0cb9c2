"""What was true and when, and whether what was shown of it was: judged exactly, from moments and not from samples.

In: each value that a thing took on, and when; since when reads lag; what somebody showed of it from when to when, and
while what his connection lived. Out: the stretches in which a claim was false, how old it grew, and when it caught up.
Values are anything that compares; None is no claim at all, and never false. Moments are seconds on one clock.
"""

import math
from bisect import bisect_right
from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from tests.rig.crowd import Shown

Value = Hashable
Span = tuple[float, float]
"""From a moment to another, which is no part of it."""

SLACK = 0.05
"""Seconds by which the moment of a change that time brings about (a hold that expires) may be known too late."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """How long after it has ceased to be true a claim may stand, in seconds: while a connection lives, and when not."""

    connected: float
    disconnected: float


class Timeline:
    """Every value that a thing has had: *lags* are the times in which Wix answered what was true so long ago."""

    def __init__(self, lags: Sequence[tuple[Span, float]] = (), *, slack: float = SLACK) -> None:
        self._changes: list[tuple[float, Value]] = []
        self._lags = lags
        self._slack = slack
        self._known: dict[Value, list[Span]] = {}

    def add(self, at: float, value: Value) -> bool:
        """From now on it is this; tells whether that is new."""
        if self._changes and self._changes[-1][1] == value:
            return False
        self._changes.append((at, value))
        self._known.clear()
        return True

    @property
    def now(self) -> Value:
        """What it is; raises IndexError for a thing that never was anything."""
        return self._changes[-1][1]

    def changed(self, begin: float, end: float) -> bool:
        """Whether it became something else between two moments, these included."""
        return any(begin <= at <= end for at, _ in self._changes)

    def actual_spans(self, value: Value) -> list[Span]:
        """When this was true of the thing itself."""
        return list(self._actual_spans(value))

    def allowed_spans(self, value: Value) -> list[Span]:
        """When this was true, or Wix's answer: a read model that lags is Wix's untruth, and not ours."""
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


# -- judging --


def false_spans(shown: Shown, true: Sequence[Span], connected: Sequence[Span], bounds: Bounds) -> list[Span]:
    """When a claim stood for longer than it may, given when its value was true."""
    if shown.value is None:
        return []
    whole = [(shown.begin, shown.end)]
    here = intersect(whole, connected)
    away = subtract(whole, connected)
    false = subtract(here, _extend(true, bounds.connected)) + subtract(away, _extend(true, bounds.disconnected))
    return merge(false)


def claim_age(shown: Shown, true: Sequence[Span], within: Sequence[Span]) -> float:
    """How long a claim had not been true any more, at most, in these times: inf if it never had been."""
    if shown.value is None:
        return 0.0
    oldest = 0.0
    for begin, end in subtract(intersect([(shown.begin, shown.end)], within), true):
        last = max((over for _, over in true if over <= begin), default=-math.inf)
        oldest = max(oldest, end - last) if end > begin else oldest
    return oldest


def caught_up(showings: Iterable[Shown], past: Timeline, since: float) -> float | None:
    """When somebody first showed what was true at that moment or later; None if never."""
    for shown in showings:
        if shown.end <= since or shown.value is None:
            continue
        for begin, end in past.actual_spans(shown.value):
            at = max(begin, shown.begin, since)
            if end > since and at < shown.end:
                return at
    return None


def ending_after(stretches: Sequence[Shown], since: float) -> Sequence[Shown]:
    """Those that reach beyond a moment."""
    return stretches[bisect_right(stretches, since, key=lambda one: one.end) :]


# -- spans --


def merge(spans: Iterable[Span]) -> list[Span]:
    """The same times, in order, each but once."""
    found: list[Span] = []
    for begin, end in sorted(spans):
        if found and begin <= found[-1][1]:
            found[-1] = (found[-1][0], max(end, found[-1][1]))
        elif end > begin:
            found.append((begin, end))
    return found


def intersect(some: Iterable[Span], others: Sequence[Span]) -> list[Span]:
    """The times that are in both."""
    both = ((max(a, c), min(b, d)) for a, b in some for c, d in others)
    return merge((begin, end) for begin, end in both if begin < end)


def subtract(some: Sequence[Span], others: Iterable[Span]) -> list[Span]:
    """The times of the first that are not in the others."""
    left = merge(some)
    for begin, end in others:
        pieces = ((piece, (begin, end)) for piece in left)
        left = [part for piece, hole in pieces for part in _without(piece, hole) if part[0] < part[1]]
    return left


def seconds(spans: Iterable[Span]) -> float:
    """How long all of them take."""
    return sum(end - begin for begin, end in spans)


def _without(piece: Span, hole: Span) -> Iterator[Span]:
    if hole[1] <= piece[0] or piece[1] <= hole[0]:
        yield piece
        return
    yield piece[0], min(piece[1], hole[0])
    yield max(piece[0], hole[1]), piece[1]


def _extend(spans: Iterable[Span], by: float) -> list[Span]:
    return merge((begin, end + by) for begin, end in spans)
