"""The opening handshake of a WebSocket (RFC 6455, section 4.2).

In: a request, as the first packet of a connection or as uvicorn has parsed it. Out: an Opening, or the answer that ends
the connection. Nearly all requests are as browsers send them: those are parsed here, at a fraction of the cost. Any other
is left to uvicorn's parser and to the sans-I/O core of websockets, which says what is wrong with it.
"""

import random
import re
from collections.abc import Collection, Mapping, Sequence
from http import HTTPStatus
from typing import NamedTuple

from websockets.http11 import Request
from websockets.server import ServerProtocol
from websockets.utils import accept_key

from server.live.host import is_host
from server.wire import CROWDED_RETRY_AFTER

HEADERS = (("x-content-type-options", "nosniff"), ("referrer-policy", "no-referrer"))
"""Headers of every answer but the one that opens a WebSocket: no content sniffing, and no referrer."""

_KEY = re.compile(rb"[A-Za-z0-9+/]{21}[AQgw]==")
"""Base64 of 16 bytes, in its only canonical form."""

_ANSWER = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %b\r\n\r\n"
)


_TOKEN = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_VALUE = rb"[!-~](?:[\t -~]*[!-~])?"
_HEADER = re.compile(rb"(%b): (%b)\r\n" % (_TOKEN, _VALUE))
_HEAD = re.compile(rb"GET (/[!-~]*) HTTP/1\.1\r\n((?:%b: %b\r\n)+)\r\n" % (_TOKEN, _VALUE))
"""A head that can be parsed in one way only (RFC 9112, sections 2 to 5): no folded line, no optional white space."""
_AUTHORITY = re.compile(rb"https?://[^/?#]*", re.IGNORECASE)
"""What a target in absolute-form begins with (RFC 9112, section 3.2.2)."""
BODY = {b"content-length", b"transfer-encoding", b"expect"}
"""Headers of a request that has a body: one that opens a WebSocket has none."""


class Opening(NamedTuple):
    """A valid request to open a WebSocket, and the `answer` that opens it."""

    answer: bytes
    query: str
    origin: str | None
    forwarded: str | None


def parse_packet(data: bytes, paths: Collection[str]) -> Opening | None:
    """Parse a first packet; None unless it is one request as browsers send it, on one of these *paths*."""
    head = _HEAD.fullmatch(data)
    if head is None:
        return None
    path, _, query = head[1].decode().partition("?")
    headers = _HEADER.findall(head[2])
    found = {name.lower(): value for name, value in headers}
    if path not in paths or len(found) != len(headers) or not found.keys().isdisjoint(BODY):
        return None
    return parse_headers(query, found)


def parse(method: str, url: bytes, headers: Sequence[tuple[bytes, bytes]], paths: Collection[str]) -> Opening | bytes:
    """Parse a request to upgrade; on any other than these *paths* there is no WebSocket."""
    url = _origin_form(url)
    path, _, query = url.decode("latin-1").partition("?")
    headers = _with_one_upgrade(headers)
    found = dict(headers)
    opening = parse_headers(query, found) if method == "GET" and path in paths and len(found) == len(headers) else None
    return _parse_unusual(method, url, headers, paths) if opening is None else opening


def parse_headers(query: str, headers: Mapping[bytes, bytes]) -> Opening | None:
    """Parse the headers of a GET; None unless they are as browsers send them."""
    key = headers.get(b"sec-websocket-key", b"")
    if (
        not is_host(headers.get(b"host", b" "))
        or headers.get(b"sec-websocket-version") != b"13"
        or headers.get(b"upgrade", b"").lower() != b"websocket"
        or headers.get(b"connection", b"").lower() not in {b"upgrade", b"keep-alive, upgrade"}
        or not _KEY.fullmatch(key)
    ):
        return None
    return Opening(
        _ANSWER % accept_key(key.decode()).encode(),
        query,
        _text(headers.get(b"origin")),
        _text(headers.get(b"x-forwarded-for")),
    )


def refusal(status: HTTPStatus) -> bytes:
    """An answer without a body that ends the connection; 503 says when to come back."""
    lines = [f"HTTP/1.1 {status.value} {status.phrase}", "content-length: 0", "connection: close"]
    lines += [f"{name}: {value}" for name, value in HEADERS]
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        lines.append(f"retry-after: {random.choice(CROWDED_RETRY_AFTER)}")  # noqa: S311 - it spreads clients, no secret depends on it
    return "\r\n".join([*lines, "", ""]).encode()


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode("latin-1")


def _origin_form(target: bytes) -> bytes:
    """A target in origin-form: one in absolute-form loses scheme and authority."""
    authority = _AUTHORITY.match(target)
    if authority is None:
        return target
    rest = target[authority.end() :]
    return rest if rest.startswith(b"/") else b"/" + rest


def _with_one_upgrade(headers: Sequence[tuple[bytes, bytes]]) -> Sequence[tuple[bytes, bytes]]:
    """The same headers with Upgrade as websockets reads it, where it names other protocols too (RFC 9110, section 7.8)."""
    lines = [value.lower() for name, value in headers if name == b"upgrade"]
    if lines == [b"websocket"] or b"websocket" not in {one.strip() for line in lines for one in line.split(b",")}:
        return headers
    return [*((name, value) for name, value in headers if name != b"upgrade"), (b"upgrade", b"websocket")]


def _parse_unusual(
    method: str, url: bytes, headers: Sequence[tuple[bytes, bytes]], paths: Collection[str]
) -> Opening | bytes:
    core = ServerProtocol(max_size=None)
    core.receive_data(b"%b %b HTTP/1.1\r\n" % (method.encode(), url))
    core.receive_data(b"".join(b"%b: %b\r\n" % header for header in headers) + b"\r\n")
    request = next((event for event in core.events_received() if isinstance(event, Request)), None)
    if request is None:
        # uvicorn could parse it and the core cannot, and gives no answer.
        return refusal(HTTPStatus.BAD_REQUEST)
    path, _, query = request.path.partition("?")
    response = core.accept(request) if path in paths else core.reject(404, "no WebSocket is served here\n")
    if response.status_code != HTTPStatus.SWITCHING_PROTOCOLS:
        response.headers.update(HEADERS)
        return bytes(response.serialize())
    forwarded = ",".join(request.headers.get_all("X-Forwarded-For")) or None
    return Opening(response.serialize(), query, request.headers.get("Origin"), forwarded)
