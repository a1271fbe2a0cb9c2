import asyncio
import json
import os
import resource
import signal
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from websockets.asyncio.client import connect

from server import run
from server.http.connection import LONGEST_HEAD, HttpProtocol
from server.http.listen import listen
from server.http.server import Server, http_server, worker_server
from server.web import Web
from tests.rig.fake_reader import FakeReader, definition
from tests.rig.process import PROGRAM, Command, Run
from tests.rig.requests import GET, HANDSHAKE, POST, UPGRADE, filled
from tests.rig.server import TICKET, StartServer, until
from tests.rig.settings import valid_settings


async def test_server_serves_both(start_server: StartServer) -> None:
    """The server accepts WebSockets and requests, and answers a long head with 431."""
    running = await start_server()
    async with connect(running.ws + "/v1/counters?ticket=11111111-aaaa-4aaa-8aaa-000000000001") as viewer:
        assert "beat" in json.loads(await viewer.recv())
    alive = await running.http.get("/livez")
    long = await running.http.get("/livez", headers={"X": "x" * LONGEST_HEAD})

    assert (200, 431) == (alive.status_code, long.status_code)


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ((b"GET /", b"GET http://counter.example/"), b"101"),
        ((b"Upgrade: websocket", b"Upgrade: websocket, h2c"), b"101"),
        ((b"Host: here\r\n", b""), b"400"),
    ],
    ids=["absolute-form", "several-protocols", "no-host"],
)
async def test_unusual_handshakes(start_server: StartServer, change: tuple[bytes, bytes], status: bytes) -> None:
    """A WebSocket opens for a target in absolute-form and where another protocol is offered too, and not without Host."""
    running = await start_server()
    reader, writer = await asyncio.open_connection("127.0.0.1", urlsplit(running.url).port)

    writer.write(HANDSHAKE.replace(*change))

    assert b"HTTP/1.1 " + status == await reader.readexactly(12)
    writer.close()
    await writer.wait_closed()


async def test_connection_stays_open_for_keep_alive(start_server: StartServer) -> None:
    """A connection without a request stays open for KEEP_ALIVE, and no longer."""
    running = await start_server(keep_alive=2)
    reader, writer = await asyncio.open_connection("127.0.0.1", urlsplit(running.url).port)

    writer.write(b"GET /livez HTTP/1.1\r\nHost: here\r\n\r\n")
    await reader.readuntil(b"yes\n")
    began = time.monotonic()
    rest = await asyncio.wait_for(reader.read(), 30)

    assert b"" == rest
    assert 1.8 < time.monotonic() - began
    writer.close()
    await writer.wait_closed()


async def test_security_headers_of_routes(start_server: StartServer) -> None:
    """Each answer of each route forbids sniffing and referrers and names no server; each page has a policy."""
    running = await start_server(metrics_token="token")
    paths = {route.path.replace("{hash}", "0") for route in running.web.app.routes if isinstance(route, Route)}
    asked = [(method, path) for path in (*paths, "/", "/no") for method in ("GET", "HEAD", "POST", "OPTIONS", "X")]
    asked += [("GET", f"{path}?ticket={TICKET}") for path in ("/v1/counters", "/embed")]
    found = {one: await running.http.request(*one, content=b"a.b.c") for one in asked}
    found["GET", "metrics"] = await running.http.get("/metrics", headers={"Authorization": "Bearer token"})
    async with running.http.stream("GET", f"/v1/counters/stream?ticket={TICKET}") as stream:
        found["GET", "stream"] = stream

    wrong = {
        one: response.headers
        for one, response in found.items()
        if [b"nosniff"] != [value for name, value in response.headers.raw if name == b"x-content-type-options"]
        or [b"no-referrer"] != [value for name, value in response.headers.raw if name == b"referrer-policy"]
        or {"server", "x-powered-by", "set-cookie"} & set(response.headers)
        or response.headers.get("content-type", "").startswith("text/html")
        is not ("content-security-policy" in response.headers)
    }

    assert {} == wrong
    assert {200, 204, 400, 401, 404, 405} == {response.status_code for response in found.values()}
    # GET and HEAD of /, and /embed with a ticket.
    assert 3 == sum("content-security-policy" in response.headers for response in found.values())


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (filled(b"GET / HTTP/1.1\r\nX: ", LONGEST_HEAD + 1), 431),
        (UPGRADE, 404),
        (UPGRADE.replace(b"GET /", b"GET /v1/counters"), 400),
    ],
    ids=["no-http", "long-head", "no-websocket-there", "no-key"],
)
async def test_security_headers_without_route(start_server: StartServer, sent: bytes, status: int) -> None:
    """Answers to malformed or too long requests and refused handshakes have these headers too."""
    running = await start_server()
    reader, writer = await asyncio.open_connection(*running.url.removeprefix("http://").split(":"))
    writer.write(sent)

    answer = (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)).lower()
    writer.close()

    assert answer.startswith(b"http/1.1 %d " % status)
    assert 1 == answer.count(b"\r\nx-content-type-options: nosniff\r\n")
    assert 1 == answer.count(b"\r\nreferrer-policy: no-referrer\r\n")
    assert b"\r\nserver:" not in answer


