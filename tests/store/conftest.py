"""The site that the schedule is tested with: unknown, with every ticket tracked, or with only watched ones."""

from collections.abc import AsyncIterator
from contextlib import aclosing

import pytest

from tests.rig.stored_site import StoredSite


@pytest.fixture
async def unknown(redis_url: str) -> AsyncIterator[StoredSite]:
    """A site that is not known."""
    async with aclosing(StoredSite(redis_url)) as found:
        yield found


@pytest.fixture
async def site(unknown: StoredSite) -> StoredSite:
    """A site that tracks every ticket."""
    await unknown.add_listed_site()
    return unknown


@pytest.fixture
async def watched(unknown: StoredSite) -> StoredSite:
    """A site that tracks only watched tickets."""
    await unknown.add_site(everything=False)
    return unknown
