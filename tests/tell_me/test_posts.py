import asyncio
from typing import Any

import httpx
import pytest
from starlette.requests import Request

from server.errors import RedisUnavailable
from server.tell_me import posts as module
from server.tell_me.posts import Posts
from tests.rig.server import StartServer
from tests.rig.tell_me_rig import TellMe


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"7", b"\xff", b"[" * 4000, b'"x"'])
async def test_what_is_no_object_is_refused(tell_me: TellMe, body: bytes) -> None:
    """A body that is no JSON object is refused."""
    answer = await tell_me.post("confirm", body)

    assert (400, "body") == (answer.status_code, answer.json()["error"]["field"])


async def test_a_large_body_is_refused(tell_me: TellMe) -> None:
    """A body of more than 4,096 bytes is refused, and is not kept in memory."""
    answer = await tell_me.post("confirm", b'{"token": "' + b"x" * module.LARGEST + b'"}')

    assert (400, "body") == (answer.status_code, answer.json()["error"]["field"])


async def test_a_slow_body_is_refused(tell_me: TellMe) -> None:
    """A body that does not arrive in time is refused; a client that leaves meanwhile harms nothing."""
    posts = Posts(None, lambda peer, _: peer, read_within=0.1)
    host = tell_me.running.url.removeprefix("http://")

    async def silence() -> dict[str, Any]:
        await asyncio.sleep(30)
        return {}

    async def handler(*_: Any) -> Any:
        raise AssertionError

    scope = {
        "type": "http",
        "method": "POST",
        "path": "/",
        "query_string": b"",
        "headers": [(b"origin", f"http://{host}".encode()), (b"host", host.encode())],
    }
    answer = await posts.endpoint(handler)(Request(scope, silence))
    assert 400 == answer.status_code

    async def left() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    assert 400 == (await posts.endpoint(handler)(Request(scope, left))).status_code


async def test_without_redis_it_is_503(tell_me: TellMe, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where Redis does not answer, the page is told to come back."""

    async def down(*_: Any) -> Any:
        raise RedisUnavailable("down")

    await tell_me.offer()
    monkeypatch.setattr(tell_me.running.web.redis, "do", down)
    answer = await tell_me.post("unsubscribe", {"endpoint": "https://fcm.googleapis.com/x"}, "event=slug")

    assert (503, True) == (answer.status_code, "retry-after" in answer.headers)


async def test_public_url_is_our_origin(start_server: StartServer) -> None:
    """With PUBLIC_URL only pages of its origin may ask, whatever Host a request names."""
    running = await start_server(notify_keys="k" * 40, public_url="https://Tickets.example.org/shop")

    async def status(origin: str) -> int:
        headers = {"origin": origin, "host": "other.example"}
        answer: httpx.Response = await running.http.post("/tell-me/sign-up?event=x", json={}, headers=headers)
        return answer.status_code

    assert 400 == await status("https://tickets.example.org")
    for origin in ("https://other.example", "http://tickets.example.org", "https://tickets.example.org:444"):
        assert 403 == await status(origin)


async def test_the_client_s_address_is_behind_trusted_proxies(start_server: StartServer) -> None:
    """The address that limits are counted for is that of the client, and a client cannot invent another one."""
    found: list[str] = []
    running = await start_server(notify_keys="k" * 40, trusted_proxies="127.0.0.1")
    posts = Posts(None, running.web.admission.address)
    scope: dict[str, Any] = {
        "type": "http",
        "client": ("127.0.0.1", 1),
        "headers": [(b"x-forwarded-for", b"10.0.0.1, 192.0.2.7")],
    }
    found.append(posts.address(Request(scope)))
    found.append(posts.address(Request({**scope, "client": ("198.51.100.1", 1)})))
    found.append(posts.address(Request({**scope, "client": None, "headers": []})))

    assert ["192.0.2.7", "198.51.100.1", "unknown"] == found
