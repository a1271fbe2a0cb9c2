"""How long an order takes to the last viewer of its ticket.

`python -m bench.time_to_truth --old REVISION` runs the local Wix, a Valkey, a worker, a web and 100 viewers for a minute of
orders, with this code and with that of an older revision in turn, and exits 1 if this code misses a bar. `--json FILE` keeps the
figures; `python -m bench.time_to_truth --report FILE` writes the table of docs/performance.md from it.
"""

import asyncio
import json
import os
import tempfile
from collections import defaultdict
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
import uvloop

from bench.report import replace_part
from bench.results import machine
from bench.servers import ROOT
from bench.time_to_truth.checkout import UnknownRevision, checkout, commit_of
from bench.time_to_truth.figures import Figures, row, table
from bench.time_to_truth.turn import Trade, turn
from bench.viewers import VIEWER_CORE

NEW = "this code"
BARS = {4.0: {"median, ms": 200, "p99, ms": 500}, 2.0: {"median, ms": 60}}
"""By orders a second, the most milliseconds of a figure: with tickets on sale by default, and orders at random times."""
PART = "time_to_truth"


def main(
    *,
    old: Annotated[
        str, typer.Option(help="A git revision that is measured too, with the same virtual environment.")
    ] = "",
    rates: Annotated[
        str, typer.Option(help="Orders a second, separated by commas; each is measured by itself.")
    ] = "4,2",
    seconds: Annotated[float, typer.Option(min=5, help="Duration of the orders of a turn, in seconds.")] = 60.0,
    rounds: Annotated[int, typer.Option(min=1, help="Turns of each server at each rate.")] = 2,
    regular: Annotated[
        bool, typer.Option("--regular", help="Orders are equally far apart, instead of at random (a Poisson process).")
    ] = False,
    all_webhooks: Annotated[
        bool,
        typer.Option(
            "--all-webhooks", help="Each order sends all its webhooks at once, not only that it was confirmed."
        ),
    ] = False,
    read_delay: Annotated[float, typer.Option(min=0, help="Seconds until the local Wix answers.")] = 0.0,
    tickets: Annotated[int, typer.Option(min=1, help="Tickets on sale.")] = 40,
    viewers: Annotated[int, typer.Option(min=1, help="Viewers, spread over the tickets.")] = 100,
    seed: Annotated[int, typer.Option(help="Seed of the orders.")] = 1,
    result: Annotated[Path | None, typer.Option("--json", help="Write every figure to this file.")] = None,
    report: Annotated[
        Path | None, typer.Option(help="Only write the table of docs/performance.md, from this file.")
    ] = None,
) -> None:
    """Measure how long an order takes to the last viewer of its ticket."""
    if report is not None:
        found_before = json.loads(report.read_text())
        replace_part(PART, f"{table(found_before['rows'])}\n\n{found_before['about']}.")
        return
    os.sched_setaffinity(0, {VIEWER_CORE})
    found: dict[tuple[float, str], list[Figures]] = defaultdict(list)
    with ExitStack() as stack:
        roots = {NEW: ROOT}
        if old:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "old"
            try:
                roots[f"revision {commit_of(old)}"] = stack.enter_context(checkout(old, folder))
            except UnknownRevision as error:
                raise typer.BadParameter(str(error)) from None
        for number in range(rounds):
            for rate in map(float, rates.split(",")):
                # In each round both have the same orders.
                trade = Trade(rate, seconds, tickets, viewers, regular, all_webhooks, read_delay, seed + number)
                for name in roots if number % 2 == 0 else reversed(roots):
                    print(f"{rate:g} orders a second, round {number + 1} of {rounds}: {name}", flush=True)
                    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                        found[rate, name].append(runner.run(turn(roots[name], trade)))
    rows = [row(name, rate, turns) for (rate, name), turns in sorted(found.items(), reverse=True)]
    print(f"\n{table(rows)}\n")
    if result is not None:
        how = "equally far apart" if regular else "at random times (a Poisson process)"
        about = (
            f"{rounds} turns of {seconds:g} s for each row, orders {how}, {viewers} viewers of {tickets} tickets; "
            f"measured {datetime.now(UTC):%Y-%m-%d} on {machine()}"
        )
        turns = {f"{rate:g} {name}": [one.delays for one in turns] for (rate, name), turns in found.items()}
        result.write_text(json.dumps({"about": about, "rows": rows, "delays": turns}, indent=1) + "\n")
    if missed := [text for one in rows if one["server"] == NEW for text in _missed(one)]:
        print("\n".join(missed))
        raise typer.Exit(1)


def _missed(found: dict[str, str | float]) -> list[str]:
    rate = float(found["orders per second"])
    return [
        f"missed: {name} at {rate:g} orders a second is {float(found[name]):.0f}, the bar is {bar}"
        for name, bar in BARS.get(rate, {}).items()
        if float(found[name]) > bar
    ]


if __name__ == "__main__":
    typer.run(main)
