"""Viewers that record every counter they receive, and when.

`async with websocket_viewer(url, site, tickets) as viewer` is one over a WebSocket, `sse_viewer` one over server-sent
events, `polling_viewer` one that asks for JSON twice a second. Times are event-loop time.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
from websockets.asyncio.client import connect

from tests.rig.background import background

EVERY = 0.5
"""Seconds between two polls."""

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Received:
    """One counter as it came."""

    at: float
    counter: Json


@dataclass(slots=True)
class RecordingViewer:
    """One viewer; *on_counter* is called with each counter as it comes."""

    received: list[Received] = field(default_factory=list)
    last: dict[str, Json] = field(default_factory=dict)
    on_counter: Callable[[Json], None] = lambda _: None

    def receive(self, counter: Json) -> None:
        """Record a counter."""
        self.received.append(Received(asyncio.get_running_loop().time(), counter))
        self.last[counter["ticket"]] = counter
        self.on_counter(counter)

    def unsold(self, ticket: str) -> int | None:
        """The number shown now; None where there is none."""
        found: int | None = self.last.get(ticket, {}).get("unsold")
        return found

    def state(self, ticket: str) -> str | None:
        """The state shown now; None before the first counter."""
        found: str | None = self.last.get(ticket, {}).get("state")
        return found

    def numbers(self, ticket: str, since: float) -> list[Received]:
        """The counters of this ticket with a number that came after that moment."""
        return [
            one
            for one in self.received
            if one.at > since and one.counter["ticket"] == ticket and one.counter["unsold"] is not None
        ]


def counters_path(site: str | None, tickets: Sequence[str]) -> str:
    """The path of a request for these tickets; None names no site."""
    return "/v1/counters?" + "&".join([*([f"site={site}"] if site else []), *(f"ticket={one}" for one in tickets)])


@asynccontextmanager
async def websocket_viewer(url: str, site: str | None, tickets: Sequence[str]) -> AsyncIterator[RecordingViewer]:
    """A viewer over a WebSocket."""
    viewer = RecordingViewer()
    async with connect(url.replace("http", "ws", 1) + counters_path(site, tickets)) as socket:

        async def look() -> None:
            async for text in socket:
                found = json.loads(text)
                if "ticket" in found:
                    viewer.receive(found)

        async with background(look()):
            yield viewer


@asynccontextmanager
async def sse_viewer(url: str, site: str, tickets: Sequence[str]) -> AsyncIterator[RecordingViewer]:
    """A viewer over server-sent events."""
    viewer = RecordingViewer()
    headers = {"Accept": "text/event-stream"}
    async with (
        httpx.AsyncClient(base_url=url, trust_env=False, timeout=60) as client,
        client.stream("GET", counters_path(site, tickets), headers=headers) as response,
    ):

        async def look() -> None:
            async for line in response.aiter_lines():
                found = json.loads(line.removeprefix("data:")) if line.startswith("data:") else {}
                if "ticket" in found:
                    viewer.receive(found)

        async with background(look()):
            yield viewer


@asynccontextmanager
async def polling_viewer(url: str, site: str, tickets: Sequence[str]) -> AsyncIterator[RecordingViewer]:
    """A viewer that polls; a response other than 200 counts as none."""
    viewer = RecordingViewer()
    async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=5) as client:

        async def look() -> None:
            while True:
                for counter in await get_counters(client, site, tickets):
                    viewer.receive(counter)
                await asyncio.sleep(EVERY)

        async with background(look()):
            yield viewer


async def get_counters(client: httpx.AsyncClient, site: str, tickets: Sequence[str]) -> list[Json]:
    """The counters of one JSON response; none where its status is not 200."""
    answer = await client.get(counters_path(site, tickets))
    return list(answer.json()["counters"]) if answer.status_code == httpx.codes.OK else []
