"""How the HTML of a mail looks in a real browser: contrast, width and direction, on light and dark screens."""

from typing import Any, Literal

import pytest
from playwright.async_api import Browser

from tests.rig.mail_samples import UNSUBSCRIBE, announcement, renderer, ticket

RENDERER = renderer()
LANGUAGES = [one.name for one in RENDERER.languages.all]
LONG = announcement(title="Donaudampfschifffahrtsgesellschaft" * 4, tickets=(ticket("x" * 120),), location="y" * 150)
TEXTS = """() => {
  const parts = (text) => text.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map((one) => one / 255)
    .map((one) => one <= 0.04045 ? one / 12.92 : ((one + 0.055) / 1.055) ** 2.4)
    .reduce((sum, one, place) => sum + one * [0.2126, 0.7152, 0.0722][place], 0);
  const behind = (element) => {
    for (let one = element; one; one = one.parentElement) {
      const color = parts(getComputedStyle(one).backgroundColor);
      if (color.length < 4 || color[3] > 0) return color;
    }
    return [255, 255, 255];
  };
  const found = [], walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const text = walker.currentNode.data.trim(), element = walker.currentNode.parentElement;
    if (!text) continue;
    const [high, low] = [parts(getComputedStyle(element).color), behind(element)].map(light).sort((a, b) => b - a);
    found.push([text, (high + 0.05) / (low + 0.05)]);
  }
  return found;
}"""
"""Each text with its contrast to what is behind it (WCAG 2.2, "contrast ratio")."""

Scheme = Literal["light", "dark"]


async def seen(browser: Browser, html: str, width: int, scheme: Scheme, script: str) -> Any:
    page = await browser.new_page(viewport={"width": width, "height": 400}, color_scheme=scheme)
    await page.set_content(html)
    found = await page.evaluate(script)
    await page.close()
    return found


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_every_text_can_be_read(browser: Browser, scheme: Scheme) -> None:
    """Each text has a contrast of 4.5 at least, on light and dark screens."""
    html = RENDERER.render(announcement(), "en", UNSUBSCRIBE).html
    found = await seen(browser, html, 800, scheme, TEXTS)

    assert len(found) > 12
    assert [] == [text for text, contrast in found if contrast < 4.5]


@pytest.mark.parametrize("language", LANGUAGES)
async def test_a_narrow_screen_shows_the_whole_width(browser: Browser, language: str) -> None:
    """Nothing is wider than a telephone of 360 px, not even names without a blank, and on a wide screen it stays below 600."""
    for said in (announcement(), LONG):
        html = RENDERER.render(said, language, UNSUBSCRIBE).html
        narrow = await seen(browser, html, 360, "light", "document.documentElement.scrollWidth")
        wide = await seen(browser, html, 1600, "light", "document.querySelector('.card').getBoundingClientRect().width")

        assert (360, 600) == (narrow, wide)


async def test_hebrew_begins_at_the_right(browser: Browser) -> None:
    """In Hebrew a ticket stands right of its price, and in German left of it."""
    places = "[...document.querySelectorAll('td.line')].map((one) => one.getBoundingClientRect().left)"
    hebrew, german = [
        await seen(browser, RENDERER.render(announcement(), one, UNSUBSCRIBE).html, 800, "light", places)
        for one in ("he", "de")
    ]

    assert hebrew[0] > hebrew[1]
    assert german[0] < german[1]
