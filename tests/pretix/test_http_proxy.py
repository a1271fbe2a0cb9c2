"""The proxy through which targets are tested: what it does to a request, and what it says of it."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import httpx
import pytest
import uvicorn

from sandbox.__main__ import Server, listen
from tests.rig.http_proxy import CUT_AFTER, Exchange, Fault, HttpProxy, html, http_proxy, method, too_many, writes
from tests.rig.server import until


class Target:
    """What stands behind the proxy: it keeps what it was asked, and answers after `slow` seconds."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.slow = 0.0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        assert "http" == scope["type"]
        body = (await receive())["body"]
        self.asked.append(f"{scope['method']} {scope['raw_path'].decode()} {body.decode()}".strip())
        await asyncio.sleep(self.slow)
        host = dict(scope["headers"])[b"host"]
        headers = [(b"content-type", b"application/json"), (b"x-host", host)]
        await send({"type": "http.response.start", "status": 201, "headers": headers})
        await send({"type": "http.response.body", "body": b'{"id": 7}'})


@pytest.fixture
async def target() -> AsyncIterator[tuple[Target, str]]:
    """A target and its address."""
    found = Target()
    listening = listen("127.0.0.1", 0)
    started = asyncio.Event()
    server = Server(uvicorn.Config(found, log_config=None, access_log=False, lifespan="off"), started.set)
    serving = asyncio.create_task(server.serve([listening]))
    await started.wait()
    yield found, f"http://127.0.0.1:{listening.getsockname()[1]}"
    server.should_exit = True
    await serving
    listening.close()


@pytest.fixture
async def proxy(target: tuple[Target, str]) -> AsyncIterator[HttpProxy]:
    """A proxy to the target."""
    async with http_proxy(target[1]) as found:
        yield found


@pytest.fixture
async def client(proxy: HttpProxy) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the proxy that gives up after two seconds."""
    async with httpx.AsyncClient(base_url=proxy.url, timeout=2, trust_env=False) as found:
        yield found


async def test_requests_pass_and_are_recorded(
    proxy: HttpProxy, client: httpx.AsyncClient, target: tuple[Target, str]
) -> None:
    """Without a fault requests and answers pass unchanged, with the Host that the client asked for, over one connection."""
    made = await client.post("/items/?a=%C3%A9", json={"name": "Seat"})
    read = await client.get("/items/7/")

    assert (201, {"id": 7}) == (made.status_code, made.json())
    assert proxy.url == f"http://{read.headers['x-host']}"
    assert ['POST /items/ {"name":"Seat"}', "GET /items/7/"] == target[0].asked
    assert ["POST /items/?a=%C3%A9 -> 201, client: 201", "GET /items/7/ -> 201, client: 201"] == [
        str(one) for one in proxy.exchanges
    ]
    assert [{"name": "Seat"}] == [one.json for one in proxy.writes]


@pytest.mark.parametrize(
    ("fault", "status", "after", "text"),
    [
        (too_many(7), 429, "7", "throttled"),
        (Fault(500), 500, None, ""),
        (Fault(503, {"Retry-After": "2"}), 503, "2", ""),
        (html(), 502, None, "<h1>Bad Gateway"),
        (Fault(301, {"Location": "http://127.0.0.1:9/"}), 301, None, ""),
        (Fault(200, body=b'{"id": 1'), 200, None, '{"id": 1'),
    ],
)
async def test_answers_in_place_of_the_target_s(
    proxy: HttpProxy,
    client: httpx.AsyncClient,
    target: tuple[Target, str],
    *,
    fault: Fault,
    status: int,
    after: str | None,
    text: str,
) -> None:
    """An answer takes the place of the target's, which is not asked, until the proxy heals."""
    proxy.add(fault)
    failed = await client.post("/items/")
    await proxy.heal()

    assert (status, after) == (failed.status_code, failed.headers.get("retry-after"))
    assert text in failed.text
    assert [] == target[0].asked
    assert 201 == (await client.post("/items/")).status_code


async def test_answer_lost_after_the_target_executed(
    proxy: HttpProxy, client: httpx.AsyncClient, target: tuple[Target, str]
) -> None:
    """Each third write is executed, and its answer is lost; reads pass."""
    number = proxy.add(replace(CUT_AFTER, every=3, meets=writes))
    lost = []
    for place in range(6):
        await client.get("/items/")
        try:
            await client.post(f"/items/{place}")
        except httpx.TransportError:
            lost.append(place)

    assert [2, 5] == lost
    assert 6 == len([one for one in target[0].asked if one.startswith("POST")])
    assert 2 == proxy.happened(number)
    assert [201, "cut"] == [proxy.writes[2].status, proxy.writes[2].answered]


