"""Figures that a test measured: `report("2,000 sockets back after 4.1 s")`. They are the last lines of a run's output."""

from collections.abc import Iterator
from typing import Any

import pytest

_reported: list[str] = []
"""The figures of the running test so far."""


def report(text: str) -> None:
    """Report a figure; pytest adds the test's name."""
    _reported.append(text)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Put the figures into pytest's report of the test: only that reaches the process that prints."""
    item.user_properties.extend((item.name, text) for text in _reported)
    _reported.clear()
    return (yield)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print all figures at the end."""
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
