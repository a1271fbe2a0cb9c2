"""The time of a page that has `page.clock` installed, with the network between."""

from collections.abc import Callable

from playwright.async_api import Page

ROUND_TRIP = """() => new Promise((done) => {
  const image = new Image();
  image.onload = image.onerror = () => done();
  image.src = "/favicon.ico?" + Math.random();
})"""


async def pass_time(page: Page, seconds: int, enough: Callable[[], bool] = lambda: False) -> None:
    """Let so many seconds pass, or until *enough*; after each, what was sent by then has arrived."""
    for _ in range(seconds):
        if enough():
            return
        await page.clock.run_for(1_000)
        # Two: what the first answer's neighbours caused has arrived with the second.
        await page.evaluate(ROUND_TRIP)
        await page.evaluate(ROUND_TRIP)
