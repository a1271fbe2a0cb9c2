"""Signals to the test's own process, sent from a thread when a condition holds."""

import os
import threading
from collections.abc import Callable
from typing import Any

from tests.rig.redis import until as until_blocking


def do_when(holds: Callable[[], Any], do: Callable[[], Any]) -> threading.Thread:
    """Call *do* in a thread of its own as soon as a condition holds; answers the thread, to join."""

    def wait() -> None:
        until_blocking(lambda: bool(holds()), lambda: "it did not come to hold")
        do()

    thread = threading.Thread(target=wait)
    thread.start()
    return thread


def signal_when(number: int, holds: Callable[[], Any], times: int = 1) -> threading.Thread:
    """Send this process a signal, *times* over, as soon as a condition holds; answers the thread, to join."""

    def kill() -> None:
        for _ in range(times):
            os.kill(os.getpid(), number)

    return do_when(holds, kill)
