import asyncio
import re
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from functools import partial
from typing import Any

import pytest
import uvicorn
from prometheus_client import REGISTRY

from server.http.connection import LONGEST_HEAD, HttpProtocol
from server.http.idle import Idle
from server.http.server import State
from server.live.handshake import Opening
from tests.rig.requests import CHUNKED, GET, HANDSHAKE, LAST, POST, STREAM, UPGRADE, filled
from tests.rig.server import TICKET, until

WITHIN = 0.3
"""Seconds for a head in these tests."""
STUCK = 0.5
"""Seconds to read a response in these tests."""
A_LITTLE = 3
"""Seconds by which a busy machine may be late."""
KEEP_ALIVE = 1
LIMIT = LONGEST_HEAD


# -- connections --


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Answer at once with the path and as many bytes as asked for; `/read` the body's size, `/stream` without end."""
    text, more_bytes = scope["path"], b"x" * int(scope["query_string"] or 0)
    if text == "/read":
        size, more = 0, True
        while more:
            message = await receive()
            size += len(message.get("body", b""))
            more = message.get("more_body", False)
        text = str(size)
    body = text.encode() + more_bytes
    streaming = text == "/stream"
    headers = [(b"content-length", b"%d" % len(body))] if more_bytes and not streaming else []
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": streaming})
    while streaming and (await receive())["type"] != "http.disconnect":
        pass


class WebSocket(asyncio.Protocol):
    """What an upgrade leads to: it writes the request that it was given, and then how many bytes it has received."""

    def __init__(self, *_: Any) -> None:
        self.count = 0

    def upgraded(self, method: str, url: bytes, headers: list[tuple[bytes, bytes]]) -> None:
        """The request, as uvicorn's parser read it."""
        owns_transport = self.transport.get_protocol() is self
        self.transport.write(b"%b %b %d %d;" % (method.encode(), url, len(headers), owns_transport))

    def answer(self, opening: Opening) -> None:
        """The request, as it was read from one packet."""
        self.transport.write(b"at once %b;" % opening.query.encode())

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.count += len(data)
        self.transport.write(f"{self.count};".encode())


class Quick(HttpProtocol):
    """The protocol with short time limits."""

    head_within = WITHIN
    stuck = STUCK


class Patient(Quick):
    """The protocol with its own time limits, for requests that take a slow machine some time."""

    head_within = HttpProtocol.head_within
    stuck = HttpProtocol.stuck


