"""The rounds: each scenario to each server, in turn and again; `scripts/bench --help`.

In: which scenarios, which servers, how many rounds. Out: a table of medians with their spread and ours as a ratio of
each, and with --json every figure. Rounds alternate between the servers, so that what else the machine does meets all.
"""

import os
import shutil
import subprocess
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Annotated

import typer

from bench import servers
from bench.results import SCENARIOS, Results
from bench.scenarios import ScenarioFailed, Setup
from bench.viewers import SERVER_CORE, VIEWER_CORE

QUICK_SOCKETS, QUICK_SECONDS = 1000, 1.0


def main(
    scenarios: Annotated[list[str] | None, typer.Argument(help=f"Of {', '.join(SCENARIOS)}; none for all.")] = None,
    *,
    rounds: Annotated[int, typer.Option(min=1, help="Rounds over all servers; the median counts.")] = 5,
    sockets: Annotated[str, typer.Option(help="Viewers, comma-separated, in place of each scenario's own.")] = "",
    seconds: Annotated[float, typer.Option(min=0.1, help="Seconds that each part of a scenario takes.")] = 4.0,
    only: Annotated[str, typer.Option(help=f"Of {', '.join(servers.NAMES)}.")] = ",".join(servers.NAMES),
    result: Annotated[
        Path | None, typer.Option("--json", help="Write every figure here; other scenarios stay.")
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="One round with 1,000 viewers at most, whatever else is asked.")
    ] = False,
) -> None:
    """Measure what delivery costs, beside a loop in C and beside peers, on two cores of this machine."""
    asked = scenarios or list(SCENARIOS)
    if unknown := set(asked) - set(SCENARIOS):
        raise typer.BadParameter(f"no such scenario: {', '.join(sorted(unknown))}")
    if fault := _unfit(result):
        raise typer.BadParameter(fault)
    wanted = set(only.split(","))
    if unknown := wanted - set(servers.NAMES):
        raise typer.BadParameter(f"no such server: {', '.join(sorted(unknown))}")
    # All that is not measured runs beside the viewers, and so do we.
    os.sched_setaffinity(0, {VIEWER_CORE})
    if quick:
        asked = [scenario for scenario in asked if not SCENARIOS[scenario].long]
        rounds, seconds = 1, QUICK_SECONDS
    names = _available(wanted & {name for scenario in asked for name in SCENARIOS[scenario].on})
    results = Results.read(result)
    with tempfile.TemporaryDirectory() as folder:
        for scenario in asked:
            for number in _sizes(scenario, sockets, quick=quick):
                setup = Setup(Path(folder), number, seconds)
                # Some have servers of their own, which need nothing.
                of = [name for name in SCENARIOS[scenario].on if name in names or name not in servers.NAMES]
                found, failed = _rounds(scenario, setup, of, rounds)
                results.add(scenario, number, seconds, found, failed)
                results.show(scenario, number)
                if result is not None:
                    results.write(result)
    if results.failed_ours:
        raise typer.Exit(1)


def _unfit(result: Path | None) -> str:
    """Why nothing can be measured here, or nothing."""
    if not {SERVER_CORE, VIEWER_CORE} <= os.sched_getaffinity(0):
        return "it needs two cores, 0 and 1: one for what is measured, one for the viewers"
    for program in ("cc", "taskset"):
        if shutil.which(program) is None:
            return f"it needs {program} (Debian: apt-get install build-essential util-linux)"
    if result is not None and not result.parent.is_dir():
        return f"there is no folder {result.parent}"
    return ""


def _available(wanted: set[str]) -> list[str]:
    names = []
    for name in servers.NAMES:
        if name in wanted and (why_not := servers.available(name)):
            print(f"without {servers.TITLES[name]}: {why_not}")
        elif name in wanted:
            names.append(name)
    return names


def _sizes(scenario: str, sockets: str, *, quick: bool) -> list[int]:
    try:
        sizes = [int(one) for one in sockets.split(",") if one] or [*SCENARIOS[scenario].sockets]
    except ValueError:
        raise typer.BadParameter(f"--sockets {sockets}: numbers, separated by commas") from None
    return [min(max(sizes), QUICK_SOCKETS)] if quick else sizes


def _rounds(
    scenario: str, setup: Setup, names: list[str], rounds: int
) -> tuple[dict[str, dict[str, list[float]]], dict[str, str]]:
    """Each figure of every server, round by round; and why a server has none."""
    found: dict[str, dict[str, list[float]]] = {name: defaultdict(list) for name in names}
    failed: dict[str, str] = {}
    for number in range(rounds):
        for name in names if number % 2 == 0 else reversed(names):
            if name in failed:
                continue
            print(f"{scenario}, {setup.sockets} viewers, round {number + 1} of {rounds}: {name}", flush=True)
            try:
                for figure, value in SCENARIOS[scenario].run(name, setup).items():
                    found[name][figure].append(value)
            except (
                ScenarioFailed,
                RuntimeError,
                OSError,
                LookupError,
                ValueError,
                subprocess.SubprocessError,
            ) as error:
                print(f"  {error}", flush=True)
                failed[name] = str(error)
    return {name: dict(figures) for name, figures in found.items() if name not in failed}, failed


if __name__ == "__main__":
    typer.run(main)
