"""The counters over HTTP as a client reads them: JSON, and server-sent events as a browser's EventSource reads them."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx

from tests.rig.server import TICKET, RunningServer

EVENT_STREAM = {"Accept": "text/event-stream"}


async def get(
    running: RunningServer, *tickets: str, headers: dict[str, str] | None = None, **more: str
) -> httpx.Response:
    """Ask for the counters of these tickets."""
    return await running.http.get(running.counters(*tickets, **more), headers=headers)


def shown(response: httpx.Response) -> dict[str, Any]:
    """What is shown of each ticket, in order."""
    assert 200 == response.status_code, response.text
    return {one["ticket"]: (one["state"], one["unsold"]) for one in response.json()["counters"]}


async def shows(running: RunningServer, counter: tuple[str, int | None]) -> httpx.Response | None:
    """The answer, once it is this one."""
    response = await get(running, TICKET)
    return response if shown(response)[TICKET] == counter else None


class Stream:
    """A stream of server-sent events, as a browser's EventSource reads it."""

    def __init__(self, response: httpx.Response) -> None:
        self.response = response
        self._lines = response.aiter_lines()

    async def next(self) -> tuple[str, Any]:
        """The next event: its name (message without one) and its JSON."""
        name = "message"
        while line := await asyncio.wait_for(anext(self._lines), 5):
            member, _, value = line.partition(": ")
            if member == "event":
                name = value
            else:
                assert "data" == member
                data = json.loads(value)
        return name, data

    async def counter(self) -> tuple[str, int | None]:
        """State and number of the next counter; heartbeats are passed over."""
        while True:
            name, data = await self.next()
            if name == "message":
                return data["state"], data["unsold"]

    async def ended(self) -> bool:
        """Whether nothing more comes."""
        return "" == "".join([line async for line in self._lines])


@asynccontextmanager
async def stream(running: RunningServer, path: str = "", **headers: str) -> AsyncIterator[Stream]:
    """A stream of the one ticket, or of what this path asks for."""
    path = path or running.counters(TICKET).replace("?", "/stream?")
    async with running.http.stream("GET", path, headers=headers) as response:
        yield Stream(response)
