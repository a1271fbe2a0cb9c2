"""The element in a real browser: its attributes, its parts, the list of an event, and pages that are hard on it."""

import asyncio
import json
from typing import Any

import pytest
from playwright.async_api import Page, Route, expect

from tests.rig.host_site import LOADED, SCRIPT, TAG, HostSite, counter, shows, warnings_of
from tests.rig.server import OTHER, TICKET, until

EVENT = "0b5f1a2e-4444-4444-8444-00000000e001"
THIRD = "33333333-aaaa-4aaa-8aaa-000000000003"
BUY = "https://shop.example/event-details/gala"
ONE = "document.querySelector('ticket-counter')"


def listed(*tickets: str) -> str:
    """The list of an event as the server writes it."""
    return json.dumps({"event": EVENT, "tickets": tickets})


def tagged(attributes: str, content: str = "Tickets at the door") -> str:
    """An element of one ticket with these attributes."""
    return f'<ticket-counter ticket="{TICKET}" {attributes}>{content}</ticket-counter>'


async def lines(page: Page) -> list[str]:
    """The visible lines of the first element, as a visitor reads them."""
    return list(
        await page.evaluate(
            f"Array.from({ONE}.shadowRoot.querySelectorAll('li'), (one) => one.innerText.trim()).filter(Boolean)"
        )
    )


async def test_event_is_a_list(site: HostSite, page: Page) -> None:
    """An event is one line a ticket, with name and price, in the server's order; tickets of which nothing may be said have none."""
    await page.goto(site.put("/", f'{LOADED}<ticket-counter event=" gala night ">At the door</ticket-counter>'))
    socket = await site.socket(1)
    await socket.send(listed(OTHER, TICKET, THIRD))
    await shows(page, "At the door")
    await socket.send(
        counter(name="Adult"),
        counter(THIRD, state="gone", unsold=None, prices=[]),
        counter(OTHER, name="Child", state="sold_out", unsold=0),
    )

    await until(lambda: lines(page))
    assert ["Child $25.00 Sold out.", "Adult $25.00 Only 3 left at this price."] == await lines(page)
    assert (["gala night"], 1) == (socket.query["event"], len(site.sockets))
    assert ["item sold_out", "item low", "item gone"] == await page.evaluate(
        f"Array.from({ONE}.shadowRoot.querySelectorAll('ul[part=list] > li'), (one) => one.getAttribute('part'))"
    )
    assert await page.evaluate(f"{ONE}.shadowRoot.querySelector('slot').hidden")


async def test_event_follows_its_list(site: HostSite, page: Page) -> None:
    """A ticket that comes or goes, or another order, changes the lines; an empty list shows the element's own content."""
    await page.goto(site.put("/", f'{LOADED}<ticket-counter event="{EVENT}">At the door</ticket-counter>'))
    socket = await site.socket(1)
    child = counter(OTHER, name="Child", unsold=8)
    await socket.send(listed(TICKET, OTHER), counter(name="Adult"), child)
    await until(lambda: lines(page))

    await socket.send(listed(OTHER, TICKET, THIRD), counter(THIRD, name="Guest"))
    await until(lambda: page.evaluate(f"{ONE}.shadowRoot.querySelectorAll('li').length === 3"))
    left = ["Child $25.00 Only 8 left at this price.", "Adult $25.00 Only 3 left at this price."]
    await until(lambda: page.evaluate(f"{ONE}.shadowRoot.querySelector('ul').innerText.includes('Guest')"))
    assert [*left, "Guest $25.00 Only 3 left at this price."] == await lines(page)

    await socket.send(listed(OTHER), child)
    await until(lambda: page.evaluate(f"{ONE}.shadowRoot.querySelectorAll('li').length === 1"))
    assert left[:1] == await lines(page)
    await socket.send(listed())
    await shows(page, "At the door")


