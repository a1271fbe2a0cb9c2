"""
A real Chromium for tests, driven by Playwright.

    page             an empty page in a browser of the test's own
    browser          the browser, for more pages and contexts
    console_errors   the errors of the page's console and its uncaught exceptions, in order

The browser is $CHROMIUM, or a Chromium or Chrome on the PATH, or the one that `playwright install chromium` fetches.
If there is none the test fails: a skipped browser test would look like a passed one.
"""

import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from playwright.async_api import Browser, ConsoleMessage, Page, Playwright, async_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome")

FLAGS = (
    "--disable-background-networking",  # tests reach this machine only
    "--disable-component-update",
    "--disable-quic",  # the server speaks HTTP/1.1
    "--disable-sync",
    "--no-first-run",
    # Chromium's sandbox does not start for root, as in most containers; only pages of the tests are opened here.
    *(["--no-sandbox"] if os.geteuid() == 0 else []),
)


def chromium(playwright: Playwright) -> str:
    """Return the path of the browser; without one fail the test and say what to install."""
    for name in (os.environ.get("CHROMIUM"), *NAMES):
        if name and (found := shutil.which(name)):
            return found
    if Path(playwright.chromium.executable_path).exists():
        return playwright.chromium.executable_path
    pytest.fail(
        "no Chromium found: set CHROMIUM to its path, or install it (apt-get install chromium, playwright install chromium)",
        pytrace=False,
    )


@pytest.fixture
def console_errors() -> list[str]:
    """The errors of the test's `page`, as they occur."""
    return []


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    """A fresh browser for each test: a browser belongs to one event loop, and pytest-asyncio gives each test its own."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium(playwright), args=[*FLAGS])
        yield browser
        await browser.close()


@pytest.fixture
async def page(browser: Browser, console_errors: list[str]) -> Page:
    """An empty page that writes its errors to `console_errors`."""

    def note(message: ConsoleMessage) -> None:
        if message.type == "error":
            console_errors.append(message.text)

    page = await browser.new_page()
    page.on("console", note)
    page.on("pageerror", lambda error: console_errors.append(str(error)))
    return page
