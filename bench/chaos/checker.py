"""The result on a run: what was promised, what was found, and how long truth took.

In: the record of a run. Out: one Result: bounds with their values, figures with their units, and findings in words
where a bound is broken. Everything is computed from what was recorded, after the run.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from bench.chaos.faults import KINDS, FaultRecord
from bench.chaos.logs import Line
from bench.chaos.timeline import (
    Bounds,
    Span,
    Timeline,
    caught_up,
    claim_age,
    ending_after,
    false_spans,
    intersect,
    seconds,
    subtract,
)
from bench.chaos.workload import EDITS, CompletedAction
from tests.rig.crowd import Shown, Viewer
from tests.rig.supervised import Ending

STALE_MARGIN = 10.0
"""Seconds over MAX_STALE that a claim may stand while its connection lives."""
DISCONNECTED_MARGIN = 60.0
"""Seconds more where it is cut: after those the page withdraws by itself."""
CATCH_UP_TIME = 5.0
"""Seconds from a connection's first frame, or from the end of a silence, in which it is told of every ticket."""
EXIT_WITHIN = 12.0
"""Seconds from SIGTERM to the end: ten are promised."""
GUARD = 2.0
"""Seconds before a fault in which an order is not counted as one of calm times."""
MAX_FINDINGS = 40


@dataclass(frozen=True, slots=True)
class Record:
    """What a run left: *end* is when it was judged, and what each viewer showed then is all that is left of him."""

    end: float
    max_stale: float
    viewers: Sequence[Viewer]
    claims: dict[str, Timeline]
    actions: Sequence[CompletedAction]
    faults: Sequence[FaultRecord]
    endings: Sequence[Ending]
    unexplained: Sequence[Line]
    changes: Sequence[str]
    refused: Sequence[int]


@dataclass(slots=True)
class Bound:
    """A promise: so many of these, and no more."""

    name: str
    unit: str
    value: float
    most: float = 0.0

    @property
    def kept(self) -> bool:
        """Whether it holds."""
        return self.value <= self.most


@dataclass(slots=True)
class Healing:
    """A fault and the seconds from its end until every viewer showed what was true then or later; inf = never."""

    kind: str
    target: str
    lasted: float
    healed: float
    alone: bool
    """Whether between its begin and that moment no other fault happened, nor healed."""


@dataclass(slots=True)
class Result:
    """All of it."""

    bounds: list[Bound] = field(default_factory=list)
    calm: list[float] = field(default_factory=list)
    """Seconds from each order in calm times until every connected viewer of its ticket showed the truth."""
    healings: list[Healing] = field(default_factory=list)
    oldest_connected: float = 0.0
    oldest_disconnected: float = 0.0
    """Seconds that a claim stood at most after it had ceased to be true."""
    withdrawn: float = 0.0
    """The share of all viewers' time with a ticket in which nothing was claimed of it."""
    findings: list[str] = field(default_factory=list)

    @property
    def kept(self) -> bool:
        """Whether every bound holds."""
        return all(bound.kept for bound in self.bounds)


def check(record: Record) -> Result:
    """Everything that a record says."""
    result = Result()
    pages = [_Page(viewer, record) for viewer in record.viewers]
    false = _claims(record, pages, result)
    unhealed = _unhealed(record, result)
    ends = _ends(record, result)
    result.findings += [f"changes: {one}" for one in record.changes]
    result.findings += [f"log of {line.part}: {line.text[:400]}" for line in record.unexplained]
    result.findings += [f"a viewer was refused with {code}" for code in record.refused]
    del result.findings[MAX_FINDINGS:]
    result.bounds = [
        Bound("false claims", "viewer-seconds", round(false, 3)),
        Bound("viewers that never healed", "viewers", unhealed),
        Bound("changes lost or doubled", "changes", len(record.changes)),
        Bound("lines in logs that no fault explains", "lines", len(record.unexplained)),
        Bound("ends that nobody asked for, or not in order", "ends", ends),
        Bound("viewers refused for good", "viewers", len(record.refused)),
    ]
    result.healings = _healings(record, pages)
    result.calm = _calm(record, pages, result.healings)
    return result