@pytest.mark.parametrize("kind", ["ticket", "event"])
async def test_link_where_it_is_asked_for(site: HostSite, page: Page, kind: str) -> None:
    """A line is a link with `show-link` alone, and only while the server names an address and something may be said."""
    name = TICKET if kind == "ticket" else EVENT
    await page.goto(site.put("/", f'{LOADED}<ticket-counter {kind}="{name}" show-name show-link>Own</ticket-counter>'))
    socket = await site.socket(1)
    if kind == "event":
        await socket.send(listed(TICKET))
    await socket.send(counter(buy=BUY))
    link = page.locator("ticket-counter [part=link]")
    await expect(link).to_have_attribute("href", BUY)
    assert "General admission" in await link.inner_text()
    assert 1 == await page.get_by_role("link").count()

    await socket.send(counter(buy=None))
    await expect(page.get_by_role("link")).to_have_count(0)
    await socket.send(counter(buy=BUY))
    await expect(page.get_by_role("link")).to_have_count(1)
    await page.evaluate(f"{ONE}.removeAttribute('show-link')")
    await expect(page.get_by_role("link")).to_have_count(0)
    await page.evaluate(f"{ONE}.setAttribute('show-link', '')")
    await expect(page.get_by_role("link")).to_have_count(1)
    await socket.send(counter(state="unknown", unsold=None, prices=[], buy=BUY))

    await shows(page, "Own")
    assert 0 == await page.get_by_role("link").count()


async def test_parts_are_shown_as_asked(site: HostSite, page: Page) -> None:
    """Name and price are shown where the attributes ask for them, followed at once, with real spaces between the parts."""
    await page.goto(site.put("/", LOADED + TAG))
    await (await site.socket(1)).send(counter())
    await shows(page, "Only 3 left at this price.")

    for attributes, expected in [
        (["show-price"], "$25.00 Only 3 left at this price."),
        (["show-name", "show-price"], "General admission $25.00 Only 3 left at this price."),
        (["show-name"], "General admission Only 3 left at this price."),
    ]:
        await page.evaluate(
            "(names) => { for (const name of ['show-name', 'show-price']) "
            f"{ONE}.toggleAttribute(name, names.includes(name)) }}",
            attributes,
        )
        await shows(page, expected)
        # What a copy, a translation and a reader's cursor get.
        words = await page.evaluate(f"{ONE}.shadowRoot.querySelector('[part=list]').textContent")
        assert expected == " ".join(str(words).split())
    assert "auto" == await page.locator("[part=name]").get_attribute("dir")
    assert ["en", "ltr"] == [await page.locator("[part=text]").get_attribute(name) for name in ("lang", "dir")]


async def test_price_of_one_option(site: HostSite, page: Page) -> None:
    """`option`, by id or by name, shows the price of that option."""
    await page.goto(site.put("/", LOADED + tagged('show-price option="b"')))
    socket = await site.socket(1)
    options = [("a", "Adult", "20.00"), ("b", "Child", "8.50")]
    prices = [{"amount": amount, "currency": "USD", "option": one, "name": name} for one, name, amount in options]
    await socket.send(counter(prices=prices, shared=True))
    price = page.locator("[part=price]")
    await expect(price).to_contain_text("$8.50")

    await page.evaluate(f"{ONE}.setAttribute('option', 'Adult')")

    await expect(price).to_contain_text("$20.00")


async def test_own_wording(site: HostSite, page: Page) -> None:
    """The organiser's wording by attribute or template is used for its state and plural category, and followed at once."""
    template = '<template data-text="sold_out">All gone!</template>'
    words = 'text-low="Hurry, {n}!" text-low-one="The very last!"'
    await page.goto(site.put("/", LOADED + tagged(words, f"{template}Own")))
    socket = await site.socket(1)
    said: list[tuple[dict[str, Any], str]] = [
        ({"unsold": 3}, "Hurry, 3!"),
        ({"unsold": 1}, "The very last!"),
        ({"unsold": 0, "state": "sold_out"}, "All gone!"),
        ({"unsold": 48, "state": "available"}, "48 left at this price."),
    ]
    for more, expected in said:
        await socket.send(counter(**more))
        await shows(page, expected)
    await page.evaluate(f"{ONE}.setAttribute('text-available', 'Still {{n}}.')")
    await shows(page, "Still 48.")
    await page.evaluate(
        f"{ONE}.insertAdjacentHTML('beforeend', '<template data-text=available-other>Yes, {{n}}.</template>')"
    )

    await shows(page, "Yes, 48.")


