"""Break every part for a while, in an order given by a seed, and check what viewers show meanwhile.

`python -m bench.chaos --seed 1 --seconds 300 --json FILE` runs the local Wix, a Valkey, two webs, two workers and 500
viewers; orders continue while parts are killed, stopped, restarted and cut off. It exits 1 if a bound is broken.
`python -m bench.chaos --report FILE...` writes the results of several runs into docs/reliability.md.
"""

import asyncio
import gc
import json
import resource
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any

import typer
import uvloop

from bench.chaos import report
from bench.chaos.faults import KINDS
from bench.chaos.run import NotReady, RunConfig, run


def main(
    files: Annotated[list[Path] | None, typer.Argument(help="With --report: files written with --json.")] = None,
    *,
    seed: Annotated[int, typer.Option(help="Seed of the orders and faults.")] = 1,
    seconds: Annotated[float, typer.Option(min=1, help="Duration of orders and faults, in seconds.")] = 300.0,
    result: Annotated[Path | None, typer.Option("--json", help="Write every figure to this file.")] = None,
    write_report: Annotated[bool, typer.Option("--report", help="Write the tables of docs/reliability.md.")] = False,
    viewers: Annotated[int, typer.Option(min=1, help="Viewers with a WebSocket each.")] = 500,
    tickets: Annotated[int, typer.Option(min=8, help="Tickets on sale.")] = 40,
    settle: Annotated[float, typer.Option(min=0, help="Longest time for recovery at the end, in seconds.")] = 90.0,
    only: Annotated[list[str] | None, typer.Option(help="Inject only these kinds of fault (names as printed).")] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="NAME=VALUE for the server; the bounds do not change.")
    ] = None,
    keep: Annotated[Path | None, typer.Option(help="Keep the logs of all processes in this new folder.")] = None,
) -> None:
    """Break every part for a while, and check what viewers show meanwhile."""
    if write_report:
        report.write(files or [])
        return
    if unknown := set(only or ()) - set(KINDS):
        raise typer.BadParameter(f"no such kind of fault: {', '.join(unknown)}. There are: {'; '.join(KINDS)}")
    config = RunConfig(seed, seconds, viewers, tickets, settle, _pairs(settings or []), only or ())
    print(f"seed {seed}, {seconds:g} s, plan {config.plan}", flush=True)
    for fault in config.faults:
        print(f"  {fault.at:6.1f} s  {fault.target:<15} {fault.kind}, {fault.seconds:.1f} s", flush=True)
    found = _run(config, keep)
    report.show(found)
    if result is not None:
        result.write_text(json.dumps(found, indent=1, allow_nan=False) + "\n")
    if not found["kept"]:
        raise typer.Exit(1)


def _run(config: RunConfig, keep: Path | None) -> dict[str, Any]:
    # Each viewer needs three descriptors here: its own, and two of its link.
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    gc.set_threshold(50_000, 20, 100)
    with ExitStack() as stack:
        if keep is None:
            keep = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            try:
                return runner.run(run(config, keep))
            except (NotReady, TimeoutError) as error:
                print(f"chaos: {error}", flush=True)
                raise typer.Exit(1) from None


def _pairs(given: list[str]) -> dict[str, str]:
    pairs = [one.partition("=") for one in given]
    if wrong := [name for name, equals, _ in pairs if not equals]:
        raise typer.BadParameter(f"--set {wrong[0]}: write it as NAME=VALUE")
    return {name: value for name, _, value in pairs}


if __name__ == "__main__":
    typer.run(main)