# -- descriptors --


FEW = 256
"""Descriptors of a process: 192 for viewers, and the last 8 reserved."""

LIMITED = f"import resource; resource.setrlimit(resource.RLIMIT_NOFILE, ({FEW}, {FEW})); {PROGRAM}"

HOOK = POST.replace(b"/read", b"/webhooks/wix") % 5 + b"a.b.c"


class Flood:
    """Many connections to one process."""

    def __init__(self, url: str) -> None:
        self.port = int(url.rpartition(":")[2])
        self.open: list[asyncio.StreamWriter] = []

    async def connect(self, request: bytes = b"") -> asyncio.StreamReader:
        """One more connection, which sends this request."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        self.open.append(writer)
        writer.write(request)
        return reader

    async def status(self, request: bytes) -> int:
        """The status of the answer to one more connection's request; it stays open."""
        reader = await self.connect(request)
        return int((await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)).split()[1])

    def end(self) -> None:
        """Close them all."""
        for writer in self.open:
            writer.transport.abort()


@pytest.fixture
async def flood(command: Run, redis_url: str) -> AsyncIterator[tuple[Command, Flood]]:
    """A web process with few descriptors, and a client that floods it."""
    web = command("web", program=LIMITED, REDIS_URL=redis_url, MAX_CONNECTIONS_PER_ADDRESS="1000")
    found = Flood(await web.url())
    yield web, found
    found.end()


OTHERS = {
    "silent": b"",
    "half a head": GET[:10],
    "idle": GET,
}


@pytest.mark.parametrize("others", OTHERS.values(), ids=OTHERS)
async def test_descriptors_kept_for_webhooks(flood: tuple[Command, Flood], others: bytes) -> None:
    """Viewers never get the last descriptors: their handshake is 503, and webhooks come in whatever others do."""
    web, clients = flood

    viewers = [await clients.status(HANDSHAKE) for _ in range(200)]
    stream = await clients.status(HANDSHAKE.replace(b"counters?", b"counters/stream?").replace(b"Upgrade: w", b"X: w"))
    for _ in range(2 * FEW):
        await clients.connect(others)
    hooks = [await clients.status(HOOK) for _ in range(50)]
    clients.open[0].transport.abort()
    again = await until(lambda: _opens(clients))

    assert [101] * 192 + [503] * 8 == viewers
    assert (503, [401] * 50, True) == (stream, hooks, again)
    assert "few_descriptors" in web.err
    assert "viewers=192" in web.err
    assert "LimitNOFILE=21024 in a systemd unit" in web.err
    assert None is web.process.poll()


async def test_refused_viewers_free_descriptors(flood: tuple[Command, Flood]) -> None:
    """Refused viewers that do not close keep neither webhooks nor other viewers out."""
    _, clients = flood

    for _ in range(2 * FEW):
        await clients.status(HANDSHAKE.replace(TICKET.encode(), b"nonsense"))
    hooks = [await clients.status(HOOK) for _ in range(50)]
    viewers = [await clients.status(HANDSHAKE) for _ in range(50)]

    assert ([401] * 50, [101] * 50) == (hooks, viewers)


