"""The viewers of a run: bench/load.c, compiled when it is first needed, and driven line by line.

In: how many sockets, and what is published to whom. Out: what each command measured, as a dict.
"""

import json
import subprocess
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
CORE = "1"
NUMBER = "@" * 16
"""Where a publish's number stands in a template."""


def built(name: str, folder: Path) -> Path:
    """Compile bench/<name>.c into a folder; raises CalledProcessError where there is no C compiler."""
    program = folder / name
    if not program.exists():
        subprocess.run(["cc", "-O2", "-o", program, HERE / f"{name}.c"], check=True)
    return program


class Viewers:
    """One process of viewers, on a core of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        command = ["taskset", "-c", CORE, str(built("load", folder))]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def connect(self, port: int, path: str, number: int) -> dict[str, Any]:
        """Open so many more sockets at this path."""
        (self.folder / "paths").write_text(path + "\n")
        return self._do(f"connect 127.0.0.1 {port} {self.folder / 'paths'} {number}")

    def trigger(self, port: int, templates: list[bytes], viewers: int) -> None:
        """Publish by writing these bytes, in turn, to this port; each is due to so many viewers."""
        lines = b"".join(b"%d %d\n%b\n" % (len(one), viewers, one) for one in templates)
        (self.folder / "templates").write_bytes(lines)
        self._do(f"trigger 127.0.0.1 {port} {self.folder / 'templates'}")

    def run(self, publishes: int, inflight: int, *, seconds: float = 0.0, gap: float = 0.0) -> dict[str, Any]:
        """Publish so often with so many outstanding, and *gap* seconds at least between two."""
        return self._do(f"run {publishes} {inflight} {seconds} {gap}")

    def rate(self, a_second: float, seconds: float) -> dict[str, Any]:
        """Publish at a fixed rate."""
        return self._do(f"rate {a_second} {seconds}")

    def stall(self, share: float) -> dict[str, Any]:
        """Let this share of the sockets read no more; 0 lets all read again."""
        return self._do(f"stall {share}")

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
