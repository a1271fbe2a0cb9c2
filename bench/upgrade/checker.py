"""Checks every frame: whether what it says was true at its time, by the rules that were in force.

In: the record of a run. Out: what was wrong, in words, and figures. A frame counts as shown until the next one of its ticket, or the
end of its connection. What may be said:

- `unknown`, always.
- A counter of this code, on either web (an old web passes on what is published, until its next look at what is stored, five
  seconds later): what was true of the ticket at most MAX_STALE ago, and of its event WATCH_EVERY before that.
- A counter of the old code, on the old web only: what was true of the ticket at most MAX_STALE ago, whatever the event says;
  while the site has this code's rules, only until a new worker has read the ticket, and until the next look of the old web.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby, pairwise
from typing import Any

from bench.chaos.timeline import Bounds, Claims, Span, claim_age, extend, intersect, merge, seconds, subtract
from bench.upgrade.parts import NEW, SETTINGS, Record, Stored
from tests.rig import canonical_counter
from tests.rig.canonical_counter import EventState, TicketState
from tests.rig.simulated_visitors import Shown

MARGIN = 3.0
"""Seconds beyond MAX_STALE and WATCH_EVERY: the looks of a web process, and a busy machine."""
REPLACED_WITHIN = 1.0
"""Seconds until what a new worker has stored reaches every viewer."""
LOOKS_WITHIN = 7.0
"""Seconds until an old web has looked at what is stored."""
ADDED = ("fees", "buy")
"""Members of a counter that the old code does not have."""
OFFERS = ("available", "low", "scheduled")
LIMIT = float(SETTINGS["MAX_STALE"]) + MARGIN
BOUNDS = Bounds(LIMIT, LIMIT + float(SETTINGS["WATCH_EVERY"]) + MARGIN)
MAX_FINDINGS = 30


@dataclass(frozen=True, slots=True)
class Result:
    """What was wrong, and the figures, as lines of text."""

    wrong: list[str]
    figures: list[str]


@dataclass(frozen=True, slots=True)
class Showing:
    """A counter that a viewer was shown, and by the code of which revision it was made: new, old, or unknown."""

    web: str
    kind: str
    ticket: str
    shown: Shown
    made_by: str


@dataclass(frozen=True, slots=True)
class Wrong:
    """What a viewer of a web was told of a ticket and should not have been, from when on, and for how many seconds."""

    web: str
    kind: str
    ticket: str
    how: str
    when: str
    seconds: float
    text: str


@lru_cache(maxsize=10_000)
def canonical(text: str) -> str:
    """A counter's text without its version, with sorted members."""
    return _canonical({name: value for name, value in json.loads(text).items() if name != "v"})


def by_old_rules(state: Any) -> str:
    """The canonical counter of the old code: what the ticket alone allows."""
    assert isinstance(state, TicketState)
    found = json.loads(canonical_counter.of_states(state, EventState()))
    return _canonical({name: value for name, value in found.items() if name not in ADDED})


def is_unknown(text: str) -> bool:
    """Whether a counter says that nothing is known."""
    return bool(json.loads(text)["state"] == "unknown")


def check(record: Record) -> Result:
    """Check a run."""
    showings = list(_showings(record))
    new_rules = merge(record.new_rules())
    wrong = list(_overwritten(record))
    longest_new = longest_old = after_rules = offered = offered_late = 0.0
    for one in showings:
        claims, span = record.recorder.claims[one.ticket], [(one.shown.begin, one.shown.end)]
        if one.made_by == "unknown":
            continue
        if one.made_by == "new":
            text = canonical(str(one.shown.value))
            shown = Shown(text, one.shown.begin, one.shown.end)
            longest_new = max(longest_new, claim_age(shown, claims, span, BOUNDS))
            false = subtract(span, claims.allowed_spans(text, BOUNDS))
            wrong += _told(record, one, false, "was not true")
            continue
        if one.web == "new":
            wrong += _told(record, one, span, "made by the old code")
            continue
        wrong += _told(
            record, one, subtract(span, _true_by_old_rules(claims, one, LIMIT)), "was not true by the old rules"
        )
        read_by_new = _read_by_new(record, one.ticket)
        wrong += _told(record, one, intersect(span, read_by_new), "though a new worker had read the ticket")
        looked = [(begin + LOOKS_WITHIN, end) for begin, end in new_rules if begin + LOOKS_WITHIN < end]
        wrong += _told(record, one, intersect(span, looked), "though the site had the new rules for long")
        under_new = intersect(span, new_rules)
        closed = intersect(under_new, _closed(claims)) if json.loads(str(one.shown.value))["state"] in OFFERS else []
        offered = max([offered, *(end - begin for begin, end in closed)])
        offered_late += seconds(intersect(closed, read_by_new))
        after_rules = max([after_rules, *(end - _begin(new_rules, begin) for begin, end in under_new)])
        longest_old = max(longest_old, seconds(subtract(span, _true_by_old_rules(claims, one, 0.0))))
    counts = Counter((one.web, one.made_by) for one in showings)
    figures = [
        *_by_stage(record, showings),
        f"frames: {sum(len(viewer.frames) for viewer in record.viewers)}, of {len(record.viewers)} viewers",
        *(f"{web} web, counters of {made_by}: {n}" for (web, made_by), n in sorted(counts.items())),
        f"longest time that an outdated counter of the new code was shown: {longest_new:.2f} s",
        f"the same of the old code, by the old rules: {longest_old:.2f} s",
        f"longest time that a counter of the old code was shown after the site took the new rules: {after_rules:.2f} s",
        f"of that with tickets offered while registration was closed: {offered:.2f} s",
        f"the same after a new worker had read the ticket: {offered_late:.2f} viewer-seconds",
        f"changes of the site's rules: {sum(a.site != b.site for a, b in pairwise(record.stored))}",
    ]
    return Result(_summary(wrong), figures)


