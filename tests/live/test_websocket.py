import asyncio
import contextlib
import json
import socket as sockets
import struct
from collections.abc import AsyncIterator
from typing import Any, Self

import pytest
from prometheus_client import REGISTRY
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from server.counter import Rules
from server.hub.hub import Hub
from server.hub.topics import TicketTopic
from server.live import websocket
from server.live.admission import Admission
from server.model import Price, SiteId, TicketId
from tests.rig.asgi_server import asgi_server
from tests.rig.counter_text import counter_text
from tests.rig.default_keys import KEYS, channel
from tests.rig.fake_reader import FakeReader, definition
from tests.rig.redis import free_port
from tests.rig.redis_monitor import monitored
from tests.rig.server import OTHER, SITE, TICKET, RunningServer, StartServer, until
from tests.rig.site_lookup import GatedSites, lookup_of

STRANGER = "5f0e4d3c-9999-4111-8111-00000000b009"


async def next_message(socket: ClientConnection) -> dict[str, Any]:
    """The next message that is not a heartbeat."""
    while True:
        found: dict[str, Any] = json.loads(await asyncio.wait_for(socket.recv(), 5))
        if "beat" not in found:
            return found


async def close_code(socket: ClientConnection) -> int:
    with contextlib.suppress(ConnectionClosed):
        while True:
            await asyncio.wait_for(socket.recv(), 5)
    assert socket.close_code is not None
    return socket.close_code


async def test_snapshot_then_changes(start_server: StartServer, reads: FakeReader) -> None:
    """A viewer gets a heartbeat and the counter at once, then each change, whole."""
    running = await start_server()
    await reads.read(definition(TICKET, 3))

    async with connect(running.ws + running.counters(TICKET)) as socket:
        first = json.loads(await asyncio.wait_for(socket.recv(), 5))
        second = json.loads(await asyncio.wait_for(socket.recv(), 5))
        await reads.read(definition(TICKET, 2))
        third = await next_message(socket)

    assert ["beat"] == list(first)
    assert (TICKET, "low", 3) == (second["ticket"], second["state"], second["unsold"])
    assert (TICKET, "low", 2) == (third["ticket"], third["state"], third["unsold"])
    assert third["v"] > second["v"]


async def test_unread_ticket_is_unknown_until_it_is_read(start_server: StartServer, reads: FakeReader) -> None:
    """A ticket that was never read is shown as unknown, then as it is, without another request."""
    running = await start_server()

    async with connect(running.ws + running.counters(TICKET)) as socket:
        before = await next_message(socket)
        await reads.read(definition(TICKET, 3))
        after = await next_message(socket)

    assert ("unknown", None) == (before["state"], before["unsold"])
    assert ("low", 3) == (after["state"], after["unsold"])


async def test_several_tickets_on_one_socket(start_server: StartServer, reads: FakeReader) -> None:
    """One socket carries all the tickets of its URL, each as a frame of its own."""
    running = await start_server()
    await reads.read(definition(TICKET, 3), definition(OTHER, 48))

    async with connect(running.ws + running.counters(TICKET, OTHER.upper(), TICKET)) as socket:
        found = {(one := await next_message(socket))["ticket"]: one["unsold"] for _ in range(2)}

    assert {TICKET: 3, OTHER: 48} == found


async def test_many_viewers_cost_redis_one_subscription_and_one_read(
    start_server: StartServer, reads: FakeReader, redis_url: str
) -> None:
    """A hundred viewers that all get their number cost Redis one subscription and one read."""
    running = await start_server(max_connections_per_address=1000)
    await reads.read(definition(TICKET, 3))

    async with monitored(redis_url) as commands, contextlib.AsyncExitStack() as stack:
        url = running.ws + running.counters(TICKET)
        sockets = await asyncio.gather(*(stack.enter_async_context(connect(url)) for _ in range(100)))
        found = [(await next_message(socket))["unsold"] for socket in sockets]
        counts = await commands.subscribed(channel(SITE, TICKET)), await commands.read(TICKET)

    assert [3] * 100 == found
    assert (1, 1) == counts


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ("", "name at least one ticket"),
        ("ticket=nonsense", "ticket='nonsense' is not a GUID"),
        (f"ticket={TICKET}&site=x", "site='x' is not a GUID"),
        (f"ticket={TICKET}&site={OTHER}", "is not known here"),
    ],
)
async def test_bad_request_is_closed_with_4500(start_server: StartServer, query: str, reason: str) -> None:
    """A malformed request is accepted and closed with 4500 and the reason, which a browser can read."""
    running = await start_server()

    async with connect(f"{running.ws}/v1/counters?{query}") as socket:
        assert 4500 == await close_code(socket)
        assert socket.close_reason is not None
        assert reason in socket.close_reason


