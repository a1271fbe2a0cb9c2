"""A mail relay in a process of its own: `python -m bench.notify_load.mail_relay`.

It writes the port on which it listens, and for each line of its standard input how many mails it has taken. It has a low
priority, so that it takes no time from the viewers, whose core it shares.
"""

import os
import subprocess
import sys
from pathlib import Path

from bench.servers import ROOT
from bench.viewers import VIEWER_CORE, pinned
from tests.rig.smtp_server import relay

NICE = 5
"""With more, any other load on the machine would keep it from answering, and a campaign from its pace."""


class MailRelay:
    """The process as the benchmark sees it."""

    def __init__(self, log: Path) -> None:
        with log.open("wb") as errors:
            self._process = subprocess.Popen(
                pinned(VIEWER_CORE, sys.executable, "-m", __name__),
                cwd=ROOT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )
        self.port = self._number()

    @property
    def mails(self) -> int:
        """Mails that it has taken so far."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return self._number()

    def end(self) -> None:
        """Stop it."""
        self._process.kill()
        self._process.communicate()

    def _number(self) -> int:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("the mail relay has ended")
        return int(line)


def _main() -> None:
    os.nice(NICE)
    with relay() as running:
        print(running.port, flush=True)
        for _ in sys.stdin:
            print(len(running.mails), flush=True)


if __name__ == "__main__":
    _main()
