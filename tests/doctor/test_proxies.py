from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, aclosing

import pytest

from server.doctor import proxies
from server.doctor.deployment import Deployment
from server.doctor.finding import Finding
from server.redis.client import RedisClient, Use
from server.store.untrusted_peers import UntrustedPeersStore
from tests.rig.doctor import examined, found_by
from tests.rig.server import StartServer, until
from tests.rig.settings import valid_settings
from tests.rig.wix import WixRig

Deployed = Callable[..., Deployment]


@pytest.fixture
async def deployed(redis_url: str) -> AsyncIterator[Deployed]:
    """A deployment with these TRUSTED_PROXIES."""
    async with AsyncExitStack() as stack:
        redis = await stack.enter_async_context(aclosing(RedisClient(redis_url, Use.WORK)))

        def make(*trusted: str) -> Deployment:
            deployment = Deployment(valid_settings(redis_url=redis_url, trusted_proxies=trusted))
            deployment.redis = redis
            return deployment

        yield make


async def found(deployment: Deployment, *peers: str) -> list[Finding]:
    """What is found after these peers sent the header."""
    if peers and deployment.redis is not None:
        await UntrustedPeersStore(deployment.redis).add(peers)
    return await found_by(proxies.check, deployment)


async def test_no_proxy(deployed: Deployed) -> None:
    """Where no peer sent the header, as without a proxy, nothing is wrong."""
    (one,) = await found(deployed())

    assert ("ok", "no peer outside of TRUSTED_PROXIES sent X-Forwarded-For in the last hour") == (one.level, one.what)


async def test_proxy_that_is_missing(deployed: Deployed) -> None:
    """A proxy that is missing is a fault, with its address and the line to write, which keeps what is there."""
    (one,) = await found(deployed("10.0.0.0/16"), "172.18.0.2", "10.0.0.7")

    assert ("fault", "proxies") == (one.level, one.check)
    assert "X-Forwarded-For came from 172.18.0.2 (just now), which TRUSTED_PROXIES does not have" == one.what
    assert "MAX_CONNECTIONS_PER_ADDRESS=100" in one.why
    assert (
        "if this is your proxy, set TRUSTED_PROXIES=10.0.0.0/16,172.18.0.2 and restart the web processes; if no proxy stands there, nothing is to be done"
        == one.cure
    )


async def test_network_that_may_be_a_cdn(deployed: Deployed) -> None:
    """A public network may be that of a CDN, or of visitors: it is worth a look, and no fault."""
    (one,) = await found(deployed(), "8.8.8.0/24")

    assert "notice" == one.level
    assert "TRUSTED_PROXIES=8.8.8.0/24" in one.cure
    assert "nothing is to be done" in one.cure


async def test_proxy_that_is_trusted_by_now(deployed: Deployed) -> None:
    """A proxy that was missing and is trusted by now is no fault, nor is a network of trusted ones."""
    (one,) = await found(deployed("172.16.0.0/12", "8.8.0.0/16"), "172.18.0.2", "8.8.8.0/24")

    assert "ok" == one.level
    assert (
        "TRUSTED_PROXIES has each peer that sent X-Forwarded-For in the last hour: 172.18.0.2, 8.8.8.0/24" in one.what
    )


async def test_without_redis() -> None:
    """Where Redis is not there, nothing is known, and nothing is said."""
    assert [] == await found(Deployment(valid_settings()))


@pytest.mark.parametrize("trusted", [(), ("127.0.0.1",)])
async def test_whole_deployment(
    start_server: StartServer, wix: WixRig, redis_url: str, trusted: tuple[str, ...]
) -> None:
    """Through a proxy a deployment has one fault where the proxy is missing in TRUSTED_PROXIES, and none where it is not."""
    settings = {**wix.settings(), "trusted_proxies": trusted}
    server = await start_server(worker=True, **settings)
    wix.send_to(server.url)
    await until(lambda: wix.calls("query_events"))
    await server.http.get("/v1/counters?ticket=x", headers={"X-Forwarded-For": "203.0.113.1"})
    async with aclosing(RedisClient(redis_url, Use.WORK)) as redis:
        if not trusted:
            await until(UntrustedPeersStore(redis).read)
    every = await examined(valid_settings(**{**settings, "redis_url": redis_url, "public_url": server.url}))

    told = [one.cure for one in every if one.level == "fault"]
    line = "if this is your proxy, set TRUSTED_PROXIES=127.0.0.1 and restart the web processes; if no proxy stands there, nothing is to be done"
    assert ([] if trusted else [line]) == told
