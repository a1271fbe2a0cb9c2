"""Prints the result of one chaos run, and writes those of several as the tables of docs/reliability.md.

In: the JSON of run.py. Out: text. Every number in the tables is from the files; the rest of the page is by hand.
"""

import json
import math
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from tests.rig.percentile import percentile

PAGE = Path(__file__).parents[2] / "docs" / "reliability.md"
BEGIN, END = "<!-- chaos -->", "<!-- end -->"
MIXED = "two faults at once, or the next before recovery"
CALM = "an order without faults"

Run = dict[str, Any]


def show(run: Run) -> None:
    """Print the result of one run."""
    print("\n".join(_screen(run)), flush=True)


def write(files: Sequence[Path], page: Path = PAGE) -> None:
    """Write the tables of these runs between the markers of the page; raises SystemExit without markers or files."""
    if not files:
        raise SystemExit("--report needs the files that runs wrote with --json")
    runs = [json.loads(file.read_text()) for file in files]
    head, found, tail = page.read_text().partition(BEGIN)
    _, ends, rest = tail.partition(END)
    if not found or not ends:
        raise SystemExit(f"{page} has no place for the tables: add the lines {BEGIN} and {END}")
    page.write_text(f"{head}{BEGIN}\n\n{report(runs)}\n\n{END}{rest}")


def report(runs: Sequence[Run]) -> str:
    """The tables of several runs."""
    first = runs[0]
    seconds = {run["seconds"] for run in runs}
    settings = ", ".join(f"`{name}={first['settings'][name]}`" for name in ("WATCH_EVERY", "MAX_STALE", "RECONCILE"))
    seeds = ", ".join(str(run["seed"]) for run in runs)
    share = _number(100 * sum(run["withdrawn_share"] for run in runs) / len(runs))
    where = " and ".join(sorted({f"{run['date'][:10]} on {run['machine']}" for run in runs}))
    whole = f"{len(runs)} runs of {' and '.join(f'{one:g}' for one in sorted(seconds))} s (seeds {seeds})"
    lines = [
        f"{whole}, each with {first['viewers']} viewers of {first['tickets']} tickets, {settings}. Measured {where}.",
        "",
        "| bound | measured | allowed |",
        "| --- | ---: | ---: |",
        *(
            f"| {bound['name']} | {_number(sum(_bound(run, bound['name']) for run in runs))} {bound['unit']} |"
            f" {_number(bound['most'])} |"
            for bound in first["bounds"]
        ),
        "",
        "| count | in all runs |",
        "| --- | ---: |",
        *(f"| {name} | {sum(run['counts'][name] for run in runs):,} |" for name in first["counts"]),
        "",
        "| | seconds |",
        "| --- | ---: |",
        f"| longest time that an outdated claim was shown, connection alive | {_worst(runs, 'connected')} |",
        f"| the same, connection silently cut or missing | {_worst(runs, 'cut')} |",
        f"| longest delay of the checker's event loop | {_number(max(run['loop_late_at_most_s'] for run in runs))} |",
        "",
        f"Viewers showed no claim for {share} % of the time, because none could be verified.",
        "",
        *_table(runs),
    ]
    return "\n".join(lines)


def _screen(run: Run) -> Iterator[str]:
    yield from _table([run])
    yield ""
    for name, count in {**run["counts"], **{f"loud: {event}": count for event, count in run["loud"].items()}}.items():
        yield f"{count:>8,}  {name}"
    yield ""
    yield f"oldest outdated claim: connected {_worst([run], 'connected')} s, cut {_worst([run], 'cut')} s"
    yield f"no claim for {100 * run['withdrawn_share']:.1f} % of the time; recovery took {run['settling_s']:.1f} s"
    if run["loop_too_late_times"]:
        yield (
            f"UNRELIABLE: the event loop of this program was late {run['loop_too_late_times']} times, by up to"
            f" {run['loop_late_at_most_s']:.1f} s: the machine was too busy"
        )
    yield from run["findings"]
    yield ""
    for bound in run["bounds"]:
        kept = "kept  " if bound["kept"] else "BROKEN"
        yield f"{kept}  {bound['name']}: {_number(bound['value'])} {bound['unit']} (at most {_number(bound['most'])})"


def _table(runs: Sequence[Run]) -> Iterator[str]:
    """Seconds until all viewers show the true state: after an order, and after the end of each kind of fault."""
    yield "| seconds until all viewers show the true state after | times | median | p99 | max |"
    yield "| --- | ---: | ---: | ---: | ---: |"
    yield _row(CALM, [_seconds(value) for run in runs for value in run["calm_s"]])
    by_kind: dict[str, list[float]] = {}
    for run in runs:
        for one in run["healings"]:
            by_kind.setdefault(one["kind"] if one["alone"] else MIXED, []).append(_seconds(one["healed"]))
    for kind in sorted(by_kind, key=lambda kind: (kind == MIXED, kind)):
        yield _row(kind, by_kind[kind])


def _row(name: str, values: list[float]) -> str:
    if not values:
        return f"| {name} | 0 | – | – | – |"
    figures = (percentile(values, 0.5), percentile(values, 0.99), max(values))
    return f"| {name} | {len(values)} | " + " | ".join(_number(figure or 0.0) for figure in figures) + " |"


def _bound(run: Run, name: str) -> float:
    return next(float(bound["value"]) for bound in run["bounds"] if bound["name"] == name)


def _worst(runs: Iterable[Run], where: str) -> str:
    return _number(max(_seconds(run[f"oldest_claim_while_{where}_s"]) for run in runs))


def _seconds(value: float | None) -> float:
    return math.inf if value is None else value


def _number(value: float) -> str:
    if math.isinf(value):
        return "never"
    return f"{value:,.0f}" if value == int(value) or value >= 100 else f"{value:.2f}"
