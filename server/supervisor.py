"""Several web processes on one port, as many as there are cores: who starts them, and starts again what ends.

In: settings. Out: an exit status, once all have ended. Each child is a whole `web` with its own interpreter, loop and
hub. The kernel spreads connections over their sockets (SO_REUSEPORT), and they meet in Redis alone, as on machines
apart. The parent holds the port and the folder of the metrics, and accepts no connection; if it is killed, the kernel
ends its children (child.py).

Each child has a pipe to the parent: what comes through it is READY, or why it could not start; its end is the child's.
"""

import contextlib
import os
import random
import selectors
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import structlog

from server import logs, metrics, run
from server.child import exit_reason, tied_to_parent
from server.errors import NotStarted, TicketCounterError
from server.http.listen import address, listen
from server.settings import Settings

READY = b"ready\n"
GRACE = run.DRAIN + run.TELL_EVERY * run.TELL_TIMES + run.LAST + 5.0
"""Seconds from SIGTERM to SIGKILL. What hangs ends itself before, and prints where: this is for what cannot.

All that a child may take, and some more: it hears of the end later than we tell it, and a tie would hide where it hung.
"""
FIRST_PAUSE, LONGEST_PAUSE = 0.2, 30.0
"""Seconds until a child that ended is started again; twice as long each time in a row, and less by chance."""
WELL = 60.0
"""Seconds of service after which an end is no longer one in a row."""
ENDINGS = (signal.SIGTERM, signal.SIGINT)

log = logs.logger("supervisor")


def supervise(settings: Settings, ready: Callable[[str], None]) -> int:
    """Run the children until a signal; *ready* is told the address when all listen. Raises NotStarted as one would."""
    settings.redis()  # without it no child could start: this is said sooner
    with _reserved(settings) as port, contextlib.ExitStack() as stack:
        try:
            folder = stack.enter_context(metrics.folder())
        except OSError as error:
            raise NotStarted(f"no folder for the metrics can be made ({error.strerror}): set TMPDIR") from None
        command = [sys.executable, "-P", "-m", "server.cli", "web"]
        command += [f"--host={settings.host}", f"--port={port.getsockname()[1]}"]
        return Supervisor(settings.web_processes, command, folder, lambda: ready(address(settings, port))).run()


def run_child(settings: Settings, report: int) -> int:
    """Be a child: run as any web process, and tell the parent through *report*, which stays open until the end."""
    os.set_inheritable(report, False)
    parent = os.getppid()
    structlog.contextvars.bind_contextvars(pid=os.getpid())

    def tell(text: bytes) -> None:
        with contextlib.suppress(BrokenPipeError):  # it has just died, and SIGTERM is on its way to us
            os.write(report, text)

    def listening(_: str) -> None:
        tell(READY)

    try:
        return run.process(settings, web=True, worker=False, embed=False, ready=listening, child=True)
    except TicketCounterError as error:
        tell(str(error).encode())
        return 2
    finally:
        if os.getppid() != parent:  # it was killed, and cannot clear up
            shutil.rmtree(os.environ[metrics.FOLDER], ignore_errors=True)


@dataclass(slots=True, eq=False)
class Child:
    """One place in the supervisor: the process that has it, or when there will be one again."""

    place: int
    process: subprocess.Popen[bytes] | None = None
    said: bytes = b""
    ready_at: float | None = None
    due: float = 0.0
    ends: int = 0
    """How often it ended in a row, without having served well in between."""