async def test_wording_says_nothing_where_nothing_may_be_said(site: HostSite, page: Page) -> None:
    """No wording gives a sentence to a counter that is unknown or gone."""
    await page.goto(site.put("/", LOADED + tagged('text-unknown="Lots left" text-gone="Lots left"', "Own")))
    socket = await site.socket(1)
    for state in ("unknown", "gone"):
        await socket.send(counter(state=state, unsold=None, prices=[]))
        await page.wait_for_function(f"{ONE}.counter?.state === '{state}'")
        await shows(page, "Own")


async def test_focus_stays_where_it_is(site: HostSite, page: Page) -> None:
    """Content that has the focus stays when the sentence comes, until it lets go."""
    await page.goto(site.put("/", f"{LOADED}{tagged('', '<a href=#buy>Get tickets</a>')}<button>Next</button>"))
    socket = await site.socket(1)
    await page.locator("a[href='#buy']").focus()
    await socket.send(counter())
    await expect(page.locator("[part=text]")).to_have_text("Only 3 left at this price.")
    assert "Get tickets" == await page.evaluate("document.activeElement.textContent")
    assert not await page.evaluate(f"{ONE}.shadowRoot.querySelector('slot').hidden")

    await page.locator("button").focus()

    await shows(page, "Only 3 left at this price.")
    assert "Next" == await page.evaluate("document.activeElement.textContent")


async def test_state_for_styles(site: HostSite, page: Page) -> None:
    """`data-state` and `:state()` tell the state; the attribute comes back where the page's script removes it."""
    await page.goto(site.put("/", LOADED + TAG))
    socket = await site.socket(1)
    await socket.send(counter())
    await page.wait_for_function(f"{ONE}.dataset.state === 'low' && {ONE}.matches(':state(low)')")

    await page.evaluate(f"{ONE}.removeAttribute('data-state')")
    await page.wait_for_function(f"{ONE}.dataset.state === 'low'")
    await page.evaluate(f"{ONE}.setAttribute('data-state', 'other')")
    await page.wait_for_function(f"{ONE}.dataset.state === 'low'")
    await socket.send(counter(state="sold_out", unsold=0))

    await page.wait_for_function(f"{ONE}.dataset.state === 'sold_out' && {ONE}.matches(':state(sold_out)')")
    assert not await page.evaluate(f"{ONE}.matches(':state(low)')")


async def test_attributes_are_left_alone_until_the_page_has_loaded(site: HostSite, page: Page) -> None:
    """Before `load` no attribute is set, since frameworks compare the page with their own; after it `data-state` is."""
    held: asyncio.Future[Route] = asyncio.get_running_loop().create_future()

    def record(route: Route) -> None:
        held.set_result(route)

    await page.route("**/slow.png", record)
    await page.goto(site.put("/", f"{LOADED}{TAG}<img src=/slow.png>"), wait_until="commit")
    await (await site.socket(1)).send(counter())
    await shows(page, "Only 3 left at this price.")
    assert ["ticket"] == await page.evaluate(f"{ONE}.getAttributeNames()")

    await (await held).abort()

    await page.wait_for_function(f"{ONE}.dataset.state === 'low'")


async def test_language_of_the_page_is_followed(site: HostSite, page: Page) -> None:
    """The nearest `lang` counts, across shadow roots, and a change of it is followed at once."""
    await page.goto(site.put("/", f"<html lang=en><body>{LOADED}<div><p></p></div>"))
    await page.evaluate(
        """(tag) => {
          const inner = document.querySelector("p").attachShadow({ mode: "open" });
          inner.innerHTML = "<section></section>";
          inner.firstChild.attachShadow({ mode: "open" }).innerHTML = tag;
        }""",
        tagged("show-price"),
    )
    price = page.locator("[part=price]")
    await (await site.socket(1)).send(counter())
    await expect(price).to_have_text("$25.00")

    await page.evaluate("document.documentElement.lang = 'de'")
    await expect(price).to_have_text("25,00\u00a0$")
    await page.evaluate("document.querySelector('div').lang = 'en'")
    await expect(price).to_have_text("$25.00")
    await page.evaluate("document.querySelector('div').removeAttribute('lang')")
    await expect(price).to_have_text("25,00\u00a0$")


