import json
import re
from contextlib import aclosing
from typing import Any

import httpx
import pytest
from starlette.routing import Route
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from server import settings, vapid
from server.model import SiteId
from server.redis.client import RedisClient, Use
from server.web import RootPath, Web
from tests.rig.fake_reader import FakeReader, definition
from tests.rig.server import OTHER, SITE, TICKET, StartServer, until

SECOND = SiteId("5f0e4d3c-9999-4111-8111-00000000b009")

ROOT = "/counter"

WIDGET = "/widget/v1/ticket-counter.js"


ROUTES = {
    ("POST", "/webhooks/wix"): 401,  # without a key no signature is valid
    ("GET", "/webhooks/wix"): 405,
    ("GET", f"/v1/counters?ticket={TICKET}"): 200,
    ("OPTIONS", "/v1/counters"): 204,
    ("OPTIONS", "/v1/counters/stream"): 204,
    ("GET", "/v1/counters/stream"): 400,
    ("GET", WIDGET): 200,
    ("GET", f"/embed?ticket={TICKET}"): 200,
    ("GET", "/livez"): 200,
    ("GET", "/readyz"): 200,
    ("GET", "/metrics"): 404,
    ("GET", "/"): 200,
    ("GET", "/docs"): 404,
}


async def test_all_routes(start_server: StartServer, reads: FakeReader) -> None:
    """Each public address is served, and no other."""
    running = await start_server()
    await reads.read(definition(TICKET, 3))

    found = {
        (method, path): (await running.http.request(method, path, content=b"a.b.c")).status_code
        for method, path in ROUTES
    }

    assert ROUTES == found


@pytest.mark.parametrize("path", ["/embed/", "/v1/counters/", "/livez/"])
async def test_no_redirect(start_server: StartServer, path: str) -> None:
    """A path with an extra slash is 404, not a redirect to the host of the request's Host header."""
    running = await start_server()
    answer = await running.http.get(path, headers={"Host": "evil.example"})

    assert 404 == answer.status_code
    assert "location" not in answer.headers
    assert "evil" not in answer.text


@pytest.mark.parametrize("prefix", [ROOT, ""])
async def test_root_path(start_server: StartServer, reads: FakeReader, prefix: str) -> None:
    """Below ROOT_PATH everything is served, whether the proxy leaves the root on the path or removes it."""
    running = await start_server(root_path=ROOT)
    await reads.read(definition(TICKET, 3))

    counters = await running.http.get(prefix + running.counters(TICKET))
    page = await running.http.get(f"{prefix}/embed?ticket={TICKET}")
    statuses = [(await running.http.get(prefix + path)).status_code for path in (WIDGET, "/livez", "/readyz", "/no")]
    hook = await running.http.post(f"{prefix}/webhooks/wix", content=b"a.b.c")

    assert 3 == counters.json()["counters"][0]["unsold"]
    assert f'src="{ROOT}{WIDGET}"' in page.text
    assert [200, 200, 200, 404] == statuses
    assert 401 == hook.status_code


async def test_websocket_below_root_path(start_server: StartServer, reads: FakeReader) -> None:
    """A WebSocket is served below ROOT_PATH too, and on no other path."""
    running = await start_server(root_path=ROOT)
    await reads.read(definition(TICKET, 3))

    async with connect(running.ws + ROOT + running.counters(TICKET)) as socket:
        beat, counter = [json.loads(await socket.recv()) for _ in range(2)]
    with pytest.raises(InvalidStatus, match="404"):
        await connect(f"{running.ws}/other{running.counters(TICKET)}")

    assert ["beat"] == list(beat)
    assert (TICKET, 3) == (counter["ticket"], counter["unsold"])


@pytest.mark.parametrize(
    ("path", "seen"),
    [
        ("/counter/livez", "/counter/livez"),
        ("/counter/counter/livez", "/counter/livez"),
        ("/counter/counter/counter/livez", "/counter/counter/livez"),
        ("/counter/countersign", "/counter/countersign"),
        ("/counter/counter", "/counter/counter"),
        ("/livez", "/livez"),
    ],
)
async def test_root_path_removed_once(path: str, seen: str) -> None:
    """The root is removed once where it stands twice; a path that only begins with the same letters is not changed."""
    paths: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        paths.append(scope["path"])

    async def nothing(*_: Any) -> Any:
        raise AssertionError

    await RootPath(app, ROOT)({"type": "http", "path": path}, nothing, nothing)

    assert [seen] == paths


