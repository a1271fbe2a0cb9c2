"""The sandbox's shop page in a real browser, with everything real behind it: sandbox, server, worker, Redis."""

from playwright.async_api import Locator, Page, expect

from tests.rig.server import StartServer, until
from tests.rig.wix import WixRig


async def test_shop_page_shows_stock_and_counter(
    start_server: StartServer, wix: WixRig, page: Page, console_errors: list[str]
) -> None:
    """In the sandbox's shop each ticket's stock and counter agree after each action of a buyer."""
    running = await start_server(worker=True, **wix.settings())
    wix.send_to(running.url)
    wix.knobs.turn(hold_seconds=900.0)
    await page.goto(wix.url)

    def card(name: str) -> Locator:
        return page.get_by_role("article").filter(has=page.get_by_role("heading", name=name, exact=True))

    async def agree(name: str, truth: str, claim: str) -> None:
        await expect(card(name).locator(".truth")).to_have_text(truth, timeout=10_000)
        await expect(card(name).locator("ticket-counter [part=text]")).to_have_text(claim, timeout=10_000)

    await agree("Nearly sold out", "3 left of 3", "Only 3 left at this price.")
    await card("Nearly sold out").get_by_role("button", name="Buy 1").click()
    await agree("Nearly sold out", "2 left of 3", "Only 2 left at this price.")
    await card("Nearly sold out").get_by_role("button", name="Hold 1").click()
    await agree("Nearly sold out", "1 left of 3", "Only 1 left at this price.")
    await card("Nearly sold out").get_by_role("button", name="Release").click()
    await agree("Nearly sold out", "2 left of 3", "Only 2 left at this price.")
    await page.get_by_role("button", name="Cancel order").click()
    await agree("Nearly sold out", "3 left of 3", "Only 3 left at this price.")
    await card("Nearly sold out").get_by_role("button", name="Rush of 10").click()
    await agree("Nearly sold out", "0 left of 3", "Sold out.")
    await expect(card("Nearly sold out").get_by_role("alert")).to_contain_text("7 of 10 got none")

    await card("Family day").get_by_label("Price").select_option(label="Child, $8.50")
    await card("Family day").get_by_role("button", name="Buy 1").click()
    await agree("Family day", "39 left of 40", "39 left.")
    await agree("Online stream", "∞ no limit", "Available.")
    assert [] == [one for one in console_errors if "409" not in one]


async def test_shop_page_turns_the_sandbox_s_knobs(start_server: StartServer, wix: WixRig, page: Page) -> None:
    """The shop's knobs turn the sandbox's, and go back to normal together."""
    running = await start_server(**wix.settings())
    wix.send_to(running.url)
    await page.goto(wix.url)
    await page.get_by_role("article").first.wait_for()

    await page.get_by_label("Webhooks lost").fill("0.5")
    await page.get_by_label("Outage").select_option("503")
    await until(lambda: (0.5, "503") == (wix.knobs.now.loss, wix.knobs.now.outage))
    await page.get_by_role("button", name="All back to normal").click()

    await until(lambda: (0, "none") == (wix.knobs.now.loss, wix.knobs.now.outage))
