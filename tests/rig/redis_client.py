"""A worker's client of a Redis, of one server and of clusters, for tests of what talks to it directly."""

from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing

import pytest

from server.redis.client import RedisClient, Use
from tests.rig.cluster import Cluster, three_masters


@pytest.fixture
async def store(redis_url: str) -> AsyncIterator[RedisClient]:
    """A worker's client of one server."""
    async with aclosing(RedisClient(redis_url, Use.WORK)) as found:
        yield found


@pytest.fixture
async def clustered(cluster_url: str) -> AsyncIterator[RedisClient]:
    """A worker's client of three masters."""
    async with aclosing(RedisClient(cluster_url, Use.WORK)) as found:
        yield found


@pytest.fixture(scope="module")
def breakable(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Three masters of this file's own: each test leaves them well."""
    with three_masters(tmp_path_factory.mktemp("breakable"), 10_000) as cluster:
        yield cluster