async def test_status_after_the_target_executed(
    proxy: HttpProxy, client: httpx.AsyncClient, target: tuple[Target, str]
) -> None:
    """An error that is answered although the target executed is recorded with both, as often as was said."""
    proxy.add(too_many(executes=True, meets=method("POST", "/items/"), times=1))

    assert [429, 201] == [(await client.post("/items/")).status_code for _ in range(2)]
    assert ["POST /items/"] * 2 == target[0].asked
    assert [(201, 429), (201, 201)] == [(one.status, one.answered) for one in proxy.exchanges]


async def test_target_hangs(proxy: HttpProxy, client: httpx.AsyncClient, target: tuple[Target, str]) -> None:
    """What hangs is not executed, and is cut off when the proxy heals."""
    proxy.add(Fault(hangs=True))
    with pytest.raises(httpx.ReadTimeout):
        await client.get("/items/", timeout=0.2)
    hanging = asyncio.create_task(client.get("/items/"))
    await until(lambda: 2 == len(proxy.exchanges) and "hung" == proxy.exchanges[1].answered)
    await proxy.heal()

    with pytest.raises(httpx.RemoteProtocolError):
        await hanging
    assert [] == target[0].asked
    assert 201 == (await client.get("/items/")).status_code


async def test_connections_refused(proxy: HttpProxy, client: httpx.AsyncClient) -> None:
    """A proxy that refuses takes no connection, and after healing listens at the same address."""
    await client.get("/items/")
    await proxy.refuse()
    with pytest.raises(httpx.ConnectError):
        await client.get("/items/")
    await proxy.heal()

    assert 201 == (await client.get("/items/")).status_code


async def test_target_that_cannot_be_reached(client: httpx.AsyncClient) -> None:
    """A target that refuses connections is a connection cut off, and no answer of the proxy's own."""
    async with http_proxy("http://127.0.0.1:9") as proxy:
        with pytest.raises(httpx.RemoteProtocolError):
            await client.get(f"{proxy.url}/items/")

        assert (None, "cut") == (proxy.exchanges[0].status, proxy.exchanges[0].answered)


async def test_answer_later_than_the_client_waits(
    proxy: HttpProxy, client: httpx.AsyncClient, target: tuple[Target, str]
) -> None:
    """The target has executed at once, and its answer comes when the client has given up."""
    proxy.add(Fault(delay=0.5, meets=writes))
    with pytest.raises(httpx.ReadTimeout):
        await client.post("/items/", timeout=0.2)

    assert ["POST /items/"] == target[0].asked
    await until(lambda: proxy.writes[0].answered == 201)


async def test_request_executed_after_the_client_gave_up(
    proxy: HttpProxy, client: httpx.AsyncClient, target: tuple[Target, str]
) -> None:
    """A late request reaches the target after its client has given up, and after a later request."""
    proxy.add(Fault(late=0.6, meets=method("POST"), times=1))
    with pytest.raises(httpx.ReadTimeout):
        await client.post("/items/", timeout=0.2)
    await client.get("/items/")

    assert ["GET /items/"] == target[0].asked
    assert [proxy.exchanges[0]] == proxy.at_work
    await until(lambda: ["GET /items/", "POST /items/"] == target[0].asked)
    await until(lambda: [] == proxy.at_work)


async def test_writes_of_one_record_at_a_time(
    proxy: HttpProxy, client: httpx.AsyncClient, target: tuple[Target, str]
) -> None:
    """Two writes of one record at the same time are seen, also where the first client has left; others do not count."""

    def record(one: Exchange) -> str | None:
        return one.path if one.path.startswith("/items/") else None

    for path in ("/items/1", "/items/1"):
        await client.patch(path)
    assert (1, "/items/1") == proxy.most_writes_at_once(record)

    target[0].slow = 0.3
    await asyncio.gather(
        client.patch("/items/2"), client.patch("/items/3"), client.patch("/other"), client.patch("/other")
    )
    assert 1 == proxy.most_writes_at_once(record)[0]

    with pytest.raises(httpx.ReadTimeout):
        await client.patch("/items/4", timeout=0.1)
    await client.patch("/items/4")
    assert (2, "/items/4") == proxy.most_writes_at_once(record)
