from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager

import pytest
from starlette.responses import PlainTextResponse, RedirectResponse, Response

from server.doctor import public_address
from server.doctor.deployment import Deployment
from server.doctor.finding import Finding
from server.redis.client import RedisClient, Use
from tests.rig.broken_proxy import broken_proxy
from tests.rig.doctor import faults, found_by, levels
from tests.rig.raw_server import answer, raw_server
from tests.rig.redis import RedisServer, free_port
from tests.rig.server import RunningServer, StartServer, until
from tests.rig.settings import valid_settings
from tests.rig.wix import WixRig


@pytest.fixture
async def server(start_server: StartServer, wix: WixRig) -> RunningServer:
    """A server with a worker, which has read a ticket."""
    return await start_server(worker=True, **wix.settings())


@asynccontextmanager
async def deployed(redis_url: str, public_url: str) -> AsyncIterator[Deployment]:
    """A deployment at this address."""
    async with aclosing(Deployment(valid_settings(public_url=public_url))) as deployment:
        deployment.redis = RedisClient(redis_url, Use.WORK)
        yield deployment


async def found_at(redis_url: str, public_url: str, *, ticket: bool = True) -> list[Finding]:
    async with deployed(redis_url, public_url) as deployment:
        if ticket:
            await until(deployment.a_ticket)
        return await found_by(public_address.check, deployment)


async def test_address_that_is_right(server: RunningServer, redis_url: str) -> None:
    """An address that leads to the deployment, with WebSockets and streams, is right."""
    (found,) = await found_at(redis_url, server.url)

    assert ("ok", f"{server.url} leads to this deployment, with webhooks, WebSockets and streams") == (
        found.level,
        found.what,
    )


async def test_address_that_is_not_set(redis_url: str) -> None:
    """Without PUBLIC_URL nothing is asked from outside, which is worth knowing."""
    async with aclosing(Deployment(valid_settings())) as deployment:
        assert ["notice"] == levels(await found_by(public_address.check, deployment))


async def test_address_that_cannot_be_reached(redis_url: str) -> None:
    """An address that nothing answers at is a fault with the reason."""
    (fault,) = faults(await found_at(redis_url, f"http://127.0.0.1:{free_port()}", ticket=False))

    assert fault.endswith("cannot be reached: it refuses connections")


@pytest.mark.parametrize(
    ("told", "instead"),
    [
        ("redirects to https://other.example", RedirectResponse("https://other.example")),
        ("answered 404, and not by this server", PlainTextResponse("no", 404)),
        ("answered 200, and not by this server", PlainTextResponse("welcome")),
    ],
)
async def test_address_that_leads_elsewhere(told: str, instead: Response, redis_url: str) -> None:
    """An address that redirects, or that another program answers at, is a fault."""
    async with broken_proxy("http://127.0.0.1:9", {"/": instead}) as url:
        (fault,) = faults(await found_at(redis_url, url, ticket=False))

    assert told in fault


async def test_address_of_another_deployment(server: RunningServer, redis_server: type[RedisServer]) -> None:
    """An address that leads to a ticket counter with other sites is a fault."""
    other = redis_server()  # type: ignore[call-arg] # the fixture is a factory
    key = "tc:{5f0e4d3c-1111-4111-8111-00000000b0ff}"
    other.ask("SADD", "tc:sites", "5f0e4d3c-1111-4111-8111-00000000b0ff")
    other.ask("ZADD", f"{key}:due", 1, "11111111-aaaa-4aaa-8aaa-000000000001")

    (fault,) = faults(await found_at(other.url, server.url))

    assert "leads to another ticket counter" in fault


async def test_proxy_without_webhooks_and_websockets(server: RunningServer, redis_url: str) -> None:
    """A proxy that passes on neither webhooks nor WebSockets has a fault for each."""
    async with broken_proxy(server.url, {"/webhooks": PlainTextResponse("no", 403)}) as url:
        webhooks, sockets = faults(await found_at(redis_url, url))

    assert "/webhooks/wix is answered 403" in webhooks
    assert sockets.startswith("a WebSocket does not come through: ")


async def test_proxy_that_buffers(server: RunningServer, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy that holds a stream back is a fault."""
    monkeypatch.setattr(public_address, "WITHIN", 1.0)
    async with broken_proxy(server.url, buffers=True) as url:
        stream, _ = faults(await found_at(redis_url, url))

    assert "does not come through: no answer came in time" in stream


async def test_counters_that_are_refused(redis_url: str, server: RunningServer) -> None:
    """A proxy that answers for the counters is a fault with its answer, and so is one that cuts."""
    async with broken_proxy(server.url, {"/v1": PlainTextResponse("limit", 429)}) as url:
        (fault,) = faults(await found_at(redis_url, url))

    assert fault.endswith(": 429 limit")


async def test_address_without_any_ticket(redis_url: str) -> None:
    """While no ticket is known, an address with our answers counts as right."""
    async with raw_server(answer(200, b"yes\n"), answer(405)) as other:
        assert ["ok"] == levels(await found_at(redis_url, other.url, ticket=False))
