"""Why no answer came from Wix: what httpx raised, as one of a few causes.

In: the error of a call. Out: its Cause, which cures.py explains. httpx has one error for whatever keeps a connection from
being made; what the operating system and OpenSSL said is in the chain of its causes.
"""

import errno
import socket
import ssl
from collections.abc import Iterator
from enum import StrEnum

import httpx

_PROXY_SIGN_IN = "407"
_EXPIRED, _NOT_YET_VALID, _WRONG_NAMES = 10, 9, frozenset({62, 64})
"""OpenSSL's X509_V_ERR_CERT_HAS_EXPIRED, _CERT_NOT_YET_VALID, _HOSTNAME_MISMATCH and _IP_ADDRESS_MISMATCH."""
_NO_TLS = frozenset({"WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE", "PACKET_LENGTH_TOO_LONG"})
"""OpenSSL's reasons where the other side does not speak TLS."""


class Cause(StrEnum):
    """Why a call got no answer, in words about the host, or about its proxy."""

    NO_ADDRESS = "the name has no address"
    NO_DNS = "no name server answers"
    REFUSED = "it refuses connections"
    UNREACHABLE = "there is no route to it"
    NOT_CONNECTED = "no connection could be made"
    CONNECT_TIMEOUT = "no connection could be made in time"
    UNTRUSTED = "its certificate is signed by an authority that is not trusted here"
    EXPIRED = "its certificate has expired"
    NOT_YET_VALID = "its certificate is not valid yet"
    WRONG_NAME = "its certificate is that of another host"
    NO_TLS = "it does not speak TLS on that port"
    TLS = "TLS failed"
    PROXY_SIGN_IN = "the proxy asks for a user and a password"
    PROXY = "the proxy does not connect to it"
    READ_TIMEOUT = "no answer came in time"
    CLOSED = "the connection was closed before the answer was whole"
    TOO_LONG = "its answer is longer than any of Wix"
    BUSY = "no connection was free"


def cause_of(error: httpx.HTTPError) -> Cause:
    """The cause of this error of a call."""
    if isinstance(error, httpx.ProxyError):
        return Cause.PROXY_SIGN_IN if _PROXY_SIGN_IN in str(error) else Cause.PROXY
    if isinstance(error, httpx.PoolTimeout):
        return Cause.BUSY
    if isinstance(error, httpx.ConnectTimeout):
        return Cause.CONNECT_TIMEOUT
    if isinstance(error, httpx.TimeoutException):
        return Cause.READ_TIMEOUT
    if not isinstance(error, httpx.ConnectError):
        return Cause.CLOSED
    return next((cause for one in _chain(error) if (cause := _of_os(one)) is not None), Cause.NOT_CONNECTED)


def _of_os(error: BaseException) -> Cause | None:
    """The cause that one error of the chain proves; None where it proves none."""
    match error:
        case ssl.SSLCertVerificationError():
            return _of_certificate(error.verify_code)
        case ssl.SSLError():
            return Cause.NO_TLS if error.reason in _NO_TLS else Cause.TLS
        case socket.gaierror():
            return Cause.NO_DNS if error.errno == socket.EAI_AGAIN else Cause.NO_ADDRESS
        case ConnectionRefusedError():
            return Cause.REFUSED
        case ConnectionResetError():
            return Cause.CLOSED
        case OSError(errno=errno.ENETUNREACH | errno.EHOSTUNREACH):
            return Cause.UNREACHABLE
    return None


def _of_certificate(code: int) -> Cause:
    if code in _WRONG_NAMES:
        return Cause.WRONG_NAME
    return {_EXPIRED: Cause.EXPIRED, _NOT_YET_VALID: Cause.NOT_YET_VALID}.get(code, Cause.UNTRUSTED)


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The error, what caused it, and so on; of a group each member."""
    yield error
    if isinstance(error, BaseExceptionGroup):
        for one in error.exceptions:
            yield from _chain(one)
    following = error.__cause__ or error.__context__
    if following is not None:
        yield from _chain(following)
