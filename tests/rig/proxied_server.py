"""The server as a real process behind a proxy of deploy/, with the local Wix, and clients that come through the proxy."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
from websockets.asyncio.client import ClientConnection, connect

from tests.rig.process import Command, Run
from tests.rig.server import until
from tests.rig.tls_certificate import certificate
from tests.rig.tls_proxy import TlsProxy, tls_proxy
from tests.rig.wix import WixRig


class ProxiedServer:
    """A `serve` and its proxy; *http* is a client of the proxy."""

    def __init__(self, server: Command, proxy: TlsProxy, wix: WixRig, http: httpx.AsyncClient, context: Any) -> None:
        self.server = server
        self.proxy = proxy
        self.wix = wix
        self.http = http
        self._context = context

    async def webhooks(self, since: int) -> list[int]:
        """Post the webhooks of paid orders after the *since*-th through the proxy; answers the statuses."""
        return [
            (await self.http.post("/webhooks/wix", content=one.jwt)).status_code for one in self.wix.confirmed(since)
        ]

    async def json(self, ticket: str) -> dict[str, Any]:
        """The counter of a ticket as JSON."""
        answer = await self.http.get("/v1/counters", params={"ticket": ticket})
        return dict(answer.json()["counters"][0]) if answer.status_code == httpx.codes.OK else {}

    def socket(self, ticket: str, *, source: str = "127.0.0.1", **headers: str) -> connect:
        """A WebSocket of a ticket, from this address of the machine."""
        return connect(
            f"{self.proxy.url.replace('https', 'wss')}/v1/counters?ticket={ticket}",
            ssl=self._context,
            additional_headers=headers,
            proxy=None,
            host="127.0.0.1",
            local_addr=(source, 0),
        )


@asynccontextmanager
async def proxied_server(
    kind: str, command: Run, wix: WixRig, folder: Path, **settings: str
) -> AsyncIterator[ProxiedServer]:
    """A server that reads Wix, and a proxy in front of it, as long as the block. Webhooks are not sent: see `webhooks`."""
    wix.sandbox.delivery.paused = True
    given = {name.upper(): value for name, value in wix.settings().items()}
    server = command("serve", **{**given, "TRUSTED_PROXIES": "127.0.0.1", "WATCH_EVERY": "80", **settings})
    url = await server.url()
    trusted = certificate(folder / "certificate")
    async with (
        tls_proxy(kind, folder / kind, trusted, int(url.rpartition(":")[2])) as proxy,
        httpx.AsyncClient(base_url=proxy.url, verify=trusted.context(), trust_env=False, timeout=20) as http,
    ):
        found = ProxiedServer(server, proxy, wix, http, trusted.context())

        async def ready() -> bool:
            return (await http.get("/readyz")).status_code == httpx.codes.OK

        await until(ready)
        yield found


async def sale_on_socket(socket: ClientConnection, unsold: int) -> None:
    """Wait until a WebSocket shows this number."""
    async for text in socket:
        if json.loads(text).get("unsold") == unsold:
            return
    raise AssertionError("the WebSocket has ended")


async def sale_on_stream(lines: AsyncIterator[str], unsold: int) -> None:
    """Wait until a stream of server-sent events shows this number."""
    async for line in lines:
        if line.startswith("data:") and json.loads(line.removeprefix("data:")).get("unsold") == unsold:
            return
    raise AssertionError("the stream has ended")


async def within(seconds: float, *waits: Any) -> None:
    """Wait for all of these at once, for so many seconds."""
    async with asyncio.timeout(seconds), asyncio.TaskGroup() as group:
        for wait in waits:
            group.create_task(wait)
