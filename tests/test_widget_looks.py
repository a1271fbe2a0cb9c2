"""How the widget looks: nothing moves, nothing overflows, and it takes the colours and the direction of its page."""

import re
from pathlib import Path
from typing import Any, Literal

import pytest
from playwright.async_api import Page, expect

from tests.rig.host_site import LOADED, TAG, HostSite, counter, shows
from tests.rig.server import until

README = (Path(__file__).parent.parent / "widget" / "README.md").read_text()
STYLES = re.findall(r"```css\n(.*?)```", README, re.DOTALL)
RESERVED, PLAIN, BADGE = STYLES

ONE = "document.querySelector('ticket-counter')"
EVENT = "0b5f1a2e-4444-4444-8444-00000000e001"
WIDE_PRICE = [{"amount": "1250.00", "currency": "USD", "option": None, "name": None}]
START = {"start": "2030-09-28T18:30:00Z", "end": None, "zone": "America/New_York"}

SHIFTS = """
  window.shifts = [];
  const at = ({ x, y, width, height }) => [x, y, width, height].join();
  new PerformanceObserver((list) => {
    for (const { value, sources } of list.getEntries())
      shifts.push([value, ...sources.map(({ node, previousRect, currentRect }) =>
        `${node?.nodeName} from ${at(previousRect)} to ${at(currentRect)}`)]);
  }).observe({ type: "layout-shift", buffered: true });"""
PAINTED = "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(done, 50))))"

CHANGES: list[dict[str, Any]] = [
    {"state": "available", "unsold": 1_000_000, "prices": WIDE_PRICE},
    {"state": "available", "unsold": 11},
    {"state": "low", "unsold": 10},
    {"state": "low", "unsold": 1},
    {"state": "sold_out", "unsold": 0},
    {"state": "scheduled", "unsold": 20, "sale": START},
    {"state": "closed", "unsold": None, "prices": []},
    {"state": "ended", "unsold": None},
    {"state": "unknown", "unsold": None, "prices": []},
    {"state": "low", "unsold": 2},
]


def ticket(number: int) -> str:
    """The id of a ticket."""
    return f"{number:08}-aaaa-4aaa-8aaa-{number:012}"


def styled(css: str, body: str, **html: str) -> str:
    """A page in a font that every machine has, with this CSS."""
    attributes = " ".join(f"{name}={value}" for name, value in html.items())
    viewport = '<meta name=viewport content="width=device-width">'
    return f"<html {attributes}>{viewport}<style>body {{ font: 16px/1.5 sans-serif }} {css}</style>{LOADED}{body}"


@pytest.mark.parametrize("width", [320, 400, 1280])
@pytest.mark.parametrize("shown", ["show-price", "show-name show-price"])
@pytest.mark.parametrize("look", ["", PLAIN, BADGE], ids=["", "plain", "badge"])
async def test_nothing_moves(site: HostSite, page: Page, width: int, shown: str, look: str) -> None:
    """With the README's CSS nothing moves when the first sentence comes, nor on any change (Layout Instability API)."""
    await page.set_viewport_size({"width": width, "height": 800})
    numbers = range(1, 6)
    body = "".join(
        f'<h3>Ticket {one}</h3><ticket-counter ticket="{ticket(one)}" {shown}>Get your tickets</ticket-counter><p>More</p>'
        for one in numbers
    )
    await page.goto(site.put("/", f"<script>{SHIFTS}</script>{styled(RESERVED + look, body, lang='en')}"))
    socket = await site.socket(1)
    for change in CHANGES:
        await socket.send(*(counter(ticket(one), **change) for one in numbers))
        await page.wait_for_function(
            "state => [...document.querySelectorAll('ticket-counter')].every((one) => one.dataset.state === state)",
            arg=change["state"],
        )
        await page.evaluate(PAINTED)
        assert [] == await page.evaluate("shifts"), change

    # The page's own movement is seen.
    await page.evaluate("document.querySelector('h3').style.marginTop = '99px'")
    await until(lambda: page.evaluate("shifts.length"))