class Supervisor:
    """*number* processes of *command*, which gets `--report=` and a descriptor; *ready* is called once all are ready."""

    def __init__(
        self,
        number: int,
        command: Sequence[str],
        folder: str,
        ready: Callable[[], None],
        *,
        grace: float = GRACE,
        pause: tuple[float, float] = (FIRST_PAUSE, LONGEST_PAUSE),
        well: float = WELL,
    ) -> None:
        self.children = [Child(place) for place in range(number)]
        self._command = [*command]
        self._folder = folder
        self._ready = ready
        self._grace = grace
        self._pause = pause
        self._well = well
        # All were ready once: from here on what cannot start is no reason to end the others.
        self._up = False
        self._ending = False
        # When those who still run are killed, once they were told to end.
        self._deadline: float | None = None
        self._refusal = ""
        self._status = 0
        self._selector = selectors.DefaultSelector()

    def run(self) -> int:
        """Keep every place filled until a signal, and wait for all to end; raises NotStarted where none can start."""
        with self._selector, _signals() as signals:
            self._selector.register(signals, selectors.EVENT_READ)
            try:
                while self._running() or not self._ending:
                    self._fill()
                    for key, _ in self._selector.select(self._patience()):
                        if isinstance(key.data, Child):
                            self._hear(key.data, key.fd)
                        else:
                            self._signalled(signals.recv(100))
                    if self._deadline is not None and self._deadline <= time.monotonic():
                        self._kill()
            finally:
                # After a fault of our own: else nobody is left here.
                self._kill()
                for process in self._running():
                    process.wait()
        if self._refusal:
            raise NotStarted(self._refusal)
        return self._status

    # -- children --

    def _running(self) -> list[subprocess.Popen[bytes]]:
        return [child.process for child in self.children if child.process is not None]

    def _patience(self) -> float | None:
        """Seconds until something is to be done though nothing has happened."""
        moments = [child.due for child in self.children if child.process is None and not self._ending]
        if self._deadline is not None:
            moments.append(self._deadline)
        return max(0.0, min(moments) - time.monotonic()) if moments else None

    def _fill(self) -> None:
        """Start a process for every place that waits for one."""
        for child in self.children:
            if child.process is None and not self._ending and child.due <= time.monotonic():
                self._start(child)

    def _start(self, child: Child) -> None:
        try:
            metrics.prepare(self._folder, child.place)
            child.process, reading = self._process(child.place)
        except OSError as error:
            self._again(child, error=f"the process could not be started: {error.strerror}")
            return
        child.said, child.ready_at = b"", None
        self._selector.register(reading, selectors.EVENT_READ, child)

    def _process(self, place: int) -> tuple[subprocess.Popen[bytes], int]:
        """A new process, and the descriptor from which it is heard; raises OSError."""
        reading, writing = os.pipe()
        try:
            process = subprocess.Popen(  # noqa: S603 - ours
                tied_to_parent([*self._command, f"--report={writing}"]),
                env={**os.environ, metrics.FOLDER: self._folder, metrics.PLACE: str(place)},
                stdin=subprocess.DEVNULL,
                pass_fds=[writing],
                start_new_session=True,  # Ctrl+C in a terminal is for us
            )
        except OSError:
            os.close(reading)
            raise
        finally:
            os.close(writing)
        return process, reading

    def _hear(self, child: Child, reading: int) -> None:
        """Take what a child says, or its end."""
        if said := os.read(reading, 65536):
            child.said += said
            if child.said == READY:
                child.ready_at = time.monotonic()
                self._look()
            return
        self._selector.unregister(reading)
        os.close(reading)
        self._ended(child)

    def _look(self) -> None:
        """See whether all are ready for the first time."""
        if not self._up and not self._ending and all(child.ready_at is not None for child in self.children):
            self._up = True
            self._ready()

    def _ended(self, child: Child) -> None:
        assert child.process is not None  # noqa: S101 - it has just ended
        status, pid = child.process.wait(), child.process.pid
        child.process = None
        metrics.forget(self._folder, child.place)
        error = child.said.removeprefix(READY).decode(errors="replace")
        if self._ending:
            # SIGTERM is the end of one that had not come to listen for signals yet.
            if status not in {0, -signal.SIGTERM}:
                self._status = self._status or 1
        elif status == 2 and not self._up and child.ready_at is None:
            self._refusal, self._status = error, status
            self._stop()
        else:
            if child.ready_at is not None and time.monotonic() - child.ready_at >= self._well:
                child.ends = 0
            self._again(child, pid=pid, ended=exit_reason(status), **({"error": error} if error else {}))

    def _again(self, child: Child, **why: int | str) -> None:
        """Leave a place empty for a while: what ends as soon as it begins must not take the machine."""
        first, longest = self._pause
        pause = min(longest, first * 2**child.ends) * random.uniform(0.5, 1)  # noqa: S311 - spreads starts, hides nothing
        # Past 2 ** 30 no pause grows any more, and numbers need not.
        child.ends, child.ready_at = min(child.ends + 1, 30), None
        child.due = time.monotonic() + pause
        log.error("member_ended", **why, again_in=round(pause, 2))

    # -- the end --

    def _signalled(self, numbers: bytes) -> None:
        for _ in filter(ENDINGS.__contains__, numbers):
            if self._ending:
                self._kill()
            else:
                self._stop()

    def _stop(self) -> None:
        """Tell every child to end, in order. It is SIGTERM whatever came: one that still starts ends without a word."""
        self._ending, self._deadline = True, time.monotonic() + self._grace
        for process in self._running():
            process.terminate()

    def _kill(self) -> None:
        """End those who are left, at once; their ends are heard as any other."""
        if left := self._running():
            log.error("members_killed", pids=[process.pid for process in left])
        for process in left:
            process.kill()
        self._deadline = None


@contextlib.contextmanager
def _reserved(settings: Settings) -> Iterator[socket.socket]:
    """A socket that holds the port for children of ours, and never listens; raises NotStarted if somebody has it."""
    # Two that share a port do not notice each other: so first as one who does not share.
    with listen(settings) as tried:
        family, name = tried.family, tried.getsockname()
        alone = family == socket.AF_INET6 and tried.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY)
    with socket.socket(family) as port:
        if family == socket.AF_INET6:
            port.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, alone)
        port.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        try:
            port.bind(name)
        except OSError:
            # Connections of a server that has ended linger there. Only without this option would somebody else who
            # comes before the first child listens find the port taken.
            port.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            port.bind(name)
        yield port


@contextlib.contextmanager
def _signals() -> Iterator[socket.socket]:
    """A socket that gets a byte for each signal, its number, in place of what signals did before."""
    reading, writing = socket.socketpair()
    with reading, writing:
        writing.setblocking(False)
        woken = signal.set_wakeup_fd(writing.fileno())
        before = {number: signal.signal(number, lambda *_: None) for number in ENDINGS}
        try:
            yield reading
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
            signal.set_wakeup_fd(woken)
