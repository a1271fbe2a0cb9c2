"""The widget as an element of a real page, in a real browser: how it is loaded, placed, styled and listened to."""

import zlib
from typing import Literal

import pytest
from playwright.async_api import Browser, Page, expect

from tests.rig.fake_reader import FakeReader, definition
from tests.rig.host_site import LOADED, SCRIPT, TAG, HostSite, counter, shows, warnings_of
from tests.rig.redis import free_port
from tests.rig.server import OTHER, TICKET, StartServer, until

EVENTS = """() => {
  window.heard = [];
  document.addEventListener("ticket-counter", (event) => {
    const { target, counter, constructor } = event;
    window.heard.push([target.localName, counter.state, counter.unsold, constructor !== Event && event instanceof Event]);
  });
}"""


async def test_widget_loaded_in_any_way(site: HostSite, page: Page, console_errors: list[str]) -> None:
    """As a classic script, as a module, imported, or all twice: one element, one socket, no global variables."""
    for number, tags in enumerate(
        (
            LOADED,
            f'<script type="module" src="{SCRIPT}"></script>',
            f'<script type="module">import "{SCRIPT}"</script>',
            LOADED * 2 + f'<script type="module" src="{SCRIPT}?again"></script>',
        )
    ):
        await page.goto(site.put("/", f"<script>window.before = Object.keys(window)</script>{TAG}{tags}"))
        socket = await site.socket(number + 1)
        await socket.send(counter())
        await shows(page, "Only 3 left at this price.")

        assert [] == await page.evaluate(
            "Object.keys(window).filter((name) => !before.includes(name) && name !== 'before')"
        )
        assert number + 1 == len(site.sockets)
    assert [] == console_errors


async def test_address_of_the_server(site: HostSite, page: Page) -> None:
    """The server is where the script came from, with the path before /widget, or what the `server` attribute says."""
    tag = f'<ticket-counter ticket="{TICKET}" site="{OTHER}"></ticket-counter>'
    await page.goto(site.put("/", f'{tag}<script src="/prefix{SCRIPT}"></script>'))
    below = await site.socket(1)
    server = f'server="{site.url}/elsewhere/"'
    await page.goto(site.put("/", f"{TAG.replace('>', f' {server}>', 1)}{LOADED}"))
    elsewhere = await site.socket(2)

    blind = "<script>Error.stackTraceLimit = 0</script>"
    await page.goto(site.put("/", f'{blind}{TAG}<script src="/prefix{SCRIPT}"></script>'))
    unseen = await site.socket(3)

    assert "/prefix/v1/counters" == unseen.path
    assert ("/prefix/v1/counters", [TICKET], [OTHER]) == (below.path, below.tickets, below.query["site"])
    assert ("/elsewhere/v1/counters", [TICKET]) == (elsewhere.path, elsewhere.tickets)
    assert "site" not in elsewhere.query


async def test_strict_content_security_policy(
    start_server: StartServer, reads: FakeReader, site: HostSite, page: Page, console_errors: list[str]
) -> None:
    """A page whose policy allows only the script and the socket gets everything, with the styles."""
    running = await start_server()
    await reads.read(definition(TICKET, 3))
    policy = f"default-src 'none'; script-src {running.url}; connect-src {running.ws}"

    await page.goto(
        site.put("/", f'<script src="{running.url}{SCRIPT}"></script>' + TAG, Content_Security_Policy=policy)
    )
    await shows(page, "Only 3 left at this price.")

    numerals = "getComputedStyle(document.querySelector('ticket-counter')).fontVariantNumeric"
    assert "tabular-nums" == await page.evaluate(numerals)
    assert [] == console_errors


async def test_embed_page(start_server: StartServer, reads: FakeReader, page: Page, console_errors: list[str]) -> None:
    """The page for iframes shows its tickets, by name if there are several, also with a list of origins."""
    # The page reads from its own server, which is in the list only by PUBLIC_URL.
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    running = await start_server(port=port, public_url=url, origins="https://shop.example")
    await reads.read(definition(TICKET, 3), definition(OTHER, 48))

    await page.goto(f"{running.url}/embed?ticket={TICKET}&ticket={OTHER}")

    await shows(page, "General admission $25.00 Only 3 left at this price.", 0)
    await shows(page, "General admission $25.00 48 left at this price.", 1)
    await page.goto(f"{running.url}/embed?ticket={TICKET}")
    await shows(page, "Only 3 left at this price.")
    assert [] == [one for one in console_errors if "favicon" not in one and "404" not in one]


@pytest.mark.parametrize("preferred", ["light", "dark"])
async def test_embed_page_is_transparent(
    start_server: StartServer, site: HostSite, page: Page, preferred: Literal["light", "dark"]
) -> None:
    """In an iframe the page that embeds it shows through, whichever colours the visitor prefers."""
    running = await start_server()
    await page.emulate_media(color_scheme=preferred)
    frame = f'<iframe src="{running.url}/embed?ticket={TICKET}" style="border:0;width:200px;height:200px"></iframe>'
    await page.goto(site.put("/", f'<body style="margin:0;background:rgb(255,0,255)">{frame}</body>'))
    await page.frame_locator("iframe").locator("ticket-counter").wait_for(state="attached")

    shot = await page.screenshot(clip={"x": 150, "y": 150, "width": 1, "height": 1})

    assert (255, 0, 255) == only_pixel(shot)