def _showings(record: Record) -> Iterator[Showing]:
    for viewer in record.viewers:
        for ticket, shown in viewer.showings(record.end):
            text = str(shown.value)
            made_by = "unknown" if is_unknown(text) else "new" if ADDED[0] in json.loads(text) else "old"
            yield Showing(viewer.web, viewer.kind, ticket, shown, made_by)


def _overwritten(record: Record) -> Iterator[Wrong]:
    """Where an old worker has replaced what a new one wrote while the site had the new rules."""
    for before, after in pairwise(record.stored):
        if before.site == after.site == NEW:
            for ticket, rules in after.tickets.items():
                if before.tickets[ticket] == NEW != rules:
                    yield Wrong(
                        "no", "Redis", ticket, "replaced by other rules", _when(record, after.at), 0.0, str(rules)
                    )


def _true_by_old_rules(claims: Claims, one: Showing, by: float) -> list[Span]:
    text = canonical(str(one.shown.value))
    states = [state for state in claims.ticket.values if by_old_rules(state) == text]
    return merge(span for state in states for span in extend(claims.ticket.allowed_spans(state), by))


def _read_by_new(record: Record, ticket: str) -> list[Span]:
    """When what is stored of a ticket was read by a new worker and the site had the new rules, and viewers have that."""
    spans = _while(record, lambda one: one.site == NEW and one.tickets[ticket] == NEW)
    return [(begin + REPLACED_WITHIN, end) for begin, end in spans if begin + REPLACED_WITHIN < end]


def _while(record: Record, holds: Callable[[Stored], bool]) -> list[Span]:
    ends = [one.at for one in record.stored[1:]] + [record.end]
    return merge((one.at, end) for one, end in zip(record.stored, ends, strict=True) if holds(one))


def _closed(claims: Claims) -> list[Span]:
    """When registration of the ticket's event was closed."""
    states = [state for state in claims.event.values if isinstance(state, EventState) and state.closed]
    return merge(span for state in states for span in claims.event.actual_spans(state))


def _begin(spans: Sequence[Span], at: float) -> float:
    return max(begin for begin, _ in spans if begin <= at)


def _told(record: Record, one: Showing, spans: Sequence[Span], how: str) -> Iterator[Wrong]:
    if seconds(spans) > 0:
        yield Wrong(
            one.web, one.kind, one.ticket, how, _when(record, spans[0][0]), seconds(spans), str(one.shown.value)
        )


def _summary(wrong: Sequence[Wrong]) -> list[str]:
    """One line for each viewer, ticket and fault: a polling viewer is told the same again and again."""

    def about(one: Wrong) -> tuple[str, ...]:
        return one.how, one.web, one.kind, one.ticket

    found = []
    for _, alike in groupby(sorted(wrong, key=about), key=about):
        first, *others = alike
        took = first.seconds + sum(one.seconds for one in others)
        found.append(
            f"{first.when}: a viewer ({first.kind}) of the {first.web} web: {first.how}, for {took:.2f} s: {first.text}"
        )
    return found[:MAX_FINDINGS]


def _when(record: Record, at: float) -> str:
    stage = [name for begin, name in record.stages if begin <= at][-1:] or ["before"]
    return f"{at - record.began:.2f} s ({stage[0]})"


def _by_stage(record: Record, showings: Sequence[Showing]) -> Iterator[str]:
    """How many counters of each kind began to be shown in each stage, on each web."""
    ends = [begin for begin, _ in record.stages[1:]] + [record.end]
    for (begin, name), end in zip(record.stages, ends, strict=True):
        counts = Counter((one.web, one.made_by) for one in showings if begin <= one.shown.begin < end)
        texts = [f"{web} web {n} {made_by}" for (web, made_by), n in sorted(counts.items())]
        yield f"{begin - record.began:6.1f} s  {name}: {', '.join(texts)}"


def _canonical(value: dict[str, Any]) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False)
