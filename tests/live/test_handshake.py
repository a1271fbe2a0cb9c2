import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.http11 import Request
from websockets.server import ServerProtocol

from server.live.handshake import Opening, ordinary

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
    found = ordinary("GET", BROWSER)

    assert isinstance(found, Opening)
    assert found.answer.startswith(b"HTTP/1.1 101 ")
    assert b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n" in found.answer
    assert b"xtensions" not in found.answer
    assert found.answer.endswith(b"\r\n\r\n")


@given(st.binary(min_size=16, max_size=16))
def test_answers_as_the_core_does(nonce: bytes) -> None:
    """Every key of 16 bytes gets the answer that websockets' own core gives."""
    headers = changed(b"sec-websocket-key", base64.b64encode(nonce))
    found = ordinary("GET", headers)

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
    assert ordinary("GET", changed(name, value)) is None


def test_another_method_or_a_header_twice() -> None:
    """Only a GET opens a WebSocket, and a header that is there twice is read with more care."""
    assert ordinary("POST", BROWSER) is None
    assert ordinary("GET", [*BROWSER, (b"sec-websocket-key", b"AAAAAAAAAAAAAAAAAAAAAA==")]) is None


def test_firefox() -> None:
    """Firefox asks to keep the connection alive as well."""
    assert ordinary("GET", changed(b"connection", b"keep-alive, Upgrade")) is not None


def test_headers() -> None:
    """The rest of the headers is there by name, as text; what was not sent is none."""
    found = ordinary("GET", [*BROWSER, (b"x-forwarded-for", b"203.0.113.1")])

    assert found is not None
    assert "https://shop.example" == found.get(b"origin")
    assert "203.0.113.1" == found.get(b"x-forwarded-for")
    assert found.get(b"cookie") is None
