"""
Tell coverage which test is running, so that scripts/coverage can ask what each test file covers by itself.

Coverage's own `dynamic_context = "test_function"` goes by the function on the stack, and loses whatever other tasks do
while an async test waits: here that is most of the work.
"""

from collections.abc import Iterator

import coverage
import pytest


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Put everything from a test's first fixture to its last under the test's name."""
    measured = coverage.Coverage.current()
    if measured is not None:
        measured.switch_context(item.nodeid)
    try:
        return (yield)
    finally:
        if measured is not None:
            measured.switch_context("")