async def test_sites_of_the_settings(start_server: StartServer, reads: FakeReader) -> None:
    """The sites of WIX_SITES are known after the start, without a worker or a webhook."""
    running = await start_server(wix_sites=f"{SITE}, {OTHER.upper()}")

    assert {SITE, OTHER} == await reads.schedule.sites()
    assert {SITE, OTHER} == running.web.sites.known


@pytest.mark.parametrize(
    ("given", "pages"),
    [
        ({}, set()),
        ({"notify_keys": "k" * 43}, {"/u/{token}", "/tell-me", "/tell-me/sign-up"}),
        (
            {"notify_keys": "k" * 43, "notify_vapid_keys": vapid.new_key()},
            {"/u/{token}", "/tell-me", "/tell-me/sign-up", "/tell-me/subscribe"},
        ),
    ],
    ids=["no keys", "keys", "keys that sign"],
)
async def test_pages_of_notify_need_its_keys(redis_url: str, given: dict[str, str], pages: set[str]) -> None:
    """Without NOTIFY_KEYS nothing of notify is served, and without NOTIFY_VAPID_KEYS nothing of push."""
    web = Web(settings.load(_env_file=None, redis_url=redis_url, **given), redis_url)
    served = {route.path for route in web.app.routes if isinstance(route, Route)}
    await web.aclose()

    every = {"/u/{token}", "/tell-me", "/tell-me/sign-up", "/tell-me/subscribe"}
    assert pages == served & every


async def test_not_ready_before_it_runs(redis_url: str) -> None:
    """A process whose feed has received nothing from Redis is not ready, but alive."""
    web = Web(settings.load(_env_file=None, redis_url=redis_url), redis_url)
    await web.start()
    transport = httpx.ASGITransport(web.app)

    async with httpx.AsyncClient(transport=transport, base_url="http://web.test") as client:
        ready, live = [(await client.get(path)).status_code for path in ("/readyz", "/livez")]
        details = dict(web.details())
    await web.aclose()

    assert (503, 200) == (ready, live)
    assert {"redis": False, "accepting": True, "rules": True} == details


async def test_not_ready_while_draining(start_server: StartServer) -> None:
    """Law 11: a process that drains is not ready, and admits no new viewer."""
    running = await start_server(metrics_token="token")

    running.web.admission.open = False
    ready = await running.http.get("/readyz", headers={"Authorization": "Bearer token"})
    poll = await running.http.get(running.counters(TICKET))

    assert 503 == ready.status_code
    expected = {"redis": True, "accepting": False, "rules": True, "webhooks_heard": True, "worker": False, "wix": True}
    assert expected == ready.json()
    assert (503, "5") == (poll.status_code, poll.headers["Retry-After"])
    async with connect(running.ws + running.counters(TICKET)) as socket:
        with pytest.raises(ConnectionClosed, match="4000"):
            await socket.recv()


async def test_one_limit_for_websockets_and_streams(start_server: StartServer) -> None:
    """WebSockets and streams are counted together, by the address that a trusted proxy gives."""
    running = await start_server(max_connections_per_address=1, trusted_proxies="127.0.0.1")
    stream = "/v1/counters/stream" + running.counters(TICKET).removeprefix("/v1/counters")

    async with connect(
        running.ws + running.counters(TICKET), additional_headers={"X-Forwarded-For": "192.0.2.1"}
    ) as one:
        await one.recv()
        same = await running.http.get(stream, headers={"X-Forwarded-For": "192.0.2.1"})
        async with running.http.stream("GET", stream, headers={"X-Forwarded-For": "192.0.2.2"}) as other:
            assert (503, 200) == (same.status_code, other.status_code)


