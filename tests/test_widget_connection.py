"""The widget's connection on a page's life: few requests, none while it is hidden, and nothing stale on return."""

import pytest
from playwright.async_api import Page

from tests.rig.host_site import LOADED, TAG, HostSite, counter, shows, text, warnings_of
from tests.rig.server import OTHER, TICKET, until
from tests.rig.widget_time import pass_time

HIDE = """hidden => {
  Object.defineProperty(document, "hidden", { value: hidden, configurable: true });
  document.dispatchEvent(new Event("visibilitychange"));
}"""
HIDDEN_AT_LOAD = 'Object.defineProperty(document, "hidden", { value: true, configurable: true })'


async def shown(site: HostSite, page: Page) -> None:
    """Open a page whose counter shows three left, by a clock that the test moves."""
    await page.clock.install()
    await page.goto(site.put("/", LOADED + TAG))
    socket = await site.socket(1)
    await socket.send(counter())
    await shows(page, "Only 3 left at this price.")


async def test_hidden_page_is_not_woken_by_the_network(site: HostSite, page: Page) -> None:
    """A page that is hidden for 30 seconds has no connection, whatever the network does; seen again it connects."""
    await shown(site, page)
    await page.evaluate(HIDE, True)
    await pass_time(page, 31)
    await until(lambda: not site.open)
    await page.evaluate("dispatchEvent(new Event('online'))")
    await page.evaluate("dispatchEvent(new PageTransitionEvent('pageshow', { persisted: true }))")
    await pass_time(page, 30)
    assert 1 == site.tries["socket"]
    await page.evaluate(HIDE, False)
    assert "Tickets at the door" == await text(page)
    await pass_time(page, 2)

    assert 2 == site.tries["socket"]


async def test_page_that_is_hidden_when_it_loads(site: HostSite, page: Page) -> None:
    """A page that nobody has seen yet asks for nothing."""
    await page.add_init_script(HIDDEN_AT_LOAD)
    await page.clock.install()
    await page.goto(site.put("/", LOADED + TAG))
    await pass_time(page, 60)
    assert {"socket": 0, "stream": 0, "poll": 0} == site.tries
    await page.evaluate(HIDE, False)
    await pass_time(page, 2)

    assert 1 == site.tries["socket"]


@pytest.mark.parametrize("hours", [-24, 24])
async def test_clock_that_jumps(site: HostSite, page: Page, hours: int) -> None:
    """Law 8: When the device's clock jumps, either way, the number is withdrawn until it is told again."""
    await shown(site, page)
    await page.clock.set_system_time(await page.evaluate("Date.now()") + hours * 3_600_000)
    await pass_time(page, 2)
    assert "Tickets at the door" == await text(page)
    await (await site.socket(2)).send(counter(unsold=2))

    await shows(page, "Only 2 left at this price.")
    await pass_time(page, 20)
    assert "Only 2 left at this price." == await text(page)
    assert 2 == site.tries["socket"]


async def test_message_that_is_no_json(site: HostSite, page: Page, console_errors: list[str]) -> None:
    """Text that is no JSON, and JSON that is no object, disturb nothing; the first is one warning."""
    warnings = warnings_of(page)
    await shown(site, page)
    await site.sockets[0].send("<html>", "<html>", "null", "7", '"x"', "[]", counter(unsold=2))

    await shows(page, "Only 2 left at this price.")
    assert ["<ticket-counter>: not JSON: <html>"] == warnings
    assert [] == console_errors


async def test_listener_that_throws(site: HostSite, page: Page) -> None:
    """A listener of the page that throws costs no other element its number."""
    await page.clock.install()
    await page.goto(site.put("/", LOADED + TAG + TAG))
    script = (
        "document.querySelector('ticket-counter').addEventListener('ticket-counter', () => { throw new Error('host') })"
    )
    await page.evaluate(script)
    socket = await site.socket(1)
    await socket.send(counter())

    await shows(page, "Only 3 left at this price.", 0)
    await shows(page, "Only 3 left at this price.", 1)


async def test_element_that_leaves_keeps_the_connection(site: HostSite, page: Page) -> None:
    """A ticket that leaves the page opens no new connection; when all have left, the connection ends."""
    other = TAG.replace(TICKET, OTHER)
    await page.clock.install()
    await page.goto(site.put("/", TAG + other + LOADED))
    await (await site.socket(1)).send(counter(), counter(OTHER))
    await shows(page, "Only 3 left at this price.", 1)
    await page.evaluate("document.querySelector('ticket-counter').remove()")
    await pass_time(page, 20)
    assert (1, 1) == (site.tries["socket"], len(site.open))
    await page.evaluate("document.querySelector('ticket-counter').remove()")
    await pass_time(page, 10)

    await until(lambda: not site.open)
    assert 1 == site.tries["socket"]


async def test_frozen_and_resumed(site: HostSite, page: Page) -> None:
    """Law 8: A page that was frozen shows no old number when it is resumed, and takes the next."""
    await shown(site, page)
    session = await page.context.new_cdp_session(page)
    await session.send("Page.setWebLifecycleState", {"state": "frozen"})
    await session.send("Page.setWebLifecycleState", {"state": "active"})
    await page.evaluate(HIDE, True)
    await page.clock.fast_forward(3_600_000)
    await page.evaluate(HIDE, False)
    assert "Tickets at the door" == await text(page)
    await pass_time(page, 2)
    await site.sockets[-1].send(counter(unsold=1))

    await shows(page, "Only 1 left at this price.")
    assert site.tries["socket"] <= 3


async def test_offline_and_online(site: HostSite, page: Page) -> None:
    """When the network is back the page connects within seconds, with one connection."""
    await shown(site, page)
    await page.context.set_offline(True)
    await site.sockets[0].close(1012)
    await page.clock.run_for(3_000)
    await page.context.set_offline(False)
    await pass_time(page, 4)
    await until(lambda: bool(site.open))
    await site.sockets[-1].send(counter(unsold=2))

    await shows(page, "Only 2 left at this price.")
    assert 1 == len(site.open)
