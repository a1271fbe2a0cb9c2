import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from starlette.responses import PlainTextResponse

from tests.rig.broken_proxy import broken_proxy
from tests.rig.doctor import examined, faults
from tests.rig.redis import RedisServer, free_port
from tests.rig.server import RunningServer, StartServer, until
from tests.rig.settings import valid_settings
from tests.rig.wix import WixRig

OTHER_SITE = "5f0e4d3c-9999-4111-8111-00000000b009"


@pytest.fixture
async def server(start_server: StartServer, wix: WixRig) -> RunningServer:
    """A deployment that is right, and has heard a webhook of each sale."""
    server = await start_server(worker=True, **wix.settings())
    wix.send_to(server.url)
    await until(lambda: wix.calls("query_events"))
    return server


@pytest.fixture
def right(server: RunningServer, wix: WixRig, redis_url: str) -> dict[str, Any]:
    """Settings with which nothing is wrong."""
    return {**wix.settings(), "redis_url": redis_url, "public_url": server.url}


async def told(settings: dict[str, Any]) -> list[str]:
    """The faults, each with its cure."""
    found = [one for one in await examined(valid_settings(**settings)) if one.level == "fault"]
    return [f"{one.check}: {one.what} | {one.cure}" for one in found]


async def test_nothing_is_wrong(right: dict[str, Any]) -> None:
    """A deployment that is right, with its address, has no fault."""
    assert [] == faults(await examined(valid_settings(**right)))


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"wix_app_secret": "wrong"}, "wix: Wix gave no token"),
        ({"wix_app_id": OTHER_SITE}, "WIX_APP_SECRET or WIX_APP_ID is wrong"),
        ({"wix_public_key": None}, "settings: WIX_PUBLIC_KEY is not set"),
        ({"wix_api_url": "http://127.0.0.1:9"}, "refuses connections"),
        ({"redis_prefix": "other"}, "worker: no worker has added a site"),
        ({"low_at": 3}, "worker: the counters of site"),
        ({"max_connections": 10_000_000}, "process: a process may open"),
        ({"public_url": "http://127.0.0.1:9"}, "address: http://127.0.0.1:9 cannot be reached"),
        ({"sync_file": "missing.toml"}, "sync: "),
        ({"notify_file": "missing.toml"}, "notify: "),
    ],
)
async def test_settings_that_are_wrong(right: dict[str, Any], wrong: dict[str, Any], said: str) -> None:
    """One wrong setting in a deployment that is right is named, and nothing else is called wrong."""
    (fault,) = await told({**right, **wrong})

    assert said in fault


async def test_site_without_the_app(right: dict[str, Any], wix: WixRig) -> None:
    """An id in WIX_SITES that has not installed the app is named, and the other site is not."""
    (fault,) = await told({**right, "wix_sites": f"{wix.site},{OTHER_SITE}"})

    assert OTHER_SITE in fault
    assert "WIX_SITES" in fault


async def test_wrong_secret_of_a_whole_deployment(start_server: StartServer, wix: WixRig, redis_url: str) -> None:
    """Doctor asks Wix between the calls of a worker that fails again and again, and names the cause, which is the worker's too."""
    settings = {**wix.settings(), "redis_url": redis_url, "wix_app_secret": "wrong"}
    await start_server(worker=True, **settings)
    await until(lambda: len(wix.calls("token")) >= 3)

    asked, *others = await told(settings)

    assert "WIX_APP_SECRET or WIX_APP_ID is wrong" in asked
    assert [] == [one for one in others if not one.startswith("worker: ")]


@pytest.mark.parametrize(
    ("turned", "said"),
    [
        ({"outage": "403", "outage_of": "api"}, "Manage Ticket Definitions"),
        ({"read_events": False}, "Read Events"),
    ],
)
async def test_permissions_that_are_missing(
    right: dict[str, Any], wix: WixRig, turned: dict[str, Any], said: str
) -> None:
    """A missing permission is named."""
    wix.knobs.turn(**turned)

    (fault,) = [one for one in await told(right) if one.startswith("wix:")]

    assert said in fault


async def test_key_of_another_app(right: dict[str, Any], server: RunningServer) -> None:
    """A webhook that another app's key signed is named with WIX_PUBLIC_KEY, as long as none was taken."""
    key = rsa.generate_private_key(65537, 2048)
    token = jwt.encode(
        {
            "data": json.dumps({"eventType": "x", "instanceId": OTHER_SITE, "data": "{}"}),
            "iat": int(time.time()),
            "exp": int(time.time()) + 900,
        },
        key,
        "RS256",
    )
    async with httpx.AsyncClient(trust_env=False) as wix:
        answer = await wix.post(f"{server.url}/webhooks/wix", content=token)
    assert 401 == answer.status_code

    (fault,) = await told(right)

    assert "webhooks: a webhook was refused" in fault
    assert "WIX_PUBLIC_KEY is not the key of the app" in fault


async def test_redis_that_is_wrong(right: dict[str, Any], redis_server: Callable[..., RedisServer]) -> None:
    """A Redis that is not there, wants another password, evicts keys, or has an ACL that is too narrow is named."""
    server = redis_server(maxmemory_policy="allkeys-lru")
    server.ask("ACL", "SETUSER", "ann", "on", ">pass", "~tc:*", "resetchannels", "+@all")
    where = f"127.0.0.1:{server.port}/0"

    (gone,) = [one for one in await told({**right, "redis_url": f"redis://127.0.0.1:{free_port()}"}) if "redis:" in one]
    refused = (await told({**right, "redis_url": f"redis://ann:wrong@{where}"}))[0]
    narrow = (await told({**right, "redis_url": f"redis://ann:pass@{where}"}))[0]
    evicts = (await told({**right, "redis_url": server.url}))[0]

    assert "redis: " in gone
    assert "password" in refused
    assert "&tc:*" in narrow
    assert "maxmemory-policy noeviction" in evicts


async def test_worker_that_does_not_run(start_server: StartServer, wix: WixRig, redis_url: str, tmp_path: Path) -> None:
    """Web processes without a worker are named: nothing is read."""
    await start_server(**wix.settings())
    settings = {**wix.settings(), "redis_url": redis_url}

    assert ["worker"] == [one.partition(":")[0] for one in await told(settings)]


async def test_proxies_that_are_wrong(right: dict[str, Any], server: RunningServer) -> None:
    """A proxy that does not pass on WebSockets, or webhooks, is named."""
    async with broken_proxy(server.url, {"/webhooks": PlainTextResponse("no", 403)}) as url:
        hooks, sockets = await told({**right, "public_url": url})

    assert "/webhooks/wix is answered 403" in hooks
    assert "a WebSocket does not come through" in sockets