async def test_viewer_finds_its_site_if_there_are_several(
    start_server: StartServer, reads: FakeReader, redis_url: str
) -> None:
    """With more than one site a viewer gets the counters of the site that has its tickets, and each change."""
    running = await start_server(wix_sites=f"{SITE},{STRANGER}")
    other = FakeReader(redis_url, STRANGER)
    await reads.read(definition(TICKET, 3))
    await other.read(definition(OTHER, 4))

    async with connect(running.ws + running.counters(TICKET)) as first:
        assert 3 == (await next_message(first))["unsold"]
        async with connect(running.ws + running.counters(OTHER)) as second:
            assert 4 == (await next_message(second))["unsold"]
            await other.read(definition(OTHER, 2))
            assert 2 == (await next_message(second))["unsold"]
    await other.aclose()
    await until(lambda: not running.web.admission._count)


async def test_viewer_whose_site_cannot_be_found(start_server: StartServer, reads: FakeReader, redis_url: str) -> None:
    """Tickets of two sites close with 4500, tickets of none with 4000, after which a client comes back: each with its reason."""
    running = await start_server(wix_sites=f"{SITE},{STRANGER}")
    other = FakeReader(redis_url, STRANGER)
    await reads.read(definition(TICKET, 3))
    await other.read(definition(OTHER, 4))
    await other.aclose()

    for tickets, code, reason in (
        ((TICKET, OTHER), 4500, "these tickets are of 2 sites: ask for each site's in a request of its own"),
        ((STRANGER,), 4000, "none of the 2 sites here has these tickets"),
    ):
        async with connect(running.ws + running.counters(*tickets)) as socket:
            assert code == await close_code(socket)
            assert reason in (socket.close_reason or "")
    await until(lambda: not running.web.admission._count)


@pytest.mark.parametrize("ending", ["client", "server"])
async def test_viewer_that_ends_while_its_site_is_looked_up(start_server: StartServer, ending: str) -> None:
    """A viewer that leaves, or is closed, while its site is looked up joins nothing, and is counted no more."""
    running = await start_server(wix_sites=f"{SITE},{STRANGER}")
    gate = GatedSites(running.web.site_lookup._answers)
    running.web.site_lookup._answers = gate
    async with connect(running.ws + running.counters(TICKET)) as socket:
        await until(lambda: gate.asked)
        assert (1, 0) == (running.web.admission._count, len(running.web.hub))
        if ending == "server":
            await socket.send(b"binary")
            assert 1003 == await close_code(socket)
        else:
            socket.transport.abort()
    await until(lambda: not running.web.admission._count)

    gate.open.set()
    await until(lambda: not websocket._look_ups)

    assert (0, 0) == (running.web.admission._count, len(running.web.hub))


async def test_origin_that_is_not_listed_is_closed_with_4501(start_server: StartServer) -> None:
    """A page that is not in ORIGINS is closed with 4501, one that is in it is admitted."""
    running = await start_server(origins="https://shop.example,https://*.wixsite.com")

    async with connect(running.ws + running.counters(TICKET), origin="https://evil.example") as socket:  # type: ignore[arg-type]
        assert 4501 == await close_code(socket)
    async with connect(running.ws + running.counters(TICKET), origin="https://a.wixsite.com") as socket:  # type: ignore[arg-type]
        assert "unknown" == (await next_message(socket))["state"]


async def test_limit_per_address(start_server: StartServer) -> None:
    """Over the limit per address a viewer is closed with 4000, until another one leaves."""
    running = await start_server(max_connections_per_address=1)
    url = running.ws + running.counters(TICKET)

    async with connect(url) as first:
        await next_message(first)
        async with connect(url) as second:
            assert 4000 == await close_code(second)
    await until(lambda: not running.web.hub.viewers)
    async with connect(url) as third:
        assert "unknown" == (await next_message(third))["state"]


