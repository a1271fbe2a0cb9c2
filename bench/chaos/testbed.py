"""Everything that runs: the local Wix in this event loop, a Valkey, two webs, two workers, and a link between each two.

In: a folder, a seed, settings. Out: parts and links by name, which can be broken. Each web and worker has its own link
to Redis, each worker one to Wix, and the viewers one to each web. Wix has one link to both webs, which alternates
between them like a balancer without health checks.
"""

import asyncio
import logging
import random
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from sandbox.__main__ import Server, config, listen
from sandbox.app import Sandbox
from sandbox.knobs import Knobs
from sandbox.model import Price, Pricing
from sandbox.site import Site
from tests.rig.redis import RedisServer, free_port
from tests.rig.supervised_process import SupervisedProcess
from tests.rig.tcp_proxy import TcpProxy, tcp_proxy

NUMBERS = (0, 1)
WIX_KNOBS = Knobs(read_delay=0.05, read_jitter=0.1, resend_scale=0.02, hold_seconds=20.0)
"""Wix without faults: it answers in 50 to 150 ms, resends after 1.2 s (not 60), holds for 20 s (not 1200)."""
SETTINGS = {
    "WATCH_EVERY": "5",
    "MAX_STALE": "15",
    "RECONCILE": "60",
    "MAX_CONNECTIONS": "5000",
    "MAX_CONNECTIONS_PER_ADDRESS": "5000",
    "LOG_FORM": "json",
}
"""The server's settings: times of a third of the defaults and less, so that a short run can break a bound."""
OTHER_EVENTS = ("Lantern Parade", "Closing Ball")
"""Events beside the first one, which have a quarter of the tickets that are added."""
ALTERNATE_EVERY = 1.0
"""Seconds until webhooks go to the other web."""
START_TIMEOUT = 30.0


class Testbed:
    """The running parts and their links."""

    def __init__(
        self, sandbox: Sandbox, redis: RedisServer, links: dict[str, TcpProxy], parts: dict[str, SupervisedProcess]
    ) -> None:
        self.sandbox = sandbox
        self.redis = redis
        self.links = links
        self.parts = parts

    @property
    def tickets(self) -> list[str]:
        """All current tickets, in order of creation."""
        return list(self.sandbox.world.tickets)

    @property
    def site(self) -> str:
        """The site's id."""
        return self.sandbox.site.ids.instance

    @property
    def viewers_ports(self) -> list[int]:
        """The port of each web for viewers."""
        return [self.links[f"viewers-web{number}"].port for number in NUMBERS]

    async def kill_redis(self) -> None:
        """Kill Redis (SIGKILL)."""
        await asyncio.to_thread(self.redis.kill)

    async def end_redis(self) -> None:
        """Stop Redis in order (SIGTERM)."""
        await asyncio.to_thread(self.redis.stop)

    def start_redis(self) -> None:
        """Start Redis on the same data, without waiting until it is ready."""
        self.redis.start(wait=False)

    async def alternate_webhooks(self) -> None:
        """Send webhooks to the webs in turn, for ever; open connections stay with their web."""
        link = self.links["wix-web"]
        targets = [self.links[f"viewers-web{number}"].target for number in NUMBERS]
        while True:
            for target in targets:
                link.target = target
                await asyncio.sleep(ALTERNATE_EVERY)


@asynccontextmanager
async def running_testbed(folder: Path, seed: int, tickets: int, settings: Mapping[str, str]) -> AsyncIterator[Testbed]:
    """Run everything for the duration of the block; raises TimeoutError if a part does not start to listen."""
    async with AsyncExitStack() as stack:
        sandbox = Sandbox(Site.new(), chance=seed, knobs=WIX_KNOBS)
        _fill(sandbox, tickets, random.Random(seed))
        wix = await stack.enter_async_context(_serving(sandbox))
        redis = RedisServer(folder / "redis")
        stack.callback(redis.kill)
        redis.start(wait=False)
        webs = {number: free_port() for number in NUMBERS}
        links: dict[str, TcpProxy] = {}

        async def link(name: str, port: int) -> int:
            links[name] = await stack.enter_async_context(tcp_proxy("127.0.0.1", port))
            return links[name].port

        ids = sandbox.site.ids
        shared = {
            **SETTINGS,
            "WIX_APP_ID": ids.app,
            "WIX_APP_SECRET": ids.app_secret,
            "WIX_PUBLIC_KEY": sandbox.site.public_line,
            "WIX_SITES": ids.instance,
            **settings,
        }
        parts = {}
        for number, port in webs.items():
            store = await link(f"web{number}-redis", redis.port)
            await link(f"viewers-web{number}", port)
            own = {"PORT": str(port), "REDIS_URL": f"redis://127.0.0.1:{store}/0"}
            parts[f"web{number}"] = SupervisedProcess(f"web{number}", folder, "web", {**shared, **own})
        for number in NUMBERS:
            store = await link(f"worker{number}-redis", redis.port)
            api = await link(f"worker{number}-wix", wix)
            own = {"WIX_API_URL": f"http://127.0.0.1:{api}", "REDIS_URL": f"redis://127.0.0.1:{store}/0"}
            parts[f"worker{number}"] = SupervisedProcess(f"worker{number}", folder, "worker", {**shared, **own})
        webhooks = await link("wix-web", webs[0])
        sandbox.delivery.urls = (f"http://127.0.0.1:{webhooks}/webhooks/wix",)
        for part in parts.values():
            stack.callback(part.kill)
            part.start()
        for port in webs.values():
            await _listens(port)
        yield Testbed(sandbox, redis, links, parts)


def _fill(sandbox: Sandbox, number: int, rng: random.Random) -> None:
    """Create more events, and more tickets of every kind, with about as much stock as a run sells."""
    world = sandbox.world
    sandbox.emitter.muted = True
    main = world.event(sandbox.site.ids.event)
    others = [world.create_event(title, main.start, main.end, main.zone).id for title in OTHER_EVENTS]
    names = ("Adult", "Child")
    for place in range(number - len(world.tickets)):
        options = place % 5 == 0
        cents = rng.randrange(500, 9000)
        prices = tuple(
            Price(f"{(cents + 100 * at) / 100:.2f}", "USD", world.new_id(), name) if options else Price("0", "USD")
            for at, name in enumerate(names if options else names[:1])
        )
        if not options and place % 7:
            prices = (Price(f"{cents / 100:.2f}", "USD"),)
        world.create(
            others[place // 4 % len(others)] if place % 4 == 3 else main.id,
            kind="plain",
            name=f"Stand {place + 1}",
            limit=None if place % 13 == 12 else rng.randrange(5, 120),
            pricing=Pricing.OPTIONS if options else Pricing.FIXED,
            prices=prices,
        )
    world.reset_history()
    sandbox.emitter.muted = False


@asynccontextmanager
async def _serving(sandbox: Sandbox) -> AsyncIterator[int]:
    # A simulated outage leaves requests unanswered; uvicorn logs each as an error.
    logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
    listening = listen("127.0.0.1", 0)
    started = asyncio.Event()
    server = Server(config(sandbox), started.set)
    serving = asyncio.create_task(server.serve([listening]))
    try:
        await asyncio.wait_for(started.wait(), START_TIMEOUT)
        yield listening.getsockname()[1]
    finally:
        server.should_exit = True
        await serving
        listening.close()


async def _listens(port: int) -> None:
    until = time.monotonic() + START_TIMEOUT
    while True:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            if time.monotonic() > until:
                raise TimeoutError(f"no process listens on port {port}") from None
            await asyncio.sleep(0.1)
        else:
            writer.close()
            return
