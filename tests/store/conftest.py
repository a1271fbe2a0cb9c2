"""Sites for tests of the schedule and its budget."""

from collections.abc import AsyncIterator
from contextlib import aclosing

import pytest

from tests.rig.scheduled import ScheduledSite


@pytest.fixture
async def unknown(redis_url: str) -> AsyncIterator[ScheduledSite]:
    """A site that is not known."""
    async with aclosing(ScheduledSite(redis_url)) as found:
        yield found


@pytest.fixture
async def site(unknown: ScheduledSite) -> ScheduledSite:
    """A site of which every ticket is wanted."""
    await unknown.add_site(everything=True)
    return unknown


@pytest.fixture
async def watched(unknown: ScheduledSite) -> ScheduledSite:
    """A site of which only watched tickets are wanted."""
    await unknown.add_site(everything=False)
    return unknown