async def test_forwarded_address_counts_only_from_a_trusted_proxy(start_server: StartServer) -> None:
    """X-Forwarded-For gives a viewer an address of its own only if the peer is a trusted proxy."""
    for trusted, code in (("127.0.0.0/8", None), ("10.0.0.0/8", 4000)):
        running = await start_server(max_connections_per_address=1, trusted_proxies=trusted)
        url = running.ws + running.counters(TICKET)
        async with connect(url, additional_headers={"X-Forwarded-For": "198.51.100.1"}) as first:
            await next_message(first)
            async with connect(url, additional_headers={"X-Forwarded-For": "198.51.100.2"}) as second:
                if code is None:
                    assert "unknown" == (await next_message(second))["state"]
                else:
                    assert code == await close_code(second)


async def test_other_paths_are_refused(start_server: StartServer) -> None:
    """A WebSocket on any other path is answered 404 before it opens."""
    running = await start_server()

    with pytest.raises(InvalidStatus) as caught:
        await connect(f"{running.ws}/webhooks/wix")

    assert 404 == caught.value.response.status_code


@pytest.mark.parametrize("more", [[], [("X-One", "a"), ("X-One", "b")]], ids=["ordinary", "out of the ordinary"])
async def test_compression_is_declined(start_server: StartServer, more: list[tuple[str, str]]) -> None:
    """No extension is agreed to, whatever a browser offers and however it is written."""
    running = await start_server()

    async with connect(running.ws + running.counters(TICKET), additional_headers=more) as socket:
        assert socket.response is not None
        assert "Sec-WebSocket-Extensions" not in socket.response.headers


async def test_close_codes_for_messages_of_clients(start_server: StartServer) -> None:
    """Text is ignored; binary is closed with 1003, more than 4 KB with 1009, too many messages with 1008."""
    running = await start_server()
    url = running.ws + running.counters(TICKET)

    async with connect(url) as socket:
        await socket.send("hello")
        await next_message(socket)
        await (await socket.ping())
        await socket.send(b"\x00")
        assert 1003 == await close_code(socket)
    async with connect(url) as socket:
        await socket.send("x" * 4097)
        assert 1009 == await close_code(socket)
    async with connect(url) as socket:
        for _ in range(21):
            await socket.send("hello")
        assert 1008 == await close_code(socket)
    async with connect(url) as socket:
        for _ in range(10):
            await socket.send("hello")
            await (await socket.ping())
        await socket.ping()
        assert 1008 == await close_code(socket)
    async with connect(url) as socket:
        for _ in range(21):
            await socket.pong()
        assert 1008 == await close_code(socket)


async def test_pongs_to_pings_are_not_counted(start_server: StartServer) -> None:
    """A client that answers pings may do so forever: only an unsolicited pong counts towards the message rate."""
    running = await start_server()
    reader, writer = await raw_client(running)
    [viewer] = await until(lambda: list(running.web.hub.viewers))
    assert isinstance(viewer, websocket.CounterProtocol)
    pong = b"\x8a\x80\0\0\0\0"

    for _ in range(50):
        viewer.beat('{"beat":1}')
        writer.write(pong)
        await until(lambda: not viewer._unanswered)
    counted = viewer._received
    for _ in range(21):
        writer.write(pong)
    heard = await asyncio.wait_for(reader.read(), 5)
    writer.close()

    assert None is counted
    assert struct.pack("!BBH", 0x88, heard[heard.rindex(b"\x88") + 1], 1008) == heard[heard.rindex(b"\x88") :][:4]


async def test_frames_after_a_close_are_ignored(start_server: StartServer) -> None:
    """A client that sends more after either side's close is not read and not waited for: it is cut off at once."""
    running = await start_server()
    ping, close = b"\x89\x80\0\0\0\0", b"\x88\x80\0\0\0\0"
    binary = b"\x82\x80\0\0\0\0"

    for first in (binary, close):
        reader, writer = await raw_client(running)
        [viewer] = await until(lambda: list(running.web.hub.viewers))
        assert isinstance(viewer, websocket.CounterProtocol)

        writer.write(first + 10_000 * ping + first)
        heard = await asyncio.wait_for(reader.read(), websocket.CLOSE_WITHIN / 2)
        writer.close()

        assert 1 == heard.count(b"\x88")
        assert b"\x8a" not in heard[heard.rindex(b"\x88") :]
        assert len(viewer._received or ()) <= 22
        await until(lambda: not running.web.hub.viewers)


