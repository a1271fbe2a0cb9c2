"""Several sites behind one Wix address, in the test's loop.

`async with several_sites(3) as wix`: `wix.sites[0]` is a WixRig as the fixture `wix` is, with its own world, knobs, calls
and webhooks. To the server they are three owners who installed the same app: its secret and its signing key are the same,
ids are not. A token request names its site; any other call belongs to the site that its token was issued for.
"""

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from typing import Any

import uvicorn
from starlette.types import Message, Receive, Scope, Send

from sandbox.__main__ import Server, listen
from sandbox.app import Sandbox
from sandbox.site import Site
from tests.rig.wix import WixRig, sandbox_site

TOKENS = "/oauth2/token"


class SeveralSites:
    """The sites, in the order of their numbers; the first is the site of all other tests."""

    def __init__(self, sandboxes: Iterable[Sandbox], url: str) -> None:
        self.url = url
        self.sites = [WixRig(sandbox, url) for sandbox in sandboxes]

    def settings(self) -> dict[str, str]:
        """The settings of a server that knows them all."""
        return {**self.sites[0].settings(), "wix_sites": ",".join(one.site for one in self.sites)}

    def send_to(self, url: str) -> None:
        """From now on all webhooks go to the server at this address."""
        for one in self.sites:
            one.send_to(url)

    @property
    def tokens(self) -> int:
        """How many tokens were requested so far."""
        return sum(len(one.calls("token")) for one in self.sites)


class Gateway:
    """The one address of Wix: routes each request to its site's sandbox."""

    def __init__(self, sandboxes: Sequence[Sandbox]) -> None:
        self._sites = {one.site.ids.instance: one for one in sandboxes}
        self._first = sandboxes[0]
        self._owners: dict[str, Sandbox] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Route a request; one without a valid token is refused by the first site."""
        if scope["path"] == TOKENS:
            await self._token(scope, receive, send)
            return
        given = dict(scope["headers"]).get(b"authorization", b"").decode("latin-1")
        await self._owners.get(given, self._first).app(scope, receive, send)

    async def _token(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = b""
        more = True
        while more:
            message = await receive()
            if message["type"] != "http.request":
                return
            body += message.get("body", b"")
            more = message.get("more_body", False)
        owner = self._sites.get(_member(body, "instance_id"), self._first)
        left = [{"type": "http.request", "body": body, "more_body": False}]

        async def replay() -> Message:
            return left.pop() if left else await receive()

        async def note(sent: Message) -> None:
            if sent["type"] == "http.response.body" and (token := _member(sent.get("body", b""), "access_token")):
                self._owners[token] = owner
            await send(sent)

        await owner.app(scope, replay, note)


def _member(text: bytes, name: str) -> str:
    try:
        found = json.loads(text)
    except ValueError:
        return ""
    return str(found.get(name, "")) if isinstance(found, dict) else ""


def _site(number: int) -> Site:
    first = sandbox_site()
    if number == 0:
        return first
    ids = first.ids
    return Site(
        replace(
            ids,
            instance=_guid(),
            site=_guid(),
            event=_guid(),
            tickets={kind: _guid() for kind in ids.tickets},
            options=tuple(_guid() for _ in ids.options),
        ),
        first.key,
    )


def _guid() -> str:
    return str(uuid.uuid4())


@asynccontextmanager
async def several_sites(number: int, **given: Any) -> AsyncIterator[SeveralSites]:
    """So many sites, on one free port; *given* is passed to each Sandbox. No webhooks are sent before `send_to`."""
    async with AsyncExitStack() as stack:
        sandboxes = [Sandbox(_site(n), **given) for n in range(number)]
        listening = stack.enter_context(listen("127.0.0.1", 0))
        started = asyncio.Event()
        config = uvicorn.Config(
            Gateway(sandboxes),
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=1,
        )
        server = Server(config, started.set)
        serving = asyncio.create_task(server.serve([listening]))
        await asyncio.wait_for(started.wait(), 10)
        for sandbox in sandboxes:
            await sandbox.start()
            stack.push_async_callback(sandbox.aclose)
        found = SeveralSites(sandboxes, f"http://127.0.0.1:{listening.getsockname()[1]}")
        for one in found.sites:
            stack.push_async_callback(one.aclose)
        try:
            yield found
        finally:
            server.should_exit = True
            await serving
