import subprocess
import sys
from importlib import import_module
from importlib.metadata import version

from server.cli import commands


def test_module_is_the_program() -> None:
    """`python -m server.cli`, which the supervisor starts, is the same program as `ticket-counter`."""
    ran = subprocess.run([sys.executable, "-m", "server.cli", "--version"], capture_output=True, text=True, check=True)

    assert (f"ticket-counter {version('ticket-counter')}\n", "") == (ran.stdout, ran.stderr)
    assert commands.main is vars(import_module("server.cli.__main__"))["main"]