async def test_settings_reach_admission_and_pages(start_server: StartServer) -> None:
    """ORIGINS, PUBLIC_URL and METRICS_TOKEN have their effect on counters, embed page and metrics."""
    origin = "https://shop.example"
    running = await start_server(origins=origin, public_url="https://counter.example", metrics_token="token")

    foreign = await running.http.get(running.counters(TICKET), headers={"Origin": "https://evil.example"})
    known = await running.http.get(running.counters(TICKET), headers={"Origin": origin})
    policy = (await running.http.get(f"/embed?ticket={TICKET}")).headers["Content-Security-Policy"]
    metrics = [
        (await running.http.get("/metrics", headers=headers)).status_code
        for headers in ({}, {"Authorization": "Bearer token"})
    ]

    assert 403 == foreign.status_code
    assert (200, origin) == (known.status_code, known.headers["Access-Control-Allow-Origin"])
    assert re.search(rf"frame-ancestors [^;]*{origin}", policy)
    assert "wss://counter.example" in policy
    assert [401, 200] == metrics


async def test_counter_of_other_rules_is_hidden(start_server: StartServer, redis_url: str) -> None:
    """A counter made with other rules is not shown: no number above SHOW_AT_MOST leaves the server."""
    running = await start_server(low_at=5, show_at_most=5)
    async with aclosing(FakeReader(redis_url, SITE)) as reads:
        await reads.schedule.add_site(reads.site, reads.rules, everything=False)
        await reads.read(definition(TICKET, 48))

    answer = await running.http.get(running.counters(TICKET))

    assert ("unknown", None) == ((one := answer.json()["counters"][0])["state"], one["unsold"])


async def test_redis_connections_are_closed(redis_url: str) -> None:
    """A web part that was closed leaves no connection to Redis."""
    async with aclosing(RedisClient(redis_url, Use.WORK)) as look:

        async def mine() -> int:
            clients = (await look.do("CLIENT", "LIST")).splitlines()
            return len(clients) - before

        before = 0
        before = await mine()
        web = Web(settings.load(_env_file=None, redis_url=redis_url), redis_url)
        await web.redis.do("PING")
        await web.listening.do("PING")
        assert 2 == await mine()
        await web.aclose()

        async def none() -> bool:
            return await mine() == 0

        await until(none)


async def test_websocket_with_root_path_removed(start_server: StartServer) -> None:
    """A WebSocket is served below ROOT_PATH also if the proxy removes the root."""
    running = await start_server(root_path=ROOT)

    async with connect(running.ws + running.counters(TICKET)) as socket:
        assert ["beat"] == list(json.loads(await socket.recv()))


async def test_second_site_changes_nothing_for_pages_of_the_first(
    start_server: StartServer, reads: FakeReader, redis_url: str
) -> None:
    """When a second site is installed, requests of pages that name no site get what they got before, on every path."""
    running = await start_server()
    await reads.read(definition(TICKET, 3))
    await reads.schedule.add_site(SECOND, reads.rules, everything=True)
    other = FakeReader(redis_url, SECOND)
    await other.read(definition(OTHER, 4))
    await other.aclose()
    await until(lambda: SECOND in running.web.sites.known)

    answered = await running.http.get(running.counters(TICKET))
    async with running.http.stream("GET", running.counters(TICKET).replace("?", "/stream?")) as response:
        lines = response.aiter_lines()
        while '"unsold":3' not in await anext(lines):
            pass
    async with connect(running.ws + running.counters(TICKET)) as socket:
        while '"unsold":3' not in str(await socket.recv()):
            pass
    embedded = await running.http.get(f"/embed?ticket={TICKET}")

    assert 3 == answered.json()["counters"][0]["unsold"]
    assert (200, True) == (embedded.status_code, f'ticket="{TICKET}"' in embedded.text)


async def test_page_for_iframes_with_tickets_of_two_sites(
    start_server: StartServer, reads: FakeReader, redis_url: str
) -> None:
    """A page for iframes with tickets of two sites is refused in words of its own; one with unknown tickets is not refused."""
    running = await start_server(wix_sites=f"{SITE},{SECOND}")
    await reads.read(definition(TICKET, 3))
    other = FakeReader(redis_url, SECOND)
    await other.read(definition(OTHER, 4))
    await other.aclose()

    refused = await running.http.get(f"/embed?ticket={TICKET}&ticket={OTHER}")
    served = await running.http.get(f"/embed?ticket={SECOND}")

    assert 400 == refused.status_code
    assert "these tickets are of 2 sites: ask for each site's in a request of its own\n" == refused.text
    assert 200 == served.status_code
