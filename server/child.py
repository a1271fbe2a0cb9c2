"""Subprocesses that end with this process.

In: a command. Out: the same command, which the kernel ends when the process that started it dies; a process of it with
a pipe to this one; and, for an error message, why a process ended.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence

_TIE = """
import ctypes, os, signal, sys
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG, which outlives exec
if os.getppid() != int(sys.argv[1]):
    sys.exit("the process that started this one is gone")  # before prctl, so no signal will come
os.execv(sys.argv[2], sys.argv[2:])
"""


def tied_to_parent(command: Sequence[str]) -> list[str]:
    """A command that runs *command* under the same pid, and gets SIGTERM from the kernel when this process dies.

    The first word of *command* is a path: PATH is not searched.

    A small Python asks the kernel for that and then executes *command*. Asking in subprocess's `preexec_fn` would run
    Python in a fork of a process with threads, which may deadlock. The signal comes when the *thread* that started it ends, so
    start it in the main thread. Only Linux does this: elsewhere the process outlives this one.
    """
    return [sys.executable, "-I", "-S", "-c", _TIE, str(os.getpid()), *command]


def spawn_reporting(command: Sequence[str], environment: Mapping[str, str]) -> tuple[subprocess.Popen[bytes], int]:
    """Start *command*, tied, with a further argument `--report=<descriptor>`: what it writes there can be read here.

    The result is the process, and the descriptor to read from, which ends with the process. Raises OSError.
    """
    reading, writing = os.pipe()
    try:
        process = subprocess.Popen(  # noqa: S603 - our own command
            tied_to_parent([*command, f"--report={writing}"]),
            env=environment,
            stdin=subprocess.DEVNULL,
            pass_fds=[writing],
            start_new_session=True,  # Ctrl+C in a terminal is for this process
        )
    except OSError:
        os.close(reading)
        raise
    finally:
        os.close(writing)
    return process, reading


def exit_reason(code: int) -> str:
    """Why a process ended, from its return code as subprocess gives it: `exit 1`, `killed by SIGKILL`."""
    return f"exit {code}" if code >= 0 else f"killed by {signal.Signals(-code).name}"
