import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from prometheus_client import REGISTRY

from server.errors import (
    LeaseLost,
    NotStarted,
    TargetError,
    TargetForbidden,
    TargetRefused,
    TargetUnauthorized,
    TargetUnavailable,
    TargetUnsure,
)
from server.sync.targets.calls import LARGEST_WORDS, LONGEST_WORDS, Answer, Calls
from tests.rig.raw_server import HANG, RawServer, answer, raw_server
from tests.rig.redis import free_port
from tests.rig.server import until

SECRET = "whsec_c2VjcmV0LW9mLXRoZS1ib3g="

Rig = tuple[RawServer, Calls]


async def pay() -> None:
    """A budget that always has a request."""


async def leased() -> None:
    """A lease that is always ours."""


def calls(url: str, **settings: Any) -> Calls:
    allowed = {"allow_http": True, "allow_private": True, "secrets": [SECRET], "within": 5.0}
    return Calls("box", url, pay, **{**allowed, **settings})


@asynccontextmanager
async def rig(*replies: bytes | None, **settings: Any) -> AsyncIterator[Rig]:
    async with raw_server(*replies) as server:
        made = calls(server.url, **settings)
        try:
            yield server, made
        finally:
            await made.aclose()


async def read(made: Calls, **content: Any) -> Answer:
    return await made.read("find", "GET", "/items", **content)


async def write(made: Calls, **content: Any) -> Answer:
    return await made.write("create", "POST", "/items", leased, **{"content": b"{}", **content})


async def fault(call: Callable[[Calls], Any], made: Calls) -> TargetError:
    with pytest.raises(TargetError) as caught:
        await call(made)
    assert SECRET not in str(caught.value)
    return caught.value


async def faults(*replies: bytes | None, **settings: Any) -> tuple[TargetError, TargetError]:
    """The errors of a read and of a write that are answered like this."""
    async with rig(*replies, **settings) as (_, made):
        return await fault(read, made), await fault(write, made)


# -- what is sent and answered --


async def test_request_as_sent() -> None:
    """Method, path, query, headers and body are sent as given; JSON is named as such, and compression is declined."""
    async with rig(answer(200, {"a": [1]})) as (server, made):
        found = await made.write(
            "change", "PUT", "/items/7", leased, params={"q": "a b&c"}, headers={"x-own": "1"}, content=b'{"n":1}'
        )

    assert {"a": [1]} == found.json()
    assert "PUT /items/7?q=a+b%26c" == server.line()
    assert server.requests[0].endswith(b'\r\n\r\n{"n":1}')
    head = server.head()
    assert ("1", "application/json", "identity") == (head["x-own"], head["content-type"], head["accept-encoding"])


async def test_base_alone_is_called_as_it_is_written() -> None:
    """An empty path is the base itself, with its slash or without; what is sent is known before, so that it can be signed."""
    async with rig(answer(200, [])) as (server, _):
        for end in ("/box", "/box/"):
            made = calls(server.url + end)
            await made.read("list", "GET", "", params={"event": "é"})
            assert f"{end}?event=%C3%A9".encode() == made.url("", {"event": "é"}).raw_path
            await made.aclose()

    assert ["GET /box?event=%C3%A9", "GET /box/?event=%C3%A9"] == [server.line(0), server.line(1)]


async def test_each_request_is_paid_and_each_write_leased() -> None:
    """The budget is asked before each request, and the lease after it, just before a write; neither lost sends anything."""
    seen: list[str] = []

    async def paid() -> None:
        seen.append("paid")

    async def lease() -> None:
        seen.append("lease")
        if seen.count("lease") == 2:
            raise LeaseLost("another has it")

    async with raw_server(answer(204)) as server:
        made = Calls("box", server.url, paid, allow_http=True, allow_private=True)
        await made.read("find", "GET", "/items")
        await made.write("create", "POST", "/items", lease)
        with pytest.raises(LeaseLost):
            await made.write("create", "POST", "/items", lease)
        await made.aclose()

    assert ["paid", "paid", "lease", "paid", "lease"] == seen
    assert 2 == len(server.requests)


