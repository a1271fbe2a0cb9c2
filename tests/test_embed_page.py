"""The page for iframes: what stands on it, and how it gets on with the page around it, in a real browser."""

import json
from itertools import pairwise
from typing import Literal

import pytest
from playwright.async_api import Page

from server.embed_page import LONGEST_TEXT, EmbedPage
from server.errors import BadRequest
from tests.rig.fake_reader import FakeReader, definition
from tests.rig.host_site import HostSite
from tests.rig.server import OTHER, SITE, TICKET, StartServer, until


def tags(query: str) -> list[str]:
    """The counters' tags on the page of a query."""
    return [line for line in EmbedPage.parse(query).html("").splitlines() if line.startswith("<ticket-counter")]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        (f"ticket={TICKET}", [f'<ticket-counter ticket="{TICKET}" eager></ticket-counter>']),
        (
            f"ticket={TICKET}&ticket={OTHER}&site={SITE}",
            [
                f'<ticket-counter ticket="{one}" site="{SITE}" show-name show-price eager></ticket-counter>'
                for one in (TICKET, OTHER)
            ],
        ),
        (
            f"ticket={TICKET}&ticket={OTHER}&show-name=0&show-link",
            [f'<ticket-counter ticket="{one}" show-price show-link eager></ticket-counter>' for one in (TICKET, OTHER)],
        ),
        ("event=gala&show-price=true", ['<ticket-counter event="gala" show-price eager></ticket-counter>']),
        (
            "event=%22%3E%3Cscript%3E&text=%D7%9B%D7%9F%3Cb%3E&option=%22x%22",
            [
                '<ticket-counter event="&quot;&gt;&lt;script&gt;" option="&quot;x&quot;" eager>כן&lt;b&gt;</ticket-counter>'
            ],
        ),
    ],
)
def test_tags(query: str, expected: list[str]) -> None:
    """Each ticket, or the event, is a tag with what is to be shown; all of it is text, whatever was written."""
    assert expected == tags(query)


@pytest.mark.parametrize(
    ("lang", "head"),
    [
        ("", '<html lang="en" dir="ltr">'),
        ("&lang=de_DE", '<html lang="de-DE" dir="ltr">'),
        ("&lang=he-IL", '<html lang="he-IL" dir="rtl">'),
    ],
)
def test_language(lang: str, head: str) -> None:
    """The page is in the language that is asked for, and runs its way."""
    assert head in EmbedPage.parse(f"ticket={TICKET}{lang}").html("").splitlines()


@pytest.mark.parametrize(
    ("field", "query"),
    [
        ("lang", "lang=deutsch-und-sonst-nichts-als-das"),
        ("lang", "lang=%22onload"),
        ("theme", "theme=blue"),
        ("text", f"text={'x' * (LONGEST_TEXT + 1)}"),
        ("option", f"option={'x' * (LONGEST_TEXT + 1)}"),
        ("show-link", "show-link=maybe"),
        ("event", "event=gala"),
    ],
)
def test_bad_parameter(field: str, query: str) -> None:
    """A parameter that is wrong is named."""
    with pytest.raises(BadRequest, match=field) as found:
        EmbedPage.parse(f"ticket={TICKET}&{query}")

    assert field == found.value.field


@pytest.mark.parametrize(
    ("theme", "scheme"),
    [("", "normal"), ("&theme=light", "light"), ("&theme=dark", "dark"), ("&theme=auto", "light dark")],
)
async def test_theme(start_server: StartServer, page: Page, console_errors: list[str], theme: str, scheme: str) -> None:
    """The page has a colour scheme only if it is asked for; its policy allows its style with each."""
    running = await start_server()

    await page.goto(f"{running.url}/embed?ticket={TICKET}{theme}")

    found = await page.evaluate("getComputedStyle(document.documentElement).colorScheme")
    assert (scheme, "0px") == (found, await page.evaluate("getComputedStyle(document.body).margin"))
    assert [] == [one for one in console_errors if "404" not in one]


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_frame_of_the_same_theme_is_transparent(
    start_server: StartServer, site: HostSite, page: Page, scheme: Literal["light", "dark"]
) -> None:
    """A frame whose theme is the colour scheme that the page gives it shows the page through."""
    running = await start_server()
    frame = f'<iframe src="{running.url}/embed?ticket={TICKET}&theme={scheme}" style="border:0;color-scheme:{scheme}"></iframe>'
    await page.goto(site.put("/", f'<body style="margin:0;background:rgb(255,0,255)">{frame}</body>'))
    await page.frame_locator("iframe").locator("ticket-counter").wait_for(state="attached")

    shot = await page.screenshot(clip={"x": 0, "y": 0, "width": 250, "height": 120})

    # A page of one colour only: the same picture without the frame.
    await page.evaluate("document.querySelector('iframe').remove()")
    assert shot == await page.screenshot(clip={"x": 0, "y": 0, "width": 250, "height": 120})


async def test_links_leave_the_frame(start_server: StartServer, page: Page) -> None:
    """A link on the page opens in a tab of its own, not in the small frame."""
    running = await start_server()

    await page.goto(f"{running.url}/embed?ticket={TICKET}")

    assert "_blank" == await page.evaluate("document.querySelector('base').target")


LISTENER = """<script>
  window.heights = [];
  addEventListener("message", ({ data, origin, source }) => {
    if (source === document.querySelector("iframe").contentWindow) heights.push([origin, data]);
  });
</script>"""


async def test_height_is_told(
    start_server: StartServer, reads: FakeReader, site: HostSite, page: Page, console_errors: list[str]
) -> None:
    """The page around is told how high the counters are, at first and when that changes, and with an origin that it can check."""
    running = await start_server()
    query = f"ticket={TICKET}&ticket={OTHER}"
    frame = f'<iframe src="{running.url}/embed?{query}" style="border:0;width:600px;height:20px"></iframe>'
    await page.goto(site.put("/", LISTENER + frame))
    await page.wait_for_function("heights.length")
    await reads.read(definition(TICKET, 3), definition(OTHER, 48))
    await page.frame_locator("iframe").get_by_text("48 left").wait_for()

    async def last() -> object:
        return await page.evaluate("heights.at(-1)")

    real = "Math.ceil(document.documentElement.getBoundingClientRect().height)"
    wide = await page.frames[1].evaluate(real)
    await until(lambda: _equal(last, [running.url, {"ticket-counter": {"height": wide}}]))
    await page.evaluate("document.querySelector('iframe').style.width = '120px'")
    await page.wait_for_function(f"heights.at(-1)[1]['ticket-counter'].height > {wide}")

    assert await page.frames[1].evaluate(real) == (await page.evaluate("heights.at(-1)"))[1]["ticket-counter"]["height"]
    told = await page.evaluate("heights.map(([, data]) => data['ticket-counter'].height)")
    assert all(before != after for before, after in pairwise(told)), json.dumps(told)
    assert [] == [one for one in console_errors if "404" not in one]


async def _equal(read: object, wanted: object) -> bool:
    assert callable(read)
    return bool(await read() == wanted)


async def test_page_of_its_own_tells_no_height(start_server: StartServer, page: Page) -> None:
    """A page that is in no frame sends no message, and no error comes of that."""
    running = await start_server()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    await page.add_init_script("window.heard = 0; addEventListener('message', () => heard++)")

    await page.goto(f"{running.url}/embed?ticket={TICKET}")
    # By the second frame of the browser the observer would have run, and a message sent before this one has come before it.
    await page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    await page.evaluate("new Promise((done) => { addEventListener('message', done, { once: true }); postMessage('') })")

    assert (1, []) == (await page.evaluate("heard"), errors)
