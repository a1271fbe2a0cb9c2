"""A fake Wix, and clients of it."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest

from server.wix.client import Wix
from server.wix.credentials import ApiKey, App
from tests.rig.fake_wix import FakeWix, running
from tests.rig.wix_client import APP, Client


@pytest.fixture
async def wix() -> AsyncIterator[FakeWix]:
    """A Wix that answers as the test says."""
    async with running() as found:
        yield found


@pytest.fixture
async def client(wix: FakeWix) -> AsyncIterator[Client]:
    """Make clients of it: of the app, unless other credentials are given."""
    async with AsyncExitStack() as stack:

        def make(credentials: App | ApiKey = APP, url: str | None = None, **more: Any) -> Wix:
            found = Wix(credentials, url or wix.url, **more)
            stack.push_async_callback(found.aclose)
            return found

        yield make
