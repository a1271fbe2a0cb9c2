"""What a test measured, for a person: `tell("2,000 sockets back after 4.1 s")`. A run's last lines are what its tests told."""

from collections.abc import Iterator
from typing import Any

import pytest

_said: list[str] = []
"""What the test that is running has told so far."""


def report(text: str) -> None:
    """Tell a figure; pytest names the test."""
    _said.append(text)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Put what was told into the test's report, which alone reaches the process that prints."""
    item.user_properties.extend((item.name, text) for text in _said)
    _said.clear()
    return (yield)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say at the end what was told."""
    found: Iterator[Any] = (one for reports in terminalreporter.stats.values() for one in reports)
    lines = [
        f"{name}: {text}"
        for one in found
        if getattr(one, "when", None) == "teardown"
        for name, text in one.user_properties
    ]
    if lines:
        terminalreporter.section("measured")
        for line in lines:
            terminalreporter.write_line(line)
