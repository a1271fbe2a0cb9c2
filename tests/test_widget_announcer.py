"""What screen readers are told by a page: one status region, full sentences, few and late enough to be heard."""

from typing import Any

from playwright.async_api import Page, expect

from tests.rig.host_site import LOADED, TAG, HostSite, PageSocket, counter
from tests.rig.server import OTHER, TICKET

START, STARTED = "2030-01-01T12:00:00Z", "2030-01-01T12:00:05Z"
REGION = "document.querySelector('[role=status]')"

RECORDED = """
  window.told = [];
  new MutationObserver(() => {
    const said = [...document.querySelectorAll("[role=status] > *")].map((one) => one.textContent);
    if (said.join() !== told.at(-1)?.[1].join()) told.push([Math.round((performance.now() - begun) / 100) / 10, said]);
  }).observe(document, { subtree: true, childList: true, characterData: true });"""


class Screen:
    """A page under a clock of its own, of which all that its status region says is recorded: [seconds, texts]."""

    def __init__(self, page: Page, socket: PageSocket) -> None:
        self.page = page
        self.socket = socket

    async def get(self, ticket: str = TICKET, ms: int = 0, **more: Any) -> None:
        """Receive a counter, and let time pass."""
        await self.socket.send(counter(ticket, **more))
        await self.page.wait_for_function(
            """([ticket, wanted]) => {
              const { counter } = document.querySelector(`ticket-counter[ticket="${ticket}"]`);
              return counter && Object.entries(wanted).every(([key, value]) => JSON.stringify(counter[key]) === JSON.stringify(value));
            }""",
            arg=[ticket, more],
        )
        if ms:
            await self.pass_by(ms)

    async def pass_by(self, ms: int) -> None:
        """Let time pass, with the server's heartbeats."""
        while ms > 0:
            await self.socket.send()
            await self.page.clock.run_for(min(ms, 20_000))
            ms -= 20_000

    async def told(self) -> list[Any]:
        """What was said, in order, without the silence between."""
        return [one for one in await self.page.evaluate("told") if one[1]]

    async def texts(self) -> list[Any]:
        """The same, without times."""
        return [said for _, said in await self.told()]


async def screen(site: HostSite, page: Page, body: str) -> Screen:
    """Open a page with these elements; time stands when it is ready."""
    await page.clock.install(time=START)
    await page.goto(site.put("/", f"<body>{LOADED}{body}<script>{RECORDED}</script>"))
    await page.clock.pause_at(STARTED)
    await page.evaluate("window.begun = performance.now()")
    return Screen(page, await site.socket(1))


async def test_one_region_for_a_page(site: HostSite, page: Page) -> None:
    """All elements share one polite region, which is outside of them, takes no place and is silent at first."""
    seen = await screen(site, page, TAG * 2 + TAG.replace(TICKET, OTHER))
    await seen.get(unsold=3)
    await seen.get(OTHER, state="sold_out", unsold=0, ms=5_000)

    region = page.locator("[role=status]")
    await expect(region).to_have_count(1)
    assert [] == await seen.told()
    assert "BODY" == await page.evaluate(f"{REGION}.parentNode.tagName")
    box = await region.bounding_box()
    assert box
    assert (0, 0) == (box["width"], box["height"])
    assert "inset(50%)" == await page.evaluate(f"getComputedStyle({REGION}).clipPath")
    # `status` is polite by its role (WAI-ARIA 1.2): nothing makes it assertive.
    assert ["role", "style"] == await page.evaluate(f"{REGION}.getAttributeNames().sort()")


async def test_what_is_news(site: HostSite, page: Page) -> None:
    """News are a new state, and each count of the last five; a sale among many, and a withdrawn number, are none."""
    seen = await screen(site, page, TAG)
    await seen.get(state="available", unsold=20, ms=1_000)
    changes: list[dict[str, Any]] = [
        {"state": "available", "unsold": 19},
        {"state": "low", "unsold": 10},
        {"state": "low", "unsold": 9},
        {"state": "low", "unsold": 5},
        {"state": "unknown", "unsold": None, "prices": []},
        {"state": "low", "unsold": 5},
        {"state": "low", "unsold": 4},
        {"state": "sold_out", "unsold": 0},
        {"state": "available", "unsold": 48},
    ]
    for more in changes:
        await seen.get(ms=40_000, **more)

    assert [
        ["Only 10 left at this price."],
        ["Only 5 left at this price."],
        ["Only 4 left at this price."],
        ["Sold out."],
        ["48 left at this price."],
    ] == await seen.texts()