async def test_far_elements_do_not_connect(site: HostSite, page: Page) -> None:
    """An element far below the viewport connects when it comes near."""
    await page.goto(site.put("/", f'{LOADED}{TAG}<p style="height:9000px"></p>{TAG.replace(TICKET, OTHER)}'))
    first = await site.socket(1)
    await first.send(counter())
    await shows(page, "Only 3 left at this price.")
    await page.evaluate("new Promise((done) => requestAnimationFrame(() => setTimeout(done, 200)))")
    assert [[TICKET]] == [one.tickets for one in site.sockets]

    await page.evaluate("scrollTo(0, 9000)")

    assert [TICKET, OTHER] == (await site.socket(2)).tickets


@pytest.mark.parametrize(
    ("around", "attributes", "script"),
    [
        ("<div style='display:contents'>{}</div>", "style='display:contents'", ""),
        ("<dialog>{}</dialog>", "", ""),
        ("<details><summary>More</summary>{}</details>", "", ""),
        ("{}", "eager", ""),
        ("{}", "", f"{ONE}.addEventListener('ticket-counter', () => 0)"),
        ("{}", "", f"{ONE}.counter"),
    ],
    ids=["contents", "dialog", "details", "eager", "listened", "read"],
)
async def test_elements_that_connect_anywhere(
    site: HostSite, page: Page, around: str, attributes: str, script: str
) -> None:
    """Elements without a box, and those that a script needs, connect wherever they are."""
    far = '<p style="height:9000px"></p>'
    await page.goto(site.put("/", LOADED + far + around.format(tagged(attributes))))
    if script:
        await page.evaluate("new Promise((done) => requestAnimationFrame(() => setTimeout(done, 200)))")
        assert 0 == len(site.sockets)
        await page.evaluate(f"void {script}")

    assert [TICKET] == (await site.socket(1)).tickets


async def test_recycled_elements(site: HostSite, page: Page) -> None:
    """A list that reuses its elements for other tickets shows the last ticket, with few connections."""
    await page.goto(site.put("/", LOADED + TAG))
    await site.socket(1)

    await page.evaluate(
        f"""async () => {{
          for (let i = 1; i <= 40; i++) {{
            {ONE}.setAttribute("ticket", `00000000-0000-4000-8000-0000000000${{i + 10}}`);
            await new Promise((done) => setTimeout(done, 20));
          }}
        }}"""
    )
    last = "00000000-0000-4000-8000-000000000050"
    await until(lambda: last in site.sockets[-1].tickets)
    await site.sockets[-1].send(counter(last, unsold=7), counter(unsold=2))

    await shows(page, "Only 7 left at this price.")
    assert len(site.sockets) <= 4


async def test_three_elements_of_one_ticket(site: HostSite, page: Page) -> None:
    """Elements of one ticket share its subscription, and nothing else: what a page does to one counter stays there."""
    await page.goto(site.put("/", LOADED + TAG * 3))
    await page.evaluate(
        """() => {
          window.heard = [];
          document.addEventListener("ticket-counter", ({ counter }) => {
            heard.push(counter.unsold);
            counter.unsold = 999;
            counter.prices.length = 0;
          });
        }"""
    )
    socket = await site.socket(1)
    await socket.send(counter())
    for number in range(3):
        await shows(page, "Only 3 left at this price.", number)
    await page.evaluate("document.querySelectorAll('ticket-counter')[1].remove()")
    await socket.send(counter(unsold=2))
    for number in range(2):
        await shows(page, "Only 2 left at this price.", number)

    assert ([TICKET], [3, 3, 3, 2, 2]) == (socket.tickets, await page.evaluate("heard"))
    assert 1 == len(site.sockets)