async def test_connections_are_used_again() -> None:
    """Calls one after another share a connection, whether they are answered well or not."""
    async with rig(answer(200, {}), answer(500), answer(200, {})) as (server, made):
        await read(made)
        await fault(read, made)
        await write(made)

    assert 1 == server.connections


async def test_no_cookies() -> None:
    """A cookie of the target is not sent back: no request depends on the one before."""
    async with rig(answer(200, {}, {"set-cookie": "session=1"})) as (server, made):
        await read(made)
        await read(made)

    assert "cookie" not in server.head(1)


# -- no answer --


async def test_no_connection_is_unavailable_for_a_write_too() -> None:
    """Where no connection was made nothing was sent, so a write is as safe to repeat as a read."""
    made = calls(f"http://127.0.0.1:{free_port()}")
    for call in (read, write):
        error = await fault(call, made)
        assert TargetUnavailable is type(error)
        assert "was not sent: it refuses connections (127.0.0.1): see whether its server runs" in str(error)
        assert "ConnectError" not in str(error)
    await made.aclose()


async def test_hanging_target_is_left_in_time() -> None:
    """A target that never answers is left after the time of a whole call: a read is unavailable, a write unsure."""
    began = time.monotonic()
    found, wrote = await faults(HANG, within=0.2)

    assert (TargetUnavailable, TargetUnsure) == (type(found), type(wrote))
    assert 0.4 <= time.monotonic() - began < 2
    assert "got no answer within 0.2 s" in str(wrote)


async def test_dripping_target_is_left_in_time() -> None:
    """An answer that comes byte by byte does not outlive the time of a whole call."""

    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        gone = asyncio.ensure_future(reader.read())
        writer.write(b"HTTP/1.1 200 OK\r\nx-long: ")
        while not gone.done():
            writer.write(b"x")
            await asyncio.wait({gone}, timeout=0.05)
        writer.close()

    listening = await asyncio.start_server(drip, "127.0.0.1", 0)
    async with listening:
        made = calls(f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}", within=0.3)
        began = time.monotonic()
        error = await fault(read, made)
        assert 0.3 <= time.monotonic() - began < 1.5
        await made.aclose()

    assert TargetUnavailable is type(error)


@pytest.mark.parametrize(
    "reply",
    [
        b"",
        b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n{",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\n{}",
        b"nonsense\r\n\r\n",
    ],
)
async def test_cut_answer(reply: bytes) -> None:
    """An answer that is cut anywhere, or is no HTTP, is none: a read is unavailable, a write unsure."""
    found, wrote = await faults(reply)

    assert (TargetUnavailable, TargetUnsure) == (type(found), type(wrote))
    assert (0, None) == (getattr(wrote, "status", None), getattr(wrote, "retry_after", 1))


async def test_too_large_answer_is_left() -> None:
    """An answer is not read beyond its limit."""
    found, wrote = await faults(answer(200, b"x" * 2000), largest=1000)

    assert (TargetUnavailable, TargetUnsure) == (type(found), type(wrote))
    assert "more than 1000 bytes" in str(found)


async def test_compressed_answer_is_left() -> None:
    """A compressed answer was not asked for and could grow without limit, so it is not read."""
    found, wrote = await faults(answer(200, b"\x1f\x8b", {"content-encoding": "gzip"}))

    assert (TargetUnavailable, TargetUnsure) == (type(found), type(wrote))


@pytest.mark.parametrize("body", [b"", b"{", b"<html>", b"\xff", b"[" * 100_000])
async def test_broken_json(body: bytes) -> None:
    """An answer that is no JSON is no answer: unavailable where it was read, unsure where something was written."""
    async with rig(answer(200, body)) as (_, made):
        found, wrote = await read(made), await write(made)

    for one, kind in ((found, TargetUnavailable), (wrote, TargetUnsure)):
        with pytest.raises(TargetUnavailable) as caught:
            one.json()
        assert (kind, 200) == (type(caught.value), caught.value.status)


async def test_pool_is_replaced() -> None:
    """Where all connections are taken for too long, nothing is sent, and the next call has a new pool."""
    async with rig(*[HANG] * 8, answer(200, {}), within=0.6) as (server, made):
        taken = [asyncio.create_task(fault(read, made)) for _ in range(8)]
        await until(lambda: len(server.requests) == 8)
        made._http.timeout = 0.1
        error = await fault(write, made)
        assert TargetUnavailable is type(error)
        assert "no connection was free" in str(error)
        assert {} == (await write(made)).json()
        await asyncio.gather(*taken)


# -- statuses --


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504, 599])
async def test_try_later(status: int) -> None:
    """408, 429 and 5xx say to try later; a write may have had its effect all the same."""
    found, wrote = await faults(answer(status, {"detail": "no"}, {"retry-after": "7"}))

    assert isinstance(found, TargetUnavailable)
    assert isinstance(wrote, TargetUnsure)
    assert not isinstance(found, TargetUnsure)
    assert (status, 7.0) == (found.status, found.retry_after) == (wrote.status, wrote.retry_after)


