import asyncio
import socket
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from server import deadline

LIMITS = httpx.Limits(max_connections=4, max_keepalive_connections=4)
HEAD = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n"

Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def server(answer: Answer, tls: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    """The address of a server that answers like this, until the client leaves."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await answer(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    async with listening:
        yield f"{'https' if tls else 'http'}://127.0.0.1:{listening.sockets[0].getsockname()[1]}"


def client(timeout: float | None = 5, tls: ssl.SSLContext | None = None) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=deadline.transport(LIMITS, tls), timeout=timeout, trust_env=False)


async def whole(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer each request at once."""
    while True:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(HEAD + b"ok")


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A self-signed certificate of 127.0.0.1 with its key."""
    secret = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(secret.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))]), critical=False)
        .sign(secret, hashes.SHA256())
    )
    found = tmp_path / "certificate.pem"
    found.write_bytes(
        secret.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        + signed.public_bytes(serialization.Encoding.PEM)
    )
    return found


@pytest.mark.parametrize("fast", [0, len(HEAD)])
async def test_dripping_answer_ends_at_the_deadline(fast: int) -> None:
    """A head or a body that comes byte by byte, each in time for its own read, ends with the deadline."""

    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(HEAD[:fast])
        gone = asyncio.ensure_future(reader.read())
        for sign in HEAD[fast:] + b"o":
            writer.write(bytes([sign]))
            await asyncio.wait({gone}, timeout=0.05)
        await gone

    async with server(drip) as url, client() as http:
        began = time.monotonic()
        with deadline.within(0.2), pytest.raises(httpx.ReadTimeout):
            await http.get(url)

        assert 0.2 <= time.monotonic() - began < 1


async def test_silent_tls_handshake_ends_at_the_deadline() -> None:
    """A server that never answers the TLS handshake is left at the deadline."""

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with server(silent) as url, client() as http:
        began = time.monotonic()
        with deadline.within(0.2), pytest.raises(httpx.ConnectTimeout):
            await http.get(url.replace("http:", "https:"))

        assert 0.2 <= time.monotonic() - began < 1


async def test_deadline_holds_over_tls(certificate: Path) -> None:
    """The deadline holds over TLS too, on a connection that was open before, and an untrusted server is refused."""
    ours = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    ours.load_cert_chain(certificate)
    trusting = ssl.create_default_context(cafile=str(certificate))

    async def once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(HEAD + b"ok")
        await reader.read()

    async with server(once, tls=ours) as url, client(tls=trusting) as http, client() as untrusting:
        with deadline.within(5):
            first = await http.get(url)
        with deadline.within(0.2), pytest.raises(httpx.ReadTimeout):
            await http.get(url)
        with pytest.raises(httpx.ConnectError):
            await untrusting.get(url)

    assert "ok" == first.text


async def test_passed_deadline_begins_nothing() -> None:
    """After the deadline nothing is begun: no connection is opened, and none that is open is written to."""
    asked = []

    async def count(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readuntil(b"\r\n\r\n"):
            asked.append(line)
            writer.write(HEAD + b"ok")

    async with server(count) as url, client() as http:
        with deadline.within(0):
            assert deadline.passed()
            with pytest.raises(httpx.ConnectTimeout):
                await http.get(url)
        await http.get(url)
        with deadline.within(0), pytest.raises(httpx.WriteTimeout):
            await http.get(url)

    assert 1 == len(asked)


async def test_nested_deadlines() -> None:
    """Of two deadlines the earlier one holds; one may count from a moment that has passed."""
    with deadline.within(5):
        with deadline.within(0):
            assert deadline.passed()
        with deadline.within(3, since=time.monotonic() - 4):
            assert deadline.passed()
        assert not deadline.passed()
    with deadline.within(0), deadline.within(5):
        assert deadline.passed()
    with deadline.within(5, since=time.monotonic() - 4):
        assert not deadline.passed()


async def test_abandoned_call_sends_nothing_more() -> None:
    """Law 5: An abandoned call sends nothing more to Wix, though the kernel has buffered it."""
    gave_up = asyncio.Event()
    body = b"x" * 200_000
    taken = 0

    async def late(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal taken
        await gave_up.wait()
        while part := await reader.read(65_536):
            taken += len(part)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        # The server accepts this little before it reads.
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        serving = await asyncio.start_server(late, sock=listening, limit=4096)
        async with serving, client() as http:
            url = f"http://127.0.0.1:{listening.getsockname()[1]}"
            with deadline.within(0.3), pytest.raises(httpx.TimeoutException):
                await http.post(url, content=body)
            gave_up.set()
            await asyncio.sleep(0.3)

    assert len(body) / 2 > taken


async def test_without_a_deadline_httpx_time_outs_hold() -> None:
    """Outside of the block httpx's own time-outs hold, or none if it has none; connections are used again."""
    connections = []

    async def count(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(writer)
        await whole(reader, writer)

    async with server(count) as url, client(timeout=None) as http:
        with deadline.within(5):
            assert not deadline.passed()
        texts = [(await http.get(url)).text for _ in range(3)]

    assert not deadline.passed()
    assert ["ok"] * 3 == texts
    assert 1 == len(connections)


async def test_each_task_has_its_own_deadline() -> None:
    """A deadline belongs to its own task: a concurrent call is not cut, and the pool continues."""

    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        gone = asyncio.ensure_future(reader.read())
        await asyncio.wait({gone}, timeout=0.3)
        writer.write(HEAD + b"ok")
        await gone

    async def call(http: httpx.AsyncClient, url: str, seconds: float) -> str:
        try:
            with deadline.within(seconds):
                return (await http.get(url)).text
        except httpx.TimeoutException:
            return "late"

    async with server(slow) as url, client() as http:
        found = await asyncio.gather(*(call(http, url, seconds) for seconds in (0.1, 5, 0.1, 5)))

    assert ["late", "ok", "late", "ok"] == found


async def test_own_addresses_are_connected_to(certificate: Path) -> None:
    """A transport connects to the addresses that its resolver answers, one after another, and TLS asks for the host's name."""
    ours = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    ours.load_cert_chain(certificate)
    trusting = ssl.create_default_context(cafile=str(certificate))
    asked = []

    async def resolve(host: str, port: int) -> list[str]:
        asked.append(host)
        return ["127.0.0.2", "127.0.0.1"]

    async with server(whole, tls=ours) as url:
        port = url.rpartition(":")[2]
        transport = deadline.transport(LIMITS, trusting, resolve)
        async with httpx.AsyncClient(transport=transport, timeout=5, trust_env=False) as http:
            # The certificate is that of 127.0.0.1, and 127.0.0.9 is another host, though it is at the same address.
            found = await http.get(f"https://127.0.0.1:{port}")
            with pytest.raises(httpx.ConnectError, match="certificate"):
                await http.get(f"https://127.0.0.9:{port}")

    assert "ok" == found.text
    assert ["127.0.0.1", "127.0.0.9"] == asked


async def test_refused_and_slow_resolvers() -> None:
    """A resolver's error is a connection that was not made; one that never answers is left at the deadline."""

    async def refuse(host: str, port: int) -> list[str]:
        raise OSError("not there")

    async def hang(host: str, port: int) -> list[str]:
        await asyncio.Event().wait()
        return []

    async def nowhere(host: str, port: int) -> list[str]:
        return []

    for resolve, error in ((refuse, httpx.ConnectError), (hang, httpx.ConnectTimeout), (nowhere, httpx.ConnectError)):
        transport = deadline.transport(LIMITS, resolve=resolve)
        async with httpx.AsyncClient(transport=transport, timeout=5, trust_env=False) as http:
            with deadline.within(0.2), pytest.raises(error):
                await http.get("http://box.example.org")
