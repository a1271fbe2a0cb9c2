import base64
from collections.abc import Iterable
from http import HTTPStatus

import httptools
import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.http11 import Request
from websockets.server import ServerProtocol

from server.live.handshake import Opening, parse, parse_headers, parse_packet, refusal
from server.wire import CROWDED_RETRY_AFTER

PATHS = ("/v1/counters", "/below/v1/counters")

BROWSER = [
    (b"host", b"counter.example"),
    (b"connection", b"Upgrade"),
    (b"upgrade", b"websocket"),
    (b"origin", b"https://shop.example"),
    (b"sec-websocket-version", b"13"),
    (b"sec-websocket-key", b"dGhlIHNhbXBsZSBub25jZQ=="),
    (b"sec-websocket-extensions", b"permessage-deflate; client_max_window_bits"),
]


def browser_headers_with(name: bytes, value: bytes | None) -> list[tuple[bytes, bytes]]:
    """The browser's headers with another value of this one, or without it."""
    rest = [(one, found) for one, found in BROWSER if one != name]
    return rest if value is None else [*rest, (name, value)]


def websockets_answer(headers: list[tuple[bytes, bytes]]) -> tuple[int, str | None]:
    """The answer of the websockets package: its status, and its Sec-WebSocket-Accept."""
    server = ServerProtocol()
    server.receive_data(b"GET / HTTP/1.1\r\n" + b"".join(b"%b: %b\r\n" % one for one in headers) + b"\r\n")
    [request] = server.events_received()
    assert isinstance(request, Request)
    response = server.accept(request)
    return response.status_code, response.headers.get("Sec-WebSocket-Accept")


def test_sample_of_the_rfc() -> None:
    """The key of section 1.3 gets the answer of section 1.3, without any extension."""
    found = parse_headers("", dict(BROWSER))

    assert isinstance(found, Opening)
    assert found.answer.startswith(b"HTTP/1.1 101 ")
    assert b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n" in found.answer
    assert b"xtensions" not in found.answer
    assert found.answer.endswith(b"\r\n\r\n")


@given(st.binary(min_size=16, max_size=16))
def test_accept_key_is_that_of_websockets(nonce: bytes) -> None:
    """Every key of 16 bytes gets the answer that the websockets package gives."""
    headers = browser_headers_with(b"sec-websocket-key", base64.b64encode(nonce))
    found = parse_headers("", dict(headers))

    status, accept = websockets_answer(headers)
    assert found is not None
    assert (101, accept) == (status, found.answer.split(b"Accept: ")[1].split(b"\r\n")[0].decode())


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (b"host", None),
        (b"host", b"one two"),
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
def test_unusual_headers_are_left_to_websockets(name: bytes, value: bytes | None) -> None:
    """A header that no browser would send is left to the websockets package, which says what is wrong."""
    assert parse_headers("", dict(browser_headers_with(name, value))) is None


@pytest.mark.parametrize(
    ("method", "headers"),
    [("POST", BROWSER), ("GET", [*BROWSER, (b"sec-websocket-key", b"AAAAAAAAAAAAAAAAAAAAAA==")])],
    ids=["another-method", "a-key-twice"],
)
def test_invalid_handshakes_are_refused_by_websockets(method: str, headers: list[tuple[bytes, bytes]]) -> None:
    """Only a GET opens a WebSocket, and a header that must be there once is there once."""
    assert isinstance(parse(method, b"/v1/counters", headers, PATHS), bytes)


def test_firefox_s_connection_header() -> None:
    """Firefox asks to keep the connection alive as well."""
    assert parse_headers("", dict(browser_headers_with(b"connection", b"keep-alive, Upgrade"))) is not None


def test_headers_are_read_as_text() -> None:
    """The headers that decide about a viewer are text, and None if they were not sent."""
    found = parse_headers("ticket=1", dict([*BROWSER, (b"x-forwarded-for", b"203.0.113.1")]))
    bare = parse_headers("", dict(browser_headers_with(b"origin", None)))

    assert found is not None
    assert bare is not None
    assert ("ticket=1", "https://shop.example", "203.0.113.1") == (found.query, found.origin, found.forwarded)
    assert ("", None, None) == (bare.query, bare.origin, bare.forwarded)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("more", [[], [(b"x-forwarded-for", b"198.51.100.1"), (b"x-forwarded-for", b"203.0.113.1")]])