class Connection:
    """A connection to a server, with the server's protocol object as `end`."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, end: Quick) -> None:
        self.reader, self.writer, self.end = reader, writer, end

    async def send(self, *parts: bytes) -> None:
        """Send each part in its own packet."""
        for part in parts:
            before = self.progress
            self.writer.write(part)
            await self.writer.drain()
            await until(partial(self._progressed, before))

    @property
    def closed(self) -> bool:
        """Whether the server has closed it, so that its descriptor is free whatever the client does."""
        return self.end not in self.end.connections

    async def stays_open(self, seconds: float) -> None:
        """Assert that it is not closed for so many seconds."""
        over = asyncio.get_running_loop().time() + seconds
        await until(lambda: self.closed or asyncio.get_running_loop().time() > over)
        assert not self.closed

    @property
    def progress(self) -> Any:
        """How far the server has read."""
        return self.end._overhead, self.end._in_body, self.end.cycle

    def _progressed(self, before: Any) -> bool:
        return bool(self.progress != before)

    async def receive(self, text: bytes) -> bytes:
        """What is received up to this text."""
        return await asyncio.wait_for(self.reader.readuntil(text), 30)

    async def receive_bytes(self, size: int) -> bytes:
        """Receive at least so many bytes."""
        received = b""
        async with asyncio.timeout(30):
            while len(received) < size:
                part = await self.reader.read(100_000)
                assert part
                received += part
        return received

    async def receive_rest(self) -> bytes:
        """What is received until the connection ends, with a reset or without."""
        received = b""
        async with asyncio.timeout(30):
            with suppress(ConnectionError):
                while part := await self.reader.read(100_000):
                    received += part
        return received


Connect = Callable[..., Awaitable[Connection]]


@pytest.fixture
def idle() -> Idle:
    """The idle connections of the server, at most three."""
    return Idle(most=3)


@pytest.fixture
async def connect(idle: Idle) -> AsyncIterator[Connect]:
    """Connect to a test server: the HTTP class around a small application.

    A *slow* client buffers some 20 kB, and the rest only when it is read; a *patient* server has long time limits.
    """
    config = uvicorn.Config(
        app,
        ws=WebSocket,
        log_config=None,
        access_log=False,
        proxy_headers=False,
        timeout_keep_alive=KEEP_ALIVE,
    )
    config.load()
    state = State(idle)
    ends: list[Quick] = []

    made: type[Quick] = Quick

    def answer() -> Quick:
        ends.append(made(config=config, server_state=state, app_state={}))
        return ends[-1]

    listening = socket.create_server(("127.0.0.1", 0))
    # The kernel's smallest buffer, so that it is soon full; accepted connections inherit it.
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
    server = await asyncio.get_running_loop().create_server(answer, sock=listening)
    async with AsyncExitStack() as stack:

        async def call(*, slow: bool = False, patient: bool = False) -> Connection:
            nonlocal made
            number, made = len(ends), Patient if patient else Quick
            client = socket.socket()
            client.setblocking(False)
            if slow:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
            await asyncio.get_running_loop().sock_connect(client, listening.getsockname())
            reader, writer = await asyncio.open_connection(sock=client, limit=1 if slow else 2**16)
            stack.callback(writer.close)
            await until(lambda: len(ends) > number and ends[number].transport)
            return Connection(reader, writer, ends[number])

        yield call
    server.close()
    await until(lambda: not state.connections and not state.tasks)
    assert not len(idle)


def refused(reason: str) -> float:
    return REGISTRY.get_sample_value("ticketcounter_refused_total", {"reason": reason}) or 0.0


LONG = {
    "one field": filled(GET[:-2] + b"X: ", LIMIT),
    "its name": filled(GET[:-2], LIMIT),
    "many fields": (GET[:-2] + b"X: y\r\n" * LIMIT)[:LIMIT],
    "address": filled(b"GET /", LIMIT),
    "nothing": b"\r\n" * (LIMIT // 2),
}


@pytest.mark.parametrize("head", LONG.values(), ids=LONG)
@pytest.mark.parametrize("size", [1000, 7 * LIMIT])
async def test_head_too_long(connect: Connect, head: bytes, size: int) -> None:
    """A head that is too long is answered with 431 and closed, whether in one packet or many, at first or later."""
    for before in (b"", GET):
        client = await connect(patient=True)
        if before:
            await client.send(before)
            await client.receive(b"0\r\n\r\n")
        counted = refused("long_head")

        await client.send(*[head[at : at + size] for at in range(0, LIMIT, size)])
        answer = await client.receive_rest()

        assert answer.startswith(b"HTTP/1.1 431 Request Header Fields Too Large\r\n")
        assert b"connection: close\r\n" in answer
        assert counted + 1 == refused("long_head")


async def test_head_of_greatest_length(connect: Connect) -> None:
    """A head that is just short enough is answered, and so are the next requests."""
    head = filled(GET[:-2] + b"X: ", LIMIT - 5) + b"\r\n\r\n"
    client = await connect(patient=True)
    assert LIMIT - 1 == len(head)

    for request in (head, GET, head):
        client.writer.write(request)
        assert (await client.receive(b"0\r\n\r\n")).startswith(b"HTTP/1.1 200 OK")


@pytest.mark.parametrize("size", [1, LIMIT, 20 * LIMIT])
async def test_body_length_not_limited(connect: Connect, size: int) -> None:
    """A body's length is not limited here, in one piece or in chunks, and the next request is answered."""
    client = await connect(patient=True)
    chunks = CHUNKED.replace(b"GET /", b"POST /read") + b"%x\r\n%b\r\n" % (size, b"x" * size) * 3 + b"0\r\n\r\n"

    for request, read in ((POST % size + b"x" * size, size), (chunks, 3 * size)):
        client.writer.write(request)
        assert b"\r\n%d\r\n" % read in await client.receive(b"0\r\n\r\n")
    client.writer.write(GET)

    assert (await client.receive(b"0\r\n\r\n")).startswith(b"HTTP/1.1 200 OK")


