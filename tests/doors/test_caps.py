"""Caps on who may look at once: who is over one hears so and comes back later, and no cap is ever Wix's or a monitor's."""

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
"""The caps here: of one address, and of the process."""
HOMES = ("127.0.0.2", "127.0.0.3", "127.0.0.4")
ELSEWHERE, LAST, PROXY = "127.0.0.5", "127.0.0.6", "127.0.0.9"
FULL = 4000
CAPS = {"MAX_CONNECTIONS": str(ALL), "MAX_CONNECTIONS_PER_ADDRESS": str(AN_ADDRESS)}


@dataclass
class Door:
    """The one process, and who is in it."""

    url: str
    wix: WixRig
    stack: AsyncExitStack

    async def come(self, address: str, number: int, forwarded: str | None = None) -> Counter[int | None]:
        """Let so many come from an address, and stay; answers how many were closed with which code, None for who stays.

        *forwarded* is whom they say they come for, with the number of each in place of a `#`.
        """
        where = f"{self.url.replace('http', 'ws', 1)}{self._path}"
        found: Counter[int | None] = Counter()
        for place in range(number):
            headers = _forwarded(forwarded.replace("#", str(place)) if forwarded else None)
            asked = connect(where, local_addr=(address, 0), additional_headers=headers)
            found[await _code(await self.stack.enter_async_context(asked))] += 1
        return found

    async def ask(self, address: str, forwarded: str | None = None) -> list[tuple[int, str | None]]:
        """What JSON and a stream are answered from an address: the status, and after how many seconds to come again."""
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
    """The code with which one is closed that is not let in; None for one that gets a beat, as who is let in does."""
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
async def doors(run: Run, redis: RedisServer, wix: WixRig, **more: str) -> AsyncIterator[Door]:
    """A process with these caps, which knows the number of the ticket; all who came leave with the block."""
    deployment = Deployment(run, redis.url, wix.settings(), **CAPS, **more)
    wix.world.buy(wix.tickets["fixed"])
    deployment.worker()
    url = await deployment.web()
    await until(lambda: deployment.right(wix, [wix.tickets["fixed"]]), 20)
    async with AsyncExitStack() as stack:
        yield Door(url, wix, stack)


async def test_addresses_and_the_process(command: Run, redis_server: Servers, wix: WixRig) -> None:
    """Each address has its cap and all have one, whatever strangers say they come for; nobody else is refused for that."""
    refused = 0
    async with doors(command, redis_server(), wix) as door:
        for home in HOMES:
            first = await door.come(home, AN_ADDRESS)
            later = await door.come(home, 100 - AN_ADDRESS)
            assert ({None: AN_ADDRESS}, {FULL: 100 - AN_ADDRESS}) == (first, later)
            assert [(503, "5")] * 2 == await door.ask(home)
            assert [200] * 3 == await door.others(home)
            assert [(200, None)] * 2 == await door.ask(ELSEWHERE)
            refused += later[FULL]
        # What a stranger says of himself opens no door, and closes nobody else's.
        assert {FULL: 10} == await door.come(HOMES[0], 10, "203.0.113.#")
        assert [(503, "5")] * 2 == await door.ask(HOMES[0], "203.0.113.7")
        assert {None: AN_ADDRESS, FULL: 10} == await door.come(ELSEWHERE, AN_ADDRESS + 10, "203.0.113.#")
        refused += 20

        # Four times fifty: now the process is full.
        assert {FULL: 20} == await door.come(LAST, 20)
        assert [(503, "5")] * 2 == await door.ask(LAST)
        refused += 20
        for address in (*HOMES, ELSEWHERE, LAST):
            assert [200] * 3 == await door.others(address)

        await door.stack.aclose()
        # Who left has made room.
        await until(lambda: _is(door, LAST, [(200, None)] * 2))
        assert {None: 20} == await door.come(LAST, 20)

    report(
        f"{ALL} viewers in, {refused} closed with {FULL}, {2 * (len(HOMES) + 2)} requests answered 503; webhooks all 200"
    )


async def test_behind_a_proxy(command: Run, redis_server: Servers, wix: WixRig) -> None:
    """Through a trusted proxy each client has a cap of his own, by the address that the proxy saw; he cannot choose it."""
    async with doors(command, redis_server(), wix, TRUSTED_PROXIES=PROXY) as door:
        for client in ("203.0.113.1", "203.0.113.2"):
            assert {None: AN_ADDRESS, FULL: 10} == await door.come(PROXY, AN_ADDRESS + 10, client)
            assert [(503, "5")] * 2 == await door.ask(PROXY, client)
        # The last hop is the proxy's word, those before it are the client's.
        assert {FULL: 10} == await door.come(PROXY, 10, "198.51.100.#, 203.0.113.1")
        assert [(503, "5")] * 2 == await door.ask(PROXY, "198.51.100.1, 203.0.113.1")
        # Who is no proxy counts for himself, whomever he names, and takes nobody's place.
        assert {None: 40} == await door.come(HOMES[0], 40, "203.0.113.3")
        assert {None: AN_ADDRESS} == await door.come(PROXY, AN_ADDRESS, "203.0.113.3")
        assert [(200, None)] * 2 == await door.ask(HOMES[0], "203.0.113.3")
        assert [200] * 3 == await door.others(PROXY)


async def _is(door: Door, address: str, wanted: list[tuple[int, str | None]]) -> bool:
    return await door.ask(address) == wanted
