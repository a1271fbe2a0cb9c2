"""How late a server's event loop is: another process requests /livez every 50 ms, and measures the response times.

`loop_lag = LoopLag(command, url)`, then `loop_lag.delays(since, until)`. A response is as late as the loop was, plus the
round trip and what this machine delays both. Each time counts from when the request was due, so a loop that hangs for a
second causes twenty late responses and not one. Failed requests are not counted.
"""

import socket
import sys
import time
from contextlib import suppress
from urllib.parse import urlsplit

from tests.rig.process import Command, Run

EVERY = 0.05
PROGRAM = "from tests.rig.loop_lag import main; main()"
PATIENCE = 30.0


class LoopLag:
    """The process that measures."""

    def __init__(self, run: Run, url: str) -> None:
        self._process: Command = run(url, program=PROGRAM)

    def delays(self, since: float, until: float) -> list[float]:
        """Seconds that each response took, of the requests due between two moments of time.monotonic()."""
        rows = (line.split() for line in self._process.out.splitlines(keepends=True) if line.endswith("\n"))
        return [float(took) for due, took in rows if since <= float(due) <= until]


def main() -> None:
    """Request forever; one line a response: when it was due and how late it came, in seconds."""
    parts = urlsplit(sys.argv[-1])
    request = f"GET /livez HTTP/1.1\r\nHost: {parts.netloc}\r\n\r\n".encode()
    line: socket.socket | None = None
    due = time.monotonic()
    while True:
        time.sleep(max(0.0, due - time.monotonic()))
        try:
            line = line or socket.create_connection((parts.hostname, parts.port or 80), PATIENCE)
            line.sendall(request)
            answered = line.recv(4096).endswith(b"yes\n")
        except OSError:
            answered = False
        if answered:
            sys.stdout.write(f"{due:.6f} {time.monotonic() - due:.6f}\n")
            sys.stdout.flush()
            due += EVERY
            continue
        if line is not None:
            with suppress(OSError):
                line.close()
        line, due = None, time.monotonic() + EVERY
