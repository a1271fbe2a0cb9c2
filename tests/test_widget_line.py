"""The widget's connection in a real browser: one for a page, opened, replaced, retried and closed as its server says."""

from typing import Any

import pytest
from playwright.async_api import Page

from tests.rig.fake_reader import FakeReader, definition
from tests.rig.host_site import LOADED, SCRIPT, TAG, HostSite, counter, shows, text, warnings_of
from tests.rig.server import OTHER, SITE, TICKET, StartServer, until

START, STARTED = "2030-01-01T12:00:00Z", "2030-01-01T12:00:05Z"
THIRD = "33333333-aaaa-4aaa-8aaa-000000000003"
SECOND = "5f0e4d3c-9999-4111-8111-00000000b009"

HIDE = """hidden => {
  Object.defineProperty(document, "hidden", { value: hidden, configurable: true });
  document.dispatchEvent(new Event("visibilitychange"));
}"""

COUNTED = """
  window.seen = { sockets: 0, messages: 0, closes: 0 };
  window.WebSocket = class extends WebSocket {
    constructor(url) {
      super(url);
      seen.sockets += 1;
      this.addEventListener("message", () => { seen.messages += 1 });
      this.addEventListener("close", () => { seen.closes += 1 });
    }
  };"""


async def seen(page: Page, kind: str, number: int) -> None:
    """Wait until the page, watched by COUNTED, has had so many sockets, messages or closes."""
    await until(lambda: page.evaluate(f"seen.{kind} >= {number}"))
    assert number == await page.evaluate(f"seen.{kind}")


async def test_one_socket_per_page(site: HostSite, page: Page) -> None:
    """All elements of a page share one socket, each ticket named once, however it is written."""
    tags = f'{TAG}<ticket-counter ticket=" {TICKET.upper()}"></ticket-counter><ticket-counter ticket="{OTHER}"></ticket-counter>'
    await page.goto(site.put("/", LOADED + tags))
    socket = await site.socket(1)
    await socket.send(counter(), counter(OTHER, state="sold_out", unsold=0))

    await shows(page, "Only 3 left at this price.", 0)
    await shows(page, "Only 3 left at this price.", 1)
    await shows(page, "Sold out.", 2)
    assert ([TICKET, OTHER], 1) == (socket.tickets, len(site.sockets))


async def test_elements_added_and_removed(site: HostSite, page: Page) -> None:
    """A new set of tickets gets a new socket, and the old one stays until that has answered; one fewer needs none; the last is closed."""
    await page.goto(site.put("/", LOADED + TAG))
    first = await site.socket(1)
    await first.send(counter())
    await shows(page, "Only 3 left at this price.")

    await page.evaluate(
        "for (const id of %s) document.body.append(Object.assign(document.createElement('ticket-counter'), { id })), "
        "document.getElementById(id).setAttribute('ticket', id)" % [OTHER, THIRD]
    )
    second = await site.socket(2)
    await first.send(counter(unsold=2))
    await shows(page, "Only 2 left at this price.")
    await second.send()
    await until(lambda: first.ended)
    assert "Only 2 left at this price." == await text(page)
    await second.send(counter(OTHER, unsold=7))
    await shows(page, "Only 7 left at this price.", 1)

    await page.evaluate("document.querySelectorAll('ticket-counter')[1].remove()")
    await second.send(counter(unsold=1))
    await shows(page, "Only 1 left at this price.")
    await page.evaluate("document.querySelectorAll('ticket-counter').forEach((one) => one.remove())")
    await until(lambda: not site.open)

    assert [[TICKET], [TICKET, OTHER, THIRD]] == [one.tickets for one in site.sockets]


async def test_over_fifty_tickets_use_several_sockets(site: HostSite, page: Page) -> None:
    """More tickets than one request may name are spread over several sockets."""
    tickets = [f"00000000-0000-4000-8000-{number:012}" for number in range(51)]
    tags = "".join(f'<ticket-counter ticket="{one}"></ticket-counter>' for one in tickets)

    await page.goto(site.put("/", LOADED + tags))

    # The elements of a page that loads in parts are requested in parts first.
    await until(lambda: [1, 50] == sorted(len(one.tickets) for one in site.open))
    assert set(tickets) == {ticket for one in site.open for ticket in one.tickets}