@pytest.mark.parametrize(
    ("bytes_", "code"),
    [
        (b"\x81\x84\x00\x00\x00\x00\xff\xfe\xff\xfe", 1007),
        (b"\x01\x82\x00\x00\x00\x00\xc3\xa9" + b"\x80\x81\x00\x00\x00\x00\xc3", 1007),
        (b"\x81\x04text", 1002),
        (b"\xf1\x80\x00\x00\x00\x00", 1002),
    ],
    ids=["bad UTF-8", "bad UTF-8 across fragments", "unmasked", "reserved bits"],
)
async def test_broken_frames_are_closed_with_their_code(start_server: StartServer, bytes_: bytes, code: int) -> None:
    """Bad UTF-8 is closed with 1007, broken framing with 1002 (RFC 6455, section 7.4.1)."""
    running = await start_server()
    reader, writer = await raw_client(running)

    writer.write(bytes_)
    found = await asyncio.wait_for(reader.read(), 10)
    writer.close()
    await writer.wait_closed()

    assert struct.pack("!BBH", 0x88, found[found.rindex(b"\x88") + 1], code) == found[found.rindex(b"\x88") :][:4]


async def test_close_is_echoed(start_server: StartServer) -> None:
    """A client's close is answered with its own code, and the viewer leaves the hub."""
    running = await start_server()

    socket = await connect(running.ws + running.counters(TICKET))
    await next_message(socket)
    await socket.close(1001)

    assert 1001 == socket.close_code
    await until(lambda: not running.web.hub.viewers)


async def test_aborted_connection_leaves_the_hub(start_server: StartServer) -> None:
    """A connection that is aborted leaves the hub and the count."""
    running = await start_server(max_connections=1)
    for _ in range(3):
        _, writer = await raw_client(running)
        await until(lambda: running.web.hub.viewers)
        writer.transport.abort()
        await until(lambda: not running.web.hub.viewers)


async def test_slow_reader_gets_the_newest_counter(start_server: StartServer, reads: FakeReader) -> None:
    """Law 7: A client that stops reading gets the newest state of each ticket when it reads again, and no queue."""
    running = await start_server()
    await reads.read(definition(TICKET, 5_000_000))
    reader, writer = await raw_client(running)
    [viewer] = await until(lambda: list(running.web.hub.viewers))
    assert isinstance(viewer, websocket.CounterProtocol)
    # The transport calls this when its buffer is full: here it is full from the start.
    viewer.pause_writing()

    for unsold in range(20, 9, -1):
        await reads.read(definition(TICKET, unsold))
    assert viewer._audience is not None
    [topic] = viewer._audience.topics
    await until(lambda: '"unsold":10,' in (topic.shown or ""))
    assert 1 == len(viewer._waiting or ())
    viewer.resume_writing()
    text = ""
    while '"unsold":10,' not in text:
        text += (await asyncio.wait_for(reader.read(65536), 5)).decode(errors="replace")

    assert '"unsold":15,' not in text
    writer.close()
    await writer.wait_closed()


async def test_bye_before_a_planned_close(start_server: StartServer) -> None:
    """Before a planned close a viewer gets the time to come back, then is closed with 1012."""
    running = await start_server()

    async with connect(running.ws + running.counters(TICKET)) as socket:
        await next_message(socket)
        await running.web.hub.close_all(500, 5000, 0.1)
        assert {"bye": {"retry_ms": [500, 5000]}} == await next_message(socket)
        assert 1012 == await close_code(socket)


async def test_unconfirmed_ticket_over_the_limit_is_closed(start_server: StartServer, reads: FakeReader) -> None:
    """Law 9: A viewer closed because of too many unknown tickets gets 4000 and the time to come back."""
    running = await start_server()
    running.web.hub.unconfirmed.most = 1
    await reads.read(definition(TICKET, 3))
    first, second = (f"99999999-aaaa-4aaa-8aaa-{number:012}" for number in range(2))

    async with connect(running.ws + running.counters(TICKET)) as real:
        assert "low" == (await next_message(real))["state"]
        async with connect(running.ws + running.counters(first)) as unconfirmed:
            assert "unknown" == (await next_message(unconfirmed))["state"]
            async with connect(running.ws + running.counters(second)) as other:
                assert {"bye": {"retry_ms": [1000, 10000]}} == await next_message(unconfirmed)
                assert 4000 == await close_code(unconfirmed)
                assert "unknown" == (await next_message(other))["state"]
        await reads.read(definition(TICKET, 2))
        assert 2 == (await next_message(real))["unsold"]


