"""Several web processes on one port: starts them, starts each again when it ends, and ends them all.

In: settings. Out: an exit status, once all have ended. Each child is a whole `web` process with its own interpreter,
event loop and hub. The kernel spreads connections over their sockets (SO_REUSEPORT); they share nothing but Redis, as
processes on different machines do. The parent reserves the port and owns the folder of the metrics, and accepts no
connection. If the parent is killed, the kernel ends its children (child.py).

Each child has a pipe to the parent: it writes READY, or why it could not start; the pipe ends with the child.
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
from server.child import exit_reason, spawn_reporting
from server.errors import NotStarted, TicketCounterError
from server.http.listen import address, reserved
from server.settings import Settings

READY = b"ready\n"
GRACE = run.DRAIN + run.CANCEL_EVERY * run.CANCEL_TIMES + run.CLOSE_WITHIN + 5.0
"""Seconds from SIGTERM to SIGKILL: all that a child may take to end, and 5 more, as the signal reaches it later.

A child that hangs ends itself before that, with a traceback that shows where; SIGKILL is for one that cannot.
"""
FIRST_BACKOFF, LONGEST_BACKOFF = 0.2, 30.0
"""Seconds until a child that ended is started again: doubled with each failure in a row, and shortened at random."""
HEALTHY_AFTER = 60.0
"""Seconds of service after which an end is no longer a failure in a row."""
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)

log = logs.logger("supervisor")


def supervise(settings: Settings, ready: Callable[[str], None]) -> int:
    """Run the children until a signal, and return the exit status; *ready* gets the address once all of them listen.

    Raises NotStarted for what keeps a single process from starting too.
    """
    settings.redis()  # no child can start without it: report that before any is started
    with reserved(settings) as port, contextlib.ExitStack() as stack:
        try:
            folder = stack.enter_context(metrics.folder())
        except OSError as error:
            raise NotStarted(f"no folder for the metrics can be made ({error.strerror}): set TMPDIR") from None
        command = [sys.executable, "-P", "-m", "server.cli", "web"]
        command += [f"--host={settings.host}", f"--port={port.getsockname()[1]}"]
        return Supervisor(settings.web_processes, command, folder, lambda: ready(address(settings, port))).run()


def run_child(settings: Settings, report: int) -> int:
    """Be a child: run as any web process, and report to the parent through the descriptor *report*."""
    os.set_inheritable(report, False)
    parent = os.getppid()
    structlog.contextvars.bind_contextvars(pid=os.getpid())

    def write(text: bytes) -> None:
        with contextlib.suppress(BrokenPipeError):  # the parent has just died, and SIGTERM is on its way
            os.write(report, text)

    def listening(_: str) -> None:
        write(READY)

    try:
        # One of them is enough to tell a person about all.
        first = os.environ.get(metrics.PLACE) == "0"
        return run.run_process(
            settings, web=True, worker=False, embed=False, ready=listening, child=True, summary=first
        )
    except TicketCounterError as error:
        write(str(error).encode())
        return 2
    finally:
        if os.getppid() != parent:  # it was killed, and cannot clean up
            shutil.rmtree(os.environ[metrics.FOLDER], ignore_errors=True)


@dataclass(slots=True, eq=False)
class Child:
    """One of the children: its process, or when the next one is due."""

    place: int
    """Its number among the children, from 0."""
    process: subprocess.Popen[bytes] | None = None
    received: bytes = b""
    ready_at: float | None = None
    start_at: float = 0.0
    failures: int = 0
    """How often it ended in a row without having served for HEALTHY_AFTER."""


class Supervisor:
    """Runs *number* processes of *command*, which gets `--report=<descriptor>`; calls *ready* once all are ready.

    *folder* is that of the metrics; *grace*, *backoff* (first, longest) and *healthy_after* are seconds, as above.
    """

    def __init__(
        self,
        number: int,
        command: Sequence[str],
        folder: str,
        ready: Callable[[], None],
        *,
        grace: float = GRACE,
        backoff: tuple[float, float] = (FIRST_BACKOFF, LONGEST_BACKOFF),
        healthy_after: float = HEALTHY_AFTER,
    ) -> None:
        self.children = [Child(place) for place in range(number)]
        self._command = [*command]
        self._folder = folder
        self._ready = ready
        self._grace = grace
        self._backoff = backoff
        self._healthy_after = healthy_after
        # All were ready once: from here on a child that cannot start does not end the others.
        self._was_ready = False
        self._stopping = False
        # When the children that still run are killed; set once they were told to end.
        self._kill_at: float | None = None
        self._start_error = ""
        self._status = 0
        self._selector = selectors.DefaultSelector()

    def run(self) -> int:
        """Keep all children running until a signal, then wait for their ends; raises NotStarted if none can start."""
        with self._selector, _stop_signals() as signals:
            self._selector.register(signals, selectors.EVENT_READ)
            try:
                while self._processes() or not self._stopping:
                    self._start_due()
                    for key, _ in self._selector.select(self._timeout()):
                        if isinstance(key.data, Child):
                            self._read_pipe(key.data, key.fd)
                        else:
                            self._handle_signals(signals.recv(100))
                    if self._kill_at is not None and self._kill_at <= time.monotonic():
                        self._kill()
            finally:
                # An exception here must not leave children behind.
                self._kill()
                for process in self._processes():
                    process.wait()
        if self._start_error:
            raise NotStarted(self._start_error)
        return self._status

    # -- children --

    def _processes(self) -> list[subprocess.Popen[bytes]]:
        return [child.process for child in self.children if child.process is not None]

    def _timeout(self) -> float | None:
        """Seconds until a child is to be started or killed; None where only a signal or a pipe can give work."""
        moments = [child.start_at for child in self.children if child.process is None and not self._stopping]
        if self._kill_at is not None:
            moments.append(self._kill_at)
        return max(0.0, min(moments) - time.monotonic()) if moments else None

    def _start_due(self) -> None:
        for child in self.children:
            if child.process is None and not self._stopping and child.start_at <= time.monotonic():
                self._start(child)

    def _start(self, child: Child) -> None:
        try:
            metrics.create_files(self._folder, child.place)
            child.process, pipe = spawn_reporting(
                self._command, {**os.environ, metrics.FOLDER: self._folder, metrics.PLACE: str(child.place)}
            )
        except OSError as error:
            self._restart_later(child, error=f"the process could not be started: {error.strerror}")
            return
        child.received, child.ready_at = b"", None
        self._selector.register(pipe, selectors.EVENT_READ, child)

    def _read_pipe(self, child: Child, pipe: int) -> None:
        if received := os.read(pipe, 65536):
            child.received += received
            if child.received == READY:
                child.ready_at = time.monotonic()
                self._check_all_ready()
            return
        self._selector.unregister(pipe)
        os.close(pipe)
        self._handle_end(child)

    def _check_all_ready(self) -> None:
        if not self._was_ready and not self._stopping and all(child.ready_at is not None for child in self.children):
            self._was_ready = True
            self._ready()

    def _handle_end(self, child: Child) -> None:
        assert child.process is not None  # noqa: S101 - its pipe has just ended
        status, pid = child.process.wait(), child.process.pid
        child.process = None
        metrics.remove_live_file(self._folder, child.place)
        error = child.received.removeprefix(READY).decode(errors="replace")
        if self._stopping:
            # SIGTERM ends a child that does not handle signals yet.
            if status not in {0, -signal.SIGTERM}:
                self._status = self._status or 1
        elif status == 2 and not self._was_ready and child.ready_at is None:
            self._start_error, self._status = error, status
            self._stop()
        else:
            if child.ready_at is not None and time.monotonic() - child.ready_at >= self._healthy_after:
                child.failures = 0
            self._restart_later(child, pid=pid, ended=exit_reason(status), **({"error": error} if error else {}))

    def _restart_later(self, child: Child, **reason: int | str) -> None:
        """Start a child again after the back-off, so that one that fails at once does not use up the CPU."""
        first, longest = self._backoff
        pause = min(longest, first * 2**child.failures)
        pause *= random.uniform(0.5, 1)  # noqa: S311 - spreads starts, hides nothing
        # Past 2 ** 30 the pause does not grow, so neither need the number.
        child.failures, child.ready_at = min(child.failures + 1, 30), None
        child.start_at = time.monotonic() + pause
        log.error("member_ended", **reason, again_in=round(pause, 2))

    # -- the end --

    def _handle_signals(self, numbers: bytes) -> None:
        for _ in filter(STOP_SIGNALS.__contains__, numbers):
            if self._stopping:
                self._kill()
            else:
                self._stop()

    def _stop(self) -> None:
        """Tell every child to end. It is SIGTERM whatever came: it ends a starting child without a traceback."""
        self._stopping, self._kill_at = True, time.monotonic() + self._grace
        for process in self._processes():
            process.terminate()

    def _kill(self) -> None:
        """Kill the children that are left; their ends are handled as any other."""
        if left := self._processes():
            log.error("members_killed", pids=[process.pid for process in left])
        for process in left:
            process.kill()
        self._kill_at = None


@contextlib.contextmanager
def _stop_signals() -> Iterator[socket.socket]:
    """A socket that gets one byte, the number, for each signal; the former handlers are put back at the end."""
    reading, writing = socket.socketpair()
    with reading, writing:
        writing.setblocking(False)
        former_fd = signal.set_wakeup_fd(writing.fileno())
        former = {number: signal.signal(number, lambda *_: None) for number in STOP_SIGNALS}
        try:
            yield reading
        finally:
            for number, handler in former.items():
                signal.signal(number, handler)
            signal.set_wakeup_fd(former_fd)
