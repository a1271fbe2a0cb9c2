"""Checks a run: whether all bounds were kept, and how long recovery took.

In: the record of a run. Out: one Result: bounds with their values, figures, and findings in words if a bound is broken.
Everything is computed from the record, after the run.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from bench.chaos.faults import KINDS, WIX_EVENTS, FaultRecord
from bench.chaos.logs import Line
from bench.chaos.timeline import (
    Bounds,
    Claims,
    Span,
    caught_up,
    claim_age,
    ending_after,
    false_spans,
    intersect,
    merge,
    seconds,
    subtract,
)
from bench.chaos.workload import BUYERS, CompletedAction
from tests.rig.simulated_visitors import Shown, Visitor
from tests.rig.supervised_process import Ending

STALE_MARGIN = 10.0
"""Seconds beyond MAX_STALE that an outdated claim may be shown while its connection is alive."""
DISCONNECTED_MARGIN = 60.0
"""Additional seconds without a live connection: after this time the page withdraws the claim by itself."""
EVENT_MARGIN = 3.0
"""Seconds beyond WATCH_EVERY that a state of an event may be used that is over, if no fault delays reads of events."""
CATCH_UP_TIME = 5.0
"""Seconds from a connection's first frame, or from the end of a silence, until it has received every ticket."""
EXIT_WITHIN = 12.0
"""Longest time from SIGTERM to the exit; the server promises ten seconds."""
GUARD = 2.0
"""Orders within these seconds before a fault do not count as calm ones."""
MAX_FINDINGS = 40


@dataclass(frozen=True, slots=True)
class Record:
    """The data of a run. *end* is when it was checked; claims shown then count as shown until then."""

    end: float
    max_stale: float
    watch_every: float
    viewers: Sequence[Visitor]
    claims: dict[str, Claims]
    actions: Sequence[CompletedAction]
    faults: Sequence[FaultRecord]
    endings: Sequence[Ending]
    unexplained: Sequence[Line]
    changes: Sequence[str]
    refused: Sequence[int]


@dataclass(slots=True)
class Bound:
    """An upper bound and the measured value."""

    name: str
    unit: str
    value: float
    most: float = 0.0

    @property
    def kept(self) -> bool:
        """Whether the value is within the bound."""
        return self.value <= self.most


@dataclass(slots=True)
class Healing:
    """A fault, and the seconds from its end until every viewer showed what was true then or later; inf = never."""

    kind: str
    target: str
    lasted: float
    healed: float
    alone: bool
    """Whether no other fault or recovery overlapped with it."""


@dataclass(slots=True)
class Result:
    """All bounds and figures of a run."""

    bounds: list[Bound] = field(default_factory=list)
    calm: list[float] = field(default_factory=list)
    """Seconds from each order without a fault until every connected viewer of its ticket showed the true state."""
    healings: list[Healing] = field(default_factory=list)
    oldest_connected: float = 0.0
    oldest_disconnected: float = 0.0
    """Longest times that an outdated claim was shown, in seconds."""
    withdrawn: float = 0.0
    """The share of time in which viewers showed no claim for a ticket."""
    findings: list[str] = field(default_factory=list)

    @property
    def kept(self) -> bool:
        """Whether every bound is kept."""
        return all(bound.kept for bound in self.bounds)


def check(record: Record) -> Result:
    """Compute the result of a run."""
    result = Result()
    pages = [_Page(viewer, record) for viewer in record.viewers]
    false = _claims(record, pages, result)
    unhealed = _unhealed(record, result)
    exits = _exits(record, result)
    result.findings += [f"changes: {one}" for one in record.changes]
    result.findings += [f"log of {line.part}: {line.text[:400]}" for line in record.unexplained]
    result.findings += [f"a viewer was refused with {code}" for code in record.refused]
    del result.findings[MAX_FINDINGS:]
    result.bounds = [
        Bound("false claims", "viewer-seconds", round(false, 3)),
        Bound("viewers that never healed", "viewers", unhealed),
        Bound("changes lost or doubled", "changes", len(record.changes)),
        Bound("log lines that no fault explains", "lines", len(record.unexplained)),
        Bound("unexpected or unclean exits", "exits", exits),
        Bound("viewers refused permanently", "viewers", len(record.refused)),
    ]
    result.healings = _healings(record, pages)
    result.calm = _calm(record, pages, result.healings)
    return result


class _Page:
    """What a viewer showed, and when its connection was alive and not silent."""

    def __init__(self, viewer: Visitor, record: Record) -> None:
        self.showings = {ticket: viewer.showings(ticket, record.end) for ticket in viewer.tickets}
        self.connected: list[Span] = []
        for session in viewer.sessions:
            over = record.end if session.ended is None else session.ended
            caught_up_spans = [(session.began + CATCH_UP_TIME, over)] if over > session.began + CATCH_UP_TIME else []
            self.connected += subtract(caught_up_spans, silences(record.faults, session.to))


def silences(faults: Iterable[FaultRecord], web: int) -> list[Span]:
    """When viewers of this web received nothing on open connections, and the time until they have caught up."""
    return [
        (fault.begin, fault.end + CATCH_UP_TIME)
        for fault in faults
        if KINDS[fault.kind].silences and fault.target.endswith(f"web{web}")
    ]


