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
"""Seconds for a head, here."""
STUCK = 0.5
"""Seconds to take an answer, here."""
A_LITTLE = 3
"""Seconds that a busy machine may take to see that time is up."""
KEEP_ALIVE = 1
ROOM = LONGEST_HEAD


# -- connections --


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Answer at once with the path, and as many bytes as asked for; `/read` the body's size, `/stream` never ends."""
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


class Socket(asyncio.Protocol):
    """What an upgrade leads to: it says what it was given, and then how many bytes."""

    def __init__(self, *_: Any) -> None:
        self.count = 0

    def upgraded(self, method: str, url: bytes, headers: list[tuple[bytes, bytes]]) -> None:
        """The request, as it was parsed."""
        hears = self.transport.get_protocol() is self
        self.transport.write(b"%b %b %d %d;" % (method.encode(), url, len(headers), hears))

    def answer(self, opening: Opening) -> None:
        """The request, as it was read at once."""
        self.transport.write(b"at once %b;" % opening.query.encode())

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.count += len(data)
        self.transport.write(f"{self.count};".encode())


class Quick(HttpProtocol):
    """The same, with less patience."""

    within = WITHIN
    stuck = STUCK


class Patient(Quick):
    """As it is outside: for requests that take a slow machine some time."""

    within = HttpProtocol.within
    stuck = HttpProtocol.stuck


class Line:
    """A connection to a server, and the server's end of it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, end: Quick) -> None:
        self.reader, self.writer, self.end = reader, writer, end

    async def say(self, *parts: bytes) -> None:
        """Send each part in a packet of its own."""
        for part in parts:
            before = self.taken
            self.writer.write(part)
            await self.writer.drain()
            await until(partial(self._took, before))

    @property
    def gone(self) -> bool:
        """Whether the server has ended it: its descriptor is free, whatever the client does."""
        return self.end not in self.end.connections

    async def stay(self, seconds: float) -> None:
        """So long it is not ended."""
        over = asyncio.get_running_loop().time() + seconds
        await until(lambda: self.gone or asyncio.get_running_loop().time() > over)
        assert not self.gone

    @property
    def taken(self) -> Any:
        """How far the server's end has come."""
        return self.end._around, self.end._in_body, self.end.cycle

    def _took(self, before: Any) -> bool:
        return bool(self.taken != before)

    async def hear(self, text: bytes) -> bytes:
        """What is heard up to this text."""
        return await asyncio.wait_for(self.reader.readuntil(text), 30)

    async def take(self, size: int) -> bytes:
        """At least so many bytes."""
        heard = b""
        async with asyncio.timeout(30):
            while len(heard) < size:
                part = await self.reader.read(100_000)
                assert part
                heard += part
        return heard

    async def rest(self) -> bytes:
        """What is heard until the connection ends, with a reset or without."""
        heard = b""
        async with asyncio.timeout(30):
            with suppress(ConnectionError):
                while part := await self.reader.read(100_000):
                    heard += part
        return heard


Dial = Callable[..., Awaitable[Line]]


@pytest.fixture
def idle() -> Idle:
    """Those who ask for nothing: room for three of them."""
    return Idle(most=3)