async def _opens(clients: Flood) -> bool:
    return await clients.status(HANDSHAKE) == 101


async def test_no_descriptor_free(flood: tuple[Command, Flood], reads: FakeReader) -> None:
    """While no descriptor is free a process neither spins nor ends, serves its viewers, and recovers."""
    web, clients = flood
    pid = web.process.pid
    viewer = await clients.connect(HANDSHAKE)
    await asyncio.wait_for(viewer.readuntil(b"unknown"), 5)

    used_fds = {int(one.name) for one in Path(f"/proc/{pid}/fd").iterdir()}
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (min(set(range(FEW)) - used_fds), FEW))
    began, used = time.monotonic(), _cpu(pid)
    outside = [await clients.connect(HANDSHAKE) for _ in range(100)]
    for unsold in range(20, 0, -1):
        await reads.read(definition(TICKET, unsold))
        await asyncio.wait_for(viewer.readuntil(b'"unsold":%d,' % unsold), 5)
    await until(lambda: time.monotonic() > began + 1)
    share = (_cpu(pid) - used) / (time.monotonic() - began)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (FEW, FEW))

    assert share < 0.5
    assert all([await _ended(one) for one in outside])
    assert 101 == await clients.status(HANDSHAKE)
    assert 401 == await clients.status(HOOK)


async def _ended(reader: asyncio.StreamReader) -> bool:
    with suppress(ConnectionError):
        return b"" == await asyncio.wait_for(reader.read(), 5)
    return True


def _cpu(pid: int) -> float:
    """CPU seconds that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


# -- uvicorn --


def test_no_signal_handlers() -> None:
    """Uvicorn installs no signal handlers: run.py ends the process in its own order."""
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    server = Server(uvicorn.Config(_nothing, log_config=None))

    with server.capture_signals():
        during = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)

    assert before == during


async def test_uvicorn_configuration(redis_url: str) -> None:
    """Uvicorn sends no Server header, logs no requests, and trusts no proxy headers."""
    web = Web(valid_settings(redis_url=redis_url), redis_url)
    config = http_server(web.app, web.descriptors, valid_settings(root_path="/counter", keep_alive=620)).config
    await web.aclose()

    assert (False, False, False) == (config.server_header, config.access_log, config.proxy_headers)
    assert HttpProtocol is config.http
    assert ("/counter", 620) == (config.root_path, config.timeout_keep_alive)
    assert config.timeout_graceful_shutdown is not None
    assert config.timeout_graceful_shutdown < run.DRAIN


async def _nothing(_: Any, __: Any, ___: Any) -> None:
    """An application that is never called."""


@pytest.mark.parametrize("handshake", [HANDSHAKE, HANDSHAKE.replace(b"Upgrade: websocket", b"Upgrade: h2c, websocket")])
async def test_worker_server_opens_no_websocket(handshake: bytes) -> None:
    """The server of a worker answers requests, within the same limits, and has no viewers, even where a client asks for it."""
    app = Starlette(routes=[Route("/livez", lambda _: PlainTextResponse("yes\n"))])
    server, listening = worker_server(app), listen(valid_settings(), port=0)
    serving = asyncio.create_task(server.serve([listening]))
    await until(lambda: server.started)
    url = f"http://127.0.0.1:{listening.getsockname()[1]}"
    async with httpx.AsyncClient(base_url=url, trust_env=False) as client:
        alive, long = await client.get("/livez"), await client.get("/livez", headers={"X": "x" * LONGEST_HEAD})
        reader, writer = await asyncio.open_connection(*listening.getsockname())
        writer.write(handshake)
        refused = await reader.readline()
        writer.close()
        await writer.wait_closed()
    server.should_exit = True
    await serving

    assert (200, "nosniff", 431) == (alive.status_code, alive.headers["x-content-type-options"], long.status_code)
    assert b"HTTP/1.1 404 Not Found\r\n" == refused