async def test_planned_restart_of_the_server(
    start_server: StartServer, reads: FakeReader, site: HostSite, page: Page
) -> None:
    """Law 11: After a bye the page keeps what it shows, reconnects in the time it was given, and continues."""
    running = await start_server()
    await reads.read(definition(TICKET, 3))
    await page.goto(site.put("/", f'<script src="{running.url}{SCRIPT}"></script>' + TAG))
    await shows(page, "Only 3 left at this price.")
    [before] = running.web.hub.viewers

    await running.web.hub.close_all(100, 200, 0)
    assert "Only 3 left at this price." == await text(page)
    await until(lambda: running.web.hub.viewers and before not in running.web.hub.viewers)
    await reads.read(definition(TICKET, 2))

    await shows(page, "Only 2 left at this price.")


async def test_page_with_tickets_of_two_sites(
    start_server: StartServer, reads: FakeReader, redis_url: str, site: HostSite, page: Page
) -> None:
    """Tickets of two sites on one page each show their number, with `site` and without."""
    running = await start_server(wix_sites=f"{SITE},{SECOND}")
    other = FakeReader(redis_url, SECOND)
    await reads.read(definition(TICKET, 3))
    await other.read(definition(OTHER, 4))
    await other.aclose()
    script = f'<script src="{running.url}{SCRIPT}"></script>'
    tags = '<ticket-counter ticket="{}" {}></ticket-counter><ticket-counter ticket="{}" {}></ticket-counter>'

    for attributes in (("", ""), (f'site="{SITE}"', f'site="{SECOND}"')):
        # The elements of a page that loads in parts are requested in parts first: here they are there before the script.
        named = tags.format(TICKET, attributes[0], OTHER, attributes[1])
        await page.goto(site.put("/", named + script))
        await shows(page, "Only 3 left at this price.")
        await shows(page, "Only 4 left at this price.", 1)


@pytest.mark.parametrize(
    ("settings", "attribute", "code"),
    [({"origins": "https://shop.example"}, "", 4501), ({}, f'site="{OTHER}"', 4500)],
    ids=["origin", "site"],
)
async def test_refused_page_does_not_reconnect(
    start_server: StartServer, site: HostSite, page: Page, *, settings: dict[str, Any], attribute: str, code: int
) -> None:
    """A page that the server refuses does not reconnect, and logs the reason once."""
    running = await start_server(**settings)
    warnings = warnings_of(page)
    tries: list[str] = []
    page.on("websocket", lambda socket: tries.append(socket.url))
    await page.clock.install()

    await page.goto(
        site.put("/", f'<script src="{running.url}{SCRIPT}"></script>' + TAG.replace(">", f" {attribute}>", 1))
    )
    await until(lambda: [one for one in warnings if str(code) in one])
    await page.clock.run_for(120_000)

    assert (1, 1) == (len(tries), len(warnings))
    assert "Tickets at the door" == await text(page)


async def test_page_refused_later_shows_no_number(site: HostSite, page: Page) -> None:
    """When the server refuses a page that it admitted before, the number is withdrawn."""
    await page.goto(site.put("/", LOADED + TAG))
    socket = await site.socket(1)
    await socket.send(counter())
    await shows(page, "Only 3 left at this price.")

    await socket.close(4501, "this origin is not in ORIGINS")

    await shows(page, "Tickets at the door")


async def test_socket_no_longer_needed_when_it_opens(site: HostSite, page: Page, console_errors: list[str]) -> None:
    """A socket that is not needed any more when it opens is closed then, without a line in the console."""
    await page.add_init_script(COUNTED)
    await page.clock.install()
    site.door.clear()
    await page.goto(site.put("/", LOADED + TAG))
    await page.clock.run_for(100)
    await seen(page, "sockets", 1)

    await page.evaluate("document.querySelector('ticket-counter').remove()")
    await page.clock.run_for(100)
    site.door.set()
    await site.socket(1)
    await until(lambda: not site.open)

    await seen(page, "closes", 1)
    assert [] == console_errors


async def test_silent_socket_is_replaced(site: HostSite, page: Page) -> None:
    """Law 8: A number not verified for 60 seconds is withdrawn, and another connection is tried."""
    await page.add_init_script(COUNTED)
    await page.clock.install()
    await page.goto(site.put("/", LOADED + TAG))
    first = await site.socket(1)
    await first.send(counter())
    await shows(page, "Only 3 left at this price.")

    for beats in range(1, 4):
        await page.clock.run_for(50_000)
        assert "Only 3 left at this price." == await text(page)
        await first.send()
        await seen(page, "messages", 1 + beats)
    await page.clock.run_for(61_000)
    assert "Tickets at the door" == await text(page)
    assert "unknown" == await page.locator("ticket-counter").get_attribute("data-state")
    second = await site.socket(2)
    await second.send(counter(unsold=2))

    await shows(page, "Only 2 left at this price.")
    await until(lambda: first.ended)


