"""One tab of a browser, whichever engine it is: the small interface that chromium.py, firefox.py and webkit.py have in common.

An expression is JavaScript whose value JSON can carry; a promise is awaited. Console messages are warnings, errors and what was thrown and
not caught, with those of the engine itself (a policy that was violated), in their order, since the last `open` or `back`.
"""

import asyncio
import json
from dataclasses import dataclass, field
from typing import Any, Protocol

from tests.rig.server import until

PATIENCE = 20.0
"""Seconds after which a page is given up: far more than any page takes."""


class ScriptError(Exception):
    """An expression threw, in the page."""


class Tab(Protocol):
    """A visible tab."""

    async def open(self, url: str) -> None:
        """Open a page and wait until it has loaded; messages from before are dropped."""

    async def follow(self, url: str) -> None:
        """Go on to another page, from which `back` leads to this one."""

    async def back(self) -> None:
        """Go back by one page, as the back button does; messages from before are dropped."""

    async def evaluate(self, expression: str) -> Any:
        """The value of an expression; raises ScriptError."""

    async def messages(self) -> list[str]:
        """The console messages, after all that the page has written so far has arrived: `warning: text`, `error: text`."""

    async def screenshot(self) -> bytes:
        """What is seen, as a PNG."""

    async def resize(self, width: int, height: int) -> None:
        """Make the viewport this large, in CSS pixels."""


@dataclass
class Console:
    """The messages of one tab; a mark that the page itself writes tells that all before it have arrived."""

    found: list[str] = field(default_factory=list)
    marks: int = 0
    seen: asyncio.Condition = field(default_factory=asyncio.Condition)
    _marks_seen: set[str] = field(default_factory=set)

    async def note(self, level: str, text: str) -> None:
        """Add a message as the browser reports it."""
        async with self.seen:
            if text.startswith("mark of the rig"):
                self._marks_seen.add(text)
            elif level in {"warn", "warning", "error"}:
                self.found.append(f"{'error' if level == 'error' else 'warning'}: {text}")
            self.seen.notify_all()

    async def read(self, tab: Tab) -> list[str]:
        """All messages of the tab until now."""
        self.marks += 1
        mark = f"mark of the rig {self.marks}"
        await tab.evaluate(f"void console.info({json.dumps(mark)})")
        async with asyncio.timeout(PATIENCE), self.seen:
            await self.seen.wait_for(lambda: mark in self._marks_seen)
        return [*self.found]


def as_json(expression: str) -> str:
    """An expression whose value is a promise of the JSON of the given one's value: what each engine can hand over."""
    return f"(async () => JSON.stringify((await ({expression})) ?? null))()"


async def becomes_true(tab: Tab, expression: str, seconds: float = PATIENCE) -> None:
    """Wait until an expression is true in the page; raise AssertionError with its last value."""
    value: Any = None

    async def true() -> bool:
        nonlocal value
        value = await tab.evaluate(expression)
        return bool(value)

    try:
        await until(true, seconds, every=0.02)
    except AssertionError:
        raise AssertionError(f"after {seconds} s it is {value!r}: {expression}") from None