@pytest.mark.parametrize(
    "script",
    [
        "window.Event = function Event(e) { this.event = e; return this }",
        "document.addEventListener('ticket-counter', () => { throw new Error('host') })",
        "delete window.matchMedia; window.matchMedia = undefined",
        "delete Element.prototype.animate",
        "Array.prototype.contains = function () { return true }; Array.from = (all) => [all]",
        "Array.prototype.toJSON = function () { return 'array' }; String.prototype.toJSON = function () { return 'text' }",
        "HTMLElement.prototype.attachInternals = undefined",
    ],
    ids=["Event", "listener", "matchMedia", "animate", "Array", "toJSON", "attachInternals"],
)
async def test_hostile_page(site: HostSite, page: Page, script: str) -> None:
    """A page that replaces or breaks what the widget could use has its sentences, in each of its elements."""
    tag = TAG.replace(">", " show-price>", 1)
    await page.goto(site.put("/", f"<script>{script}</script>{LOADED}{tag}{tag}"))
    socket = await site.socket(1)

    for unsold in (3, 2):
        await socket.send(counter(unsold=unsold))
        for number in (0, 1):
            await shows(page, f"$25.00 Only {unsold} left at this price.", number)


async def test_counter_that_cannot_be_shown_is_withdrawn_alone(site: HostSite, page: Page) -> None:
    """A message that cannot be shown withdraws that one claim, is told once, and the next one is shown again."""
    warnings = warnings_of(page)
    await page.goto(site.put("/", LOADED + TAG + TAG.replace(TICKET, OTHER)))
    socket = await site.socket(1)
    await socket.send(counter(), counter(OTHER))
    await shows(page, "Only 3 left at this price.", 1)

    await socket.send(counter(prices=None), counter(OTHER, unsold=2))
    await shows(page, "Only 2 left at this price.", 1)
    await shows(page, "Tickets at the door", 0)
    assert [True] == [one.startswith("<ticket-counter>: not shown: TypeError") for one in warnings]
    await socket.send(counter(unsold=1))

    await shows(page, "Only 1 left at this price.", 0)


async def test_sale_starts_by_the_time_of_the_server(site: HostSite, page: Page) -> None:
    """A sale that is to start "from" a date no longer says so at its start, by the server's clock, however wrong the page's is."""
    await page.clock.install(time="2031-06-01T00:00:00Z")
    await page.goto(site.put("/", LOADED + TAG))
    await page.clock.pause_at("2031-06-01T00:00:10Z")
    socket = await site.socket(1)
    # The server's clock stands at 2030-03-01T18:29:50Z.
    await socket.send(
        '{"beat":1898620190000}',
        counter(state="scheduled", sale={"start": "2030-03-01T18:30:00Z", "end": None, "zone": "Europe/Berlin"}),
    )
    before = page.locator("[part=text]")
    await expect(before).to_contain_text("On sale from March 1, 2030")

    await page.clock.run_for(9_000)
    await expect(before).to_contain_text("On sale from March 1, 2030")
    await page.clock.run_for(1_500)

    await shows(page, "Not on sale yet.")


async def test_countdown_where_the_page_shows_it(site: HostSite, page: Page) -> None:
    """The countdown is hidden and empty until the page's CSS shows it; it then counts by the second."""
    await page.clock.install(time="2030-03-01T18:29:00Z")
    await page.goto(site.put("/", f"<style></style>{LOADED}{TAG}"))
    await page.clock.pause_at("2030-03-01T18:29:10Z")
    socket = await site.socket(1)
    sale = {"start": "2030-03-01T18:30:00Z", "end": None, "zone": None}
    await socket.send(counter(state="scheduled", sale=sale))
    await expect(page.locator("[part=text]")).to_contain_text("On sale from")
    rest = page.locator("[part=countdown]")
    assert "" == await rest.text_content()

    await page.evaluate(
        "document.querySelector('style').textContent = 'ticket-counter::part(countdown) { display: inline }'; "
        f"{ONE}.setAttribute('show-name', '')"
    )
    await until(rest.text_content)
    seen = [await rest.text_content()]
    await page.clock.run_for(1_000)
    seen.append(await rest.text_content())
    await page.clock.run_for(1_000)
    seen.append(await rest.text_content())
    assert 3 == len(set(seen))
    # It ends with the sale's start.
    await page.clock.run_for(50_000)
    await shows(page, "General admission Not on sale yet.")
    assert "" == await rest.text_content()