async def test_retry_after_as_a_date() -> None:
    """Retry-After may be a date."""
    moment = format_datetime(datetime.now(UTC) + timedelta(seconds=60), usegmt=True)
    found, _ = await faults(answer(429, b"", {"retry-after": moment}))

    assert isinstance(found, TargetUnavailable)
    assert found.retry_after is not None
    assert 50 < found.retry_after <= 60


async def test_unauthorized() -> None:
    """401 is a matter of credentials, for reads and writes alike."""
    found, wrote = await faults(answer(401, {"detail": "Invalid token."}))

    assert TargetUnauthorized is type(found) is type(wrote)
    assert "box: GET /items (find) was answered 401: Invalid token: check its secret" == str(found)


async def test_unauthorized_names_the_cure() -> None:
    """401 says where our credentials are, and shows neither them nor what of them the answer repeats."""
    told = {"detail": f"{'No. ' * 200}{SECRET}"}
    for body, words in ((told, "…"), ({"detail": f"{SECRET} is wrong."}, "*** is wrong"), ("", "401")):
        for found in await faults(answer(401, body), credentials="the secret in BOX_SECRET"):
            assert str(found).endswith(f"{words}: check the secret in BOX_SECRET")


@pytest.mark.parametrize("status", [403, 404])
async def test_forbidden_event(status: int) -> None:
    """403 and 404 to a read mean that the event may not be read; to a write, that this write is refused."""
    found, wrote = await faults(answer(status))

    assert TargetForbidden is type(found)
    assert isinstance(wrote, TargetRefused)
    assert status == wrote.status


@pytest.mark.parametrize("status", [400, 402, 405, 409, 410, 413, 415, 422])
async def test_refused_write(status: int) -> None:
    """Any other status below 500 refuses a write; a read that gets one is not answered."""
    found, wrote = await faults(answer(status, {"internal_name": ["at most 255 characters"], "price": {"x": 1}}))

    assert TargetUnavailable is type(found)
    assert isinstance(wrote, TargetRefused)
    assert status == wrote.status
    assert str(wrote).endswith(f"was answered {status}: internal_name: at most 255 characters; price: x: 1")


async def test_expected_status_is_an_answer() -> None:
    """A status that the caller expects is an answer as any other."""
    async with rig(answer(404), answer(409, {"in_flight": True}), answer(401)) as (_, made):
        assert 404 == (await read(made, expected=(404,))).status
        assert {"in_flight": True} == (await write(made, expected=(409,))).json()
        assert 401 == (await read(made, expected=(401,))).status


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirects_are_not_followed(status: int) -> None:
    """A redirect is not followed, not even to the same host; the error says where it leads, without the query."""
    async with raw_server(answer(200, {})) as elsewhere:
        found, wrote = await faults(answer(status, b"", {"location": f"{elsewhere.url}/new?key={SECRET}"}))

    assert [] == elsewhere.requests
    assert (TargetUnavailable, TargetUnsure) == (type(found), type(wrote))
    assert f"a redirect to {elsewhere.url}/new:" in str(found)