@pytest.mark.parametrize("around", [b"1;" + b"x" * LIMIT, b"0\r\nX: " + b"x" * LIMIT], ids=["chunk", "trailer"])
async def test_chunk_extension_and_trailer_too_long(connect: Connect, around: bytes) -> None:
    """Chunk extensions and trailers are limited as a head is, even after the response."""
    client = await connect(patient=True)
    await client.send(CHUNKED)
    await client.receive(b"0\r\n\r\n")

    await client.send(around)

    assert (await client.receive_rest()).startswith(b"HTTP/1.1 431 ")


async def test_chunk_extensions_too_long_in_all(connect: Connect) -> None:
    """All chunk extensions of a body together are limited, however short each is."""
    client = await connect(patient=True)
    await client.send(CHUNKED)
    await client.receive(b"0\r\n\r\n")

    client.writer.write((b"1;" + b"x" * 1000 + b"\r\nx\r\n") * 40)

    assert (await client.receive_rest()).startswith(b"HTTP/1.1 431 ")


async def test_head_timeout(connect: Connect) -> None:
    """A head that is not complete in time is answered with 408 and closed, although bytes keep coming."""
    for before in (b"", GET):
        client = await connect()
        if before:
            await client.send(before)
            await client.receive(b"0\r\n\r\n")
        counted = refused("slow_head")
        loop = asyncio.get_running_loop()
        began = loop.time()

        await client.send(GET[:-2] + b"X: ")
        receiving = asyncio.ensure_future(client.receive_rest())
        while not (await asyncio.wait({receiving}, timeout=WITHIN / 10))[0]:
            assert loop.time() < began + 30
            client.writer.write(b"x")

        assert receiving.result().startswith(b"HTTP/1.1 408 Request Timeout\r\n")
        assert WITHIN * 0.9 < loop.time() - began < WITHIN + A_LITTLE
        assert counted + 1 == refused("slow_head")


async def test_silent_connection_timeout(connect: Connect) -> None:
    """A silent connection is closed without a response, which could be taken for that to a later request."""
    client = await connect()
    began = asyncio.get_running_loop().time()

    assert b"" == await client.receive_rest()
    assert WITHIN * 0.9 < asyncio.get_running_loop().time() - began < WITHIN + A_LITTLE


async def test_keep_alive_timeout(connect: Connect, idle: Idle) -> None:
    """Between two requests only uvicorn's keep-alive time-out applies."""
    client = await connect()
    await client.send(GET)
    await client.receive(b"0\r\n\r\n")
    began = asyncio.get_running_loop().time()

    assert (1, False) == (len(idle), client.end in idle)
    assert b"" == await client.receive_rest()
    assert KEEP_ALIVE * 0.9 < asyncio.get_running_loop().time() - began


async def test_partial_request_behind_response(connect: Connect) -> None:
    """A response has no time limit; a partial request behind it ends the connection without a second response."""
    client = await connect()
    await client.send(STREAM)
    await client.receive(b"/stream\r\n")
    receiving = asyncio.ensure_future(client.receive_rest())
    assert not (await asyncio.wait({receiving}, timeout=3 * WITHIN))[0]

    await client.send(GET[:10])

    assert b"" == await receiving


async def test_body_timeout(connect: Connect, idle: Idle) -> None:
    """A body that a route waits for has the time of a head, and its connection can be evicted."""
    clients = [await connect() for _ in range(3)]
    for client in clients:
        await client.send(POST % 10)
    assert [True] * 3 == [client.end in idle for client in clients]

    await connect()
    await until(lambda: clients[0].closed)
    newer = [client.closed for client in clients[1:]]
    await until(lambda: all(client.closed for client in clients), WITHIN + A_LITTLE)

    assert [False] * 2 == newer


@pytest.mark.parametrize(("path", "status"), [(b"/read", b"400"), (b"/stream", b"200")])
async def test_body_malformed(connect: Connect, path: bytes, status: bytes) -> None:
    """A malformed body is 400 at once although its route waits; after the response it ends the connection."""
    client = await connect()
    client.writer.write(CHUNKED.replace(b"GET /", b"POST " + path))
    if status == b"200":
        await until(lambda: client.end.cycle and client.end.cycle.response_started)
    client.writer.write(b"not a size\r\n")

    answer = await client.receive_rest()

    assert answer.startswith(b"HTTP/1.1 " + status)
    assert 1 == answer.count(b"HTTP/1.1")
    await until(lambda: client.closed)