def bounds_of(record: Record) -> Bounds:
    """How old the parts of a claim may be that a connected viewer is shown.

    The event was read before the ticket was, so what may be old of the ticket comes on top of what may be old of the event.
    """
    limit = record.max_stale + STALE_MARGIN
    delays = [
        (fault.begin, fault.end + KINDS[fault.kind].delays_events)
        for fault in record.faults
        if KINDS[fault.kind].delays_events
    ]
    return Bounds(limit, limit + record.watch_every + EVENT_MARGIN, tuple(merge(delays)))


def _claims(record: Record, pages: Sequence[_Page], result: Result) -> float:
    bounds = bounds_of(record)
    cut = bounds.later(DISCONNECTED_MARGIN)
    true_now = Bounds(0.0, 0.0)
    false = withdrawn = total = 0.0
    for number, page in enumerate(pages):
        for ticket, showings in page.showings.items():
            claims = record.claims[ticket]
            for shown in showings:
                total += shown.end - shown.begin
                if shown.value is None:
                    withdrawn += shown.end - shown.begin
                    continue
                span = [(shown.begin, shown.end)]
                if not subtract(span, claims.allowed_spans(shown.value, true_now)):
                    continue
                age = claim_age(shown, claims, page.connected, bounds)
                result.oldest_connected = max(result.oldest_connected, age)
                age = claim_age(shown, claims, subtract(span, page.connected), cut)
                result.oldest_disconnected = max(result.oldest_disconnected, age)
                if found := false_spans(shown, claims, page.connected, bounds, cut):
                    false += seconds(found)
                    result.findings.append(_describe(number, ticket, shown, found, record.end))
    result.withdrawn = withdrawn / total if total else 0.0
    return false


def _describe(number: int, ticket: str, shown: Shown, found: Sequence[Span], end: float) -> str:
    begin, _ = found[0]
    return (
        f"viewer {number} showed {shown.value} for {seconds(found):.1f} s too long, from {end - begin:.1f} s before"
        f" the end (ticket {ticket})"
    )


def _unhealed(record: Record, result: Result) -> int:
    found = 0
    for number, viewer in enumerate(record.viewers):
        wrong = [ticket for ticket in viewer.tickets if viewer.shows(ticket) != record.claims[ticket].now]
        found += bool(wrong)
        for ticket in wrong[:1]:
            shown, true = viewer.shows(ticket), record.claims[ticket].now
            result.findings.append(f"viewer {number} never healed: shows {shown}, true is {true}")
    return found


def _exits(record: Record, result: Result) -> int:
    wrong = [
        ending for ending in record.endings if not ending.asked or ending.status > 0 or ending.seconds > EXIT_WITHIN
    ]
    for ending in wrong:
        how = f"after {ending.seconds:.1f} s" if ending.asked else "by itself"
        result.findings.append(f"{ending.part} ended with status {ending.status}, {how}")
    return len(wrong)


def _healings(record: Record, pages: Sequence[_Page]) -> list[Healing]:
    healed = [_healed(fault, record, pages) for fault in record.faults]
    disturbed = [(fault.begin, fault.end + took) for fault, took in zip(record.faults, healed, strict=True)]
    found = []
    for place, (fault, took) in enumerate(zip(record.faults, healed, strict=True)):
        others = disturbed[:place] + disturbed[place + 1 :]
        alone = not intersect([disturbed[place]], others)
        found.append(Healing(fault.kind, fault.target, fault.end - fault.begin, took, alone))
    return found


def _healed(fault: FaultRecord, record: Record, pages: Sequence[_Page]) -> float:
    latest = 0.0
    for page in pages:
        for ticket, showings in page.showings.items():
            at = caught_up(ending_after(showings, fault.end), record.claims[ticket], fault.end)
            latest = max(latest, math.inf if at is None else at - fault.end)
    return latest


def _unread_events_after(fault: FaultRecord) -> float:
    """Seconds for which a change of an event may be unknown after a fault that no viewer may have noticed until then."""
    return KINDS[fault.kind].delays_events if (fault.target,) == WIX_EVENTS else 0.0


def _calm(record: Record, pages: Sequence[_Page], healings: Sequence[Healing]) -> list[float]:
    disturbed = [
        (fault.begin - GUARD, fault.end + max(healing.healed, _unread_events_after(fault)))
        for fault, healing in zip(record.faults, healings, strict=True)
    ]
    pages_by_ticket: dict[str, list[_Page]] = {}
    for page in pages:
        for ticket in page.showings:
            pages_by_ticket.setdefault(ticket, []).append(page)
    found = []
    for action in record.actions:
        if action.kind not in BUYERS or not record.claims[action.ticket].changed(action.begin, action.at):
            continue
        if any(begin <= action.at <= end for begin, end in disturbed):
            continue
        latest = 0.0
        for page in pages_by_ticket.get(action.ticket, ()):
            alive = intersect([(action.at, math.inf)], page.connected)
            if not alive or alive[0][0] > action.at:
                continue
            at = caught_up(
                ending_after(page.showings[action.ticket], action.at), record.claims[action.ticket], action.at
            )
            over = alive[0][1]
            if over == record.end or (at is not None and at < over):
                latest = max(latest, math.inf if at is None else at - action.at)
            # Otherwise the connection ended before, and this viewer does not count.
        found.append(latest)
    return found
