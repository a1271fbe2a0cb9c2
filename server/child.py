"""Subprocesses that end with this process.

In: a command. Out: the same command, which the kernel ends when the process that started it dies; and, for an error
message, why a process ended.
"""

import os
import signal
import sys
from collections.abc import Sequence

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
    Python in a fork of a process with threads, which may deadlock. The kernel means the *thread* that started it, so
    start it in the main thread. Only Linux does this: elsewhere the process outlives this one.
    """
    return [sys.executable, "-I", "-S", "-c", _TIE, str(os.getpid()), *command]


def exit_reason(code: int) -> str:
    """Why a process ended, from its return code as subprocess gives it: `exit 1`, `killed by SIGKILL`."""
    return f"exit {code}" if code >= 0 else f"killed by {signal.Signals(-code).name}"