async def test_body_timeout_after_response(connect: Connect) -> None:
    """A body that no route waits for any more must be complete in time, although bytes keep coming."""
    client = await connect()
    began = asyncio.get_running_loop().time()
    await client.send((POST % 1000).replace(b"/read", b"/"))
    await client.receive(b"0\r\n\r\n")
    receiving = asyncio.ensure_future(client.receive_rest())
    while not (await asyncio.wait({receiving}, timeout=WITHIN / 10))[0]:
        client.writer.write(b"x")

    assert b"" == receiving.result()
    assert WITHIN * 0.9 < asyncio.get_running_loop().time() - began < WITHIN + A_LITTLE


async def test_keep_alive_after_late_body(connect: Connect) -> None:
    """After a body that came in time, but after its response, requests go on with the usual keep-alive time-out."""
    client = await connect()
    await client.send((POST % 10).replace(b"/read", b"/"))
    await client.receive(b"0\r\n\r\n")
    await client.send(b"x" * 10)
    client.writer.write(GET)
    second = await client.receive(b"0\r\n\r\n")
    await client.send((POST % 10).replace(b"/read", b"/"))
    await client.receive(b"0\r\n\r\n")
    await client.send(b"x" * 10)
    began = asyncio.get_running_loop().time()

    assert second.startswith(b"HTTP/1.1 200 OK")
    assert b"" == await client.receive_rest()
    assert KEEP_ALIVE * 0.9 < asyncio.get_running_loop().time() - began < KEEP_ALIVE + 1


async def test_oldest_idle_is_evicted(connect: Connect, idle: Idle) -> None:
    """Over the limit the oldest idle connection is closed without a response, or with 503 if a head is incomplete."""
    silent = await connect()
    partial = await connect()
    await partial.send(GET[:10])
    counted = refused("outnumbered")
    newer = [await connect() for _ in range(3)]

    ended = await silent.receive_rest(), await partial.receive_rest()
    newer[0].writer.write(GET)

    assert (b"", b"HTTP/1.1 503 Service Unavailable") == (ended[0], ended[1].splitlines()[0])
    assert re.search(rb"\r\nretry-after: \d+\r\n", ended[1])
    assert counted + 2 == refused("outnumbered")
    assert (await newer[0].receive(b"0\r\n\r\n")).startswith(b"HTTP/1.1 200 OK")
    assert 3 == len(idle)


async def test_evicted_in_keep_alive(connect: Connect) -> None:
    """A connection in keep-alive that makes room for another was answered: nobody was refused."""
    clients = [await connect(patient=True) for _ in range(3)]
    for client in clients:
        await client.send(GET)
        await client.receive(b"0\r\n\r\n")
    counted = refused("outnumbered")

    await connect()

    assert b"" == await clients[0].receive_rest()
    assert counted == refused("outnumbered")


async def test_keep_alive_survives_silent_flood(connect: Connect) -> None:
    """However many connections are silent, those in keep-alive or with a response under way stay."""
    keep_alive, streaming = await connect(), await connect()
    keep_alive.writer.write(GET)
    await keep_alive.receive(b"0\r\n\r\n")
    await streaming.send(STREAM)
    silent = [await connect() for _ in range(20)]

    for client in (keep_alive, silent[-1]):
        client.writer.write(GET)
        assert (await client.receive(b"0\r\n\r\n")).startswith(b"HTTP/1.1 200 OK")
    assert (await streaming.receive(b"/stream\r\n")).startswith(b"HTTP/1.1 200 OK")
    assert b"" == await silent[0].receive_rest()


NOT_READ = {
    "small": GET.replace(b"/", b"/?50000", 1),
    "small and last": LAST.replace(b"/", b"/?50000", 1),
    "large": GET.replace(b"/", b"/?200000", 1),
    "large and last": LAST.replace(b"/", b"/?200000", 1),
    "two": GET.replace(b"/", b"/?200000", 1) * 2,
}
"""Requests for more than the kernel accepts: of a small response the transport holds too little to pause."""


