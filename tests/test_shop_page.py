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
        await expect(card(name).locator(".says")).to_have_text(truth, timeout=10_000)
        await expect(card(name).locator("ticket-counter [part=text]")).to_have_text(claim, timeout=10_000)

    await agree("Nearly sold out", "3 left", "Only 3 left at this price.")
    await expect(card("Nearly sold out")).to_contain_text("45.00 USD + 1.13 USD service fee")
    await card("Nearly sold out").get_by_role("button", name="Buy 1").click()
    await agree("Nearly sold out", "2 left", "Only 2 left at this price.")
    await card("Nearly sold out").get_by_role("button", name="Hold 1").click()
    await agree("Nearly sold out", "1 left", "Only 1 left at this price.")
    await expect(card("Nearly sold out").locator(".stock")).to_contain_text("1 of 3 in stock")
    await expect(card("Nearly sold out").locator(".stock")).to_contain_text("1 sold, 1 held")
    await card("Nearly sold out").get_by_role("button", name="Release").click()
    await agree("Nearly sold out", "2 left", "Only 2 left at this price.")
    await page.get_by_role("button", name="Cancel order").click()
    await agree("Nearly sold out", "3 left", "Only 3 left at this price.")
    await card("Nearly sold out").get_by_role("button", name="Rush of 10").click()
    await agree("Nearly sold out", "Sold out", "Sold out.")
    await expect(card("Nearly sold out").get_by_role("alert")).to_contain_text("7 of 10 got none")

    await card("Family day").get_by_label("Price").select_option(label="Child, $8.50")
    await card("Family day").get_by_role("button", name="Buy 1").click()
    await agree("Family day", "39 left", "39 left.")
    await agree("Online stream", "On sale", "Available.")
    assert [] == [one for one in console_errors if "409" not in one]


async def test_shop_page_switches_registration(start_server: StartServer, wix: WixRig, page: Page) -> None:
    """The shop's switch pauses, closes and opens registration, and each card says what Wix's page would."""
    running = await start_server(**wix.settings())
    wix.send_to(running.url)
    await page.goto(wix.url)
    admission = page.get_by_role("article").filter(has=page.get_by_role("heading", name="General admission"))
    hidden = page.get_by_role("article").filter(has=page.get_by_role("heading", name="Crew only"))
    selling = page.locator("#selling")
    await expect(page.get_by_role("radio", name="Open")).to_be_checked()
    await expect(selling).to_have_text("Wix sells tickets now.")

    for choice, reason in (("Paused", "registration is paused"), ("Closed", "registration is closed")):
        await page.get_by_role("radio", name=choice).check()
        await expect(selling).to_have_text(f"Wix sells no tickets now: {reason}.")
        await expect(page.get_by_role("radio", name=choice)).to_be_checked()
        await expect(admission.locator(".says")).to_have_text("Registration is closed")
        await expect(admission.get_by_role("button", name="Buy 1")).to_be_disabled()
        await expect(hidden.locator(".says")).to_have_text("Not shown: the ticket is hidden")
    assert (False, True) == ((found := wix.world.event(wix.event).registration).paused, found.disabled)

    await page.get_by_role("radio", name="Open").check()
    await expect(admission.locator(".says")).to_have_text("120 left")
    await admission.get_by_role("button", name="Buy 1").click()
    await expect(admission.locator(".says")).to_have_text("119 left")
    wix.world.cancel_event(wix.event)
    await expect(selling).to_have_text("Wix sells no tickets now: the event is canceled.")
    await expect(admission.locator(".says")).to_have_text("Not shown: the event is canceled")


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
