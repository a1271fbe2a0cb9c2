"""Chromium as an engine: driven by Playwright, as in browser.py, which knows where it is."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from playwright.async_api import ConsoleMessage, Error, Page, async_playwright

from tests.rig.browser import FLAGS
from tests.rig.browser import chromium as path_of_chromium
from tests.rig.tab import Console, ScriptError, as_json


class ChromiumTab:
    """The one tab of the browser."""

    def __init__(self, page: Page) -> None:
        self._page = page
        self._console = Console()
        page.on("console", self._message)
        page.on("pageerror", self._error)

    async def _message(self, message: ConsoleMessage) -> None:
        await self._console.note(message.type, message.text)

    async def _error(self, error: Error) -> None:
        await self._console.note("error", str(error))

    async def open(self, url: str) -> None:
        """Open a page."""
        await self._page.goto("about:blank")
        self._console.found.clear()
        await self._page.goto(url)

    async def follow(self, url: str) -> None:
        """Go on to another page."""
        await self._page.goto(url)

    async def back(self) -> None:
        """Go back by one page."""
        self._console.found.clear()
        await self._page.go_back(wait_until="commit")  # a page that was kept does not load again

    async def evaluate(self, expression: str) -> Any:
        """The value of an expression."""
        try:
            return json.loads(await self._page.evaluate(as_json(expression)))
        except Error as error:
            raise ScriptError(str(error)) from None

    async def messages(self) -> list[str]:
        """The console messages."""
        return await self._console.read(self)

    async def screenshot(self) -> bytes:
        """What is seen, as a PNG."""
        return await self._page.screenshot()

    async def resize(self, width: int, height: int) -> None:
        """Make the viewport this large."""
        await self._page.set_viewport_size({"width": width, "height": height})


@asynccontextmanager
async def chromium(_folder: Path) -> AsyncIterator[ChromiumTab]:
    """Run a Chromium with one tab, as long as the block."""
    async with async_playwright() as playwright:
        # As a browser that a visitor has: Playwright turns the cache for the back button off.
        browser = await playwright.chromium.launch(
            executable_path=path_of_chromium(playwright),
            args=[*FLAGS],
            ignore_default_args=["--disable-back-forward-cache"],
        )
        try:
            yield ChromiumTab(await browser.new_page())
        finally:
            await browser.close()
