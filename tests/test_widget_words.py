"""The widget's texts in a real browser: sentences, prices, dates, and announcements to screen readers."""

import re

from playwright.async_api import Page, expect

from server.model import Event, EventId, Price, Registration, Sale, SaleStatus
from tests.rig.fake_reader import EVENT, FakeReader, definition
from tests.rig.host_site import LOADED, SCRIPT, TAG, HostSite, counter, shows
from tests.rig.server import TICKET, StartServer

START, STARTED = "2030-01-01T12:00:00Z", "2030-01-01T12:00:05Z"
HOSTILE = '<img src=x onerror="alert(1)"> & {n} $& \u202e'


async def test_sentence_of_each_state(
    start_server: StartServer, reads: FakeReader, site: HostSite, page: Page, console_errors: list[str]
) -> None:
    """Each state has a true sentence, live; if nothing is known the page's own words are shown."""
    running = await start_server()
    await page.goto(site.put("/", f'<script src="{running.url}{SCRIPT}"></script>' + TAG))
    await page.wait_for_function("document.querySelector('ticket-counter').counter?.state === 'unknown'")
    await shows(page, "Tickets at the door")

    options = (Price("20.00", "USD", "a", "Adult"), Price("8.50", "USD", "c", "Child"))
    start = Sale("2030-03-01T18:30:00Z", None, "Europe/Berlin")
    for one, expected in [
        (definition(TICKET, 48), "48 left at this price."),
        (definition(TICKET, 3), "Only 3 left at this price."),
        (definition(TICKET, 1), "Only 1 left at this price."),
        (definition(TICKET, 0), "Sold out."),
        (definition(TICKET, 3, shared=True, prices=options), "Only 3 left."),
        (definition(TICKET, 48, shared=True), "48 left."),
        (definition(TICKET, 1200), "1,200 left at this price."),
        (definition(TICKET, None), "Available."),
        (definition(TICKET, 20, status=SaleStatus.SCHEDULED), "Not on sale yet."),
        (
            definition(TICKET, 20, status=SaleStatus.SCHEDULED, sale=start),
            "On sale from March 1, 2030 at 7:30 PM GMT+1.",
        ),
        (definition(TICKET, 20, status=SaleStatus.ENDED), "Sale ended."),
        (definition(TICKET, 20, hidden=True), "Tickets at the door"),
        (definition(TICKET, 2), "Only 2 left at this price."),
    ]:
        await reads.read(one)
        await shows(page, expected)
    await reads.read(definition(TICKET, 2), event=Event(EventId(EVENT), registration=Registration.CLOSED))
    await shows(page, "Registration is closed.")
    await reads.read(definition(TICKET, 2))
    await shows(page, "Only 2 left at this price.")

    assert "low" == await page.locator("ticket-counter").get_attribute("data-state")
    assert [] == console_errors


async def test_hostile_name_is_shown_as_text(
    start_server: StartServer, reads: FakeReader, site: HostSite, page: Page, console_errors: list[str]
) -> None:
    """A name is shown character by character, whatever it looks like."""
    running = await start_server()
    await reads.read(definition(TICKET, 3, name=HOSTILE))
    tag = f'<ticket-counter ticket="{TICKET}" show-name show-price></ticket-counter>'

    await page.goto(site.put("/", f'<script src="{running.url}{SCRIPT}"></script>' + tag))
    await shows(page, f"{HOSTILE} $25.00 Only 3 left at this price.")

    # A name that changes the writing direction does not change that of what follows.
    boxes = [await page.locator(f"ticket-counter [part={part}]").bounding_box() for part in ("name", "price", "text")]
    assert boxes == sorted(boxes, key=lambda box: box["x"] if box else 0)
    assert 0 == await page.locator("img").count()
    assert [] == console_errors


async def test_last_counter_received_is_shown(site: HostSite, page: Page) -> None:
    """The counter received last is shown, whatever its version: only the server compares versions."""
    await page.goto(site.put("/", LOADED + TAG))
    socket = await site.socket(1)

    await socket.send(counter(v=9, unsold=2), counter(v=1, unsold=5))

    await shows(page, "Only 5 left at this price.")


async def test_price_is_the_least_that_a_buyer_pays(site: HostSite, page: Page) -> None:
    """A price is the least that a buyer will pay, to the last digit, in the currency's own format."""
    tag = TAG.replace(">", " show-price>", 1)
    await page.goto(site.put("/", f"<html lang=en-US>{LOADED}{tag}"))
    socket = await site.socket(1)
    price = page.locator("ticket-counter [part=price]")

    def one(amount: str, currency: str = "USD", option: str | None = None) -> dict[str, str | None]:
        return {"amount": amount, "currency": currency, "option": option, "name": None}

    for prices, shared, expected in [
        ([one("25.00")], False, "$25.00"),
        ([one("12345678901234567.89")], False, "$12,345,678,901,234,567.89"),
        ([one("0.00")], False, "Free"),
        ([one("5.00")], True, "from $5.00"),
        ([one("20.00", option="a"), one("8.50", option="b")], True, "from $8.50"),
        ([one("9.00", option="a"), one("10.00", option="b")], True, "from $9.00"),
        ([one("7.00", option="a"), one("7.00", option="b")], True, "$7.00"),
        ([one("3000.00", "JPY")], False, "¥3,000"),
        ([one("4.00", "")], False, "4.00"),
        ([], False, ""),
    ]:
        await socket.send(counter(prices=prices, shared=shared))
        await expect(price).to_have_text(expected)


async def test_numbers_follow_the_language(site: HostSite, page: Page, console_errors: list[str]) -> None:
    """Numbers follow the language of the page, or of the element; an invalid language does no harm."""
    tag = TAG.replace(">", " show-price>", 1)
    await page.goto(site.put("/", f"<html lang=de>{LOADED}{tag}"))
    await (await site.socket(1)).send(counter(state="available", unsold=1200))
    await shows(page, "25,00\u00a0$ Noch 1.200 Tickets zu diesem Preis.")

    element = page.locator("ticket-counter")
    await element.evaluate("(one) => { one.lang = 'fr-CH' }")
    await expect(element.locator("[part=price]")).to_have_text(re.compile(r"25[.,]00\s\$"))
    await element.evaluate("(one) => { one.lang = 'no_SUCH_thing' }")

    await shows(page, "$25.00 1,200 left at this price.")
    assert [] == console_errors


async def test_unknown_time_zone(site: HostSite, page: Page) -> None:
    """A sale start is shown in the event's time zone, or in UTC if the browser does not know the zone."""
    await page.goto(site.put("/", LOADED + TAG))
    socket = await site.socket(1)
    start = "2030-07-01T18:30:00Z"

    await socket.send(counter(state="scheduled", sale={"start": start, "end": None, "zone": "America/New_York"}))
    await shows(page, "On sale from July 1, 2030 at 2:30 PM EDT.")
    await socket.send(counter(state="scheduled", sale={"start": start, "end": None, "zone": "Moon/Tranquility"}))

    await shows(page, "On sale from July 1, 2030 at 6:30 PM UTC.")
