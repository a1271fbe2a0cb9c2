import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from pydantic import SecretStr

from server.errors import AudienceError, AudienceRefused, AudienceUnavailable, NotStarted
from server.notify.audience.calls import LARGEST_WORDS, LONGEST_WORDS, Answer, Calls, basic, bearer, url_fault
from tests.rig.raw_server import HANG, RawServer, answer, raw_server
from tests.rig.redis import free_port
from tests.rig.server import until

SECRET = SecretStr("a-secret-of-tests")
PERSON = "reader@example.com"

Rig = tuple[RawServer, Calls]


def calls(url: str, **settings: Any) -> Calls:
    allowed = {"secrets": [SECRET], "credentials": "TOOL_PASSWORD"}
    return Calls("Tool", url, bearer(SECRET), **{**allowed, **settings})


@asynccontextmanager
async def rig(*replies: bytes | None, **settings: Any) -> AsyncIterator[Rig]:
    async with raw_server(*replies) as server:
        made = calls(server.url, **settings)
        try:
            yield server, made
        finally:
            await made.aclose()


async def ask(made: Calls, **content: Any) -> Answer:
    return await made.call("members", "GET", "/members", **{"within": 5.0, **content})


async def fault(*replies: bytes | None, largest: int = 100_000, **content: Any) -> AudienceError:
    """The error of a call about a person that is answered like this; it shows neither the secret nor the person."""
    async with rig(*replies, largest=largest) as (_, made):
        with pytest.raises(AudienceError) as caught:
            await ask(made, params={"subscriber": PERSON}, **content)
        assert SECRET.get_secret_value() not in str(caught.value)
        assert "reader" not in str(caught.value)
        return caught.value


# -- what is sent and answered --


async def test_request_as_sent() -> None:
    """Method, path, query and credentials are sent as given, and compression is declined."""
    async with rig(answer(200, {"a": [1]}), answer(204)) as (server, made):
        found = await ask(made, params=[("q", "a b&c"), ("q", "é")])
        await made.call("opt-out", "DELETE", "/members/7", form={"pre_approved": "True", "who": "a+b@c"})

    assert {"a": [1]} == found.json()
    assert "GET /members?q=a+b%26c&q=%C3%A9" == server.line()
    head = server.head()
    assert ("Bearer a-secret-of-tests", "identity", None) == (
        head["authorization"],
        head["accept-encoding"],
        head.get("content-type"),
    )
    assert "DELETE /members/7" == server.line(1)
    assert "application/x-www-form-urlencoded" == server.head(1)["content-type"]
    assert server.requests[1].endswith(b"\r\n\r\npre_approved=True&who=a%2Bb%40c")


async def test_content_is_sent_as_json() -> None:
    """Content that is no form is JSON, and is named so."""
    async with rig(answer(200, {})) as (server, made):
        await made.call("tag", "PATCH", "/members/7", content={"status": "unsubscribed"})

    assert "application/json" == server.head()["content-type"]
    assert server.requests[0].endswith(b'\r\n\r\n{"status": "unsubscribed"}')


def test_user_and_password_as_a_header() -> None:
    """A user and a password are one header, whatever letters they have (the example of RFC 7617, section 2)."""
    assert "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==" == basic("Aladdin", SecretStr("open sesame"))
    assert "Basic dGVzdDoxMjPCow==" == basic("test", SecretStr("123£"))


async def test_connections_are_used_again_without_cookies() -> None:
    """Calls one after another share a connection, whether they are answered well or not; a cookie is not sent back."""
    async with rig(answer(200, {}, {"set-cookie": "session=1"}), answer(500), answer(200, {})) as (server, made):
        await ask(made)
        with pytest.raises(AudienceUnavailable):
            await ask(made)
        await ask(made)

    assert 1 == server.connections
    assert "cookie" not in server.head(2)


async def test_expected_statuses_are_answers() -> None:
    """A status that the caller expects is an answer, and any other one of its kind is an error."""
    async with rig(answer(404, {"title": "no"}), answer(410)) as (_, made):
        assert 404 == (await ask(made, expected={404})).status
        with pytest.raises(AudienceRefused):
            await ask(made, expected={404})


# -- no answer --


async def test_no_connection_is_unavailable() -> None:
    """A tool that is down may answer later."""
    made = calls(f"http://127.0.0.1:{free_port()}")
    with pytest.raises(
        AudienceUnavailable, match=r"Tool: members: GET http://127.0.0.1:\d+/members was not sent: ConnectError"
    ):
        await ask(made)
    await made.aclose()


