"""The viewers of a run: bench/load.c, compiled when it is first needed, and driven line by line.

In: how many sockets, and what is published to whom. Out: what each command measured, as a dict.
"""

import json
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from server import valkey

HERE = Path(__file__).parent
SERVER_CORE, VIEWER_CORE = 0, 1
"""The core of what is measured, and that of all the rest."""
PLACEHOLDER = "@" * 16
"""Where a publish's number stands in a template."""


def compiled(name: str, folder: Path) -> Path:
    """Compile bench/<name>.c into a folder; raises CalledProcessError where there is no C compiler."""
    program = folder / name
    if not program.exists():
        subprocess.run(["cc", "-O2", "-o", program, HERE / f"{name}.c"], check=True)
    return program


def pinned(core: int, *command: str) -> list[str]:
    """A command on one core, which ends when we do, however that is."""
    return valkey.leashed([shutil.which("taskset") or "taskset", "-c", str(core), *command])


class Viewers:
    """One process of viewers, on a core of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        command = pinned(VIEWER_CORE, str(compiled("load", folder)))
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def opening(self, headers: str, greeting: bytes) -> None:
        """Send these header lines with the next handshakes, and write these bytes after each."""
        (self.folder / "headers").write_text(headers)
        (self.folder / "greeting").write_bytes(greeting)
        self._do(f"opening {self.folder / 'headers'} {self.folder / 'greeting'}")

    def connect(self, port: int, paths: Sequence[str], number: int, *, narrow: int = 0) -> dict[str, Any]:
        """Open so many more sockets at these paths, in turn; each *narrow*-th can hold next to nothing unread."""
        (self.folder / "paths").write_text("".join(f"{path}\n" for path in paths))
        return self._do(f"connect 127.0.0.1 {port} {self.folder / 'paths'} {number} {narrow}")

    def trigger(self, port: int, templates: Sequence[bytes], deliveries: int, hello: bytes = b"") -> None:
        """Publish by writing these bytes, in turn, to this port; each leads to so many deliveries."""
        lines = b"".join(b"%d %d\n%b\n" % (len(one), deliveries, one) for one in templates)
        if hello:
            lines = b"%d -1\n%b\n" % (len(hello), hello) + lines
        (self.folder / "templates").write_bytes(lines)
        self._do(f"trigger 127.0.0.1 {port} {self.folder / 'templates'}")

    def run(self, publishes: int, inflight: int, *, seconds: float = 0.0, gap: float = 0.0) -> dict[str, Any]:
        """Publish so often, but for no longer, with so many outstanding and *gap* seconds at least between two."""
        return self._do(f"run {publishes} {inflight} {seconds} {gap}")

    def rate(self, per_second: float, seconds: float) -> dict[str, Any]:
        """Publish at a fixed rate."""
        return self._do(f"rate {per_second} {seconds}")

    def hot(self, per_second: float, seconds: float, times: int) -> dict[str, Any]:
        """Publish at a fixed rate, several times; only the last of each time has to reach everyone."""
        return self._do(f"hot {per_second} {seconds} {times}")

    def mark(self) -> float:
        """Begin to count counters; answers the time, on the clock that time.monotonic() reads."""
        return float(self._do("mark")["at"])

    def await_(self, counters: int, seconds: float) -> tuple[float, float]:
        """Wait until so many have come since the mark; answers when the first and the last did. Raises TimeoutError."""
        found = self._do(f"await {counters} {seconds}")
        if found["counters"] < counters:
            raise TimeoutError(f"{found['counters']} of {counters} counters came within {seconds} s")
        return float(found["first"]), float(found["last"])

    def stall(self, every: int) -> dict[str, Any]:
        """Let each so many-th socket read no more; 0 lets all read again."""
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
