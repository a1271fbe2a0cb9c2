"""The ways in which counters are seen: over WebSockets, as JSON, in the widget, and as they are stored.

`await view.seen()` is what is shown now, by ticket, and `view.due(counter)` what must be shown of a counter in its canonical
form (canonical_counter.py): the same text, or the sentence of the widget for an offer of offer.py.
"""

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import httpx
from playwright.async_api import Page
from redis.asyncio import Redis

from tests.rig.canonical_counter import CanonicalCounter, of_frame
from tests.rig.default_keys import key
from tests.rig.recording_viewers import RecordingViewer

OWN_WORDS = "Tickets at the door"
"""The content of each element: shown while nothing can be said."""

TEXTS = """() => Object.fromEntries([...document.querySelectorAll("ticket-counter")].map((one) => {
  const [slot, ...parts] = one.shadowRoot.children;
  const own = getComputedStyle(slot).display !== "none";
  const texts = own ? [one.textContent] : parts.filter((part) => part.part.length).map((part) => part.textContent);
  return [one.getAttribute("ticket"), texts.filter(Boolean).join(" ")];
}))"""
"""The text that each element of a page shows, by its ticket."""


class View(Protocol):
    """One way to see counters."""

    name: str

    async def seen(self) -> Mapping[str, str | None]:
        """What is shown now, by ticket; None where it is `unknown`."""

    def due(self, counter: CanonicalCounter) -> str:
        """What must be shown of this counter."""


class _Counters:
    """A view that shows counters themselves."""

    def due(self, counter: CanonicalCounter) -> str:
        return counter


@dataclass
class Sockets(_Counters):
    """Viewers over WebSockets."""

    viewers: Sequence[RecordingViewer]
    name: str = "WebSocket"

    async def seen(self) -> Mapping[str, str | None]:
        return {ticket: _canonical(one) for viewer in self.viewers for ticket, one in viewer.last.items()}

    def received(self) -> set[tuple[str, CanonicalCounter]]:
        """Each counter that ever came, with its ticket, without `unknown`."""
        counters = [one.counter for viewer in self.viewers for one in viewer.received]
        return {(one["ticket"], text) for one in counters if (text := _canonical(one))}


@dataclass
class Answers(_Counters):
    """The JSON that these paths answer, asked for each time."""

    http: httpx.AsyncClient
    paths: Sequence[str]
    name: str = "JSON"

    async def seen(self) -> Mapping[str, str | None]:
        answers = await asyncio.gather(*(self.http.get(path) for path in self.paths))
        return {one["ticket"]: _canonical(one) for answer in answers for one in answer.json()["counters"]}


@dataclass
class Stored(_Counters):
    """The counters that are stored, which is no view that keeps tickets watched."""

    redis: Redis
    site: str
    tickets: Sequence[str]
    name: str = "stored"

    async def seen(self) -> Mapping[str, str | None]:
        pipeline = self.redis.pipeline(transaction=False)
        for ticket in self.tickets:
            pipeline.hget(key(self.site, "ticket", ticket), "counter")
        texts = zip(self.tickets, await pipeline.execute(), strict=True)
        return {ticket: _canonical(json.loads(text)) if text else None for ticket, text in texts}


@dataclass
class Widgets:
    """The widget in a page whose elements have `show-name` and `show-price`."""

    page: Page
    name: str = "widget"

    async def seen(self) -> Mapping[str, str | None]:
        found: dict[str, str | None] = await self.page.evaluate(TEXTS)
        return {ticket: text and " ".join(text.split()) for ticket, text in found.items()}

    def due(self, counter: CanonicalCounter) -> str:
        found = json.loads(counter)
        state, unsold = found["state"], found["unsold"]
        if state == "gone":
            return OWN_WORDS
        sentence = {
            "available": "Available." if unsold is None else f"{unsold} left at this price.",
            "low": f"Only {unsold} left at this price.",
            "sold_out": "Sold out.",
            "scheduled": "On sale from March 1, 2100 at 6:30 PM UTC.",
            "closed": "Registration is closed.",
            "ended": "Sale ended.",
        }[state]
        return " ".join(
            (found["name"], *(["$25.00" + " + fees" * (found["fees"] == "added")] if found["prices"] else []), sentence)
        )


def _canonical(counter: dict[str, Any]) -> CanonicalCounter | None:
    found = of_frame(json.dumps(counter))
    return found[1] if found else None
