"""The site that the schedule is tested with: unknown, with every ticket tracked, or with only watched ones; and a client of Redis."""

from collections.abc import AsyncIterator
from contextlib import aclosing

import pytest

from server.redis.client import RedisClient, Use
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


@pytest.fixture(params=["redis_url", "cluster_url"], ids=["one server", "cluster"])
async def anywhere(request: pytest.FixtureRequest) -> AsyncIterator[RedisClient]:
    """A worker's client, of one server and of a cluster."""
    async with aclosing(RedisClient(request.getfixturevalue(request.param), Use.WORK)) as found:
        yield found
