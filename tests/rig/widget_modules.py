"""
The modules of widget/src in a page of a real Chromium.

    modules    a page that has them at /src/; `await modules.evaluate(IMPORT + "sentence(…)")` calls one

The page's origin is no server: the browser's requests are answered from the folder.
"""

from pathlib import Path

import pytest
from playwright.async_api import Page, Route

SRC = Path(__file__).resolve().parents[2] / "widget" / "src"
ORIGIN = "http://modules.example"


async def _answer(route: Route) -> None:
    name = route.request.url.removeprefix(f"{ORIGIN}/src/")
    if name in {path.name for path in SRC.glob("*.js")}:
        await route.fulfill(body=(SRC / name).read_text(), content_type="text/javascript; charset=utf-8")
    else:
        await route.fulfill(body="<!doctype html>", content_type="text/html; charset=utf-8")


@pytest.fixture
async def modules(page: Page) -> Page:
    """An empty page, from which `import("/src/words.js")` and the others work."""
    await page.route(f"{ORIGIN}/**", _answer)
    await page.goto(f"{ORIGIN}/")
    return page
