"""What a campaign of notify costs the counter.

`python -m bench.notify_load` measures a server without notify.toml, with it and no campaign, and while a campaign runs, in alternating
rounds: once as `serve`, once as `web` and `worker`. It prints a table with ratios, what a mail costs, and which modules of notify a
process without notify.toml imports: exit status 1 if there is one. `--json FILE` keeps the figures; `--report FILE` writes the table of
docs/performance.md from it. A full run takes nine minutes, `--quick` three.
"""

import asyncio
import json
import os
from collections import defaultdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
import uvloop

from bench.notify_load.campaign import State
from bench.notify_load.figures import Row, mail_cost, rows, table
from bench.notify_load.turn import LAYOUTS, Load, Turn, turn
from bench.report import replace_part
from bench.results import machine
from bench.viewers import VIEWER_CORE

PART = "notify_load"
QUICK_SECONDS = 6.0
TRIES = 3


def main(
    *,
    rounds: Annotated[int, typer.Option(min=1, help="Turns of each layout in each state.")] = 3,
    seconds: Annotated[float, typer.Option(min=4, help="Duration of the orders of a turn, in seconds.")] = 10.0,
    viewers: Annotated[int, typer.Option(min=1, help="Viewers, spread over 40 tickets.")] = 300,
    recipients: Annotated[int, typer.Option(min=1, help="Subscribers: more than are reached in a turn.")] = 5000,
    layouts: Annotated[str, typer.Option(help=f"Some of {', '.join(LAYOUTS)}; separated by commas.")] = ",".join(
        LAYOUTS
    ),
    quick: Annotated[bool, typer.Option("--quick", help=f"One round with orders for {QUICK_SECONDS:g} s.")] = False,
    result: Annotated[Path | None, typer.Option("--json", help="Write every figure to this file.")] = None,
    report: Annotated[
        Path | None, typer.Option(help="Only write the table of docs/performance.md, from this file.")
    ] = None,
) -> None:
    """Measure what a campaign of notify costs the counter."""
    if report is not None:
        replace_part(PART, json.loads(report.read_text())["text"])
        return
    names = layouts.split(",")
    if unknown := set(names) - set(LAYOUTS):
        raise typer.BadParameter(f"no such layout: {', '.join(sorted(unknown))}")
    os.sched_setaffinity(0, {VIEWER_CORE})
    if quick:
        rounds, seconds = 1, QUICK_SECONDS
    load = Load(seconds, viewers, recipients)
    found = _rounds(rounds, names, load)
    several = [row for layout in names for row in rows(layout, found[layout])]
    costs = "; ".join(
        f"{layout}: " + ", ".join(f"{name} {cost:.1f}" for name, cost in mail_cost(layout, found[layout]).items())
        for layout in names
    )
    imported = {name for layout in names for one in found[layout][State.WITHOUT] for name in one.modules}
    about = (
        f"CPU milliseconds of one mail, by process: {costs}.\n\n"
        f"{_told(imported)}\n\n"
        f"{rounds} rounds, {seconds:g} s of orders in each turn, {viewers} viewers, {recipients} subscribers; "
        f"measured {datetime.now(UTC):%Y-%m-%d} on {machine()}."
    )
    print(f"\n{table(several)}\n\n{about}\n")
    print("\n".join([*_slower(several), *_refused(found)]))
    if result is not None:
        turns = {
            f"{layout}, {state}": [_as_json(one) for one in found[layout][state]] for layout in names for state in State
        }
        result.write_text(json.dumps({"text": f"{table(several)}\n\n{about}", "turns": turns}, indent=1) + "\n")
    if imported:
        raise typer.Exit(1)


def _rounds(rounds: int, names: list[str], load: Load) -> dict[str, dict[State, list[Turn]]]:
    """Every layout in every state, once a round; every second round is the other way round."""
    found: dict[str, dict[State, list[Turn]]] = {name: defaultdict(list) for name in names}
    for number in range(rounds):
        order = [(layout, state) for layout in names for state in State]
        for layout, state in order if number % 2 == 0 else reversed(order):
            print(f"round {number + 1} of {rounds}: {layout}, {state}", flush=True)
            found[layout][state].append(_turn(layout, state, load))
    return found


def _turn(layout: str, state: State, load: Load) -> Turn:
    """One turn; it is repeated where other load on the machine may have spoilt it. Raises RuntimeError the third time."""
    for _ in range(TRIES - 1):
        try:
            return _run(layout, state, load)
        except RuntimeError as error:
            print(f"  once more: {error}", flush=True)
    return _run(layout, state, load)


def _run(layout: str, state: State, load: Load) -> Turn:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(turn(layout, state, load))


def _told(imported: set[str]) -> str:
    if imported:
        return f"Without notify.toml a process has imported {', '.join(sorted(imported))}."
    return (
        "Without notify.toml no process has imported a module of server.notify, jinja2, babel, aiosmtplib or pywebpush."
    )


def _slower(several: list[Row]) -> list[str]:
    return [f"in every round worse while a campaign runs: {row.layout}, {row.name}" for row in several if row.slower]


def _refused(found: dict[str, dict[State, list[Turn]]]) -> list[str]:
    """Where the machine was so busy that webhooks were not taken in time: such a run says little."""
    return [
        f"{turns.intake['refused']:.0f} webhooks were not answered 200: {layout}, {state}"
        for layout, by_state in found.items()
        for state, several in by_state.items()
        for turns in several
        if turns.intake["refused"]
    ]


def _as_json(one: Turn) -> dict[str, object]:
    return {
        "delays": one.delays,
        "intake": dict(one.intake),
        "cores": dict(one.cores),
        "memory": dict(one.memory),
        "mails": one.mails,
        "modules": one.modules,
    }


if __name__ == "__main__":
    typer.run(main)