def test_handshake_is_parsed_on_each_path(path: str, more: list[tuple[bytes, bytes]]) -> None:
    """A request is opened in the same way whether or not a header is repeated, on each path that is served."""
    found = parse("GET", f"{path}?ticket=1".encode(), [*BROWSER, *more], PATHS)

    assert isinstance(found, Opening)
    assert b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n" in found.answer
    forwarded = ",".join(value.decode() for _, value in more) or None
    assert ("ticket=1", "https://shop.example", forwarded) == (found.query, found.origin, found.forwarded)


@pytest.mark.parametrize("target", [b"http://counter.example", b"HTTPS://counter.example:8443"])
def test_handshake_with_a_target_in_absolute_form(target: bytes) -> None:
    """A target in absolute-form, as a proxy may send it, opens the WebSocket of its path (RFC 9112, section 3.2.2)."""
    found = parse("GET", target + b"/v1/counters?ticket=1", BROWSER, PATHS)
    without_path = parse("GET", target + b"?ticket=1", BROWSER, PATHS)

    assert isinstance(found, Opening)
    assert "ticket=1" == found.query
    assert isinstance(without_path, bytes)
    assert without_path.startswith(b"HTTP/1.1 404 ")


@pytest.mark.parametrize("lines", [[b"websocket, h2c"], [b"h2c,WebSocket"], [b"h2c", b"websocket"], [b"WebSocket"]])
def test_handshake_that_offers_other_protocols_too(lines: list[bytes]) -> None:
    """WebSocket is opened where it is one of several protocols that a client would take (RFC 9110, section 7.8)."""
    rest = browser_headers_with(b"upgrade", None)

    found = parse("GET", b"/v1/counters", [*rest, *((b"upgrade", line) for line in lines)], PATHS)
    twice = parse("GET", b"/v1/counters", [*rest, *rest, *((b"upgrade", line) for line in lines)], PATHS)

    assert isinstance(found, Opening)
    assert b"\r\nUpgrade: websocket\r\n" in found.answer
    assert isinstance(twice, bytes)


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
def test_other_requests_are_refused(method: str, path: str, name: bytes, value: bytes | None, status: int) -> None:
    """A request that opens none of the WebSockets gets the answer that says so."""
    headers = browser_headers_with(name, value) if name else BROWSER

    found = parse(method, path.encode(), headers, PATHS)

    assert isinstance(found, bytes)
    assert found.startswith(b"HTTP/1.1 %d " % status)


def test_refusal_says_when_to_come_back() -> None:
    """A refusal because of a limit has a varying time to come back; any other has none."""
    full = [refusal(HTTPStatus.SERVICE_UNAVAILABLE) for _ in range(200)]
    long = refusal(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)

    found = {int(one.split(b"retry-after: ")[1].split(b"\r\n")[0]) for one in full}
    assert found <= set(CROWDED_RETRY_AFTER)
    assert len(found) > 1
    for one in (full[0], long):
        assert b"\r\ncontent-length: 0\r\nconnection: close\r\n" in one
        assert one.endswith(b"\r\n\r\n")
    assert full[0].startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
    assert b"retry-after" not in long


# -- the first packet --


def parsed(data: bytes) -> tuple[str, bytes, list[tuple[bytes, bytes]]] | None:
    """The request that uvicorn's parser reads from the same bytes, if all of them are one request to upgrade."""
    found = ParsedRequest()
    parser = httptools.HttpRequestParser(found)
    try:
        parser.feed_data(data)
    except httptools.HttpParserUpgrade as end:
        if end.args[0] == len(data):
            return parser.get_method().decode(), found.url, found.headers
    except httptools.HttpParserError:
        pass
    return None


