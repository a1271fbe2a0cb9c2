"""A hub and its feed, as most tests of events use them."""

from collections.abc import AsyncIterator

import pytest

from tests.rig.hub_rig import HubRig


@pytest.fixture
async def rig(redis_url: str) -> AsyncIterator[HubRig]:
    """A running hub without viewers."""
    async with HubRig(redis_url) as found:
        yield found
