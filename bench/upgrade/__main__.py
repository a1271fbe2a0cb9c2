"""Run an older revision and this code on one Redis, and check every frame of their viewers.

`python -m bench.upgrade --old REVISION` starts, stops and restarts web and worker processes of both in every order while
tickets are sold and registration is paused and opened. It exits 1 if a frame was wrong, or if what a stage ends with did not come.
The older revision must have another CONTRACT, and counters without `fees` and `buy` (revision 3e4cf51 and older).
"""

import asyncio
import json
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer

from bench.servers import ROOT
from bench.time_to_truth.checkout import UnknownRevision, checkout, commit_of
from bench.upgrade.checker import check
from bench.upgrade.parts import running_parts
from bench.upgrade.stages import STAGES, Late, Stages


def main(
    *,
    old: Annotated[
        str, typer.Option(help="A git revision with another CONTRACT, run with the same virtual environment.")
    ],
    seconds: Annotated[float, typer.Option(min=2, help="Duration of the orders of each stage, in seconds.")] = 8.0,
    seed: Annotated[int, typer.Option(help="Seed of the orders.")] = 1,
    frames: Annotated[Path | None, typer.Option(help="Write every frame to this file, one line of JSON each.")] = None,
    keep: Annotated[Path | None, typer.Option(help="Keep the logs of all processes in this new folder.")] = None,
) -> None:
    """Upgrade with old processes still running, roll back, and check every frame."""
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        try:
            print(f"old: revision {commit_of(old)}; {len(STAGES)} stages", flush=True)
            root = stack.enter_context(checkout(old, scratch / "old"))
        except UnknownRevision as error:
            raise typer.BadParameter(str(error)) from None
        found = asyncio.run(_run(root, keep or scratch / "parts", seconds, seed, frames))
    if found:
        print("\n".join(found))
        raise typer.Exit(1)
    print("every frame was right")


async def _run(old: Path, folder: Path, seconds: float, seed: int, frames: Path | None) -> list[str]:
    """Answers what was wrong, in words."""
    async with running_parts(folder, {"old": old, "new": ROOT}) as parts:
        stages = Stages(parts, seconds, seed)
        wrong = []
        try:
            await stages.run()
        except Late as error:
            wrong.append(str(error))
        record = parts.record()
    if frames is not None:
        with frames.open("w") as file:
            for viewer in record.viewers:
                for one in viewer.frames:
                    line = [round(one.at - record.began, 3), viewer.web, viewer.kind, one.text]
                    file.write(json.dumps(line) + "\n")
    result = check(record)
    print("\n".join(result.figures))
    return wrong + result.wrong


if __name__ == "__main__":
    typer.run(main)
