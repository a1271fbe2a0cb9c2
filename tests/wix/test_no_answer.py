import asyncio
import socket
import ssl
from collections.abc import AsyncIterator

import httpx
import pytest

from server import deadline
from server.wix.no_answer import Cause, cause_of
from tests.rig.certificates import Authority
from tests.rig.redis import free_port

TIMEOUT = httpx.Timeout(connect=2, read=0.3, write=1, pool=0.1)


@pytest.fixture
async def authority() -> Authority:
    """A certificate authority that nobody trusts yet."""
    return Authority()


@pytest.fixture
async def closing() -> AsyncIterator[int]:
    """The port of a server that closes every connection."""
    server = await asyncio.start_server(lambda _, writer: writer.transport.abort(), "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def cause(url: str, tls: ssl.SSLContext | None = None, within: float = 5.0) -> Cause:
    """Why a call to this address gets no answer."""
    transport = deadline.transport(httpx.Limits(max_connections=1), tls)
    async with httpx.AsyncClient(transport=transport, timeout=TIMEOUT, trust_env=False) as client:
        with deadline.within(within), pytest.raises(httpx.HTTPError) as caught:
            await client.get(url)
    return cause_of(caught.value)


async def test_refused_connection() -> None:
    """A port on which nothing listens is told from all else, for one address and for several of a name."""
    port = free_port()

    assert Cause.REFUSED is await cause(f"http://127.0.0.1:{port}")
    assert Cause.REFUSED is await cause(f"http://localhost:{port}")


async def test_name_without_an_address() -> None:
    """A name that has no address, or for which no name server answers, is told from a host that refuses."""
    assert await cause("http://no-such-host.invalid") in {Cause.NO_ADDRESS, Cause.NO_DNS}


@pytest.mark.parametrize(
    ("inner", "expected"),
    [
        (socket.gaierror(socket.EAI_NONAME, "Name or service not known"), Cause.NO_ADDRESS),
        (socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution"), Cause.NO_DNS),
        (OSError(101, "Network is unreachable"), Cause.UNREACHABLE),
        (OSError(113, "No route to host"), Cause.UNREACHABLE),
        (ConnectionResetError(104, "Connection reset by peer"), Cause.CLOSED),
        (ExceptionGroup("all attempts", [OSError("?"), ConnectionRefusedError(111, "refused")]), Cause.REFUSED),
        (RuntimeError("of no known cause"), Cause.NOT_CONNECTED),
    ],
)
def test_cause_is_found_in_the_chain(inner: Exception, expected: Cause) -> None:
    """The cause is what the operating system said, however deep it is in the chain of errors."""
    error = httpx.ConnectError("All connection attempts failed")
    error.__cause__ = OSError("All connection attempts failed")
    error.__cause__.__context__ = inner

    assert expected is cause_of(error)


async def test_untrusted_certificate(authority: Authority) -> None:
    """A certificate of an authority that is not trusted, one that is too old or too young, and one of another host each have a cause."""
    for server, expected in (
        (authority.server("localhost"), Cause.UNTRUSTED),
        (authority.server("elsewhere.example"), Cause.WRONG_NAME),
        (authority.server("localhost", begins=-20, ends=-10), Cause.EXPIRED),
        (authority.server("localhost", begins=10, ends=20), Cause.NOT_YET_VALID),
    ):
        trusted = None if expected is Cause.UNTRUSTED else authority.trusted()
        listening = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0, ssl=server)
        async with listening:
            port = listening.sockets[0].getsockname()[1]
            assert expected is await cause(f"https://localhost:{port}", trusted)


async def test_server_without_tls(closing: int) -> None:
    """A server that speaks plain HTTP where TLS is expected is told from one that breaks TLS off."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n")
        await reader.read()
        writer.close()

    plain = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with plain:
        assert Cause.NO_TLS is await cause(f"https://127.0.0.1:{plain.sockets[0].getsockname()[1]}")
    assert await cause(f"https://127.0.0.1:{closing}") in {Cause.TLS, Cause.CLOSED}


async def test_closed_connection(closing: int) -> None:
    """A connection that ends before the answer is told."""
    assert Cause.CLOSED is await cause(f"http://127.0.0.1:{closing}")


async def test_times_without_an_answer() -> None:
    """No answer in time, no connection in time, and no free connection are three causes."""

    async def read_only(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async with await asyncio.start_server(read_only, "127.0.0.1", 0) as silent:
        assert Cause.READ_TIMEOUT is await cause(f"http://127.0.0.1:{silent.sockets[0].getsockname()[1]}")
    assert Cause.CONNECT_TIMEOUT is await cause("http://127.0.0.1:9", within=-1)
    assert Cause.BUSY is cause_of(httpx.PoolTimeout("no free connection"))


@pytest.mark.parametrize(
    ("text", "expected"),
    [("407 Proxy Authentication Required", Cause.PROXY_SIGN_IN), ("403 Forbidden", Cause.PROXY)],
)
def test_refusal_of_a_proxy(text: str, expected: Cause) -> None:
    """A proxy that wants a password is told from one that does not connect."""
    assert expected is cause_of(httpx.ProxyError(text))
