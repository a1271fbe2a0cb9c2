"""A Wix that does as it is told: real HTTP on a free port, answers from a script, and a note of all that was asked.

`async with running() as wix` starts one: tell it what to say, call the client, look at what was asked. It knows
nothing of tickets: what is not in the script is answered as a healthy Wix without any would.
"""

import asyncio
import contextlib
import json
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
"""What this Wix calls every request (x-wix-request-id)."""


@dataclass(frozen=True, slots=True)
class ReceivedRequest:
    """One request as it came over the wire; `body` None where there was none, `query` in its order."""

    method: str
    path: str
    query: tuple[tuple[str, str], ...]
    headers: Mapping[str, str]
    body: Any


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer: `content` is JSON, unless it is bytes already; it is given not before `after`.

    `cut` ends the connection in the middle of it; with `drip` its bytes come one by one, so many seconds apart.
    """

    status: int = 200
    content: Any = b""
    headers: Mapping[str, str] | None = None
    after: asyncio.Event | None = None
    cut: bool = False
    drip: float | None = None


class FakeWix:
    """One Wix. Answers of a script are given in their order, the last one for ever."""

    def __init__(self) -> None:
        self.url = ""
        self.asked: list[ReceivedRequest] = []
        self.free = asyncio.Event()
        self.free.set()
        self._script: dict[str, list[Reply]] = {}
        self._token = 0

    def say(self, path: str, *answers: Reply) -> None:
        """Answer requests whose path ends so with these; none gives it back to its health."""
        self._script[path] = list(answers)

    def hang(self) -> None:
        """From now on take requests and answer none, until `go_on`."""
        self.free.clear()

    def go_on(self) -> None:
        """Answer what hangs, and what comes."""
        self.free.set()

    def of(self, path: str) -> list[ReceivedRequest]:
        """What was asked of paths that end so."""
        return [one for one in self.asked if one.path.endswith(path)]

    async def answer(self, scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        """Note one request and answer it."""
        assert scope["type"] == "http"
        body = b""
        while True:
            message = await receive()
            if message["type"] != "http.request":
                return
            body += message["body"]
            if not message["more_body"]:
                break
        asked = ReceivedRequest(
            scope["method"],
            scope["path"],
            tuple(parse_qsl(scope["query_string"].decode())),
            {name.decode(): value.decode() for name, value in scope["headers"]},
            json.loads(body) if body else None,
        )
        self.asked.append(asked)
        say = self._next(asked.path)
        for event in (self.free, say.after):
            if event is not None:
                await event.wait()
        await _answer(say, receive, send)

    def _next(self, path: str) -> Reply:
        for end, answers in self._script.items():
            if path.endswith(end) and answers:
                return answers.pop(0) if len(answers) > 1 else answers[0]
        if path == "/oauth2/token":
            self._token += 1
            return Reply(content={"access_token": f"token-{self._token}", "token_type": "Bearer", "expires_in": 14400})
        return Reply(content={"ticketDefinitions": [], "metadata": {"count": 0, "cursors": {}}})


async def _answer(say: Reply, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
    body = say.content if isinstance(say.content, bytes) else json.dumps(say.content).encode()
    given = {"content-type": "application/json", "x-wix-request-id": REQUEST_ID, **(say.headers or {})}
    headers = [(name.encode(), value.encode("latin-1")) for name, value in given.items()]
    headers.append((b"content-length", str(len(body) + say.cut).encode()))
    await send({"type": "http.response.start", "status": say.status, "headers": headers})
    if say.drip is not None:
        gone = asyncio.ensure_future(receive())
        for sent in range(len(body)):
            await send({"type": "http.response.body", "body": body[sent : sent + 1], "more_body": True})
            if (await asyncio.wait({gone}, timeout=say.drip))[0]:
                return
        gone.cancel()
        body = b""
    # An application that ends before its body does makes uvicorn close the connection.
    await send({"type": "http.response.body", "body": body, "more_body": say.cut})


@contextlib.asynccontextmanager
async def running() -> AsyncIterator[FakeWix]:
    """A Wix of the test's own, on a free port: uvicorn's HTTP without uvicorn's start and end, which take 0.2 s."""
    scripted = FakeWix()
    config = uvicorn.Config(scripted.answer, interface="asgi3", proxy_headers=False, log_config=None, access_log=False)
    config.load()
    state = ServerState()
    protocol = partial(HttpToolsProtocol, config=config, server_state=state, app_state={})
    server = await asyncio.get_running_loop().create_server(protocol, "127.0.0.1", 0)
    scripted.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield scripted
    finally:
        scripted.go_on()
        server.close()
        for connection in list(state.connections):
            connection.shutdown()
        await until(lambda: not state.connections and not state.tasks)