async def test_hanging_tool_is_left_in_time() -> None:
    """A tool that never answers is left after the time of a whole call."""
    began = time.monotonic()
    error = await fault(HANG, within=0.3)

    assert isinstance(error, AudienceUnavailable)
    assert 0.3 <= time.monotonic() - began < 2
    assert "got no answer within 0.3 s" in str(error)


async def test_dripping_tool_is_left_in_time() -> None:
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
        made = calls(f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}")
        began = time.monotonic()
        with pytest.raises(AudienceUnavailable):
            await ask(made, within=0.3)
        assert 0.3 <= time.monotonic() - began < 1.5
        await made.aclose()


async def test_full_pool_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where calls hang on every connection the next one is unavailable, and one after it gets a new pool."""
    monkeypatch.setattr("server.notify.audience.calls.WITHIN", 0.3)
    async with rig(*([HANG] * 8), answer(200, {"later": 1})) as (_, made):
        hanging = [asyncio.create_task(ask(made, within=1.5)) for _ in range(8)]
        await asyncio.sleep(0.2)
        with pytest.raises(AudienceUnavailable, match="PoolTimeout"):
            await ask(made)
        assert {"later": 1} == (await ask(made)).json()
        assert all(
            isinstance(one, AudienceUnavailable) for one in await asyncio.gather(*hanging, return_exceptions=True)
        )


async def test_callers_that_are_cancelled_break_nothing() -> None:
    """Callers may be cancelled, more of them than there are connections: their requests end by themselves, and the pool stays whole."""
    async with rig(*([HANG] * 8), answer(200, {"later": 1})) as (server, made):
        waiting = [asyncio.create_task(ask(made, within=0.5)) for _ in range(12)]
        await until(lambda: len(server.requests) == 8)
        for one in waiting:
            one.cancel()
        await asyncio.wait(waiting)
        assert all(one.cancelled() for one in waiting)
        assert 12 == len(made._running)
        await until(lambda: not made._running)
        assert {"later": 1} == (await ask(made)).json()


async def test_closing_ends_what_is_in_flight() -> None:
    """Where the calls are closed, a request in flight ends at once and leaves no connection."""
    began = time.monotonic()
    async with rig(HANG) as (server, made):
        waiting = asyncio.create_task(ask(made))
        await until(lambda: len(server.requests) == 1)
        await made.aclose()
        with pytest.raises(asyncio.CancelledError):
            await waiting
    assert time.monotonic() - began < 3


@pytest.mark.parametrize(
    "reply",
    [
        b"",
        b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n{",
        b"nonsense\r\n\r\n",
        answer(200, b"x" * 100_001),
        answer(200, b"\x1f\x8b", {"content-encoding": "gzip"}),
    ],
)
async def test_half_and_wrong_answers_are_unavailable(reply: bytes) -> None:
    """An answer that ends too early, is no HTTP, too long or compressed is none."""
    assert isinstance(await fault(reply), AudienceUnavailable)


@pytest.mark.parametrize("body", [b"", b"<html>", b"[" * 100_000, b"\xff"])
async def test_what_is_no_json_is_unavailable(body: bytes) -> None:
    """An answer that should be JSON and is not says so, without its content."""
    async with rig(answer(200, body)) as (_, made):
        found = await ask(made)
        with pytest.raises(AudienceUnavailable, match="was answered 200 with no JSON"):
            found.json()


# -- what statuses mean --


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
async def test_statuses_that_may_pass(status: int) -> None:
    """Statuses that say nothing about the request itself are tried again later, after the time that the tool names."""
    error = await fault(answer(status, b"", {"retry-after": "7"}))

    assert isinstance(error, AudienceUnavailable)
    assert (status, 7.0) == (error.status, error.retry_after)


async def test_retry_after_as_a_date() -> None:
    """The time until a next try may be a date."""
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=30), usegmt=True)
    error = await fault(answer(503, b"", {"retry-after": date}))

    assert isinstance(error, AudienceUnavailable)
    assert error.retry_after is not None
    assert 25 < error.retry_after <= 30


@pytest.mark.parametrize(
    ("status", "cure"),
    [
        (400, "was answered 400"),
        (401, "check TOOL_PASSWORD"),
        (403, "check TOOL_PASSWORD"),
        (404, "check url"),
        (301, "set the address that answers as url"),
        (422, "was answered 422"),
    ],
)
async def test_statuses_that_only_a_person_can_help_with(status: int, cure: str) -> None:
    """A status that a later try does not change is refused, with what to do; a redirect is not followed."""
    error = await fault(answer(status, b"", {"location": "http://elsewhere.example/"}))

    assert isinstance(error, AudienceRefused)
    assert cure in str(error)


# -- words of the tool --


@pytest.mark.parametrize("key", ["detail", "description", "message", "title"])
async def test_words_of_the_tool_are_shown(key: str) -> None:
    """What the tool says of its error is part of ours, on one line."""
    error = await fault(answer(400, {"status": 1, key: "no\nsuch\x00list"}))

    assert str(error).endswith("was answered 400: no such list")


async def test_words_without_secrets_and_addresses() -> None:
    """What has an @ in it, or the secret, is left out of the tool's own words."""
    said = f"reader@example.com, <reader@example.com> or reader%40example.com is known to {SECRET.get_secret_value()}"
    error = await fault(answer(400, {"detail": said}))

    assert str(error).endswith("was answered 400: … … or … is known to ***")


