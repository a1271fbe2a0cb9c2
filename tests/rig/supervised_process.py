"""One command as a process that is killed, suspended and stopped again and again, and a supervisor that restarts it.

In: the command and its environment. Out: its output over all its lives, and how each life ended. After an end that the
test did not cause it is restarted, as by systemd.
"""

import asyncio
import signal
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.rig.process import Command

LOOK_EVERY = 0.2
AGAIN_AFTER = 1.0
"""Seconds after which the supervisor restarts it."""
END_WITHIN = 20.0
"""Seconds that a graceful shutdown may take: far more than the server promises."""


@dataclass(frozen=True, slots=True)
class Ending:
    """How a life ended: when (time.monotonic), with which status, and whether the test had asked for it."""

    at: float
    part: str
    status: int
    asked: bool
    seconds: float = 0.0
    """From SIGTERM to the end; 0 where it was killed."""


class SupervisedProcess:
    """A process under supervision."""

    def __init__(self, name: str, folder: Path, command: str, settings: Mapping[str, str]) -> None:
        self.name = name
        self.endings: list[Ending] = []
        self.lives: list[Command] = []
        self._folder = folder
        self._command = command
        self._settings = settings
        self._wanted = False
        self._frozen = False

    @property
    def up(self) -> bool:
        """Whether it runs, and is not suspended."""
        return bool(self.lives) and not self._ended and not self._frozen

    def start(self) -> None:
        """Start the process, unless it runs."""
        self._wanted, self._frozen = True, False
        if self.lives and not self._ended:
            return
        folder = self._folder / f"{self.name}-{len(self.lives)}"
        self.lives.append(Command(folder, self._command, **self._settings))

    def kill(self) -> None:
        """Kill it (SIGKILL)."""
        self._wanted = self._frozen = False
        process = self.lives[-1].process
        if process.poll() is None:
            process.kill()
            process.wait()
            self.endings.append(Ending(time.monotonic(), self.name, process.returncode, asked=True))

    def freeze(self) -> None:
        """Suspend it (SIGSTOP)."""
        self._frozen = True
        self.lives[-1].process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Resume it (SIGCONT)."""
        self._frozen = False
        self.lives[-1].process.send_signal(signal.SIGCONT)

    async def end(self) -> None:
        """Stop it (SIGTERM), and kill it if that takes too long."""
        self._wanted = False
        process = self.lives[-1].process
        if process.poll() is not None:
            return
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        try:
            await asyncio.to_thread(process.wait, END_WITHIN)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        now = time.monotonic()
        self.endings.append(Ending(now, self.name, process.returncode, asked=True, seconds=now - began))

    async def supervise(self) -> None:
        """Restart it whenever it ends by itself; runs forever."""
        while True:
            await asyncio.sleep(LOOK_EVERY)
            if self._wanted and self._ended:
                process = self.lives[-1].process
                self.endings.append(Ending(time.monotonic(), self.name, process.returncode, asked=False))
                await asyncio.sleep(AGAIN_AFTER)
                self._start_again(process)

    def _start_again(self, ended: subprocess.Popen[bytes]) -> None:
        """Restart it, unless it was restarted or stopped meanwhile."""
        if self._wanted and self.lives[-1].process is ended:
            self.start()

    @property
    def _ended(self) -> bool:
        return self.lives[-1].process.poll() is not None