# -- texts --


async def test_no_secret_in_a_text() -> None:
    """A target that repeats our secret in its answer does not bring it into an error."""
    for body in ({"detail": f"bad {SECRET}"}, f"bad {SECRET}".encode(), {SECRET: ["bad"]}):
        found, wrote = await faults(answer(400, body))
        assert "***" in str(found)
        assert "***" in str(wrote)


async def test_long_and_forged_words() -> None:
    """The target's words are cut, and stand on one line."""
    _, wrote = await faults(answer(400, ("line\r\n\x1b[31m" + "x" * 1000).encode()))
    words = str(wrote).partition("400: ")[2]

    assert words.startswith("line [31mxxx")
    assert LONGEST_WORDS == len(words)
    assert words.endswith("…")


@pytest.mark.parametrize("body", [b"<!doctype html><p>no", b" \n<html>", b"x" * (LARGEST_WORDS + 1)])
async def test_pages_are_not_words(body: bytes) -> None:
    """A page for browsers, or a very long text, is not shown."""
    _, wrote = await faults(answer(400, body))

    assert str(wrote).endswith("(create) was answered 400")


# -- addresses --


@pytest.mark.parametrize(
    ("url", "settings", "text"),
    [
        ("http://box.example.org", {"allow_http": False}, "allow_http = true"),
        ("ftp://box.example.org", {}, "no address"),
        ("box.example.org/wix", {}, "no address"),
        ("https://", {}, "no address"),
        ("https://[::1", {}, "no address"),
        ("https://user:word@box.example.org", {}, "no password"),
        ("https://box.example.org/?key=word", {}, "no password"),
        ("https://box.example.org/#word", {}, "no password"),
        ("https://box.example.org", {"secrets": ["word\n"]}, "cannot stand in a header"),
        ("https://box.example.org", {"secrets": ["wörd"]}, "cannot stand in a header"),
    ],
)
def test_addresses_that_are_refused(url: str, settings: dict[str, Any], text: str) -> None:
    """A target is at an https address without a password or a query, or at http where that is allowed; no error shows a secret."""
    with pytest.raises(NotStarted, match=text) as caught:
        calls(url, **settings)

    assert "word" not in str(caught.value).replace("password", "")


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "2130706433", "[::ffff:127.0.0.1]"])
async def test_private_addresses_are_refused(host: str) -> None:
    """A host that is one of our own network gets no request, however it is written, unless that is allowed."""
    async with raw_server(answer(200, {})) as server:
        port = server.url.rpartition(":")[2]
        made = calls(f"http://{host}:{port}", allow_private=False)
        for call in (read, write):
            error = await fault(call, made)
            assert TargetUnavailable is type(error)
            assert "set allow_private = true" in str(error)
        await made.aclose()

    assert 0 == server.connections


# -- metrics --


async def test_metrics() -> None:
    """Each answer is timed by target and kind; each error is counted by its status or its name."""

    def value(name: str, **labels: str) -> float:
        return REGISTRY.get_sample_value(f"ticketcounter_target_{name}", {"target": "box", **labels}) or 0.0

    def values() -> list[float]:
        return [
            value("seconds_count", kind="find"),
            value("seconds_count", kind="create"),
            value("errors_total", error="503"),
            value("errors_total", error="RemoteProtocolError"),
            value("errors_total", error="404"),
        ]

    before = values()
    async with rig(answer(200), answer(503), b"", answer(404)) as (_, made):
        await read(made)
        await fault(read, made)
        await fault(write, made)
        await read(made, expected=(404,))

    assert [3, 0, 1, 1, 0] == [now - was for now, was in zip(values(), before, strict=True)]
