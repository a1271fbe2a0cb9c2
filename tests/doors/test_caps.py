"""Limits on connections: a client over one gets an error and returns later, and no limit affects Wix or a monitor."""

import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import httpx
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from sandbox.webhooks import signer
from tests.rig.deployment import Deployment
from tests.rig.process import Run
from tests.rig.recording_viewers import counters_path
from tests.rig.redis import RedisServer, Servers
from tests.rig.report import report
from tests.rig.server import until
from tests.rig.wix import WixRig

AN_ADDRESS, ALL = 50, 200
"""The limits in this test: of one address, and of the process."""
HOMES = ("127.0.0.2", "127.0.0.3", "127.0.0.4")
ELSEWHERE, LAST, PROXY = "127.0.0.5", "127.0.0.6", "127.0.0.9"
FULL = 4000
CAPS = {"MAX_CONNECTIONS": str(ALL), "MAX_CONNECTIONS_PER_ADDRESS": str(AN_ADDRESS)}


@dataclass
class LimitedServer:
    """The one process, and the clients connected to it."""

    url: str
    wix: WixRig
    stack: AsyncExitStack

    async def connect_clients(self, address: str, number: int, forwarded: str | None = None) -> Counter[int | None]:
        """Let so many connect from an address, and stay; returns how many were closed with each code, None for open ones.

        *forwarded* is the X-Forwarded-For that they send, with the number of each in place of a `#`.
        """
        where = f"{self.url.replace('http', 'ws', 1)}{self._path}"
        found: Counter[int | None] = Counter()
        for place in range(number):
            headers = _forwarded(forwarded.replace("#", str(place)) if forwarded else None)
            asked = connect(where, local_addr=(address, 0), additional_headers=headers)
            found[await _code(await self.stack.enter_async_context(asked))] += 1
        return found

    async def request(self, address: str, forwarded: str | None = None) -> list[tuple[int, str | None]]:
        """The answers to JSON and stream requests from an address: the status, and Retry-After."""
        answers = []
        async with _client(address) as client:
            for accepted in ("application/json", "text/event-stream"):
                given = {"Accept": accepted, **_forwarded(forwarded)}
                async with client.stream("GET", self.url + self._path, headers=given) as answer:
                    answers.append((answer.status_code, answer.headers.get("Retry-After")))
        return answers

    async def others(self, address: str) -> list[int]:
        """The statuses of a webhook that Wix signed and of both health checks, from an address."""
        order = self.wix.confirmed()[0]
        webhook = signer(self.wix.sandbox.site, self.wix.knobs)(order.envelope, time.time())
        async with _client(address) as client:
            return [
                (await client.post(f"{self.url}/webhooks/wix", content=webhook)).status_code,
                (await client.get(f"{self.url}/livez")).status_code,
                (await client.get(f"{self.url}/readyz")).status_code,
            ]

    @property
    def _path(self) -> str:
        return counters_path(self.wix.site, [self.wix.tickets["fixed"]])


async def _code(socket: ClientConnection) -> int | None:
    """The close code of a refused connection; None for an accepted one, which gets a heartbeat."""
    try:
        await socket.recv()
    except ConnectionClosed:
        return socket.close_code
    return None


def _client(address: str) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.AsyncHTTPTransport(local_address=address), trust_env=False)


def _forwarded(text: str | None) -> dict[str, str]:
    return {"X-Forwarded-For": text} if text else {}


@asynccontextmanager
async def limited_server(run: Run, redis: RedisServer, wix: WixRig, **more: str) -> AsyncIterator[LimitedServer]:
    """A process with these limits, which has the number of the ticket; all clients leave when the block ends."""
    deployment = Deployment(run, redis.url, wix.settings(), **CAPS, **more)
    wix.world.buy(wix.tickets["fixed"])
    deployment.worker()
    url = await deployment.web()
    await until(lambda: deployment.right(wix, [wix.tickets["fixed"]]), 20)
    async with AsyncExitStack() as stack:
        yield LimitedServer(url, wix, stack)


async def test_connections_are_limited_by_address_and_in_total(
    command: Run, redis_server: Servers, wix: WixRig
) -> None:
    """Each address has a limit and all share one, whatever X-Forwarded-For says; no other client is refused for that."""
    refused = 0
    async with limited_server(command, redis_server(), wix) as server:
        for home in HOMES:
            first = await server.connect_clients(home, AN_ADDRESS)
            later = await server.connect_clients(home, 100 - AN_ADDRESS)
            assert ({None: AN_ADDRESS}, {FULL: 100 - AN_ADDRESS}) == (first, later)
            assert [(503, "5")] * 2 == await server.request(home)
            assert [200] * 3 == await server.others(home)
            assert [(200, None)] * 2 == await server.request(ELSEWHERE)
            refused += later[FULL]
        # An X-Forwarded-For of an untrusted client lets it in no more, and shuts no other out.
        assert {FULL: 10} == await server.connect_clients(HOMES[0], 10, "203.0.113.#")
        assert [(503, "5")] * 2 == await server.request(HOMES[0], "203.0.113.7")
        assert {None: AN_ADDRESS, FULL: 10} == await server.connect_clients(ELSEWHERE, AN_ADDRESS + 10, "203.0.113.#")
        refused += 20

        # Four times fifty: now the process is full.
        assert {FULL: 20} == await server.connect_clients(LAST, 20)
        assert [(503, "5")] * 2 == await server.request(LAST)
        refused += 20
        for address in (*HOMES, ELSEWHERE, LAST):
            assert [200] * 3 == await server.others(address)

        await server.stack.aclose()
        # The clients that left have made room.
        await until(lambda: _is(server, LAST, [(200, None)] * 2))
        assert {None: 20} == await server.connect_clients(LAST, 20)

    report(
        f"{ALL} viewers in, {refused} closed with {FULL}, {2 * (len(HOMES) + 2)} requests answered 503; webhooks all 200"
    )


async def test_connection_limits_behind_a_proxy(command: Run, redis_server: Servers, wix: WixRig) -> None:
    """Through a trusted proxy each client has its own limit, by the address that the proxy saw; it cannot choose that."""
    async with limited_server(command, redis_server(), wix, TRUSTED_PROXIES=PROXY) as server:
        for client in ("203.0.113.1", "203.0.113.2"):
            assert {None: AN_ADDRESS, FULL: 10} == await server.connect_clients(PROXY, AN_ADDRESS + 10, client)
            assert [(503, "5")] * 2 == await server.request(PROXY, client)
        # The last hop is from the proxy, those before it are from the client.
        assert {FULL: 10} == await server.connect_clients(PROXY, 10, "198.51.100.#, 203.0.113.1")
        assert [(503, "5")] * 2 == await server.request(PROXY, "198.51.100.1, 203.0.113.1")
        # An untrusted client counts for itself, whatever address it names, and uses up no other's limit.
        assert {None: 40} == await server.connect_clients(HOMES[0], 40, "203.0.113.3")
        assert {None: AN_ADDRESS} == await server.connect_clients(PROXY, AN_ADDRESS, "203.0.113.3")
        assert [(200, None)] * 2 == await server.request(HOMES[0], "203.0.113.3")
        assert [200] * 3 == await server.others(PROXY)


async def _is(server: LimitedServer, address: str, wanted: list[tuple[int, str | None]]) -> bool:
    return await server.request(address) == wanted
