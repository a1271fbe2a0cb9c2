"""The whole web server in the test's loop: the real routes on a real socket, with a real Redis.

start_server    a factory: `await start_server(worker=True, **settings)` answers a RunningServer
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import httpx
import pytest

from server.http.listen import address, listen
from server.http.server import http_server
from server.redis.client import RedisClient, Use
from server.web import Web
from server.worker import Worker
from tests.rig.fake_reader import FakeReader
from tests.rig.settings import valid_settings

SITE = "5f0e4d3c-1111-4111-8111-00000000b001"
TICKET = "11111111-aaaa-4aaa-8aaa-000000000001"
OTHER = "22222222-aaaa-4aaa-8aaa-000000000002"
PATIENCE = 60.0
"""Seconds after which a test gives up: far more than a busy machine takes, as speed is not tested here."""

StartServer = Callable[..., Awaitable["RunningServer"]]


class RunningServer:
    """A web server on a free port, with or without a worker."""

    def __init__(self, web: Web, worker: Worker | None, url: str) -> None:
        self.web = web
        self.worker = worker
        self.url = url
        self.ws = url.replace("http", "ws", 1)
        self.http = httpx.AsyncClient(base_url=url, trust_env=False, timeout=PATIENCE)

    def counters(self, *tickets: str, **more: str) -> str:
        """The path of a request for these tickets."""
        query = "&".join([*(f"ticket={one}" for one in tickets), *(f"{key}={value}" for key, value in more.items())])
        return f"/v1/counters?{query}"


@pytest.fixture
async def start_server(redis_url: str) -> AsyncIterator[StartServer]:
    """Start a server on the test's Redis; settings that are given by name win over the defaults.

    *listens_to* is the URL by which it subscribes to Redis, if that is another.
    """
    async with servers(redis_url) as start:
        yield start


@asynccontextmanager
async def servers(redis_url: str) -> AsyncIterator[StartServer]:
    """What `start_server` is, on this Redis, as long as the block."""
    async with AsyncExitStack() as stack:

        async def start(*, worker: bool = False, listens_to: str | None = None, **given: Any) -> RunningServer:
            found = valid_settings(**{"redis_url": redis_url, "watch_every": 1, **given})
            url = found.redis()
            reader = Worker(found, url) if worker else None
            web = Web(found, url)
            if listens_to is not None:
                web.listening = web.feed.subscriptions.listening = RedisClient(listens_to, Use.LISTEN)
            for part in (reader, web):
                if part is not None:
                    stack.push_async_callback(part.aclose)
                    await part.start()
            if reader is not None:
                stack.push_async_callback(_finish, reader, asyncio.create_task(reader.run()))
            stack.push_async_callback(_cancel, asyncio.create_task(web.run()))
            listening = listen(found)
            server = http_server(web.app, web.descriptors, found)
            serving = asyncio.create_task(server.serve([listening]))
            stack.push_async_callback(_stop, server, serving)
            await until(lambda: server.started and web.feed.healthy)
            running = RunningServer(web, reader, address(found, listening))
            stack.push_async_callback(running.http.aclose)
            return running

        yield start


async def until(holds: Callable[[], Any], seconds: float = PATIENCE, *, every: float = 0.01) -> Any:
    """Wait until a condition holds and return its value; fail after so many seconds. It is looked at *every* so many seconds."""
    end = asyncio.get_running_loop().time() + seconds
    while True:
        answer = holds()
        if asyncio.iscoroutine(answer):
            answer = await answer
        if answer:
            return answer
        assert asyncio.get_running_loop().time() < end, f"it did not come to hold within {seconds} s"
        await asyncio.sleep(every)


async def _finish(worker: Worker, running: asyncio.Task[None]) -> None:
    worker.stop()
    await running


async def _cancel(running: asyncio.Task[None]) -> None:
    if running.done():
        running.result()
    running.cancel()
    await asyncio.wait({running})


async def _stop(server: Any, serving: asyncio.Task[None]) -> None:
    server.should_exit = True
    await serving


@pytest.fixture
async def reads(redis_url: str) -> AsyncIterator[FakeReader]:
    """A reader of the server's site; start the server first, as it adds the site."""
    found = FakeReader(redis_url, SITE)
    yield found
    await found.aclose()
