"""One of our commands as a process that is killed, frozen and ended again and again, and a supervisor for it.

In: the command and its environment. Out: what it printed, over all its lives, and the ends that nobody asked for: it
is started again after those, as by systemd, and the judge is told.
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
"""Seconds after which a supervisor starts it again."""
END_WITHIN = 20.0
"""Seconds that an end in order may take: far more than the server promises."""


@dataclass(frozen=True, slots=True)
class Ending:
    """A life that ended: when, with which status, and whether somebody had asked for that."""

    at: float
    part: str
    status: int
    asked: bool
    seconds: float = 0.0
    """From SIGTERM to the end, where that was how."""


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
        """Whether it runs, and is not frozen."""
        return bool(self.lives) and not self._ended and not self._frozen

    def start(self) -> None:
        """Begin a life, unless one goes on."""
        self._wanted, self._frozen = True, False
        if self.lives and not self._ended:
            return
        folder = self._folder / f"{self.name}-{len(self.lives)}"
        self.lives.append(Command(folder, self._command, **self._settings))

    def kill(self) -> None:
        """Let it crash (kill -9)."""
        self._wanted = self._frozen = False
        process = self.lives[-1].process
        if process.poll() is None:
            process.kill()
            process.wait()
            self.endings.append(Ending(time.monotonic(), self.name, process.returncode, asked=True))

    def freeze(self) -> None:
        """Stop it in its tracks (SIGSTOP)."""
        self._frozen = True
        self.lives[-1].process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on (SIGCONT)."""
        self._frozen = False
        self.lives[-1].process.send_signal(signal.SIGCONT)

    async def end(self) -> None:
        """End it in order (SIGTERM), and by force where that takes too long."""
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
        """Start it again whenever it ends by itself, for ever."""
        while True:
            await asyncio.sleep(LOOK_EVERY)
            if self._wanted and self._ended:
                process = self.lives[-1].process
                self.endings.append(Ending(time.monotonic(), self.name, process.returncode, asked=False))
                await asyncio.sleep(AGAIN_AFTER)
                self._start_again(process)

    def _start_again(self, ended: subprocess.Popen[bytes]) -> None:
        """Begin a new life, unless somebody else has, or does not want any."""
        if self._wanted and self.lives[-1].process is ended:
            self.start()

    @property
    def _ended(self) -> bool:
        return self.lives[-1].process.poll() is not None
