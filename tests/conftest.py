"""Fixtures live beside the server that they start, in tests/rig. Tests run on the loop that the product runs on."""

import asyncio
import logging
from collections.abc import Callable, Mapping

import pytest
import structlog
import uvloop

from tests.rig.tell import told

pytest_plugins = [
    "tests.rig.redis",
    "tests.rig.cluster",
    "tests.rig.store",
    "tests.rig.browser",
    "tests.rig.wix",
    "tests.rig.server",
    "tests.rig.process",
    "tests.rig.site",
]

# A thousand webhooks are a thousand lines at DEBUG, which cost more than the webhooks.
structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.INFO))


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Uvloop, as server/run.py: its transports are no asyncio.Transport, and time things differently."""
    return {"uvloop": uvloop.new_event_loop}


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What was measured is said at the end."""
    if told:
        terminalreporter.section("measured")
        for line in told:
            terminalreporter.write_line(line)