async def test_at_most_twice_a_minute_and_the_last_word_counts(site: HostSite, page: Page) -> None:
    """News that come faster are told together 30 seconds later, as they are then; what has gone back is not told."""
    seen = await screen(site, page, TAG)
    await seen.get(unsold=5, ms=1_000)
    await seen.get(unsold=4, ms=1_000)
    await seen.get(unsold=3, ms=1_000)
    await seen.get(unsold=2, ms=40_000)
    assert [["Only 4 left at this price."], ["Only 2 left at this price."]] == await seen.texts()
    [first, second] = [at for at, _ in await seen.told()]
    assert 30 <= second - first < 31

    # It is sold out, and comes back before that was told.
    await seen.get(state="sold_out", unsold=0, ms=100)
    await seen.get(unsold=2, ms=60_000)
    assert 2 == len(await seen.told())


async def test_news_stand_whatever_is_sold(site: HostSite, page: Page) -> None:
    """What is told stands at least five seconds, although tickets are sold meanwhile."""
    seen = await screen(site, page, TAG)
    await seen.get(state="available", unsold=11, ms=1_000)
    await seen.get(state="low", unsold=10, ms=100)
    said = page.locator("[role=status]")
    for unsold in (9, 8, 7, 6, 5, 4):
        await seen.get(unsold=unsold, ms=900)
        assert "Only 10 left at this price." == await said.text_content()
    await seen.get(state="unknown", unsold=None, prices=[], ms=1)
    assert "Only 10 left at this price." == await said.text_content()

    await seen.pass_by(10_000)

    assert "" == await said.text_content()


async def test_each_news_once_by_name(site: HostSite, page: Page) -> None:
    """News of one ticket in three places are told once; where a page has several tickets, each sentence names its own."""
    seen = await screen(site, page, TAG * 3 + TAG.replace(TICKET, OTHER))
    await seen.get(name="Adult", unsold=3)
    await seen.get(OTHER, name="Child", unsold=8, ms=1_000)
    await seen.get(name="Adult", state="sold_out", unsold=0)
    await seen.get(OTHER, name="Child", state="sold_out", unsold=0, ms=1_000)

    assert [["Adult: Sold out.", "Child: Sold out."]] == await seen.texts()
    assert [["en", "ltr"]] * 2 == await page.evaluate(f"[...{REGION}.children].map(({{ lang, dir }}) => [lang, dir])")


async def test_modal_dialog(site: HostSite, page: Page) -> None:
    """While a modal dialog is open, the region is in it, since the rest of the page is inert; then it is in the page again."""
    seen = await screen(site, page, f"{TAG}<dialog>Seats</dialog>")
    await seen.get(unsold=5, ms=1_000)
    await page.evaluate("document.querySelector('dialog').showModal()")
    await seen.get(unsold=4, ms=1_000)
    assert ["DIALOG", "Only 4 left at this price."] == await page.evaluate(
        f"[{REGION}.parentNode.tagName, {REGION}.textContent]"
    )

    await page.evaluate("document.querySelector('dialog').close()")
    await seen.pass_by(40_000)
    await seen.get(unsold=3, ms=1_000)

    assert ["BODY", "Only 3 left at this price."] == await page.evaluate(
        f"[{REGION}.parentNode.tagName, {REGION}.textContent]"
    )


async def test_page_whose_body_is_replaced(site: HostSite, page: Page) -> None:
    """After a page has replaced its body, as Turbo does, news are told in the new one, and the old ones not again."""
    seen = await screen(site, page, TAG)
    await seen.get(unsold=5, ms=1_000)
    await seen.get(unsold=4, ms=40_000)
    await page.evaluate(
        "(tag) => { const body = document.createElement('body'); body.innerHTML = tag; document.body = body }", TAG
    )
    await page.wait_for_function("document.querySelector('ticket-counter').counter?.unsold === 4")
    await seen.pass_by(40_000)
    assert 1 == len(await seen.told())

    await seen.get(unsold=3, ms=1_000)

    await expect(page.locator("body > [role=status]")).to_have_text("Only 3 left at this price.")
    assert 2 == len(await seen.told())


async def test_sell_out_of_twenty(site: HostSite, page: Page) -> None:
    """Twenty tickets of which one is sold every six seconds: what is heard, and when."""
    seen = await screen(site, page, TAG)
    await seen.get(state="available", unsold=20, ms=6_000)
    for unsold in range(19, -1, -1):
        state = "available" if unsold > 10 else "low" if unsold else "sold_out"
        await seen.get(state=state, unsold=unsold, ms=6_000)
    await seen.pass_by(60_000)

    told = await seen.told()
    assert [
        ["Only 10 left at this price."],
        ["Only 5 left at this price."],
        ["Sold out."],
    ] == [said for _, said in told]
    # 10 and 5 are left at 60 s and 90 s; the last one is sold at 120 s.
    assert [60, 90, 120] == [round(at) for at, _ in told]
    # In the end it is silent.
    assert [] == await page.evaluate("told.at(-1)[1]")
