"""Tells what is wrong with a Redis, or with its address, where waiting would not help; and what to do.

In: errors of redis-py, and the address. Out: a text for RedisUnfit, or None where Redis may yet become available.
"""

import asyncio
import contextlib
import re
import ssl
from collections.abc import Iterable, Iterator

from redis.exceptions import AuthenticationError, NoPermissionError, ResponseError

from server.redis.url import CLUSTER_SCHEME, RedisUrl

PROBE_WITHIN = 1.0
"""Seconds for each step of a look at what answers on a port."""

_UNTRUSTED = {18, 19, 20, 21}
"""OpenSSL's codes of a certificate whose issuer is not known (x509_vfy.h)."""
_OTHER_NAME = {62, 64}
_OTHER_NAME_TEXT = "write the host as it is named in the certificate, or end REDIS_URL with ?ssl_check_hostname=false"
_EXPIRED = 10


def refusal(error: BaseException) -> str | None:
    """What an error reply to the beginning of a connection means; None of any other error."""
    if not isinstance(error, ResponseError):
        return None
    text = str(error).lower()
    if "db index" in text:
        return (
            "Redis has no database of the number in REDIS_URL: by default there are 0 to 15; "
            "write a lower number, or raise `databases` in redis.conf"
        )
    if "noproto" in text or "unsupported protocol version" in text or ("unknown command" in text and "hello" in text):
        return (
            "this Redis refuses HELLO 3 (RESP3): Redis 7 or Valkey is needed, without a proxy in between that speaks "
            "RESP2 only, and without a `rename-command` of HELLO"
        )
    if "protected mode" in text:
        return (
            "Redis takes connections from its own machine only (protected mode): "
            "set a password in it (requirepass), and write that into REDIS_URL"
        )
    return None


def lasting(error: BaseException) -> str | None:
    """The same of an error while a start waits: a password, a certificate, or a cluster's address that will stay wrong."""
    for one in _chain(error):
        if text := refusal(one) or _of_one(one):
            return text
    return None


def denied(rights: Iterable[str]) -> str:
    """The text that these *rights* are missing, written as ACL rules."""
    return (
        f"the user of REDIS_URL lacks permissions (ACL): run `ACL SETUSER name {' '.join(rights)}` with its name, "
        "and keep it with `ACL SAVE` or in redis.conf"
    )


async def wrong_protocol(url: RedisUrl) -> str | None:
    """What answers at the address, where that is not what the address says: TLS, no TLS, or no Redis; else None."""
    for host, port in url.addresses:
        if url.tls:
            first = await _answer_without_tls(host, port)
            if first[:1] in {b"+", b"-"}:
                return f"{host}:{port} does not speak TLS: write `redis` in place of `rediss` in REDIS_URL, or its TLS port"
        else:
            if await _speaks_tls(host, port):
                return f"{host}:{port} speaks TLS only: write `rediss` in place of `redis` in REDIS_URL"
            first = await _answer_without_tls(host, port)
        if first.startswith(b"HTTP/"):
            return f"{host}:{port} is a web server, and no Redis: write the address of Redis into REDIS_URL"
    return None


def _of_one(error: BaseException) -> str | None:
    match error:
        case AuthenticationError() if "without any password configured" in str(error):
            return "Redis has no password: leave it out of REDIS_URL, or set it in Redis (requirepass)"
        case AuthenticationError() if "invalid username-password" in str(error):
            return (
                "Redis refused the user or password in REDIS_URL: correct it, as in redis://:password@host:6379/0 or "
                "redis://user:password@host:6379/0"
            )
        case AuthenticationError():
            return "Redis refused us: write its password into REDIS_URL, as in redis://:password@host:6379/0"
        case NoPermissionError():
            return denied([f"+{name}" for name in re.findall(r"'([a-z|]+)' command", str(error))])
        case ssl.SSLCertVerificationError():
            return f"the certificate of Redis cannot be verified ({error.verify_message}): {_certificate_cure(error)}"
        case ssl.SSLError() if "CERTIFICATE_REQUIRED" in str(error):
            return "Redis asks for a certificate of ours: end REDIS_URL with ?ssl_certfile=FILE&ssl_keyfile=FILE"
        case _ if "cluster support disabled" in str(error):
            return f"REDIS_URL is that of a cluster ({CLUSTER_SCHEME}), but this Redis is none: write redis://"
    return None


def _certificate_cure(error: ssl.SSLCertVerificationError) -> str:
    if error.verify_code in _UNTRUSTED:
        return "end REDIS_URL with ?ssl_ca_certs=FILE, the certificate of the authority that signed it"
    if error.verify_code in _OTHER_NAME:
        return _OTHER_NAME_TEXT
    return "renew it" if error.verify_code == _EXPIRED else "replace it"


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The error, and what caused it."""
    seen: set[int] = set()
    one: BaseException | None = error
    while one is not None and id(one) not in seen:
        seen.add(id(one))
        yield one
        one = one.__cause__ or one.__context__


async def _answer_without_tls(host: str, port: int) -> bytes:
    """The first bytes that come back for a PING; none where nothing does."""
    with contextlib.suppress(OSError, TimeoutError):
        async with asyncio.timeout(PROBE_WITHIN):
            reader, writer = await asyncio.open_connection(host, port)
        try:
            writer.write(b"PING\r\n")
            async with asyncio.timeout(PROBE_WITHIN):
                return await reader.read(5)
        finally:
            writer.close()
    return b""


async def _speaks_tls(host: str, port: int) -> bool:
    """Whether a TLS handshake succeeds; nothing is sent over it, so the certificate does not matter."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with contextlib.suppress(OSError, TimeoutError):
        async with asyncio.timeout(PROBE_WITHIN):
            _, writer = await asyncio.open_connection(host, port, ssl=context, ssl_handshake_timeout=PROBE_WITHIN)
        writer.close()
        return True
    return False