@pytest.mark.parametrize("motion", ["no-preference", "reduce"])
async def test_change_is_calm(site: HostSite, page: Page, motion: Any) -> None:
    """A text that stood changes with a short animation, the first one without; who prefers reduced motion has none."""
    await page.emulate_media(reduced_motion=motion)
    await page.goto(site.put("/", f"<script>{COUNT_ANIMATIONS}</script>{LOADED}{TAG}"))
    socket = await site.socket(1)
    await socket.send(counter())
    await shows(page, "Only 3 left at this price.")
    assert 0 == await page.evaluate("animations")

    await socket.send(counter(unsold=2))
    await shows(page, "Only 2 left at this price.")

    assert (1 if motion == "no-preference" else 0) == await page.evaluate("animations")


COUNT_ANIMATIONS = """
  window.animations = 0;
  const real = Element.prototype.animate;
  Element.prototype.animate = function (...how) { animations += 1; return real.apply(this, how) };"""


async def test_debug(site: HostSite, page: Page) -> None:
    """`tc-debug`, on the element or in the page's address, tells beside the content why nothing is shown; else nothing does."""
    note = page.locator("[part=debug]")
    url = site.put("/", LOADED + TAG)
    await page.goto(url)
    socket = await site.socket(1)
    await expect(note).to_be_hidden()
    await page.evaluate(f"{ONE}.setAttribute('tc-debug', '')")
    await expect(note).to_contain_text(f"{site.url}/v1/counters")
    await expect(note).to_contain_text(f"ticket={TICKET}")
    await expect(note).to_contain_text("no answer")
    await socket.send(counter(state="unknown", unsold=None, prices=[]))
    await expect(note).to_contain_text("unknown")
    await socket.send(counter())
    await shows(page, "Only 3 left at this price.")
    await expect(note).to_be_hidden()

    await page.goto(f"{url}?a=b&tc-debug")
    await expect(note).to_contain_text("no answer")
    await page.evaluate(f"{ONE}.removeAttribute('ticket')")
    await expect(note).to_contain_text("no ticket")


async def test_element_adopted_by_another_document(site: HostSite, page: Page, console_errors: list[str]) -> None:
    """An element that is moved into a frame of the page, or back, still shows and follows its counter."""
    await page.goto(site.put("/", f"{LOADED}{TAG}<iframe></iframe>"))
    socket = await site.socket(1)
    await socket.send(counter())
    await shows(page, "Only 3 left at this price.")

    await page.evaluate(f"window.one = {ONE}; document.querySelector('iframe').contentDocument.body.append(one)")
    said = "one.shadowRoot.querySelector('[part=text]').textContent"
    await socket.send(counter(unsold=2))
    await page.wait_for_function(f"{said} === 'Only 2 left at this price.'")
    await page.evaluate("document.body.append(one)")
    await socket.send(counter(unsold=1))

    await shows(page, "Only 1 left at this price.")
    assert (1, []) == (len(site.sockets), console_errors)


async def test_server_that_cannot_be_found(site: HostSite, page: Page) -> None:
    """A copy of the script in the page knows no server: one line says how to name it, and `server` is enough."""
    warnings = warnings_of(page)
    source = await (await page.request.get(site.url + SCRIPT)).text()
    await page.goto(site.put("/", f"{TAG * 2}<script>{source}</script>"))
    await until(lambda: warnings)
    assert ['<ticket-counter>: server="" is not an address'] == warnings
    assert [] == site.sockets

    await page.evaluate(f"{ONE}.setAttribute('server', '{site.url}')")
    await (await site.socket(1)).send(counter())

    await shows(page, "Only 3 left at this price.")