async def test_unknown_tickets_per_address_are_limited(start_server: StartServer, reads: FakeReader) -> None:
    """Law 9: An address over its limit of unknown tickets is closed with 4000; tickets it has already are admitted."""
    running = await start_server()
    running.web.hub.unconfirmed.most_per_address = 1
    await reads.read(definition(TICKET, 3))
    first, second = (f"99999999-aaaa-4aaa-8aaa-{number:012}" for number in range(2))

    async with connect(running.ws + running.counters(first)) as unconfirmed:
        assert "unknown" == (await next_message(unconfirmed))["state"]
        async with connect(running.ws + running.counters(second)) as refused:
            assert 4000 == await close_code(refused)
        async with connect(running.ws + running.counters(first)) as same:
            assert "unknown" == (await next_message(same))["state"]


async def test_silent_client_is_dropped(start_server: StartServer) -> None:
    """A client that has not answered one heartbeat's ping is dropped at the next."""
    running = await start_server()
    _, writer = await raw_client(running)
    [viewer] = await until(lambda: list(running.web.hub.viewers))

    before = dropped("silent")
    viewer.beat('{"beat":1}')
    assert running.web.hub.viewers
    viewer.beat('{"beat":2}')

    await until(lambda: not running.web.hub.viewers)
    assert before + 1 == dropped("silent")
    writer.close()


async def raw_client(running: RunningServer) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A client that has done the handshake and then sends only what the test writes."""
    host, port = running.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(
        (
            f"GET {running.counters(TICKET)}&site={SITE} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n"
            "Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        ).encode()
    )
    head = await reader.readuntil(b"\r\n\r\n")
    assert b"101" in head.splitlines()[0]
    return reader, writer


async def test_no_site_is_known_yet(start_server: StartServer) -> None:
    """While no site is known a viewer is asked to come back, and the refusal is not final."""
    running = await start_server(wix_sites="")

    async with connect(running.ws + running.counters(TICKET)) as socket:
        assert 4000 == await close_code(socket)
    assert 503 == (await running.http.get(running.counters(TICKET))).status_code


async def test_beat_and_bye_after_a_viewer_left(start_server: StartServer) -> None:
    """A viewer that left is skipped by heartbeats and byes, which go on."""
    running = await start_server()
    _, writer = await raw_client(running)
    [viewer] = await until(lambda: list(running.web.hub.viewers))
    assert isinstance(viewer, websocket.CounterProtocol)

    writer.transport.abort()
    await until(lambda: viewer not in running.web.hub.viewers)
    for _ in range(3):
        await asyncio.sleep(0)
        viewer.beat('{"beat":1}')
        viewer.bye('{"bye":{"retry_ms":[0,1]}}')

    assert not running.web.hub.viewers


async def test_closed_viewer_that_does_not_answer_frees_its_place(start_server: StartServer) -> None:
    """A viewer that was closed and does not answer gives its place to others at once, and still gets the reason."""
    running = await start_server()
    reader, writer = await raw_client(running)
    [viewer] = await until(lambda: list(running.web.hub.viewers))
    assert isinstance(viewer, websocket.CounterProtocol)
    idle = viewer._state.idle

    viewer.bye('{"bye":{"retry_ms":[0,1]}}')
    waiting = len(idle)
    viewer.evict()
    heard = await asyncio.wait_for(reader.read(), 2)
    writer.close()

    assert heard.endswith(b'{"bye":{"retry_ms":[0,1]}}' + struct.pack("!BBH", 0x88, 2, 1012))
    assert 1 == waiting
    await until(lambda: not len(idle))


# -- sockets whose buffers are really full --


class ShortTimeoutProtocol(websocket.CounterProtocol):
    """The server's protocol with shorter time-outs."""

    close_within, stuck = 0.2, 0.5


@pytest.fixture
async def hub() -> Hub:
    """A hub whose topics are filled by the test."""
    return Hub(KEYS, Rules())


