import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from redis.exceptions import AuthenticationError, NoPermissionError, ResponseError
from redis.exceptions import ConnectionError as RedisConnectionError

from server.errors import RedisUnavailable, RedisUnfit
from server.redis.client import RedisClient, Use
from server.redis.unfit import denied, lasting, refusal, wrong_protocol
from server.redis.url import read_url
from tests.rig.certificates import Authority
from tests.rig.redis import RedisServer, free_port
from tests.rig.tcp_proxy import tcp_proxy

Server = Callable[..., RedisServer]


async def told(url: str) -> str:
    """What a start is told that waits for the Redis of this address: it does not wait long."""
    async with aclosing(RedisClient(url, Use.WORK)) as store:
        with pytest.raises(RedisUnfit) as refused:
            async with asyncio.timeout(8):
                await store.wait(30)
        return str(refused.value)


@asynccontextmanager
async def answering(text: bytes) -> AsyncIterator[str]:
    """The address of a server that answers this to everything."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(1000):
            writer.write(text)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}/0"


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ResponseError("DB index is out of range"), "Redis has no database of the number in REDIS_URL: .*0 to 15"),
        (ResponseError("unknown command 'HELLO', with args beginning with: '3' "), "refuses HELLO 3 .RESP3.: Redis 7"),
        (ResponseError("NOPROTO unsupported protocol version"), "refuses HELLO 3"),
        (ResponseError("DENIED Redis is running in protected mode because"), "from its own machine only.*requirepass"),
    ],
)
def test_refused_beginnings(error: Exception, text: str) -> None:
    """What Redis refuses at the beginning of a connection is told with its cure."""
    found = refusal(error)

    assert found
    with pytest.raises(RedisUnfit, match=text):
        raise RedisUnfit(found)


@pytest.mark.parametrize(
    "error", [ResponseError("unknown command 'NONSENSE'"), ResponseError("WRONGTYPE"), ConnectionRefusedError("HELLO")]
)
def test_other_errors(error: Exception) -> None:
    """A bug, and a Redis that is not there, are no fault of the set-up."""
    assert None is refusal(error)
    assert None is lasting(error)


def test_cause_is_found() -> None:
    """The cause counts, however many errors were raised of it."""
    outer, middle = RedisUnavailable("Redis did not take ping"), RedisConnectionError("no node answers")
    outer.__cause__, middle.__context__ = middle, AuthenticationError("invalid username-password pair")

    assert str(lasting(outer)).startswith("Redis refused the user or password in REDIS_URL")


def test_password_that_is_missing() -> None:
    """A Redis that wants a password, where the URL has none, is told with how to write it."""
    assert str(lasting(AuthenticationError("Authentication required."))).startswith(
        "Redis refused us: write its password into REDIS_URL"
    )


def test_permission_for_first_command() -> None:
    """A user that may not even PING is told the rule that grants it."""
    error = NoPermissionError("User shop has no permissions to run the 'ping' command")

    assert denied(["+ping"]) == lasting(error)
    assert "`ACL SETUSER name +ping`" in denied(["+ping"])


async def test_server_of_resp2_only() -> None:
    """A server that knows no HELLO, as a proxy that speaks RESP2 only, is told at once."""
    async with answering(b"-ERR unknown command 'HELLO', with args beginning with: '3' \r\n") as url:
        assert "RESP2 only" in await told(url)


async def test_database_that_does_not_exist(redis_server: Server) -> None:
    """A number of a database that Redis does not have is told at once, by a start and by each command."""
    url = redis_server().url.replace("/0", "/99")
    async with aclosing(RedisClient(url, Use.INGEST)) as store:
        with pytest.raises(RedisUnfit, match="write a lower number, or raise `databases`"):
            await store.do("PING")

    assert "0 to 15" in await told(url)


async def test_password_where_none_is(redis_server: Server) -> None:
    """A password of a user that has none is told."""
    server = redis_server()
    server.ask("ACL", "SETUSER", "default", "resetpass", "off")
    server_url = server.url.replace("redis://", "redis://:secret@")

    assert "Redis refused the user or password" in await told(server_url)
    assert (
        "Redis has no password: leave it out of REDIS_URL"
        == str(
            lasting(AuthenticationError("AUTH <password> called without any password configured for the default user."))
        ).partition(", or")[0]
    )


async def test_cluster_url_of_one_server(redis_server: Server) -> None:
    """A cluster's address that leads to a single server is told at once."""
    assert "this Redis is none: write redis://" in await told(redis_server().url.replace("redis:", "redis+cluster:"))