def only_pixel(png: bytes) -> tuple[int, ...]:
    """The colour of a PNG of one pixel (PNG, section 5.3: chunks; section 9: the filter's byte comes first)."""
    at, data = 8, b""
    while at < len(png):
        length = int.from_bytes(png[at : at + 4], "big")
        if png[at + 4 : at + 8] == b"IDAT":
            data += png[at + 8 : at + 8 + length]
        at += 12 + length
    return tuple(zlib.decompress(data)[1:4])


async def test_page_without_scripts(site: HostSite, browser: Browser) -> None:
    """Without scripts the element's own content is shown."""
    context = await browser.new_context(java_script_enabled=False)
    page = await context.new_page()

    await page.goto(site.put("/", LOADED + TAG))

    await expect(page.get_by_text("Tickets at the door")).to_be_visible()
    await context.close()


async def test_faulty_attributes(site: HostSite, page: Page) -> None:
    """An element with wrong attributes keeps its content; one that gets its ticket later starts then, silently."""
    warnings = warnings_of(page)
    faulty = '<ticket-counter ticket="nonsense">Ask us</ticket-counter><ticket-counter>Soon</ticket-counter>'
    await page.goto(site.put("/", LOADED + TAG + faulty))
    first = await site.socket(1)
    await first.send(counter())
    await shows(page, "Only 3 left at this price.", 0)
    await shows(page, "Ask us", 1)

    await page.evaluate(f"document.querySelectorAll('ticket-counter')[2].setAttribute('ticket', '{OTHER}')")
    second = await site.socket(2)
    await second.send(counter(OTHER, unsold=1))

    await shows(page, "Only 1 left at this price.", 2)
    assert ([TICKET], [TICKET, OTHER]) == (first.tickets, second.tickets)
    assert ['<ticket-counter>: ticket="nonsense" is not a GUID'] == warnings


async def test_element_gets_another_ticket(site: HostSite, page: Page) -> None:
    """An element that gets another ticket shows nothing of the old one while it waits for the new."""
    await page.goto(site.put("/", LOADED + TAG))
    first = await site.socket(1)
    await first.send(counter())
    await shows(page, "Only 3 left at this price.")

    await page.evaluate(f"document.querySelector('ticket-counter').setAttribute('ticket', '{OTHER}')")
    await shows(page, "Tickets at the door")
    second = await site.socket(2)
    await second.send(counter(OTHER, unsold=8))
    await shows(page, "Only 8 left at this price.")
    await page.evaluate(f"document.querySelector('ticket-counter').setAttribute('ticket', '{TICKET}')")
    await site.socket(3)

    await shows(page, "Tickets at the door")


async def test_element_moved_in_the_page(site: HostSite, page: Page) -> None:
    """An element that is moved in the page keeps its socket and text, with no event and nothing written."""
    await page.goto(site.put("/", f"{LOADED}{TAG}<main></main>"))
    socket = await site.socket(1)
    await socket.send(counter())
    await shows(page, "Only 3 left at this price.")
    await page.evaluate(EVENTS)

    await page.evaluate(
        """async () => {
          const one = document.querySelector("ticket-counter");
          window.writes = 0;
          new MutationObserver((all) => { writes += all.length })
            .observe(one.shadowRoot, { subtree: true, childList: true, attributes: true, characterData: true });
          document.querySelector("main").append(one);
        }"""
    )
    await socket.send(counter(v=2))
    await until(lambda: page.evaluate("heard.length"))
    assert 0 == await page.evaluate("writes")
    await socket.send(counter(v=3, unsold=2))
    await shows(page, "Only 2 left at this price.")

    assert [["ticket-counter", "low", 3, True], ["ticket-counter", "low", 2, True]] == await page.evaluate("heard")
    assert 1 == len(site.sockets)


async def test_event_and_property(site: HostSite, page: Page) -> None:
    """Each change is an event that crosses shadow roots and carries the counter, which is also a property."""
    await page.goto(site.put("/", f"{LOADED}<div></div>"))
    await page.evaluate(EVENTS)
    await page.evaluate(
        """(tag) => document.querySelector("div").attachShadow({ mode: "open" }).append(
          Object.assign(document.createElement("p"), { innerHTML: tag }))""",
        TAG,
    )
    socket = await site.socket(1)
    await socket.send(counter(), counter(), counter(v=2, unsold=0, state="sold_out"))
    await until(lambda: page.evaluate("heard.length === 2"))

    # Outside a shadow root, the event's target is the host.
    assert [["div", "low", 3, True], ["div", "sold_out", 0, True]] == await page.evaluate("heard")
    element = "document.querySelector('div').shadowRoot.querySelector('ticket-counter')"
    assert "General admission" == await page.evaluate(f"{element}.counter.name")


async def test_page_styles_the_element(site: HostSite, page: Page) -> None:
    """A page styles parts and states, and hides the element like any other; changing digits moves nothing."""
    style = """<style>
      ticket-counter::part(text) { color: rgb(1, 2, 3) }
      ticket-counter[data-state=sold_out]::part(text) { color: rgb(4, 5, 6) }
    </style>"""
    await page.goto(site.put("/", style + LOADED + TAG))
    socket = await site.socket(1)
    words = page.locator("ticket-counter [part=text]")
    await socket.send(counter(unsold=8))
    await expect(words).to_have_css("color", "rgb(1, 2, 3)")
    wide = await words.bounding_box()
    await socket.send(counter(unsold=1))
    await expect(words).to_have_text("Only 1 left at this price.")
    assert wide == await words.bounding_box()

    await socket.send(counter(state="sold_out", unsold=0))
    await expect(words).to_have_css("color", "rgb(4, 5, 6)")
    await page.evaluate("document.querySelector('ticket-counter').hidden = true")

    await expect(page.locator("ticket-counter")).to_be_hidden()