@pytest.fixture
async def port(hub: Hub) -> AsyncIterator[int]:
    """The port of a server that serves only viewers of this hub."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        scope["state"].update(hub=hub, admission=Admission(lookup_of(SITE)))
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})

    running = asyncio.create_task(hub.run())
    found = free_port()
    async with asgi_server(app, found, ShortTimeoutProtocol):
        yield found
    running.cancel()
    await asyncio.wait({running})


class SlowClient:
    """A client with small buffers: what it has not read soon stays in the server, as the kernels hold no more."""

    def __init__(self, port: int) -> None:
        self._socket = sockets.socket()
        # Small segments too: the server's kernel sizes its buffer by them.
        self._socket.setsockopt(sockets.IPPROTO_TCP, sockets.TCP_MAXSEG, 536)
        self._socket.setsockopt(sockets.SOL_SOCKET, sockets.SO_RCVBUF, 4096)
        self._socket.connect(("127.0.0.1", port))
        self._socket.setblocking(False)
        self.received = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def get(self, *tickets: str, upgrade: bool) -> None:
        """Request these counters, over a WebSocket or as one answer."""
        more = (
            "Upgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
        )
        query = "&".join(f"ticket={ticket}" for ticket in tickets)
        self.send(f"GET /v1/counters?{query} HTTP/1.1\r\nHost: x\r\n{more if upgrade else ''}\r\n".encode())

    def send(self, data: bytes) -> None:
        """Send it at once."""
        assert len(data) == self._socket.send(data)

    async def read(self, size: int = 4096) -> bytes:
        """Read some bytes; none at the end."""
        data = await asyncio.wait_for(asyncio.get_running_loop().sock_recv(self._socket, size), 5)
        self.received += data
        return data

    async def read_until(self, last: bytes) -> None:
        """Read until this and all of the frame after it have arrived: a frame may come twice."""
        while last not in self.received[-len(last) - 4096 :]:
            assert await self.read()
        while self._parsed()[1]:
            assert await self.read()

    @property
    def frames(self) -> list[tuple[int, bytes]]:
        """The frames after the handshake; it fails if one byte is out of place."""
        found, rest = self._parsed()
        assert b"" == rest
        return found

    def _parsed(self) -> tuple[list[tuple[int, bytes]], bytes]:
        """The complete frames, and the bytes of the next one."""
        _, _, data = self.received.partition(b"101 Switching")
        _, _, data = data.partition(b"\r\n\r\n")
        found = []
        while len(data) >= 2:
            assert data[0] in {0x81, 0x88, 0x89, 0x8A}
            assert data[1] < 127
            start, size = (4, int.from_bytes(data[2:4], "big")) if data[1] == 126 else (2, data[1])
            if start + size > len(data):
                break
            found.append((data[0], data[start : start + size]))
            data = data[start + size :]
        return found, data

    def versions(self, ticket: str = TICKET) -> list[int]:
        """The versions of this ticket's counter, in the order received."""
        found = [json.loads(text) for op, text in self.frames if op == 0x81]
        return [one["v"] for one in found if one.get("ticket") == ticket]


def dropped(reason: str) -> float:
    return REGISTRY.get_sample_value("ticketcounter_dropped_viewers_total", {"reason": reason}) or 0.0


def changed(hub: Hub, v: int, size: int = 0) -> TicketTopic:
    """Give the hub a counter with this version, larger by so many bytes."""
    topic = hub._ticket_topic(SiteId(SITE), TicketId(TICKET))
    topic.read()
    assert topic.take(counter_text(v, name="x" * size), hub.now() + 60)
    hub.update(topic)
    return topic


async def fill_socket(hub: Hub) -> websocket.CounterProtocol:
    """Send the only viewer more than its socket takes: version 2, far too large."""
    [viewer] = await until(lambda: hub.viewers)
    assert isinstance(viewer, websocket.CounterProtocol)
    viewer._transport.get_extra_info("socket").setsockopt(sockets.SOL_SOCKET, sockets.SO_SNDBUF, 4096)
    changed(hub, 2, 60_000)
    await until(lambda: viewer._waiting is not None)
    return viewer


