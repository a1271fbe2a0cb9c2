import time
from contextlib import aclosing
from pathlib import Path

import pytest

from server.counter import Rules
from server.doctor.deployment import UNPAID_CALLS, Deployment, NoCall
from server.errors import NotStarted
from server.model import SiteId
from server.redis.client import RedisClient, Use
from server.wix.calls import Pay
from tests.rig.server import SITE, StartServer, until
from tests.rig.settings import valid_settings
from tests.rig.wix import WixRig


async def test_sites_and_a_ticket(start_server: StartServer, wix: WixRig, redis_url: str) -> None:
    """The sites are those of the settings and of Redis, and a ticket is one that is tracked."""
    await start_server(worker=True, **wix.settings())
    async with aclosing(Deployment(valid_settings(redis_url=redis_url))) as deployment:
        assert [SITE] == await deployment.sites()
        assert [] == await deployment.stored_sites()
        assert await deployment.a_ticket() is None

        deployment.redis = RedisClient(redis_url, Use.WORK)
        assert [SITE] == await deployment.stored_sites()
        site, ticket = await until(deployment.a_ticket)
        assert SITE == site
        assert ticket in wix.tickets.values()


async def test_address_of_redis(tmp_path: Path) -> None:
    """Redis is where REDIS_URL says, else where a `serve` with this DATA_DIR has its own."""
    assert "redis://x:1" == Deployment(valid_settings(redis_url="redis://x:1")).redis_url()
    with pytest.raises(NotStarted, match="no `ticket-counter serve` runs"):
        Deployment(valid_settings(data_dir=tmp_path)).redis_url()


async def test_calls_that_no_budget_pays() -> None:
    """Without Redis five calls may be made, and no more."""
    deployment = Deployment(valid_settings())

    async def again(pay: Pay) -> bool:
        return await pay()

    for calls in (2, 2, 1):
        assert not await deployment.call(SiteId(SITE), again, calls=calls)
    with pytest.raises(NoCall, match="5 calls"):
        await deployment.call(SiteId(SITE), again)


async def test_stored_sites_without_redis() -> None:
    """A Redis that has gone away meanwhile knows no site."""
    async with aclosing(Deployment(valid_settings())) as deployment:
        deployment.redis = RedisClient("redis://127.0.0.1:9", Use.WORK)
        assert [] == await deployment.stored_sites()


async def test_call_of_a_site_that_redis_knows(wix: WixRig, redis_url: str) -> None:
    """A call of a known site is paid from its budget, and the five others stay."""
    async with aclosing(Deployment(valid_settings(redis_url=redis_url))) as deployment:
        deployment.redis = deployment.client()
        assert deployment.schedule is not None
        await deployment.schedule.add_site(SiteId(wix.site), Rules(), everything=True)
        for _ in range(UNPAID_CALLS + 1):
            assert await deployment.call(SiteId(wix.site), lambda pay: pay())

        assert abs(await deployment.now() - time.time()) < 5


async def test_deployment_without_redis() -> None:
    """Without Redis there is no schedule, no ticket, and the time is this machine's."""
    deployment = Deployment(valid_settings())

    assert deployment.schedule is None
    assert await deployment.a_ticket() is None
    assert abs(await deployment.now() - time.time()) < 5
