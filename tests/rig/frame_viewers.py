"""Viewers that record every frame, and connect again to the same port when their connection ends.

In: the port of a web process, which may not run. Out: every frame with its time (time.monotonic), when each connection ended,
and everything that was received, as text.
"""

import asyncio
import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import httpx
from websockets.asyncio.client import connect
from websockets.exceptions import WebSocketException

from tests.rig.recording_viewers import counters_path
from tests.rig.simulated_visitors import Shown

AGAIN_AFTER = 0.3
"""Seconds until a viewer connects again, and between two polls."""


@dataclass(frozen=True, slots=True)
class Frame:
    """What came, and when; None: what came before does not count any more."""

    at: float
    text: str | None


@dataclass(slots=True)
class FrameViewer:
    """One viewer of one web process; *kind* is ws, sse or json. *observe* is called with each ticket before its frame counts."""

    web: str
    kind: str
    port: int
    site: str
    tickets: Sequence[str]
    observe: Callable[[str], None] = lambda _: None
    frames: list[Frame] = field(default_factory=list)
    wire: list[Frame] = field(default_factory=list)
    """Everything: also beats, and the head and the whole body of each answer to a poll."""
    last: dict[str, str] = field(default_factory=dict)
    """The newest counter of each ticket on the present connection."""

    async def run(self) -> None:
        """Connect, and connect again, for ever."""
        watch = {"ws": self._web_socket, "sse": self._events, "json": self._polls}[self.kind]
        while True:
            with suppress(OSError, WebSocketException, httpx.HTTPError):
                await watch()
            if self.last:
                self.frames.append(Frame(time.monotonic(), None))
                self.last.clear()
            await asyncio.sleep(AGAIN_AFTER)

    def showings(self, end: float) -> Iterator[tuple[str, Shown]]:
        """Each ticket and text, from its frame until the next one of the ticket, or until the connection or the run ended."""
        current: dict[str, tuple[str, float]] = {}
        for frame in self.frames:
            if frame.text is None:
                yield from _ended(current, frame.at)
                current = {}
                continue
            ticket = ticket_of(frame.text)
            if ticket is None:
                continue
            if ticket in current:
                if current[ticket][0] == frame.text:
                    continue
                yield from _ended({ticket: current[ticket]}, frame.at)
            current[ticket] = frame.text, frame.at
        yield from _ended(current, end)

    def _receive(self, text: str) -> None:
        self.wire.append(Frame(time.monotonic(), text))

    def _take(self, text: str) -> None:
        ticket = ticket_of(text)
        if ticket is not None:
            self.observe(ticket)
            self.last[ticket] = text
        self.frames.append(Frame(time.monotonic(), text))

    @property
    def _url(self) -> str:
        return f"http://127.0.0.1:{self.port}{counters_path(self.site, self.tickets)}"

    async def _web_socket(self) -> None:
        async with connect(self._url.replace("http", "ws", 1)) as socket:
            async for text in socket:
                self._receive(str(text))
                self._take(str(text))

    async def _events(self) -> None:
        async with (
            httpx.AsyncClient(trust_env=False, timeout=60) as client,
            client.stream("GET", self._url, headers={"Accept": "text/event-stream"}) as response,
        ):
            async for line in response.aiter_lines():
                self._receive(line)
                if line.startswith("data:"):
                    self._take(line.removeprefix("data:").strip())

    async def _polls(self) -> None:
        async with httpx.AsyncClient(trust_env=False, timeout=5) as client:
            while True:
                # An answer counts until the next request: one that says `unknown` may take a second.
                self.frames.append(Frame(time.monotonic(), None))
                answer = await client.get(self._url)
                self._receive("\n".join([*(f"{name}: {value}" for name, value in answer.headers.items()), answer.text]))
                if answer.status_code == httpx.codes.OK:
                    for counter in answer.json()["counters"]:
                        self._take(json.dumps(counter, ensure_ascii=False, separators=(",", ":")))
                await asyncio.sleep(AGAIN_AFTER)


def ticket_of(text: str) -> str | None:
    """The ticket of a frame; None for a beat or a bye."""
    found: dict[str, Any] = json.loads(text)
    return found.get("ticket")


def _ended(current: dict[str, tuple[str, float]], at: float) -> Iterator[tuple[str, Shown]]:
    for ticket, (text, began) in current.items():
        if at > began:
            yield ticket, Shown(text, began, at)
