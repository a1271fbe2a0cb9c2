"""Clients of Redis, as a worker has them: of one server and of a cluster."""

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
    """A cluster for one test file: each test leaves it healthy."""
    with three_masters(tmp_path_factory.mktemp("breakable"), 10_000) as cluster:
        yield cluster
