"""
Browsers of three engines, for the tests of tests/engines (scripts/test-browsers).

    tab     one visible tab, in each engine in turn: one browser process an engine for all tests of a file
    engine  its name: chromium, firefox or webkit
    hosts   pages of other sites with a counter server, for all tests of a file

A file that uses them runs all its tests in one event loop: `pytestmark = pytest.mark.asyncio(loop_scope="module")`.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest
import pytest_asyncio

from tests.rig.chromium import chromium
from tests.rig.firefox import firefox
from tests.rig.host_page import Hosts, host_pages
from tests.rig.redis import RedisServer
from tests.rig.tab import Tab
from tests.rig.webkit import webkit

ENGINES: dict[str, Callable[[Path], AbstractAsyncContextManager[Tab]]] = {
    "chromium": chromium,
    "firefox": firefox,
    "webkit": webkit,
}


@pytest.fixture(scope="module", params=[*ENGINES])
def engine(request: pytest.FixtureRequest) -> str:
    """The name of an engine."""
    return str(request.param)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def tab(engine: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Tab]:
    """A tab of the engine."""
    async with ENGINES[engine](tmp_path_factory.mktemp(engine)) as found:
        yield found


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def hosts(redis_shared: RedisServer) -> AsyncIterator[Hosts]:
    """Pages of other sites."""
    redis_shared.ask("FLUSHALL")
    async with host_pages(redis_shared.url) as found:
        yield found