async def test_tls_to_plain_server(redis_server: Server) -> None:
    """TLS to a server that speaks none is told in seconds."""
    url = redis_server().url.replace("redis:", "rediss:")

    assert "does not speak TLS: write `redis` in place of `rediss` in REDIS_URL" in await told(url)


async def test_plain_to_tls_server(redis_server: Server, tmp_path: Path) -> None:
    """No TLS to a server that speaks nothing else is told in seconds."""
    certificate = Authority(tmp_path / "ca").sign("redis")
    async with tcp_proxy("127.0.0.1", redis_server().port, certificate.server()) as proxy:
        for scheme in ("redis", "redis+cluster"):
            found = await told(f"{scheme}://127.0.0.1:{proxy.port}")
            assert "speaks TLS only: write `rediss` in place of `redis` in REDIS_URL" in found


async def test_web_server_in_place_of_redis() -> None:
    """The address of a web server is told."""
    async with answering(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n") as url:
        assert "is a web server, and no Redis" in await told(url)
        assert "is a web server, and no Redis" in await told(url.replace("redis:", "rediss:"))


OTHER_NAME = (x509.DNSName("redis.example"),)


@pytest.mark.parametrize(
    ("query", "more", "text"),
    [
        ("", {}, r"cannot be verified \(.*\): end REDIS_URL with \?ssl_ca_certs=FILE"),
        (
            "?ssl_ca_certs={ca}",
            {"names": OTHER_NAME},
            r"as it is named in the certificate, or end .*ssl_check_hostname",
        ),
        ("?ssl_ca_certs={ca}", {"lasts": timedelta(hours=-1)}, r"certificate has expired\): renew it"),
    ],
)
async def test_certificate_is_not_trusted(
    redis_server: Server, tmp_path: Path, query: str, more: dict[str, object], text: str
) -> None:
    """A certificate that cannot be verified is told with the reason, and what to do about that reason."""
    authority = Authority(tmp_path / "ca")
    certificate = authority.sign("redis", **more)  # type: ignore[arg-type] # one of two arguments
    async with tcp_proxy("127.0.0.1", redis_server().port, certificate.server()) as proxy:
        found = await told(f"rediss://127.0.0.1:{proxy.port}{query.format(ca=authority.file)}")

    with pytest.raises(RedisUnfit, match=text):
        raise RedisUnfit(found)


async def test_certificate_of_ours(redis_server: Server, tmp_path: Path) -> None:
    """A server that asks for a certificate of ours works with one, and the error without one says how to name it."""
    authority = Authority(tmp_path / "ca")
    certificate, ours = authority.sign("redis"), authority.sign("ours")
    tls = certificate.server(client_authority=authority.file)
    async with tcp_proxy("127.0.0.1", redis_server().port, tls) as proxy:
        url = f"rediss://127.0.0.1:{proxy.port}?ssl_ca_certs={authority.file}"
        async with aclosing(
            RedisClient(f"{url}&ssl_certfile={ours.file}&ssl_keyfile={ours.key_file}", Use.WORK)
        ) as store:
            await store.wait(5)

    # As Redis 7 with its default, `tls-auth-clients yes`, sends it.
    alert = ssl.SSLError(1, "[SSL: TLSV13_ALERT_CERTIFICATE_REQUIRED] tlsv13 alert certificate required (_ssl.c:2580)")
    assert "Redis asks for a certificate of ours: end REDIS_URL with ?ssl_certfile=FILE&ssl_keyfile=FILE" == lasting(
        alert
    )


def test_certificate_with_another_fault() -> None:
    """Any other fault of a certificate is told too."""
    error = ssl.SSLCertVerificationError()
    error.verify_code, error.verify_message = 23, "certificate revoked"

    assert "the certificate of Redis cannot be verified (certificate revoked): replace it" == lasting(error)


async def test_nothing_wrong_with_protocol(redis_server: Server) -> None:
    """A server that answers as the address says, or that does not answer yet, is not blamed."""
    assert None is await wrong_protocol(read_url(redis_server().url))
    for scheme in ("redis", "rediss"):
        assert None is await wrong_protocol(read_url(f"{scheme}://127.0.0.1:{free_port()}"))
    assert None is await wrong_protocol(read_url("unix:///nowhere"))
