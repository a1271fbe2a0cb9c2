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

import pytest
import uvicorn
from starlette.routing import Route
from websockets.asyncio.client import connect

from server import run
from server.http.connection import LONGEST_HEAD, HttpProtocol
from server.http.server import Server, http_server
from server.web import Web
from tests.rig.fake_reader import FakeReader, definition
from tests.rig.process import PROGRAM, Command, Run
from tests.rig.requests import GET, HANDSHAKE, POST, UPGRADE, filled
from tests.rig.server import TICKET, StartServer, until
from tests.rig.settings import valid_settings


async def test_whole(start_server: StartServer) -> None:
    """Our server is run so: WebSockets and requests as ever, and a long head is 431."""
    running = await start_server()
    async with connect(running.ws + "/v1/counters?ticket=11111111-aaaa-4aaa-8aaa-000000000001") as viewer:
        assert "beat" in json.loads(await viewer.recv())
    alive = await running.http.get("/livez")
    long = await running.http.get("/livez", headers={"X": "x" * LONGEST_HEAD})

    assert (200, 431) == (alive.status_code, long.status_code)


async def test_headers_of_routes(start_server: StartServer) -> None:
    """Whatever is asked of whichever route: no sniffing, no referrer, nothing of the server's name; a page has a policy."""
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
    assert 1 == sum("content-security-policy" in response.headers for response in found.values())


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
async def test_headers_of_what_no_route_answers(start_server: StartServer, sent: bytes, status: int) -> None:
    """What is no HTTP, too much of it, or a handshake that is refused, is answered with them as well."""
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
"""Descriptors of a process: 192 viewers, and from the 248th on its own."""

LIMITED = f"import resource; resource.setrlimit(resource.RLIMIT_NOFILE, ({FEW}, {FEW})); {PROGRAM}"

HOOK = POST.replace(b"/read", b"/webhooks/wix") % 5 + b"a.b.c"


class Storm:
    """Many connections to one process."""

    def __init__(self, url: str) -> None:
        self.port = int(url.rpartition(":")[2])
        self.open: list[asyncio.StreamWriter] = []

    async def connect(self, request: bytes = b"") -> asyncio.StreamReader:
        """One more, that asks for this."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        self.open.append(writer)
        writer.write(request)
        return reader

    async def ask(self, request: bytes) -> int:
        """The status that one more connection is answered with; it stays open."""
        reader = await self.connect(request)
        return int((await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)).split()[1])

    def end(self) -> None:
        """Close them all."""
        for writer in self.open:
            writer.transport.abort()


@pytest.fixture
async def storm(command: Run, redis_url: str) -> AsyncIterator[tuple[Command, Storm]]:
    """A web process with few descriptors, and who besets it."""
    web = command("web", program=LIMITED, REDIS_URL=redis_url, MAX_CONNECTIONS_PER_ADDRESS="1000")
    found = Storm(await web.url())
    yield web, found
    found.end()


STRANGERS = {
    "silent": b"",
    "half a head": GET[:10],
    "idle": GET,
}


@pytest.mark.parametrize("strangers", STRANGERS.values(), ids=STRANGERS)
async def test_few_descriptors(storm: tuple[Command, Storm], strangers: bytes) -> None:
    """Viewers never have the last descriptors: their handshake is 503, while Wix is heard whatever strangers do."""
    web, besieging = storm

    viewers = [await besieging.ask(HANDSHAKE) for _ in range(200)]
    stream = await besieging.ask(HANDSHAKE.replace(b"counters?", b"counters/stream?").replace(b"Upgrade: w", b"X: w"))
    for _ in range(2 * FEW):
        await besieging.connect(strangers)
    hooks = [await besieging.ask(HOOK) for _ in range(50)]
    besieging.open[0].transport.abort()
    again = await until(lambda: _opens(besieging))

    assert [101] * 192 + [503] * 8 == viewers
    assert (503, [401] * 50, True) == (stream, hooks, again)
    assert "few_descriptors" in web.err
    assert "viewers=192" in web.err
    assert None is web.process.poll()


async def test_refused_in_masses(storm: tuple[Command, Storm]) -> None:
    """Viewers who were sent away and do not go take no descriptor from Wix, nor from viewers who may come in."""
    _, besieging = storm

    for _ in range(2 * FEW):
        await besieging.ask(HANDSHAKE.replace(TICKET.encode(), b"nonsense"))
    hooks = [await besieging.ask(HOOK) for _ in range(50)]
    viewers = [await besieging.ask(HANDSHAKE) for _ in range(50)]

    assert ([401] * 50, [101] * 50) == (hooks, viewers)


async def _opens(besieging: Storm) -> bool:
    return await besieging.ask(HANDSHAKE) == 101


async def test_no_descriptor_at_all(storm: tuple[Command, Storm], reads: FakeReader) -> None:
    """While the kernel gives it no descriptor a process does not spin nor end, serves who is in, and recovers."""
    web, besieging = storm
    pid = web.process.pid
    viewer = await besieging.connect(HANDSHAKE)
    await asyncio.wait_for(viewer.readuntil(b"unknown"), 5)

    taken = {int(one.name) for one in Path(f"/proc/{pid}/fd").iterdir()}
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (min(set(range(FEW)) - taken), FEW))
    began, used = time.monotonic(), _cpu(pid)
    outside = [await besieging.connect(HANDSHAKE) for _ in range(100)]
    for unsold in range(20, 0, -1):
        await reads.read(definition(TICKET, unsold))
        await asyncio.wait_for(viewer.readuntil(b'"unsold":%d,' % unsold), 5)
    await until(lambda: time.monotonic() > began + 1)
    share = (_cpu(pid) - used) / (time.monotonic() - began)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (FEW, FEW))

    assert share < 0.5
    assert all([await _ended(one) for one in outside])
    assert 101 == await besieging.ask(HANDSHAKE)
    assert 401 == await besieging.ask(HOOK)


async def _ended(reader: asyncio.StreamReader) -> bool:
    with suppress(ConnectionError):
        return b"" == await asyncio.wait_for(reader.read(), 5)
    return True


def _cpu(pid: int) -> float:
    """CPU seconds that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


# -- uvicorn --


def test_signals_are_left_alone() -> None:
    """Uvicorn takes no signals: the process has an order of its own in which it ends."""
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    server = Server(uvicorn.Config(_nothing, log_config=None))

    with server.capture_signals():
        during = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)

    assert before == during


async def test_front(redis_url: str) -> None:
    """Uvicorn says nothing of itself, logs no visitor, and believes no header about who they are."""
    web = Web(valid_settings(redis_url=redis_url), redis_url)
    config = http_server(web.app, web.descriptors, valid_settings(root_path="/counter")).config
    await web.aclose()

    assert (False, False, False) == (config.server_header, config.access_log, config.proxy_headers)
    assert HttpProtocol is config.http
    assert "/counter" == config.root_path
    assert config.timeout_graceful_shutdown is not None
    assert config.timeout_graceful_shutdown < run.DRAIN


async def _nothing(_: Any, __: Any, ___: Any) -> None:
    """An application that is never asked."""
