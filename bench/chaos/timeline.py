"""Values over time, and whether a claim was true while it was shown: exact, from times of changes, without sampling.

In: each value of an object and its time; when reads lagged; when a viewer showed a claim, and when its connection was
alive. Out: the time spans of false claims, the age of outdated claims, and when a viewer caught up. Values can be
anything hashable; None is no claim, and never false. Times are seconds on one clock.

A claim follows from a read of the ticket and a read of its event at another time. So it is allowed at a time if some
state of the ticket and some state of the event give it that were both true not longer ago than Bounds says.
"""

import math
from bisect import bisect_right
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from tests.rig.simulated_visitors import Shown

Value = Hashable
Span = tuple[float, float]
"""A half-open interval: begin (included) and end (excluded)."""

SLACK = 0.05
"""Longest delay with which a timed change (such as an expired hold) is recorded, in seconds."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """How many seconds ago the state of the ticket and that of its event may have ended of which a claim is made.

    *excused* are the spans that do not count for the event, in order: its reads were kept from happening.
    """

    ticket: float
    event: float
    excused: tuple[Span, ...] = ()

    def later(self, by: float) -> "Bounds":
        """Both limits raised by so many seconds."""
        return Bounds(self.ticket + by, self.event + by, self.excused)


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

    @property
    def values(self) -> set[Value]:
        """All values that the object ever had."""
        return {value for _, value in self._changes}

    def _actual_spans(self, value: Value) -> Iterator[Span]:
        ends = [at for at, _ in self._changes[1:]] + [math.inf]
        for (begin, one), end in zip(self._changes, ends, strict=True):
            if one == value:
                yield begin, end


class Claims:
    """What may be said of a ticket over time: *claim_of* a state of the ticket and a state of its event.

    *event* is the timeline of what reads of the event answer; it is shared by the event's tickets.
    """

    def __init__(self, claim_of: Callable[[Any, Any], Value], ticket: Timeline, event: Timeline) -> None:
        self.ticket = ticket
        self.event = event
        self._claim_of = claim_of
        self._actual = Timeline()
        self._states: dict[Value, list[tuple[Value, Value]]] = {}
        self._known: dict[tuple[Value, Bounds], list[Span]] = {}

    def add(self, at: float, ticket: Value, event: Value) -> None:
        """Set both states from the time *at* on; *event* is as it is, also where reads do not tell it."""
        self.ticket.add(at, ticket)
        self._actual.add(at, self._claim_of(ticket, event))
        self._states.clear()
        self._known.clear()

    @property
    def now(self) -> Value:
        """What is true now; raises IndexError if nothing ever was."""
        return self._actual.now

    def changed(self, begin: float, end: float) -> bool:
        """Whether what is true changed between two times, both included."""
        return self._actual.changed(begin, end)

    def actual_spans(self, claim: Value) -> list[Span]:
        """When the claim was true of the ticket and its event at the same time."""
        return self._actual.actual_spans(claim)

    def allowed_spans(self, claim: Value, bounds: Bounds) -> list[Span]:
        """When some state of the ticket and some state of its event allowed the claim, each within its bound."""
        if (claim, bounds) not in self._known:
            found: list[Span] = []
            for ticket, event in self._states_of(claim):
                of_ticket = extend(self.ticket.allowed_spans(ticket), bounds.ticket)
                of_event = extend(self.event.allowed_spans(event), bounds.event, bounds.excused)
                found += intersect(of_ticket, of_event)
            self._known[claim, bounds] = merge(found)
        return self._known[claim, bounds]

    def age(self, claim: Value, at: float, bounds: Bounds) -> float:
        """Seconds since the ticket's state ended of which the claim is made, where the event's is within its bound."""
        youngest = math.inf
        for ticket, event in self._states_of(claim):
            if not _covers(extend(self.event.allowed_spans(event), bounds.event, bounds.excused), at):
                continue
            for begin, end in self.ticket.allowed_spans(ticket):
                if begin < at:
                    youngest = min(youngest, max(0.0, at - end))
        return youngest

    def _states_of(self, claim: Value) -> Sequence[tuple[Value, Value]]:
        if not self._states:
            for ticket in self.ticket.values:
                for event in self.event.values:
                    self._states.setdefault(self._claim_of(ticket, event), []).append((ticket, event))
        return self._states.get(claim, ())


# -- checks --


def false_spans(shown: Shown, claims: Claims, connected: Sequence[Span], bounds: Bounds, cut: Bounds) -> list[Span]:
    """When a claim was shown for longer than allowed: *bounds* while connected, *cut* while not."""
    if shown.value is None:
        return []
    shown_span = [(shown.begin, shown.end)]
    while_connected = intersect(shown_span, connected)
    while_disconnected = subtract(shown_span, connected)
    return merge(
        subtract(while_connected, claims.allowed_spans(shown.value, bounds))
        + subtract(while_disconnected, claims.allowed_spans(shown.value, cut))
    )


def claim_age(shown: Shown, claims: Claims, within: Sequence[Span], bounds: Bounds) -> float:
    """The longest time within these spans that an outdated claim was shown; inf if it had never been true."""
    if shown.value is None:
        return 0.0
    now = Bounds(0.0, bounds.event, bounds.excused)
    outdated = subtract(intersect([(shown.begin, shown.end)], within), claims.allowed_spans(shown.value, now))
    return max((claims.age(shown.value, end, bounds) for _, end in outdated), default=0.0)


def caught_up(showings: Iterable[Shown], timeline: Claims, since: float) -> float | None:
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


def _covers(spans: Iterable[Span], at: float) -> bool:
    """Whether a span includes this time; here its end is included too."""
    return any(begin <= at <= end for begin, end in spans)


def extend(spans: Iterable[Span], by: float, excused: Sequence[Span] = ()) -> list[Span]:
    """Each span until *by* seconds after its end, without those that are *excused* (in order, apart from each other)."""
    return merge((begin, _later(end, by, excused)) for begin, end in spans)


def _later(at: float, by: float, excused: Sequence[Span]) -> float:
    left = by
    for begin, end in excused:
        if end <= at:
            continue
        if at + left <= begin:
            break
        left -= max(0.0, begin - at)
        at = end
    return at + left
