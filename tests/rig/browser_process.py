"""A browser as a process with a folder of its own, which ends with the test run: `async with browser_process(command, folder)`."""

import asyncio
import os
import shutil
import signal
import subprocess
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from server.child import tied_to_parent


def program(name: str) -> str:
    """The path of a program; without it fail the test and say what installs it: a skipped test would look like a passed one."""
    found = shutil.which(name)
    if not found:
        pytest.fail(f"{name} is not installed: scripts/setup-browsers installs it if run by root", pytrace=False)
    return found


@asynccontextmanager
async def browser_process(
    command: Sequence[str], folder: Path, environment: Mapping[str, str], *, pass_fds: Sequence[int] = ()
) -> AsyncIterator[None]:
    """Run a program with its children as long as the block; its home is the folder, and what it says is in `folder/log`."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "log").open("ab") as log:
        process = subprocess.Popen(
            tied_to_parent(command),
            env={**os.environ, "HOME": str(folder), **environment},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=pass_fds,
            start_new_session=True,  # it ends as a group
        )
    try:
        yield
    finally:
        for number in (signal.SIGTERM, signal.SIGKILL):
            with suppress(ProcessLookupError):
                os.killpg(process.pid, number)
            with suppress(subprocess.TimeoutExpired):
                await asyncio.to_thread(process.wait, 5)
