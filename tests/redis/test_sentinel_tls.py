from collections.abc import Iterator
from contextlib import aclosing
from pathlib import Path

import pytest

from server.errors import RedisUnavailable, RedisUnfit
from server.redis.client import RedisClient, Use
from tests.rig.redis import SERVERS
from tests.rig.server import until
from tests.rig.tls_sentinels import TlsWatched, tls_watched

pytestmark = pytest.mark.skipif(
    "redis-server" not in SERVERS, reason="no redis-server is installed, and the embedded Valkey has no TLS"
)


@pytest.fixture
def sentinels(tmp_path: Path) -> Iterator[TlsWatched]:
    """A master, its replica and three Sentinels, with TLS of their own."""
    with tls_watched(tmp_path / "watched") as found:
        yield found


async def test_failover(sentinels: TlsWatched) -> None:
    """Over TLS a master that is killed is replaced by its replica, without a new client; messages arrive there."""
    async with (
        aclosing(RedisClient(sentinels.url, Use.INGEST)) as store,
        aclosing(RedisClient(sentinels.url, Use.LISTEN)) as listening,
    ):
        await store.wait(20)
        await store.do("SET", "key", "before")
        assert "before" == sentinels.master.ask("GET", "key")
        sentinels.master.kill()

        async def works() -> bool:
            try:
                await store.do("SET", "key", "after")
            except RedisUnavailable:
                return False
            return True

        await until(works, 20)
        assert ("after", True) == (sentinels.replica.ask("GET", "key"), sentinels.failed_over())
        async with listening.listener() as link:
            await link.subscribe("tickets")
            assert await link.receive(5)
            await store.do("PUBLISH", "tickets", "text")
            received = await link.receive(5)

    assert received is not None
    assert "text" == received.text


async def test_authority_is_needed(sentinels: TlsWatched) -> None:
    """Without the authority of their certificates neither Sentinels nor the master are trusted."""
    async with aclosing(RedisClient(sentinels.url.partition("?")[0], Use.WORK)) as store:
        with pytest.raises(RedisUnfit, match=r"[?]ssl_ca_certs=FILE"):
            await store.wait(30)
