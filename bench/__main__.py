"""Runs each scenario with each server for several rounds; `scripts/bench --help`.

In: scenarios, servers, the number of rounds. Out: a table of medians with minimum, maximum and ratio, and with --json
all figures. Rounds alternate between the servers, so that other load on the machine affects all of them.
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
    scenarios: Annotated[
        list[str] | None, typer.Argument(help=f"Some of {', '.join(SCENARIOS)}; default: all.")
    ] = None,
    *,
    rounds: Annotated[int, typer.Option(min=1, help="Rounds over all servers; the result is their median.")] = 5,
    sockets: Annotated[
        str, typer.Option(help="Numbers of viewers, separated by commas, instead of each scenario's own.")
    ] = "",
    seconds: Annotated[float, typer.Option(min=0.1, help="Duration of each part of a scenario, in seconds.")] = 4.0,
    only: Annotated[
        str, typer.Option(help=f"Servers, separated by commas: some of {', '.join(servers.NAMES)}.")
    ] = ",".join(servers.NAMES),
    result: Annotated[
        Path | None,
        typer.Option("--json", help="Write every figure to this file; scenarios that are not run keep theirs."),
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="One round with at most 1,000 viewers, whatever the other options.")
    ] = False,
) -> None:
    """Measure what delivery costs, compared with a loop in C and other servers, on two cores of this machine."""
    asked = scenarios or list(SCENARIOS)
    if unknown := set(asked) - set(SCENARIOS):
        raise typer.BadParameter(f"no such scenario: {', '.join(sorted(unknown))}")
    if fault := _unfit(result):
        raise typer.BadParameter(fault)
    wanted = set(only.split(","))
    if unknown := wanted - set(servers.NAMES):
        raise typer.BadParameter(f"no such server: {', '.join(sorted(unknown))}")
    # This process and all that is not measured share the viewers' core.
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
                # Servers that only one scenario has need no installation.
                names_here = [name for name in SCENARIOS[scenario].on if name in names or name not in servers.NAMES]
                found, failed = _rounds(scenario, setup, names_here, rounds)
                results.add(scenario, number, seconds, found, failed)
                results.show(scenario, number)
                if result is not None:
                    results.write(result)
    if results.failed_ours:
        raise typer.Exit(1)


def _unfit(result: Path | None) -> str:
    """Why nothing can be measured here; empty if it can."""
    if not {SERVER_CORE, VIEWER_CORE} <= os.sched_getaffinity(0):
        return "two cores are needed, 0 and 1: one for the measured server, one for the viewers"
    for program in ("cc", "taskset"):
        if shutil.which(program) is None:
            return f"{program} is needed (Debian: apt-get install build-essential util-linux)"
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
    """The figures of every server, one value per round; and for a server that failed, the reason."""
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