@pytest.mark.parametrize("request_", NOT_READ.values(), ids=NOT_READ)
async def test_response_not_read(connect: Connect, request_: bytes) -> None:
    """A client that does not read a response, whatever its size, is disconnected in time and frees its descriptor."""
    client = await connect(slow=True)
    client.writer.write(request_)

    await until(client.end.transport.get_write_buffer_size)
    began = asyncio.get_running_loop().time()
    await until(lambda: client.closed)

    assert WITHIN * 0.9 < asyncio.get_running_loop().time() - began < KEEP_ALIVE + WITHIN + A_LITTLE


@pytest.mark.parametrize("size", [50_000, 200_000])
async def test_response_read_late(connect: Connect, size: int) -> None:
    """A client that reads a response late, but in time, gets all of it, and the next one too."""
    client = await connect(slow=True)
    client.writer.write(GET.replace(b"/", b"/?%d" % size, 1))
    await until(client.end.transport.get_write_buffer_size)
    await client.stays_open(STUCK / 2)

    await client.receive_bytes(size)
    await until(lambda: not client.end.transport.get_write_buffer_size())
    await client.stays_open(STUCK)
    client.writer.write(LAST.replace(b"/", b"/again", 1))

    assert (await client.receive_rest()).endswith(b"/again\r\n0\r\n\r\n")


async def test_stream_has_no_write_timeout(connect: Connect) -> None:
    """A slow reader of an event stream is not disconnected here: streams have a limit of their own."""
    client = await connect(slow=True)
    client.writer.write(STREAM.replace(b"/stream", b"/stream?200000"))
    await until(client.end.transport.get_write_buffer_size)

    await client.stays_open(2.5 * STUCK)

    await client.receive_bytes(200_000)
    assert not client.closed


async def test_idle_list_of_slow_reader(connect: Connect, idle: Idle) -> None:
    """A client that does not read its response is among the closing, and after that among those in keep-alive."""
    client = await connect(slow=True)
    client.writer.write(GET.replace(b"/", b"/?200000", 1))
    await until(lambda: client.end.transport.get_write_buffer_size() and client.end.cycle.response_complete)
    places = [(len(idle._closing), len(idle))]

    await client.receive_bytes(200_000)
    await until(lambda: not client.end.transport.get_write_buffer_size())
    places.append((len(idle._closing), len(idle)))
    client.writer.write(LAST)

    assert [(1, 1), (0, 1)] == places
    assert b"HTTP/1.1 200 OK" in await client.receive_rest()


@pytest.mark.parametrize("request_", NOT_READ.values(), ids=NOT_READ)
async def test_slow_readers_are_evicted(connect: Connect, request_: bytes) -> None:
    """Over the limit the oldest client that does not read its response is evicted at once, and webhooks come in."""
    slow = [await connect(slow=True) for _ in range(3)]
    for client in slow:
        client.writer.write(request_)
        await until(client.end.transport.get_write_buffer_size)
    began = asyncio.get_running_loop().time()

    webhook = [await connect() for _ in range(3)][-1]
    webhook.writer.write(GET)

    assert (await webhook.receive(b"0\r\n\r\n")).startswith(b"HTTP/1.1 200 OK")
    await until(lambda: slow[0].closed and slow[1].closed)
    assert asyncio.get_running_loop().time() - began < WITHIN * 0.9


@pytest.mark.parametrize("idle", [Idle(first_reserved=0)])
async def test_no_descriptor_free(connect: Connect) -> None:
    """If all descriptors are in use and no connection is idle, a new one gets 503 with Retry-After."""
    counted = refused("descriptors")

    client = await connect()
    answer = await client.receive_rest()

    assert answer.startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
    assert b"\r\nretry-after: " in answer
    assert counted + 1 == refused("descriptors")


async def test_upgraded_connection_has_no_limits_here(connect: Connect) -> None:
    """A connection that became a WebSocket has only the limits of its own class, in size and time."""
    client = await connect()
    client.writer.write(UPGRADE)
    given = await client.receive(b";")
    receiving = asyncio.ensure_future(client.receive(b"%d;" % (2 * LIMIT)))
    assert not (await asyncio.wait({receiving}, timeout=2 * WITHIN))[0]
    assert b"GET / 3 1;" == given

    client.writer.write(b"x" * 2 * LIMIT)

    assert (await receiving).endswith(b";")