@pytest.mark.parametrize("width", [320, 400, 1280])
async def test_nothing_moves_for_an_event(site: HostSite, page: Page, width: int) -> None:
    """The lines that a page reserves for an event hold its list when it comes."""
    await page.set_viewport_size({"width": width, "height": 800})
    lines = "ticket-counter { --tickets: 3 }"
    body = f'<ticket-counter event="{EVENT}">Get your tickets</ticket-counter><p>More</p>'
    await page.goto(site.put("/", f"<script>{SHIFTS}</script>{styled(RESERVED + PLAIN + lines, body, lang='en')}"))
    socket = await site.socket(1)
    tickets = ", ".join(f'"{ticket(one)}"' for one in (1, 2, 3))
    await socket.send(f'{{"event": "{EVENT}", "tickets": [{tickets}]}}')
    for one in (1, 2, 3):
        await socket.send(counter(ticket(one)))
    for change in (one for one in CHANGES if one["state"] != "unknown"):
        await socket.send(*(counter(ticket(one), **change) for one in (1, 2, 3)))
        item = page.locator("ticket-counter li").last
        await expect(item).to_have_attribute("part", f"item {change['state']}")
        await page.evaluate(PAINTED)

        assert [] == await page.evaluate("shifts"), change


async def test_long_words_wrap(site: HostSite, page: Page) -> None:
    """A name without spaces wraps at 320 pixels: the page does not scroll sideways."""
    await page.set_viewport_size({"width": 320, "height": 600})
    await page.goto(site.put("/", styled("", TAG.replace(">", " show-name>", 1))))
    name = "Donaudampfschifffahrtsgesellschaftskapitänsmützenverleihgebühr" * 2
    await (await site.socket(1)).send(counter(name=name))
    await shows(page, f"{name} Only 3 left at this price.")

    assert 320 == await page.evaluate("document.documentElement.scrollWidth")


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_colours_are_those_of_the_page(site: HostSite, page: Page, scheme: Literal["light", "dark"]) -> None:
    """Light or dark, on screen and in print, each part has the colour and font around it; `low` has a colour that can be read."""
    await page.emulate_media(color_scheme=scheme)
    css = "html { color-scheme: light dark } body { color: light-dark(#111, #eee); font: italic 20px serif }"
    tag = TAG.replace(">", " show-name show-price show-link>", 1)
    await page.goto(site.put("/", styled(css + RESERVED, tag)))
    await (await site.socket(1)).send(counter(buy="https://shop.example/"))
    await shows(page, "General admission $25.00 Only 3 left at this price.")
    colours = f"""[...{ONE}.shadowRoot.querySelectorAll('[part]:not(:empty)')].map((one) => {{
      const style = getComputedStyle(one);
      return [style.color, style.fontStyle, style.fontSize].join();
    }})"""
    expected = f"rgb({'17, 17, 17' if scheme == 'light' else '238, 238, 238'}),italic,20px"
    assert {expected} == set(await page.evaluate(colours))

    await page.emulate_media(color_scheme=scheme, media="print")
    await expect(page.locator("[part=text]")).to_be_visible()
    # A printed page shows the sentence, and none of what screen readers get.
    assert "inset(50%)" == await page.evaluate("getComputedStyle(document.querySelector('[role=status]')).clipPath")


@pytest.mark.parametrize("look", [PLAIN, BADGE], ids=["plain", "badge"])
async def test_forced_colours(site: HostSite, page: Page, look: str) -> None:
    """With forced colours the visitor's own replace those of the README's looks."""
    await page.emulate_media(forced_colors="active")
    await page.goto(site.put("/", styled(RESERVED + look, TAG)))
    await (await site.socket(1)).send(counter())
    await page.wait_for_function(f"{ONE}.dataset.state === 'low'")

    for css in ("color", "background-color"):
        plain = "body" if css == "color" else "html"
        own = await page.evaluate(f"getComputedStyle({ONE}.shadowRoot.querySelector('[part=text]'))['{css}']")
        system = "CanvasText" if css == "color" else "Canvas"
        await page.evaluate(f"document.querySelector('{plain}').style['{css}'] = '{system}'")
        expected = await page.evaluate(f"getComputedStyle(document.querySelector('{plain}'))['{css}']")
        assert own == expected or own.endswith(", 0)")


async def test_right_to_left(site: HostSite, page: Page) -> None:
    """On a page from right to left the parts follow each other from the right, each in its own direction."""
    tag = TAG.replace(">", " show-name show-price>", 1)
    await page.goto(site.put("/", styled("", tag, dir="rtl")))
    await (await site.socket(1)).send(counter(name="כרטיס"))
    await shows(page, "כרטיס $25.00 Only 3 left at this price.")

    left = [
        (await page.locator(f"ticket-counter [part={part}]").bounding_box() or {"x": 0})["x"]
        for part in ("text", "price", "name")
    ]
    assert left == sorted(left)
    direction = f"getComputedStyle({ONE}.shadowRoot.querySelector('[part=%s]')).direction"
    assert ["rtl", "ltr"] == [await page.evaluate(direction % part) for part in ("name", "text")]
