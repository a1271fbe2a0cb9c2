import base64
from http import HTTPStatus

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.http11 import Request
from websockets.server import ServerProtocol

from server.live.handshake import BACK_S, Opening, ordinary, read, refusal

BROWSER = [
    (b"host", b"counter.example"),
    (b"connection", b"Upgrade"),
    (b"upgrade", b"websocket"),
    (b"origin", b"https://shop.example"),
    (b"sec-websocket-version", b"13"),
    (b"sec-websocket-key", b"dGhlIHNhbXBsZSBub25jZQ=="),
    (b"sec-websocket-extensions", b"permessage-deflate; client_max_window_bits"),
]


def changed(name: bytes, value: bytes | None) -> list[tuple[bytes, bytes]]:
    """The browser's headers with one of another value, or without it."""
    rest = [(one, found) for one, found in BROWSER if one != name]
    return rest if value is None else [*rest, (name, value)]


def core(headers: list[tuple[bytes, bytes]]) -> tuple[int, str | None]:
    """What websockets' core answers: its status, and its Sec-WebSocket-Accept."""
    server = ServerProtocol()
    server.receive_data(b"GET / HTTP/1.1\r\n" + b"".join(b"%b: %b\r\n" % one for one in headers) + b"\r\n")
    [request] = server.events_received()
    assert isinstance(request, Request)
    response = server.accept(request)
    return response.status_code, response.headers.get("Sec-WebSocket-Accept")


def test_sample_of_the_rfc() -> None:
    """The key of section 1.3 gets the answer of section 1.3, without any extension."""
    found = ordinary("GET", "", BROWSER)

    assert isinstance(found, Opening)
    assert found.answer.startswith(b"HTTP/1.1 101 ")
    assert b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n" in found.answer
    assert b"xtensions" not in found.answer
    assert found.answer.endswith(b"\r\n\r\n")


@given(st.binary(min_size=16, max_size=16))
def test_answers_as_the_core_does(nonce: bytes) -> None:
    """Every key of 16 bytes gets the answer that websockets' own core gives."""
    headers = changed(b"sec-websocket-key", base64.b64encode(nonce))
    found = ordinary("GET", "", headers)

    status, accept = core(headers)
    assert found is not None
    assert (101, accept) == (status, found.answer.split(b"Accept: ")[1].split(b"\r\n")[0].decode())


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (b"host", None),
        (b"connection", b"close"),
        (b"connection", None),
        (b"upgrade", b"h2c"),
        (b"upgrade", None),
        (b"sec-websocket-version", b"8"),
        (b"sec-websocket-version", None),
        (b"sec-websocket-key", None),
        (b"sec-websocket-key", b""),
        (b"sec-websocket-key", b"dGhlIHNhbXBsZSBub25j"),
        (b"sec-websocket-key", b"dGhlIHNhbXBsZSBub25jZR=="),
        (b"sec-websocket-key", b"dGhlIHNhbXBsZSBub25jZQ==\n"),
    ],
)
def test_out_of_the_ordinary(name: bytes, value: bytes | None) -> None:
    """What a browser would not send is left to the core, which says what is wrong with it."""
    assert ordinary("GET", "", changed(name, value)) is None


def test_another_method_or_a_header_twice() -> None:
    """Only a GET opens a WebSocket, and a header that is there twice is read with more care."""
    assert ordinary("POST", "", BROWSER) is None
    assert ordinary("GET", "", [*BROWSER, (b"sec-websocket-key", b"AAAAAAAAAAAAAAAAAAAAAA==")]) is None


def test_firefox() -> None:
    """Firefox asks to keep the connection alive as well."""
    assert ordinary("GET", "", changed(b"connection", b"keep-alive, Upgrade")) is not None


def test_headers() -> None:
    """What decides about a viewer is there as text; what was not sent is none."""
    found = ordinary("GET", "ticket=1", [*BROWSER, (b"x-forwarded-for", b"203.0.113.1")])
    bare = ordinary("GET", "", changed(b"origin", None))

    assert found is not None
    assert bare is not None
    assert ("ticket=1", "https://shop.example", "203.0.113.1") == (found.query, found.origin, found.forwarded)
    assert ("", None, None) == (bare.query, bare.origin, bare.forwarded)


PATHS = ("/v1/counters", "/below/v1/counters")


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("more", [[], [(b"x-forwarded-for", b"198.51.100.1"), (b"x-forwarded-for", b"203.0.113.1")]])
def test_read(path: str, more: list[tuple[bytes, bytes]]) -> None:
    """A request is opened alike, whether it is ordinary or has a header twice, on each path that is served."""
    found = read("GET", f"{path}?ticket=1".encode(), [*BROWSER, *more], PATHS)

    assert isinstance(found, Opening)
    assert b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n" in found.answer
    forwarded = ",".join(value.decode() for _, value in more) or None
    assert ("ticket=1", "https://shop.example", forwarded) == (found.query, found.origin, found.forwarded)


@pytest.mark.parametrize(
    ("method", "path", "name", "value", "status"),
    [
        ("GET", "/other", b"", b"", 404),
        ("GET", "/v1/counters", b"sec-websocket-key", None, 400),
        ("GET", "/v1/counters", b"sec-websocket-version", b"8", 400),
        ("GET", "/other", b"no name", b"x", 400),
        ("POST", "/v1/counters", b"", b"", 405),
    ],
)
def test_read_in_vain(method: str, path: str, name: bytes, value: bytes | None, status: int) -> None:
    """What is no request for one of our WebSockets gets the answer that says so."""
    headers = changed(name, value) if name else BROWSER

    found = read(method, path.encode(), headers, PATHS)

    assert isinstance(found, bytes)
    assert found.startswith(b"HTTP/1.1 %d " % status)


def test_refusal() -> None:
    """A refusal for want of room says when to come back, not to everyone the same; any other only that it is one."""
    full = [refusal(HTTPStatus.SERVICE_UNAVAILABLE) for _ in range(200)]
    long = refusal(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)

    found = {int(one.split(b"retry-after: ")[1].split(b"\r\n")[0]) for one in full}
    assert found <= set(BACK_S)
    assert len(found) > 1
    for one in (full[0], long):
        assert b"\r\ncontent-length: 0\r\nconnection: close\r\n" in one
        assert one.endswith(b"\r\n\r\n")
    assert full[0].startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
    assert b"retry-after" not in long