class _Page:
    """What a viewer showed, and when his connection lived and was not silent."""

    def __init__(self, viewer: Viewer, record: Record) -> None:
        self.showings = {ticket: viewer.showings(ticket, record.end) for ticket in viewer.tickets}
        self.connected: list[Span] = []
        for episode in viewer.episodes:
            over = record.end if episode.ended is None else episode.ended
            spoke = [(episode.began + CATCH_UP_TIME, over)] if over > episode.began + CATCH_UP_TIME else []
            self.connected += subtract(spoke, silences(record.faults, episode.to))


def silences(faults: Iterable[FaultRecord], web: int) -> list[Span]:
    """When viewers of this web heard nothing without being told, and the time after that in which they are."""
    return [
        (fault.begin, fault.end + CATCH_UP_TIME)
        for fault in faults
        if KINDS[fault.kind].silences and fault.target.endswith(f"web{web}")
    ]


def _claims(record: Record, pages: Sequence[_Page], result: Result) -> float:
    connected = record.max_stale + STALE_MARGIN
    bounds = Bounds(connected, connected + DISCONNECTED_MARGIN)
    false = nothing = whole = 0.0
    for number, page in enumerate(pages):
        for ticket, showings in page.showings.items():
            past = record.claims[ticket]
            for shown in showings:
                whole += shown.end - shown.begin
                if shown.value is None:
                    nothing += shown.end - shown.begin
                    continue
                true = past.allowed_spans(shown.value)
                stretch = [(shown.begin, shown.end)]
                if not subtract(stretch, true):
                    continue
                result.oldest_connected = max(result.oldest_connected, claim_age(shown, true, page.connected))
                away = subtract(stretch, page.connected)
                result.oldest_disconnected = max(result.oldest_disconnected, claim_age(shown, true, away))
                if found := false_spans(shown, true, page.connected, bounds):
                    false += seconds(found)
                    result.findings.append(_describe(number, ticket, shown, found, record.end))
    result.withdrawn = nothing / whole if whole else 0.0
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


def _ends(record: Record, result: Result) -> int:
    wrong = [
        ending for ending in record.endings if not ending.asked or ending.status > 0 or ending.seconds > EXIT_WITHIN
    ]
    for ending in wrong:
        how = f"after {ending.seconds:.1f} s" if ending.asked else "by itself"
        result.findings.append(f"{ending.part} ended with status {ending.status}, {how}")
    return len(wrong)


def _healings(record: Record, pages: Sequence[_Page]) -> list[Healing]:
    healed = [_healed(fault, record, pages) for fault in record.faults]
    troubled = [(fault.begin, fault.end + took) for fault, took in zip(record.faults, healed, strict=True)]
    found = []
    for place, (fault, took) in enumerate(zip(record.faults, healed, strict=True)):
        others = troubled[:place] + troubled[place + 1 :]
        alone = not intersect([troubled[place]], others)
        found.append(Healing(fault.kind, fault.target, fault.end - fault.begin, took, alone))
    return found


def _healed(fault: FaultRecord, record: Record, pages: Sequence[_Page]) -> float:
    latest = 0.0
    for page in pages:
        for ticket, showings in page.showings.items():
            at = caught_up(ending_after(showings, fault.end), record.claims[ticket], fault.end)
            latest = max(latest, math.inf if at is None else at - fault.end)
    return latest


def _calm(record: Record, pages: Sequence[_Page], healings: Sequence[Healing]) -> list[float]:
    troubled = [
        (fault.begin - GUARD, fault.end + healing.healed)
        for fault, healing in zip(record.faults, healings, strict=True)
    ]
    watchers: dict[str, list[_Page]] = {}
    for page in pages:
        for ticket in page.showings:
            watchers.setdefault(ticket, []).append(page)
    found = []
    for deal in record.actions:
        if deal.kind in EDITS or not record.claims[deal.ticket].changed(deal.begin, deal.at):
            continue
        if any(begin <= deal.at <= end for begin, end in troubled):
            continue
        latest = 0.0
        for page in watchers.get(deal.ticket, ()):
            lives = intersect([(deal.at, math.inf)], page.connected)
            if not lives or lives[0][0] > deal.at:
                continue
            at = caught_up(ending_after(page.showings[deal.ticket], deal.at), record.claims[deal.ticket], deal.at)
            over = lives[0][1]
            if over == record.end or (at is not None and at < over):
                latest = max(latest, math.inf if at is None else at - deal.at)
            # Else he left before, and is nobody's witness.
        found.append(latest)
    return found