async def test_full_socket_gets_the_newest_counter(hub: Hub, port: int) -> None:
    """Law 7: A full socket gets nothing until it is read, then the newest counter, and then each change again."""
    with SlowClient(port) as client:
        client.get(TICKET, upgrade=True)
        viewer = await fill_socket(hub)
        held = viewer._transport.get_write_buffer_size()
        for v in (3, 4, 5):
            topic = changed(hub, v, 60_000)
            await until(lambda: not hub.flush._changed)
        grown = viewer._transport.get_write_buffer_size() - held
        await client.read_until(topic.ws)
        await until(lambda: viewer._waiting is None)
        await client.read_until(changed(hub, 6).ws)

    assert held > 0 >= grown
    assert [2, 5, 6] == client.versions()


async def test_stuck_client_is_dropped(hub: Hub, port: int) -> None:
    """A client that reads nothing of what it was sent is dropped after a while, and counted as stuck."""
    before = dropped("stuck")
    with SlowClient(port) as client:
        client.get(TICKET, upgrade=True)
        await fill_socket(hub)

        await until(lambda: not hub.viewers)

    assert before + 1 == dropped("stuck")


async def test_unanswered_close_is_dropped(hub: Hub, port: int) -> None:
    """A client that reads everything but does not answer a close is dropped, and is not counted as stuck."""
    before = dropped("unclosed"), dropped("stuck")
    with SlowClient(port) as client:
        client.get(TICKET, upgrade=True)
        viewer = await fill_socket(hub)
        viewer.bye('{"bye":{"retry_ms":[0,1]}}')

        with contextlib.suppress(ConnectionResetError):
            while await client.read():
                pass

    assert (0x88, struct.pack("!H", 1012)) == client.frames[-1]
    assert (before[0] + 1, before[1]) == (dropped("unclosed"), dropped("stuck"))


async def test_pings_of_a_full_socket_are_not_queued(hub: Hub, port: int) -> None:
    """Pongs do not pile up for a client that does not read; once it has read, its pings are answered again."""
    with SlowClient(port) as client:
        client.get(TICKET, upgrade=True)
        viewer = await fill_socket(hub)
        held = viewer._transport.get_write_buffer_size()
        for _ in range(10):
            client.send(b"\x89\xfd\0\0\0\0" + b"p" * 125)
        await until(lambda: viewer._received is not None and len(viewer._received) == 10)
        grown = viewer._transport.get_write_buffer_size() - held
        await client.read_until(changed(hub, 3).ws)
        await until(lambda: viewer._waiting is None)
        client.send(b"\x89\x85\0\0\0\0again")
        await client.read_until(b"\x8a\x05again")

    assert grown <= 0
    assert [b"again"] == [data for op, data in client.frames if op == 0x8A]


TICKETS = [f"11111111-aaaa-4aaa-8aaa-{number:012}" for number in range(50)]
"""The most tickets that one request may name."""
OPTIONS = tuple(Price("25.00", "USD", f"11111111-bbbb-4bbb-8bbb-{number:012}", "Row " * 10) for number in range(60))


@pytest.mark.parametrize("answers", [0, 1])
async def test_client_that_does_not_read_from_the_start(
    start_server: StartServer, reads: FakeReader, answers: int
) -> None:
    """What fills a socket before the viewer is added, the handshake or an HTTP answer, counts: no frame overtakes it."""
    running = await start_server()
    hub = running.web.hub
    await reads.read(*(definition(ticket, 9, prices=OPTIONS) for ticket in TICKETS))
    answer = (await running.http.get(running.counters(*TICKETS))).content
    with SlowClient(int(running.url.rpartition(":")[2])) as client:
        for _ in range(answers):
            client.get(*TICKETS, upgrade=False)
            await client.read()
        client.get(*TICKETS, upgrade=True)
        [viewer] = await until(lambda: hub.viewers)
        assert isinstance(viewer, websocket.CounterProtocol)
        held = viewer._transport.get_write_buffer_size()
        [[audience]] = hub._audiences.values()
        inside = viewer in audience.fast.values()
        for unsold in range(8, 0, -1):
            await reads.read(definition(TICKETS[0], unsold, prices=OPTIONS))
            for _ in range(10):
                await client.read(2048)
        topic = hub.topics[channel(SITE, TICKETS[0])]
        await until(lambda: '"unsold":1,' in (topic.shown or ""))
        await client.read_until(topic.ws)

    shown = client.versions(TICKETS[0])
    assert held > 0
    assert not inside
    assert answers == client.received.count(answer)
    assert sorted(shown) == shown
    assert all(client.versions(ticket) for ticket in TICKETS)