async def test_handshake_in_one_packet(connect: Connect, idle: Idle) -> None:
    """A viewer's handshake in one packet is handed over before uvicorn's class is initialized, and leaves no timer."""
    client = await connect(patient=True)
    client.writer.write(HANDSHAKE)

    assert f"at once ticket={TICKET};".encode() == await client.receive(b";")
    assert not client.end._initialized
    assert not len(idle)


@pytest.mark.parametrize(
    "parts", [(HANDSHAKE[:30], HANDSHAKE[30:]), (GET, HANDSHAKE), (HANDSHAKE.replace(b"GET", b"PUT"),)]
)
async def test_handshake_through_parser(connect: Connect, parts: tuple[bytes, ...]) -> None:
    """A handshake in parts, after another request or with another method is read by uvicorn's parser."""
    client = await connect(patient=True)
    await client.send(*parts[:-1])
    client.writer.write(parts[-1])
    given = await client.receive(b";")

    assert b"at once" not in given
    assert b"/v1/counters" in given
    assert client.end._initialized


@pytest.mark.parametrize("behind", [GET, UPGRADE, b"nonsense", GET[:10], GET * 10_000])
async def test_pipelined_request(connect: Connect, idle: Idle, behind: bytes) -> None:
    """A pipelined request gets no response and no memory: the connection ends with the response that is due."""
    client = await connect()

    client.writer.write(GET + behind)
    answer = await client.receive_rest()

    assert 1 == answer.count(b"HTTP/1.1 200 OK\r\n") == answer.count(b"HTTP/1.1")
    assert b"\r\nconnection: close\r\n" in answer
    assert answer.endswith(b"/\r\n0\r\n\r\n")
    await until(lambda: client.closed)
    assert not client.end.pipeline


@pytest.mark.parametrize("behind", [GET, UPGRADE, b"nonsense", GET[:10]])
async def test_pipelined_request_behind_stream(connect: Connect, behind: bytes) -> None:
    """What comes with the request for a stream is not read, and the stream is announced as the last response."""
    client = await connect()
    client.writer.write(STREAM + behind)

    assert b"\r\nconnection: close\r\n" in await client.receive(b"/stream\r\n")
    await client.stays_open(2 * WITHIN)
    client.writer.close()
    await until(lambda: not client.end.tasks)


@pytest.mark.parametrize("stray", [b"\r\n", b"\r\n\r\n"])
async def test_empty_line_between_requests(connect: Connect, stray: bytes) -> None:
    """An empty line is no request (RFC 9112, section 2.2): it ends neither a stream nor the keep-alive time-out."""
    client = await connect()
    client.writer.write(STREAM)
    await client.receive(b"/stream\r\n")
    other = await connect()
    await other.send(GET)
    await other.receive(b"0\r\n\r\n")
    began = asyncio.get_running_loop().time()

    client.writer.write(stray)
    other.writer.write(stray)

    assert b"" == await other.receive_rest()
    assert KEEP_ALIVE * 0.9 < asyncio.get_running_loop().time() - began
    await client.stays_open(2 * WITHIN)
    client.writer.close()


UPGRADE_WITH_BODY = b"POST /read HTTP/1.1\r\nHost: here\r\nConnection: Upgrade\r\nUpgrade: %b\r\n"


@pytest.mark.parametrize("protocol", [b"h2c", b"websocket", b"foo, websocket"])
@pytest.mark.parametrize("length", [b"Content-Length: 30", b"Transfer-Encoding: chunked"])
async def test_upgrade_with_body(connect: Connect, protocol: bytes, length: bytes) -> None:
    """An upgrade with a body is refused: the body would be taken for another request."""
    client = await connect()
    client.writer.write(UPGRADE_WITH_BODY % protocol + length + b"\r\n\r\n")
    answer = await client.receive(b"\r\n\r\n")
    with suppress(ConnectionError):
        client.writer.write(GET)

    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"" == await client.receive_rest()


@pytest.mark.parametrize("together", [True, False])
async def test_upgrade_to_another_protocol(connect: Connect, *, together: bool) -> None:
    """An upgrade to another protocol is an ordinary request, and the last one of its connection."""
    client = await connect()
    request = GET[:-2] + b"Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n"
    client.writer.write(request + GET if together else request)
    answer = await client.receive(b"0\r\n\r\n")
    with suppress(ConnectionError):
        client.writer.write(GET)

    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"\r\nconnection: close\r\n" in answer
    assert b"" == await client.receive_rest()


