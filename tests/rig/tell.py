"""What a test measured, for a person: `tell("2,000 sockets back after 4.1 s")`. A run's last lines are what its tests told."""

import os

told: list[str] = []
"""What this run's tests have told so far, each after the test's name."""


def tell(text: str) -> None:
    """Tell a figure; pytest names the test."""
    test = os.environ.get("PYTEST_CURRENT_TEST", "").partition(" ")[0].rpartition("::")[2]
    told.append(f"{test}: {text}")