class ParsedRequest:
    """What the parser has read."""

    def __init__(self) -> None:
        self.url = b""
        self.headers: list[tuple[bytes, bytes]] = []

    def on_url(self, url: bytes) -> None:
        """Take a part of the URL."""
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take one header."""
        self.headers.append((name.lower(), value))


def packet(headers: Iterable[tuple[bytes, bytes]], start: bytes = b"GET /v1/counters?ticket=a HTTP/1.1") -> bytes:
    return b"\r\n".join([start, *(b"%b: %b" % one for one in headers), b"", b""])


def test_handshake_in_one_packet() -> None:
    """A handshake that arrives whole is granted as if uvicorn's parser had read it."""
    headers = [*BROWSER, (b"Cookie", b'a=b; c="d e"'), (b"X-Forwarded-For", b"192.0.2.1")]
    data = packet(headers, b"GET /below/v1/counters?ticket=a HTTP/1.1")
    request = parsed(data)

    assert request is not None
    found = parse_packet(data, PATHS)
    assert isinstance(found, Opening)
    assert ("ticket=a", "https://shop.example", "192.0.2.1") == (found.query, found.origin, found.forwarded)
    assert parse(*request, PATHS) == found


@pytest.mark.parametrize(
    "data",
    [
        b"",
        packet(BROWSER)[:-1],
        packet(BROWSER) + b"x",
        packet(BROWSER) + packet(BROWSER),
        packet(BROWSER, b"POST /v1/counters HTTP/1.1"),
        packet(BROWSER, b"get /v1/counters HTTP/1.1"),
        packet(BROWSER, b"GET /v1/counters HTTP/1.0"),
        packet(BROWSER, b"GET  /v1/counters HTTP/1.1"),
        packet(BROWSER, b"GET /v1/counters\t HTTP/1.1"),
        packet(BROWSER, b"GET /v1/counters?\xff HTTP/1.1"),
        packet(BROWSER, b"GET /v1/other HTTP/1.1"),
        packet(BROWSER, b"GET http://host/v1/counters HTTP/1.1"),
        packet(BROWSER).replace(b"\r\n", b"\n"),
        packet(browser_headers_with(b"sec-websocket-key", None)),
        packet(browser_headers_with(b"connection", b"close")),
        packet([*BROWSER, (b"Origin", b"https://another.example")]),
        packet([*BROWSER, (b"Content-Length", b"0")]),
        packet([*BROWSER, (b"transfer-encoding", b"chunked")]),
        packet([*BROWSER, (b"Expect", b"100-continue")]),
        packet([*BROWSER, (b"x", b"folded\r\n more")]),
        packet([*BROWSER, (b"x", b"")]),
        packet([*BROWSER, (b"x ", b"blank before the colon")]),
        packet([*BROWSER, (b"x", b" two blanks")]),
        packet([*BROWSER, (b"x", b"a blank after it ")]),
        packet([*BROWSER, (b"x", b"nul\0")]),
        packet([*BROWSER, (b"x", b"a line\rof its own")]),
        packet([*BROWSER, (b"", b"no name")]),
    ],
)
def test_unusual_first_packet_is_left_to_the_parsers(data: bytes) -> None:
    """A packet that is not exactly one ordinary handshake, or is ambiguous, is left to the parsers."""
    assert parse_packet(data, PATHS) is None


@given(
    st.lists(
        st.tuples(
            st.sampled_from(
                [name for name, _ in BROWSER] + [b"X-Any", b"cookie", b"content-length", b"te", b" ", b"a:b"]
            ),
            st.one_of(st.sampled_from([value for _, value in BROWSER]), st.binary(max_size=12)),
        ),
        max_size=3,
    ),
    st.sampled_from([b"GET /v1/counters?ticket=a HTTP/1.1", b"GET /v1/counters?%2e#c HTTP/1.1", b"GET * HTTP/1.1"]),
    st.permutations(BROWSER),
)
def test_first_packet_is_granted_only_if_the_parser_would(
    more: list[tuple[bytes, bytes]], start: bytes, browser: list[tuple[bytes, bytes]]
) -> None:
    """A request that is granted by its first packet would also be granted if uvicorn's parser had read it."""
    data = packet([*browser, *more], start)
    found = parse_packet(data, PATHS)

    if found is not None:
        request = parsed(data)
        assert request is not None
        assert parse(*request, PATHS) == found