@pytest.mark.parametrize(
    ("request_", "upgraded"),
    [
        (UPGRADE.replace(b"\r\n\r\n", b"\r\nConnection: keep-alive\r\n\r\n"), True),
        (UPGRADE.replace(b"Upgrade: websocket", b"Upgrade: h2c\r\nUpgrade: websocket"), True),
        (UPGRADE.replace(b"HTTP/1.1", b"HTTP/1.0"), False),
    ],
    ids=["connection-twice", "upgrade-twice", "http-1.0"],
)
async def test_upgrade_headers(connect: Connect, request_: bytes, *, upgraded: bool) -> None:
    """A header with several lines is one list, and HTTP/1.0 has no upgrades."""
    client = await connect()
    client.writer.write(request_)

    answer = await (client.receive(b";") if upgraded else client.receive_rest())

    assert upgraded is answer.endswith(b" 1;")


async def test_upgrade_during_stream(connect: Connect) -> None:
    """An upgrade during a stream is not read: it ends the connection."""
    client = await connect()
    client.writer.write(STREAM)
    await client.receive(b"/stream\r\n")

    client.writer.write(UPGRADE)

    assert b"" == await client.receive_rest()
    await until(lambda: not client.end.tasks)


async def test_upgrade_after_a_late_body(connect: Connect, idle: Idle) -> None:
    """The keep-alive time-out after an early response does not end a WebSocket that follows the late body."""
    client = await connect()
    await client.send((POST % 10).replace(b"/read", b"/"))
    await client.receive(b"0\r\n\r\n")

    client.writer.write(b"x" * 10 + UPGRADE)
    await client.receive(b";")
    receiving = asyncio.ensure_future(client.receive(b"1;"))
    assert not (await asyncio.wait({receiving}, timeout=1.5 * KEEP_ALIVE))[0]
    client.writer.write(b"x")

    assert b"1;" == await receiving
    assert not len(idle)


async def test_upgrade_of_slow_reader(connect: Connect) -> None:
    """A client may upgrade before it has read the last response; the WebSocket class then limits the time for that."""
    client = await connect(slow=True)
    client.writer.write(GET.replace(b"/", b"/?200000", 1))
    await until(lambda: client.end.transport.get_write_buffer_size() and client.end.cycle.response_complete)
    viewer = client.end.transport

    client.writer.write(UPGRADE)
    await until(lambda: viewer.get_protocol() is not client.end)
    over = asyncio.get_running_loop().time() + 1.5 * KEEP_ALIVE
    await until(lambda: asyncio.get_running_loop().time() > over)

    assert not viewer.is_closing()
    received = await client.receive_bytes(200_000)
    client.writer.write(b"x")
    client.writer.write_eof()
    assert (received + await client.receive_rest()).endswith(b"xGET / 3 1;1;")


async def test_disconnect_during_stream(connect: Connect) -> None:
    """A client that disconnects from a stream is noticed although it pipelined a request: no task is left."""
    client = await connect()
    client.writer.write(STREAM + GET)
    await client.receive(b"/stream\r\n")

    client.writer.close()

    await until(lambda: not client.end.tasks)


async def test_malformed_request(connect: Connect) -> None:
    """What is not HTTP is answered with 400 and closed."""
    client = await connect(patient=True)
    client.writer.write(filled(b"nonsense ", 3 * LIMIT))

    assert (await client.receive_rest()).startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", b"400"),
        (UPGRADE.replace(b"Host: here\r\n", b""), b"400"),
        (HANDSHAKE.replace(b"Host: here\r\n", b""), b"400"),
        (HANDSHAKE.replace(b"Host: here\r\n", b"Host: a b\r\n"), b"400"),
        (b"GET / HTTP/1.0\r\n\r\n", b"200"),
        (b"GET http://here/ HTTP/1.1\r\nHost: there\r\nConnection: close\r\n\r\n", b"200"),
    ],
)
async def test_host_that_is_missing_or_invalid(connect: Connect, head: bytes, status: bytes) -> None:
    """A request of HTTP/1.1 without exactly one valid Host is answered with 400 and is the last (RFC 9112, section 3.2)."""
    client = await connect(patient=True)
    client.writer.write(head)

    assert (await client.receive_rest()).startswith(b"HTTP/1.1 %b " % status)