async def test_heartbeats_verify_no_number_of_an_old_connection(site: HostSite, page: Page) -> None:
    """Law 8: A new connection that sends heartbeats but no counter does not keep the old number shown."""
    await page.add_init_script(COUNTED)
    await page.clock.install()
    await page.goto(site.put("/", LOADED + TAG))
    first = await site.socket(1)
    await first.send(counter())
    await shows(page, "Only 3 left at this price.")
    await first.close(1001)
    await seen(page, "closes", 1)
    await page.clock.run_for(2_000)
    second = await site.socket(2)

    for beats in range(1, 4):
        assert "Only 3 left at this price." == await text(page)
        await second.send()
        await seen(page, "messages", 1 + beats)
        await page.clock.run_for(25_000)

    assert "Tickets at the door" == await text(page)
    await seen(page, "sockets", 2)


async def test_retry_in_the_time_given(site: HostSite, page: Page) -> None:
    """The earliest and latest time of a bye are kept."""
    await page.add_init_script(COUNTED)
    await page.clock.install(time=START)
    await page.goto(site.put("/", LOADED + TAG))
    socket = await site.socket(1)
    await page.clock.pause_at(STARTED)

    await socket.send('{"bye":{"retry_ms":[5000,6000]}}')
    await socket.close(1012)
    await seen(page, "closes", 1)
    await page.clock.run_for(4_900)
    await seen(page, "sockets", 1)
    await page.clock.run_for(1_200)

    await seen(page, "sockets", 2)


async def test_retries_back_off(site: HostSite, page: Page) -> None:
    """Each failure doubles the longest wait, up to 30 s; a connection that lasts 5 s resets it."""
    await page.add_init_script(COUNTED + "Math.random = () => 0.999")
    await page.clock.install(time=START)
    await page.goto(site.put("/", LOADED + TAG))
    first = await site.socket(1)
    await page.clock.pause_at(STARTED)

    async def wait_after(number: int, code: int) -> float:
        socket = await site.socket(number)
        await socket.send()
        await seen(page, "messages", number)
        await socket.close(code)
        await seen(page, "closes", number)
        return await wait()

    async def wait() -> float:
        before = await page.evaluate("seen.sockets")
        for step in range(1, 80):
            await page.clock.run_for(500)
            if await page.evaluate("seen.sockets") > before:
                return step / 2
        pytest.fail("it did not come back")

    assert [TICKET] == first.tickets
    codes = (1001, 1012, 4000, 4499, 1011, 1000, 3000)
    waits = [await wait_after(number, code) for number, code in enumerate(codes, 1)]
    settled = await site.socket(8)
    await settled.send()
    await seen(page, "messages", 8)
    await page.clock.run_for(5_000)
    await settled.send()
    await seen(page, "messages", 9)
    await settled.close(1012)
    await seen(page, "closes", 8)
    waits.append(await wait())

    assert [1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 1.0] == waits


async def test_hidden_page(site: HostSite, page: Page) -> None:
    """A hidden page keeps its socket for half a minute; when visible it reconnects at once and shows nothing old meanwhile."""
    await page.clock.install()
    await page.goto(site.put("/", LOADED + TAG))
    first = await site.socket(1)
    await first.send(counter())
    await shows(page, "Only 3 left at this price.")

    await page.evaluate(HIDE, True)
    await page.clock.run_for(20_000)
    await first.send(counter(unsold=2))
    await shows(page, "Only 2 left at this price.")
    await page.clock.run_for(11_000)
    await until(lambda: first.ended)
    await page.clock.run_for(600_000)
    assert 1 == len(site.sockets)
    await page.evaluate(HIDE, False)
    second = await site.socket(2)
    assert "Tickets at the door" == await text(page)
    await second.send(counter(unsold=1))

    await shows(page, "Only 1 left at this price.")


async def test_page_left_and_visited_again(site: HostSite, page: Page) -> None:
    """A page that is left closes its socket and reconnects when it is visited again, or when the network is back."""
    await page.goto(site.put("/", LOADED + TAG))
    first = await site.socket(1)
    await first.send(counter())
    await shows(page, "Only 3 left at this price.")

    await page.evaluate("dispatchEvent(new PageTransitionEvent('pagehide', { persisted: true }))")
    await until(lambda: first.ended)
    await page.evaluate("dispatchEvent(new PageTransitionEvent('pageshow', { persisted: true }))")
    second = await site.socket(2)
    await second.send()
    await page.evaluate("dispatchEvent(new Event('online'))")
    third = await site.socket(3)
    await third.send(counter(unsold=2))

    await shows(page, "Only 2 left at this price.")
    await until(lambda: [third] == site.open)