@pytest.fixture
async def dial(idle: Idle) -> AsyncIterator[Dial]:
    """Connect to a server of the test's own: our HTTP class around a small application.

    A *slow* client takes some 20 kB, and the rest only when it is read; a *patient* server gives it time.
    """
    config = uvicorn.Config(
        app,
        ws=Socket,
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
    # As small as the kernel makes it, so that it is soon full; inherited by what it accepts.
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
    server = await asyncio.get_running_loop().create_server(answer, sock=listening)
    async with AsyncExitStack() as stack:

        async def call(*, slow: bool = False, patient: bool = False) -> Line:
            nonlocal made
            number, made = len(ends), Patient if patient else Quick
            line = socket.socket()
            line.setblocking(False)
            if slow:
                line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
            await asyncio.get_running_loop().sock_connect(line, listening.getsockname())
            reader, writer = await asyncio.open_connection(sock=line, limit=1 if slow else 2**16)
            stack.callback(writer.close)
            await until(lambda: len(ends) > number and ends[number].transport)
            return Line(reader, writer, ends[number])

        yield call
    server.close()
    await until(lambda: not state.connections and not state.tasks)
    assert not len(idle)


def refused(reason: str) -> float:
    return REGISTRY.get_sample_value("ticket_counter_refused_total", {"reason": reason}) or 0.0


LONG = {
    "one field": filled(GET[:-2] + b"X: ", ROOM),
    "its name": filled(GET[:-2], ROOM),
    "many fields": (GET[:-2] + b"X: y\r\n" * ROOM)[:ROOM],
    "address": filled(b"GET /", ROOM),
    "nothing": b"\r\n" * (ROOM // 2),
}


@pytest.mark.parametrize("head", LONG.values(), ids=LONG)
@pytest.mark.parametrize("size", [1000, 7 * ROOM])
async def test_long_head(dial: Dial, head: bytes, size: int) -> None:
    """A head that is too long is 431 and the end, whether it comes at once or bit by bit, at first or later."""
    for before in (b"", GET):
        line = await dial(patient=True)
        if before:
            await line.say(before)
            await line.hear(b"0\r\n\r\n")
        counted = refused("long_head")

        await line.say(*[head[at : at + size] for at in range(0, ROOM, size)])
        answer = await line.rest()

        assert answer.startswith(b"HTTP/1.1 431 Request Header Fields Too Large\r\n")
        assert b"connection: close\r\n" in answer
        assert counted + 1 == refused("long_head")


async def test_longest_head(dial: Dial) -> None:
    """A head that is just short enough is answered, as are those that come after it."""
    head = filled(GET[:-2] + b"X: ", ROOM - 5) + b"\r\n\r\n"
    line = await dial(patient=True)
    assert ROOM - 1 == len(head)

    for request in (head, GET, head):
        line.writer.write(request)
        assert (await line.hear(b"0\r\n\r\n")).startswith(b"HTTP/1.1 200 OK")


@pytest.mark.parametrize("size", [1, ROOM, 20 * ROOM])
async def test_long_body(dial: Dial, size: int) -> None:
    """A body is not counted, in one piece or in chunks; what comes after it is a request as ever."""
    line = await dial(patient=True)
    chunks = CHUNKED.replace(b"GET /", b"POST /read") + b"%x\r\n%b\r\n" % (size, b"x" * size) * 3 + b"0\r\n\r\n"

    for request, read in ((POST % size + b"x" * size, size), (chunks, 3 * size)):
        line.writer.write(request)
        assert b"\r\n%d\r\n" % read in await line.hear(b"0\r\n\r\n")
    line.writer.write(GET)

    assert (await line.hear(b"0\r\n\r\n")).startswith(b"HTTP/1.1 200 OK")


@pytest.mark.parametrize("around", [b"1;" + b"x" * ROOM, b"0\r\nX: " + b"x" * ROOM], ids=["chunk", "trailer"])
async def test_long_around_a_body(dial: Dial, around: bytes) -> None:
    """What stands around a body is bounded as a head is, though its request was answered long before."""
    line = await dial(patient=True)
    await line.say(CHUNKED)
    await line.hear(b"0\r\n\r\n")

    await line.say(around)

    assert (await line.rest()).startswith(b"HTTP/1.1 431 ")


async def test_long_between_pieces_of_a_body(dial: Dial) -> None:
    """What stands between the pieces of a body is bounded in all, however little there is between two of them."""
    line = await dial(patient=True)
    await line.say(CHUNKED)
    await line.hear(b"0\r\n\r\n")

    line.writer.write((b"1;" + b"x" * 1000 + b"\r\nx\r\n") * 40)

    assert (await line.rest()).startswith(b"HTTP/1.1 431 ")


async def test_slow_head(dial: Dial) -> None:
    """A head that is not whole in time is 408 and the end, however busily it comes, at first or later."""
    for before in (b"", GET):
        line = await dial()
        if before:
            await line.say(before)
            await line.hear(b"0\r\n\r\n")
        counted = refused("slow_head")
        loop = asyncio.get_running_loop()
        began = loop.time()

        await line.say(GET[:-2] + b"X: ")
        hearing = asyncio.ensure_future(line.rest())
        while not (await asyncio.wait({hearing}, timeout=WITHIN / 10))[0]:
            assert loop.time() < began + 30
            line.writer.write(b"x")

        assert hearing.result().startswith(b"HTTP/1.1 408 Request Timeout\r\n")
        assert WITHIN * 0.9 < loop.time() - began < WITHIN + A_LITTLE
        assert counted + 1 == refused("slow_head")


async def test_silence(dial: Dial) -> None:
    """Who connects and says nothing is left without a word: it could be taken for the answer to a later request."""
    line = await dial()
    began = asyncio.get_running_loop().time()

    assert b"" == await line.rest()
    assert WITHIN * 0.9 < asyncio.get_running_loop().time() - began < WITHIN + A_LITTLE


async def test_between_requests(dial: Dial, idle: Idle) -> None:
    """Between two requests the time of uvicorn's keep-alive rules, and none beside it."""
    line = await dial()
    await line.say(GET)
    await line.hear(b"0\r\n\r\n")
    began = asyncio.get_running_loop().time()

    assert (1, False) == (len(idle), line.end in idle)
    assert b"" == await line.rest()
    assert KEEP_ALIVE * 0.9 < asyncio.get_running_loop().time() - began


async def test_while_it_is_answered(dial: Dial) -> None:
    """A whole request is answered for as long as that takes; a half one behind it ends it without a second answer."""
    line = await dial()
    await line.say(STREAM)
    await line.hear(b"/stream\r\n")
    hearing = asyncio.ensure_future(line.rest())
    assert not (await asyncio.wait({hearing}, timeout=3 * WITHIN))[0]

    await line.say(GET[:10])

    assert b"" == await hearing


async def test_a_body_that_does_not_come(dial: Dial, idle: Idle) -> None:
    """A body that a route waits for has the time of a head, and no place that newer ones cannot take."""
    lines = [await dial() for _ in range(3)]
    for line in lines:
        await line.say(POST % 10)
    assert [True] * 3 == [line.end in idle for line in lines]

    await dial()
    await until(lambda: lines[0].gone)
    others = [line.gone for line in lines[1:]]
    await until(lambda: all(line.gone for line in lines), WITHIN + A_LITTLE)

    assert [False] * 2 == others


@pytest.mark.parametrize(("path", "status"), [(b"/read", b"400"), (b"/stream", b"200")])
async def test_a_body_that_is_none(dial: Dial, path: bytes, status: bytes) -> None:
    """A body that cannot be read is 400 at once, however long its route would wait; what is answered already ends."""
    line = await dial()
    line.writer.write(CHUNKED.replace(b"GET /", b"POST " + path))
    if status == b"200":
        await until(lambda: line.end.cycle and line.end.cycle.response_started)
    line.writer.write(b"not a size\r\n")

    answer = await line.rest()

    assert answer.startswith(b"HTTP/1.1 " + status)
    assert 1 == answer.count(b"HTTP/1.1")
    await until(lambda: line.gone)


async def test_half_a_body(dial: Dial) -> None:
    """A body that nobody waits for any more has to be whole in time, however busily it comes."""
    line = await dial()
    began = asyncio.get_running_loop().time()
    await line.say((POST % 1000).replace(b"/read", b"/"))
    await line.hear(b"0\r\n\r\n")
    hearing = asyncio.ensure_future(line.rest())
    while not (await asyncio.wait({hearing}, timeout=WITHIN / 10))[0]:
        line.writer.write(b"x")

    assert b"" == hearing.result()
    assert WITHIN * 0.9 < asyncio.get_running_loop().time() - began < WITHIN + A_LITTLE


async def test_late_body(dial: Dial) -> None:
    """After a body that was whole in time, if later than its answer, requests go on, and silence ends as ever."""
    line = await dial()
    await line.say((POST % 10).replace(b"/read", b"/"))
    await line.hear(b"0\r\n\r\n")
    await line.say(b"x" * 10)
    line.writer.write(GET)
    second = await line.hear(b"0\r\n\r\n")
    await line.say((POST % 10).replace(b"/read", b"/"))
    await line.hear(b"0\r\n\r\n")
    await line.say(b"x" * 10)
    began = asyncio.get_running_loop().time()

    assert second.startswith(b"HTTP/1.1 200 OK")
    assert b"" == await line.rest()
    assert KEEP_ALIVE * 0.9 < asyncio.get_running_loop().time() - began < KEEP_ALIVE + 1


async def test_flood(dial: Dial, idle: Idle) -> None:
    """Over the cap who has been silent for longest ends without a word, one whose head has begun with 503."""
    quiet = await dial()
    begun = await dial()
    await begun.say(GET[:10])
    counted = refused("outnumbered")
    others = [await dial() for _ in range(3)]

    ended = await quiet.rest(), await begun.rest()
    others[0].writer.write(GET)

    assert (b"", b"HTTP/1.1 503 Service Unavailable") == (ended[0], ended[1].splitlines()[0])
    assert re.search(rb"\r\nretry-after: \d+\r\n", ended[1])
    assert counted + 2 == refused("outnumbered")
    assert (await others[0].hear(b"0\r\n\r\n")).startswith(b"HTTP/1.1 200 OK")
    assert 3 == len(idle)


async def test_flood_beside_a_webhook(dial: Dial) -> None:
    """However many strangers are silent, who has asked for something before, or is being answered, stays."""
    asked, answered = await dial(), await dial()
    asked.writer.write(GET)
    await asked.hear(b"0\r\n\r\n")
    await answered.say(STREAM)
    strangers = [await dial() for _ in range(20)]

    for line in (asked, strangers[-1]):
        line.writer.write(GET)
        assert (await line.hear(b"0\r\n\r\n")).startswith(b"HTTP/1.1 200 OK")
    assert (await answered.hear(b"/stream\r\n")).startswith(b"HTTP/1.1 200 OK")
    assert b"" == await strangers[0].rest()


UNTAKEN = {
    "small": GET.replace(b"/", b"/?50000", 1),
    "small and last": LAST.replace(b"/", b"/?50000", 1),
    "large": GET.replace(b"/", b"/?200000", 1),
    "large and last": LAST.replace(b"/", b"/?200000", 1),
    "two": GET.replace(b"/", b"/?200000", 1) * 2,
}
"""Requests for more than the kernel takes: the transport holds little of a small answer, which is no reason to pause."""


@pytest.mark.parametrize("request_", UNTAKEN.values(), ids=UNTAKEN)
async def test_answer_not_taken(dial: Dial, request_: bytes) -> None:
    """Who does not take an answer, whatever its size, is ended for good in a while, and frees its descriptor."""
    line = await dial(slow=True)
    line.writer.write(request_)

    await until(line.end.transport.get_write_buffer_size)
    began = asyncio.get_running_loop().time()
    await until(lambda: line.gone)

    assert WITHIN * 0.9 < asyncio.get_running_loop().time() - began < KEEP_ALIVE + WITHIN + A_LITTLE


@pytest.mark.parametrize("size", [50_000, 200_000])
async def test_answer_taken_late(dial: Dial, size: int) -> None:
    """Who takes an answer late, but in time, gets all of it, and the next as ever."""
    line = await dial(slow=True)
    line.writer.write(GET.replace(b"/", b"/?%d" % size, 1))
    await until(line.end.transport.get_write_buffer_size)
    await line.stay(STUCK / 2)

    await line.take(size)
    await until(lambda: not line.end.transport.get_write_buffer_size())
    await line.stay(STUCK)
    line.writer.write(LAST.replace(b"/", b"/again", 1))

    assert (await line.rest()).endswith(b"/again\r\n0\r\n\r\n")


async def test_stream_not_taken(dial: Dial) -> None:
    """Who reads a stream late is not ended for that here: streams have a rule of their own."""
    line = await dial(slow=True)
    line.writer.write(STREAM.replace(b"/stream", b"/stream?200000"))
    await until(line.end.transport.get_write_buffer_size)

    await line.stay(2.5 * STUCK)

    await line.take(200_000)
    assert not line.gone


async def test_place_of_an_answer_taken_late(dial: Dial, idle: Idle) -> None:
    """Who does not take an answer has one place among the idle, and one among those between two requests after it."""
    line = await dial(slow=True)
    line.writer.write(GET.replace(b"/", b"/?200000", 1))
    await until(lambda: line.end.transport.get_write_buffer_size() and line.end.cycle.response_complete)
    places = [(len(idle._leaving), len(idle))]

    await line.take(200_000)
    await until(lambda: not line.end.transport.get_write_buffer_size())
    places.append((len(idle._leaving), len(idle)))
    line.writer.write(LAST)

    assert [(1, 1), (0, 1)] == places
    assert b"HTTP/1.1 200 OK" in await line.rest()


@pytest.mark.parametrize("request_", UNTAKEN.values(), ids=UNTAKEN)
async def test_flood_of_slow_readers(dial: Dial, request_: bytes) -> None:
    """Over the cap who has not taken his answers for longest gives his descriptor at once, and Wix is heard."""
    slow = [await dial(slow=True) for _ in range(3)]
    for line in slow:
        line.writer.write(request_)
        await until(line.end.transport.get_write_buffer_size)
    began = asyncio.get_running_loop().time()

    hook = [await dial() for _ in range(3)][-1]
    hook.writer.write(GET)

    assert (await hook.hear(b"0\r\n\r\n")).startswith(b"HTTP/1.1 200 OK")
    await until(lambda: slow[0].gone and slow[1].gone)
    assert asyncio.get_running_loop().time() - began < WITHIN * 0.9


@pytest.mark.parametrize("idle", [Idle(edge=0)])
async def test_no_descriptor(dial: Dial) -> None:
    """Where all descriptors are in use and nobody is idle, who comes is told so, and when to come back."""
    counted = refused("descriptors")

    line = await dial()
    answer = await line.rest()

    assert answer.startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
    assert b"\r\nretry-after: " in answer
    assert counted + 1 == refused("descriptors")


async def test_upgrade(dial: Dial) -> None:
    """What has become a WebSocket is bounded by its own class alone, in size and in time."""
    line = await dial()
    line.writer.write(UPGRADE)
    given = await line.hear(b";")
    hearing = asyncio.ensure_future(line.hear(b"%d;" % (2 * ROOM)))
    assert not (await asyncio.wait({hearing}, timeout=2 * WITHIN))[0]
    assert b"GET / 3 1;" == given

    line.writer.write(b"x" * 2 * ROOM)

    assert (await hearing).endswith(b";")


async def test_viewer_at_once(dial: Dial, idle: Idle) -> None:
    """A viewer's opening that comes in one packet is passed on before there is any of uvicorn's part; no timer is left."""
    line = await dial(patient=True)
    line.writer.write(HANDSHAKE)

    assert f"at once ticket={TICKET};".encode() == await line.hear(b";")
    assert not line.end._begun
    assert not len(idle)


@pytest.mark.parametrize(
    "parts", [(HANDSHAKE[:30], HANDSHAKE[30:]), (GET, HANDSHAKE), (HANDSHAKE.replace(b"GET", b"PUT"),)]
)
async def test_viewer_in_its_turn(dial: Dial, parts: tuple[bytes, ...]) -> None:
    """One that comes in parts, after another request, or by another method, is read by uvicorn's parser first."""
    line = await dial(patient=True)
    await line.say(*parts[:-1])
    line.writer.write(parts[-1])
    given = await line.hear(b";")

    assert b"at once" not in given
    assert b"/v1/counters" in given
    assert line.end._begun


@pytest.mark.parametrize("behind", [GET, UPGRADE, b"nonsense", GET[:10], GET * 10_000])
async def test_behind_a_request(dial: Dial, idle: Idle, behind: bytes) -> None:
    """What does not wait for an answer gets none, and takes no room: the connection ends with the answer that is due."""
    line = await dial()

    line.writer.write(GET + behind)
    answer = await line.rest()

    assert 1 == answer.count(b"HTTP/1.1 200 OK\r\n") == answer.count(b"HTTP/1.1")
    assert b"\r\nconnection: close\r\n" in answer
    assert answer.endswith(b"/\r\n0\r\n\r\n")
    await until(lambda: line.gone)
    assert not line.end.pipeline


@pytest.mark.parametrize("behind", [GET, UPGRADE, b"nonsense", GET[:10]])
async def test_behind_a_stream(dial: Dial, behind: bytes) -> None:
    """What comes with the request for a stream is not read, and the stream says that it is the last answer."""
    line = await dial()
    line.writer.write(STREAM + behind)

    assert b"\r\nconnection: close\r\n" in await line.hear(b"/stream\r\n")
    await line.stay(2 * WITHIN)
    line.writer.close()
    await until(lambda: not line.end.tasks)


@pytest.mark.parametrize("stray", [b"\r\n", b"\r\n\r\n"])
async def test_an_empty_line(dial: Dial, stray: bytes) -> None:
    """An empty line is no request (RFC 9112, section 2.2): it ends no stream and no wait for the next request."""
    line = await dial()
    line.writer.write(STREAM)
    await line.hear(b"/stream\r\n")
    other = await dial()
    await other.say(GET)
    await other.hear(b"0\r\n\r\n")
    began = asyncio.get_running_loop().time()

    line.writer.write(stray)
    other.writer.write(stray)

    assert b"" == await other.rest()
    assert KEEP_ALIVE * 0.9 < asyncio.get_running_loop().time() - began
    await line.stay(2 * WITHIN)
    line.writer.close()


BODY = b"POST /read HTTP/1.1\r\nHost: here\r\nConnection: Upgrade\r\nUpgrade: %b\r\n"


@pytest.mark.parametrize("protocol", [b"h2c", b"websocket", b"foo, websocket"])
@pytest.mark.parametrize("length", [b"Content-Length: 30", b"Transfer-Encoding: chunked"])
async def test_upgrade_with_a_body(dial: Dial, protocol: bytes, length: bytes) -> None:
    """An upgrade with a body is refused: its body would be taken for a request of its own."""
    line = await dial()
    line.writer.write(BODY % protocol + length + b"\r\n\r\n")
    answer = await line.hear(b"\r\n\r\n")
    with suppress(ConnectionError):
        line.writer.write(GET)

    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"" == await line.rest()


@pytest.mark.parametrize("together", [True, False])
async def test_upgrade_to_something_else(dial: Dial, *, together: bool) -> None:
    """An upgrade to what we do not speak is an ordinary request, and the last one of its connection."""
    line = await dial()
    request = GET[:-2] + b"Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n"
    line.writer.write(request + GET if together else request)
    answer = await line.hear(b"0\r\n\r\n")
    with suppress(ConnectionError):
        line.writer.write(GET)

    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"\r\nconnection: close\r\n" in answer
    assert b"" == await line.rest()


@pytest.mark.parametrize(
    ("request_", "upgraded"),
    [
        (UPGRADE.replace(b"\r\n\r\n", b"\r\nConnection: keep-alive\r\n\r\n"), True),
        (UPGRADE.replace(b"Upgrade: websocket", b"Upgrade: h2c\r\nUpgrade: websocket"), True),
        (UPGRADE.replace(b"HTTP/1.1", b"HTTP/1.0"), False),
    ],
    ids=["connection-twice", "upgrade-twice", "http-1.0"],
)
async def test_what_is_an_upgrade(dial: Dial, request_: bytes, *, upgraded: bool) -> None:
    """Headers of several lines are one list, and HTTP/1.0 upgrades to nothing."""
    line = await dial()
    line.writer.write(request_)

    answer = await (line.hear(b";") if upgraded else line.rest())

    assert upgraded is answer.endswith(b" 1;")


async def test_upgrade_in_a_stream(dial: Dial) -> None:
    """So it is when the upgrade comes later, while a stream goes on."""
    line = await dial()
    line.writer.write(STREAM)
    await line.hear(b"/stream\r\n")

    line.writer.write(UPGRADE)

    assert b"" == await line.rest()
    await until(lambda: not line.end.tasks)


async def test_upgrade_after_a_late_body(dial: Dial, idle: Idle) -> None:
    """What was answered before its body was over ends no WebSocket that begins with the body's last byte."""
    line = await dial()
    await line.say((POST % 10).replace(b"/read", b"/"))
    await line.hear(b"0\r\n\r\n")

    line.writer.write(b"x" * 10 + UPGRADE)
    await line.hear(b";")
    hearing = asyncio.ensure_future(line.hear(b"1;"))
    assert not (await asyncio.wait({hearing}, timeout=1.5 * KEEP_ALIVE))[0]
    line.writer.write(b"x")

    assert b"1;" == await hearing
    assert not len(idle)


async def test_upgrade_of_a_slow_reader(dial: Dial) -> None:
    """Who has not taken all of an answer may go on as a WebSocket: how long that may wait is then its own class's."""
    line = await dial(slow=True)
    line.writer.write(GET.replace(b"/", b"/?200000", 1))
    await until(lambda: line.end.transport.get_write_buffer_size() and line.end.cycle.response_complete)
    viewer = line.end.transport

    line.writer.write(UPGRADE)
    await until(lambda: viewer.get_protocol() is not line.end)
    over = asyncio.get_running_loop().time() + 1.5 * KEEP_ALIVE
    await until(lambda: asyncio.get_running_loop().time() > over)

    assert not viewer.is_closing()
    heard = await line.take(200_000)
    line.writer.write(b"x")
    line.writer.write_eof()
    assert (heard + await line.rest()).endswith(b"xGET / 3 1;1;")


async def test_end_behind_a_stream(dial: Dial) -> None:
    """Who leaves a stream is gone though he had asked for more behind it: nothing goes on for nobody."""
    line = await dial()
    line.writer.write(STREAM + GET)
    await line.hear(b"/stream\r\n")

    line.writer.close()

    await until(lambda: not line.end.tasks)


async def test_nonsense(dial: Dial) -> None:
    """What is no HTTP is 400 and the end."""
    line = await dial(patient=True)
    line.writer.write(filled(b"nonsense ", 3 * ROOM))

    assert (await line.rest()).startswith(b"HTTP/1.1 400 ")
