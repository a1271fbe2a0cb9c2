"""The product's commands as real processes, each in an empty folder with an environment of its own.

command    a factory: `command("web", REDIS_URL=url)` answers a running Command; all are killed at the end of the test.
           With `program=` the process runs this Python source instead
"""

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from server.child import tied_to_parent
from tests.rig.server import until

ROOT = Path(__file__).parent.parent.parent

PROGRAM = "from server.cli import main; main()"

SETTINGS = {
    "WIX_APP_ID": "app",
    "WIX_APP_SECRET": "app-secret",
    "WIX_API_URL": "http://127.0.0.1:9",
    "WIX_SITES": "5f0e4d3c-1111-4111-8111-00000000b001",
    "PORT": "0",
}
"""The environment of every process: credentials, the address of no Wix, a site."""

START_WITHIN = 60.0
"""Seconds that a start may take on a busy machine."""

Run = Callable[..., "Command"]


class Command:
    """One process; its output goes to files, so that it is never blocked by a full pipe."""

    def __init__(self, folder: Path, *words: str, program: str = PROGRAM, **settings: str) -> None:
        folder.mkdir(parents=True)
        self.folder = folder
        self.words = words
        environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **SETTINGS, **settings}
        with (folder / "out").open("wb") as out, (folder / "err").open("wb") as err:
            self.process = subprocess.Popen(
                tied_to_parent([sys.executable, "-c", program, *words]),
                cwd=folder,
                env={name: value for name, value in environment.items() if value},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
            )

    @property
    def out(self) -> str:
        """Its standard output so far."""
        return (self.folder / "out").read_text()

    @property
    def err(self) -> str:
        """Its standard error so far."""
        return (self.folder / "err").read_text()

    async def url(self) -> str:
        """Its address, once it has logged that it listens."""
        found = await until(lambda: self._ended() or re.search(r"address=(http://\S+)", self.err), START_WITHIN)
        assert isinstance(found, re.Match), self.err
        return str(found[1])

    async def says(self, text: str) -> None:
        """Wait until its output has this text."""
        await until(lambda: self._ended() or text in self.err + self.out, START_WITHIN)
        assert text in self.err + self.out

    async def ended(self, seconds: float = 15) -> tuple[int, float]:
        """Wait for its end; answers its exit status and the seconds of waiting."""
        began = time.monotonic()
        await until(self._ended, seconds)
        return self.process.returncode, time.monotonic() - began

    async def stop(self, number: int = 15) -> tuple[int, float]:
        """Send it a signal, by default SIGTERM, and wait for its end."""
        self.process.send_signal(number)
        return await self.ended()

    def _ended(self) -> bool:
        return self.process.poll() is not None


@pytest.fixture
def command(tmp_path: Path) -> Iterator[Run]:
    """Start commands as processes; settings have their names in the environment, an empty one removes a default."""
    running: list[Command] = []

    def start(*words: str, program: str = PROGRAM, **settings: str) -> Command:
        found = Command(tmp_path / f"run-{len(running)}", *words, program=program, **settings)
        running.append(found)
        return found

    yield start
    for one in running:
        one.process.kill()
        one.process.wait(10)
