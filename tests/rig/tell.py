"""What a test measured, for a person: `tell("2,000 sockets back after 4.1 s")`."""

import os
from pathlib import Path

TOLD = "TOLD"
"""The environment's name of a file that collects the lines; without it they are only printed."""


def tell(text: str) -> None:
    """Print a figure, and keep it where the run collects them; pytest names the test."""
    test = os.environ.get("PYTEST_CURRENT_TEST", "").partition(" ")[0].rpartition("::")[2]
    line = f"{test}: {text}"
    print(line)  # noqa: T201 - what it is for
    if path := os.environ.get(TOLD):
        with Path(path).open("a") as told:
            told.write(f"{line}\n")
