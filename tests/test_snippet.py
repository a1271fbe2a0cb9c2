import hashlib
import re
from base64 import b64decode

import pytest
from playwright.async_api import Page

from server.pages import WIDGET
from server.snippet import event_snippet, script, snippet, tag
from tests.rig.fake_reader import FakeReader, definition
from tests.rig.host_site import HostSite, shows
from tests.rig.server import OTHER, SITE, TICKET, StartServer

SERVER = "https://counter.example/c"


def test_one_ticket() -> None:
    """The HTML of a ticket is the script and one tag, in which the name stands until there is a number."""
    assert (
        f'<script async src="{SERVER}/widget/v1/ticket-counter.js"></script>\n'
        f'<ticket-counter ticket="{TICKET}">Standing</ticket-counter>'
    ) == snippet(SERVER, [(TICKET, "Standing")])


def test_several_tickets() -> None:
    """Several tickets are one script and a tag for each, which show what tells them apart."""
    _, *tags = snippet(SERVER, [(TICKET, "A"), (OTHER, "B")], site=SITE).splitlines()

    assert [
        f'<p><ticket-counter ticket="{TICKET}" site="{SITE}" show-name show-price>A</ticket-counter></p>',
        f'<p><ticket-counter ticket="{OTHER}" site="{SITE}" show-name show-price>B</ticket-counter></p>',
    ] == tags


def test_event() -> None:
    """The HTML of an event is the script and one tag, in which the title stands until there is a list."""
    assert (
        f'<script async src="{SERVER}/widget/v1/ticket-counter.js"></script>\n'
        f'<ticket-counter event="gala" site="{SITE}" show-link>A &amp; B</ticket-counter>'
    ) == event_snippet(SERVER, ("gala", "A & B"), site=SITE, attributes={"show-link": True, "show-name": False})


def test_attributes() -> None:
    """An attribute has its value, escaped, or none; one that is not wanted is not there."""
    attributes = {"ticket": TICKET, "option": 'Early "bird" <1>', "lang": None, "show-name": True, "eager": False}

    assert (
        f'<ticket-counter ticket="{TICKET}" option="Early &quot;bird&quot; &lt;1&gt;" show-name>A</ticket-counter>'
    ) == tag(attributes, "A")


def test_several_tickets_keep_their_attributes() -> None:
    """What is asked for of several tickets is on each tag, beside what tells them apart."""
    _, *tags = snippet(SERVER, [(TICKET, "A"), (OTHER, "B")], attributes={"lang": "de"}).splitlines()

    assert [
        f'<p><ticket-counter ticket="{TICKET}" lang="de" show-name show-price>A</ticket-counter></p>',
        f'<p><ticket-counter ticket="{OTHER}" lang="de" show-name show-price>B</ticket-counter></p>',
    ] == tags


def test_name_cannot_add_markup() -> None:
    """A name is text in the HTML, whatever it is, and cannot control a terminal."""
    _, tag = snippet(SERVER, [(TICKET, "</ticket-counter><script>\x1b[2J\n\u202e&")]).splitlines()

    assert ">&lt;/ticket-counter&gt;&lt;script&gt; [2J  &amp;</ticket-counter>" in tag


def test_pinned_script() -> None:
    """A pinned script has the file's hash in its address, and in `integrity` the hash that browsers compare."""
    found = re.fullmatch(
        rf'<script async src="{SERVER}/widget/v1/ticket-counter\.([0-9a-f]{{16}})\.js" integrity="sha384-(.+)" '
        r'crossorigin="anonymous"></script>',
        script(f"{SERVER}/", b"the file"),
    )

    assert found
    assert hashlib.sha256(b"the file").hexdigest().startswith(found[1])
    assert hashlib.sha384(b"the file").digest() == b64decode(found[2])


@pytest.mark.parametrize("pin", [False, True])
async def test_html_works_on_a_page(
    page: Page, console_errors: list[str], site: HostSite, start_server: StartServer, reads: FakeReader, *, pin: bool
) -> None:
    """Pasted into a page of another origin the HTML shows the counter, pinned or not, and the name until there is one."""
    server = await start_server()
    html = snippet(server.url, [(TICKET, "<i>Standing</i>")], widget=WIDGET.read_bytes() if pin else None)

    await page.goto(site.put("/", html))
    await shows(page, "<i>Standing</i>")
    await reads.read(definition(TICKET, 3))

    await shows(page, "Only 3 left at this price.")
    assert [] == console_errors
