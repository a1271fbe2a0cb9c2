"""Visitors of three kinds, who remember all that they were told and when.

`async with watching(url, site, tickets) as eye` is one over a WebSocket, `streaming` one over server-sent events,
`polling` one who asks for JSON twice a second. Times are the loop's.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
from websockets.asyncio.client import connect

EVERY = 0.5
"""Seconds between two questions of a poller."""

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Received:
    """One counter as it was told."""

    at: float
    counter: Json


@dataclass(slots=True)
class RecordingViewer:
    """One visitor; *on* is called for each counter as it comes."""

    told: list[Received] = field(default_factory=list)
    last: dict[str, Json] = field(default_factory=dict)
    on: Callable[[Json], None] = lambda _: None

    def take(self, counter: Json) -> None:
        """Be told of a ticket."""
        self.told.append(Received(asyncio.get_running_loop().time(), counter))
        self.last[counter["ticket"]] = counter
        self.on(counter)

    def unsold(self, ticket: str) -> int | None:
        """The number that is shown now; None where there is none."""
        found: int | None = self.last.get(ticket, {}).get("unsold")
        return found

    def state(self, ticket: str) -> str | None:
        """The state that is shown now; None before the first word."""
        found: str | None = self.last.get(ticket, {}).get("state")
        return found

    def numbers(self, ticket: str, since: float) -> list[Received]:
        """What it was told of this ticket after that moment that was a number."""
        return [
            one
            for one in self.told
            if one.at > since and one.counter["ticket"] == ticket and one.counter["unsold"] is not None
        ]


def counters_path(site: str, tickets: Sequence[str]) -> str:
    """The path of a request for these tickets."""
    return "/v1/counters?" + "&".join([f"site={site}", *(f"ticket={one}" for one in tickets)])


@asynccontextmanager
async def websocket_viewer(url: str, site: str, tickets: Sequence[str]) -> AsyncIterator[RecordingViewer]:
    """A visitor over a WebSocket."""
    eye = RecordingViewer()
    async with connect(url.replace("http", "ws", 1) + counters_path(site, tickets)) as socket:

        async def look() -> None:
            async for text in socket:
                found = json.loads(text)
                if "ticket" in found:
                    eye.take(found)

        async with _while(look()):
            yield eye


@asynccontextmanager
async def sse_viewer(url: str, site: str, tickets: Sequence[str]) -> AsyncIterator[RecordingViewer]:
    """A visitor over server-sent events."""
    eye = RecordingViewer()
    headers = {"Accept": "text/event-stream"}
    async with (
        httpx.AsyncClient(base_url=url, trust_env=False, timeout=60) as client,
        client.stream("GET", counters_path(site, tickets), headers=headers) as response,
    ):

        async def look() -> None:
            async for line in response.aiter_lines():
                found = json.loads(line.removeprefix("data:")) if line.startswith("data:") else {}
                if "ticket" in found:
                    eye.take(found)

        async with _while(look()):
            yield eye


@asynccontextmanager
async def polling_viewer(url: str, site: str, tickets: Sequence[str]) -> AsyncIterator[RecordingViewer]:
    """A visitor who asks again and again; what is not answered with 200 tells nothing."""
    eye = RecordingViewer()
    async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=5) as client:

        async def look() -> None:
            while True:
                for counter in await get_counters(client, site, tickets):
                    eye.take(counter)
                await asyncio.sleep(EVERY)

        async with _while(look()):
            yield eye


async def get_counters(client: httpx.AsyncClient, site: str, tickets: Sequence[str]) -> list[Json]:
    """The counters of one answer in JSON; none where it is no 200."""
    answer = await client.get(counters_path(site, tickets))
    return list(answer.json()["counters"]) if answer.status_code == httpx.codes.OK else []


@asynccontextmanager
async def _while(coroutine: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Let it run as long as the block; what it fails of is raised at the end."""
    running = asyncio.create_task(coroutine)
    try:
        yield
    finally:
        running.cancel()
        await asyncio.wait({running})
    if not running.cancelled():
        running.result()
