"""A fake Wix: real HTTP on a free port, scripted replies, and a record of all requests.

`async with running() as wix` starts one; `wix.reply(path, Reply(...))` sets what it replies, `wix.requests` lists what was
asked. Requests that are not scripted get what a healthy Wix without any tickets would reply.
"""

import asyncio
import contextlib
import json
import ssl
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import parse_qsl

import uvicorn
from uvicorn._types import ASGIReceiveCallable, ASGISendCallable, Scope
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from tests.rig.server import until

REQUEST_ID = "1770804000.1234567890123"
"""The x-wix-request-id of every response."""


@dataclass(frozen=True, slots=True)
class ReceivedRequest:
    """One request as it was received; `body` is parsed JSON or None, `query` is in its order."""

    method: str
    path: str
    query: tuple[tuple[str, str], ...]
    headers: Mapping[str, str]
    body: Any


@dataclass(frozen=True, slots=True)
class Reply:
    """One response: `content` is sent as JSON, unless it is bytes; it waits for `after`.

    `cut` ends the connection in the middle of the body; with `drip` its bytes are sent one by one, so many seconds apart.
    """

    status: int = 200
    content: Any = b""
    headers: Mapping[str, str] | None = None
    after: asyncio.Event | None = None
    cut: bool = False
    drip: float | None = None


class FakeWix:
    """One Wix. The replies to a path are given in their order, the last one again and again."""

    def __init__(self) -> None:
        self.url = ""
        self.requests: list[ReceivedRequest] = []
        self.free = asyncio.Event()
        self.free.set()
        self._script: dict[str, list[Reply]] = {}
        self._token = 0

    @property
    def host(self) -> str:
        """Its host and port."""
        return self.url.partition("//")[2]

    def reply(self, path: str, *answers: Reply) -> None:
        """Give these replies to requests whose path ends so; without any, reply as a healthy Wix again."""
        self._script[path] = list(answers)

    def hold(self) -> None:
        """From now on accept requests and reply to none, until `resume`."""
        self.free.clear()

    def resume(self) -> None:
        """Reply to what is held, and to what comes."""
        self.free.set()

    def requests_to(self, path: str) -> list[ReceivedRequest]:
        """The requests whose path ends so."""
        return [one for one in self.requests if _is_for(one.path, path)]

    async def answer(self, scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        """Record one request and reply to it."""
        assert scope["type"] == "http"
        body = b""
        while True:
            message = await receive()
            if message["type"] != "http.request":
                return
            body += message["body"]
            if not message["more_body"]:
                break
        request = ReceivedRequest(
            scope["method"],
            scope["path"],
            tuple(parse_qsl(scope["query_string"].decode())),
            {name.decode(): value.decode() for name, value in scope["headers"]},
            json.loads(body) if body else None,
        )
        self.requests.append(request)
        reply = self._next(request.path)
        for event in (self.free, reply.after):
            if event is not None:
                await event.wait()
        await _send(reply, receive, send)

    def _next(self, path: str) -> Reply:
        for end, answers in self._script.items():
            if _is_for(path, end) and answers:
                return answers.pop(0) if len(answers) > 1 else answers[0]
        if path == "/oauth2/token":
            self._token += 1
            return Reply(content={"access_token": f"token-{self._token}", "token_type": "Bearer", "expires_in": 14400})
        if path.endswith("/events/query"):
            return Reply(content={"events": [], "pagingMetadata": {"count": 0}})
        return Reply(content={"ticketDefinitions": [], "metadata": {"count": 0, "cursors": {}}})


def _is_for(path: str, end: str) -> bool:
    """Whether a path ends so; `/query` stands for that of tickets."""
    return path.endswith(end) and ("/v3/events" not in path or "/events" in end)


async def _send(reply: Reply, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
    body = reply.content if isinstance(reply.content, bytes) else json.dumps(reply.content).encode()
    given = {"content-type": "application/json", "x-wix-request-id": REQUEST_ID, **(reply.headers or {})}
    headers = [(name.encode(), value.encode("latin-1")) for name, value in given.items()]
    headers.append((b"content-length", str(len(body) + reply.cut).encode()))
    await send({"type": "http.response.start", "status": reply.status, "headers": headers})
    if reply.drip is not None:
        gone = asyncio.ensure_future(receive())
        for sent in range(len(body)):
            await send({"type": "http.response.body", "body": body[sent : sent + 1], "more_body": True})
            if (await asyncio.wait({gone}, timeout=reply.drip))[0]:
                return
        gone.cancel()
        body = b""
    # Uvicorn closes the connection when an application ends before its body does.
    await send({"type": "http.response.body", "body": body, "more_body": reply.cut})


@contextlib.asynccontextmanager
async def running(tls: ssl.SSLContext | None = None) -> AsyncIterator[FakeWix]:
    """A fake Wix on a free port: uvicorn's HTTP protocol without uvicorn's startup and shutdown, which take 0.2 s.

    With *tls* its address is https://localhost.
    """
    wix = FakeWix()
    config = uvicorn.Config(wix.answer, interface="asgi3", proxy_headers=False, log_config=None, access_log=False)
    config.load()
    state = ServerState()
    protocol = partial(HttpToolsProtocol, config=config, server_state=state, app_state={})
    server = await asyncio.get_running_loop().create_server(protocol, "127.0.0.1", 0, ssl=tls)
    port = server.sockets[0].getsockname()[1]
    wix.url = f"https://localhost:{port}" if tls else f"http://127.0.0.1:{port}"
    try:
        yield wix
    finally:
        wix.resume()
        server.close()
        for connection in list(state.connections):
            connection.shutdown()
        await until(lambda: not state.connections and not state.tasks)
