"""Controls the viewers of a run: bench/load.c, compiled when first needed, which reads commands line by line.

In: numbers of sockets, and what to publish. Out: the result of each command, as a dict.
"""

import json
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from server.child import tied_to_parent

HERE = Path(__file__).parent
SERVER_CORE, VIEWER_CORE = 0, 1
"""The core of the measured server, and the core of everything else."""
PLACEHOLDER = "@" * 16
"""Stands for a publish's number in a template."""


def compiled(name: str, folder: Path) -> Path:
    """Compile bench/<name>.c into a folder; raises CalledProcessError if that fails."""
    program = folder / name
    if not program.exists():
        subprocess.run(["cc", "-O2", "-o", program, HERE / f"{name}.c"], check=True)
    return program


def pinned(core: int, *command: str) -> list[str]:
    """A command that runs on one core and ends when this process ends, even by SIGKILL."""
    return tied_to_parent([shutil.which("taskset") or "taskset", "-c", str(core), *command])


class Viewers:
    """One process of viewers, on a core of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        command = pinned(VIEWER_CORE, str(compiled("load", folder)))
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def opening(self, headers: str, greeting: bytes) -> None:
        """Send these header lines with the next handshakes, and these bytes after each."""
        (self.folder / "headers").write_text(headers)
        (self.folder / "greeting").write_bytes(greeting)
        self._do(f"opening {self.folder / 'headers'} {self.folder / 'greeting'}")

    def connect(self, port: int, paths: Sequence[str], number: int, *, narrow: int = 0) -> dict[str, Any]:
        """Open more sockets, with these paths in turn; every *narrow*-th one has a minimal receive buffer."""
        (self.folder / "paths").write_text("".join(f"{path}\n" for path in paths))
        return self._do(f"connect 127.0.0.1 {port} {self.folder / 'paths'} {number} {narrow}")

    def trigger(self, port: int, templates: Sequence[bytes], deliveries: int, hello: bytes = b"") -> None:
        """Set the templates, published in turn to this port, and how many deliveries each publish leads to."""
        lines = b"".join(b"%d %d\n%b\n" % (len(one), deliveries, one) for one in templates)
        if hello:
            lines = b"%d -1\n%b\n" % (len(hello), hello) + lines
        (self.folder / "templates").write_bytes(lines)
        self._do(f"trigger 127.0.0.1 {port} {self.folder / 'templates'}")

    def run(self, publishes: int, inflight: int, *, seconds: float = 0.0, gap: float = 0.0) -> dict[str, Any]:
        """Publish up to *publishes* times within *seconds*, with up to *inflight* outstanding, *gap* seconds apart."""
        return self._do(f"run {publishes} {inflight} {seconds} {gap}")

    def rate(self, per_second: float, seconds: float) -> dict[str, Any]:
        """Publish at a fixed rate."""
        return self._do(f"rate {per_second} {seconds}")

    def hot(self, per_second: float, seconds: float, times: int) -> dict[str, Any]:
        """Publish several bursts at a fixed rate; only the last message of each must reach every viewer."""
        return self._do(f"hot {per_second} {seconds} {times}")

    def mark(self) -> float:
        """Start to count received counters; return the time on time.monotonic()'s clock."""
        return float(self._do("mark")["at"])

    def await_(self, counters: int, seconds: float) -> tuple[float, float]:
        """Wait for so many counters since the mark; return the times of the first and last. Raises TimeoutError."""
        found = self._do(f"await {counters} {seconds}")
        if found["counters"] < counters:
            raise TimeoutError(f"{found['counters']} of {counters} counters came within {seconds} s")
        return float(found["first"]), float(found["last"])

    def stall(self, every: int) -> dict[str, Any]:
        """Stop reading from every *every*-th socket; 0 resumes all."""
        return self._do(f"stall {every}")

    def end(self) -> None:
        """Close every socket."""
        self.process.kill()
        self.process.wait()

    def _do(self, command: str) -> dict[str, Any]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"the viewers ended at: {command}")
        return dict(json.loads(line))