async def test_no_words_of_an_answer_about_subscribers() -> None:
    """A call that reads or writes subscribers shows its path, and nothing of the answer, which may name them (law 18)."""
    async with rig(answer(500, {"detail": "Ada Reader is on page 3"})) as (server, made):
        with pytest.raises(AudienceUnavailable) as caught:
            await made.call("members", "GET", "/members", people=True)
    assert f"Tool: members: GET {server.url}/members was answered 500" == str(caught.value)


async def test_no_words_of_an_answer_about_one_person() -> None:
    """A call about one person shows nothing of the answer, nor the path, which may have the address in it."""
    async with rig(answer(400, {"detail": "Ada Reader is banned"})) as (server, made):
        with pytest.raises(AudienceRefused) as caught:
            await made.call("sign-up", "GET", f"/addresses/{PERSON}", personal=True)
    assert f"Tool: sign-up: GET {server.url}/… was answered 400" == str(caught.value)


@pytest.mark.parametrize(
    "reply",
    [
        answer(502, b"<html>Bad Gateway</html>", {"content-type": "text/html"}),
        answer(502, b" <h1>Bad Gateway"),
        answer(502, b"Bad Gateway " * LARGEST_WORDS),
    ],
)
async def test_pages_for_browsers_are_not_shown(reply: bytes) -> None:
    """A page for browsers, or very much text, is no part of an error."""
    assert str(await fault(reply, largest=10_000_000)).endswith("was answered 502")


async def test_long_words_are_cut() -> None:
    """The tool's own words are not long in our error."""
    error = await fault(answer(500, b"very " * 1000))

    assert len(str(error)) < LONGEST_WORDS + 100
    assert str(error).endswith("…")


# -- addresses of tools --


@pytest.mark.parametrize(
    "url",
    [
        "https://lists.example.org",
        "https://lists.example.org:8443/api/",
        "http://127.0.0.1:8001",
        "http://localhost:8001",
        "http://[::1]:8001",
        "http://10.1.2.3",
        "http://192.168.1.4:8001",
    ],
)
def test_addresses_that_may_be_called(url: str) -> None:
    """Encrypted, or on this machine or a private address: a tool may be there."""
    assert url_fault(url, allow_http=False) is None


@pytest.mark.parametrize(
    ("url", "fault"),
    [
        ("", "no address"),
        ("lists.example.org", "no address"),
        ("ftp://lists.example.org", "no address"),
        ("https://", "no address"),
        ("https://[::1", "no address"),
        ("https://user:password@lists.example.org", "no password"),
        ("https://lists.example.org/?key=1", "no ?"),
        ("https://lists.example.org/#a", "no #"),
        ("http://lists.example.org", "allow_http"),
        ("http://93.184.215.14", "allow_http"),
    ],
)
def test_addresses_that_may_not_be_called(url: str, fault: str) -> None:
    """An address that is none, shows a secret, or can be listened to on the way is a fault that says what to do."""
    assert fault in (url_fault(url, allow_http=False) or "")
    with pytest.raises(NotStarted):
        calls(url)


def test_http_where_it_is_allowed() -> None:
    """An address without encryption may be called where notify.toml says so."""
    assert url_fault("http://lists:8001", allow_http=True) is None


def test_secret_that_cannot_be_sent() -> None:
    """A secret with signs that cannot stand in a header is a fault of the settings, which does not show it."""
    with pytest.raises(NotStarted, match="TOOL_PASSWORD has characters") as caught:
        Calls("Tool", "https://lists.example.org", bearer(SecretStr("a\nsecret")), credentials="TOOL_PASSWORD")
    assert "secret\n" not in str(caught.value)
