import os
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from server.doctor import page
from server.doctor.finding import Finding
from tests.rig.browser import FLAGS
from tests.rig.doctor import faults, levels
from tests.rig.host_site import HostSite
from tests.rig.server import RunningServer, StartServer, until
from tests.rig.wix import WixRig

QUICK = tuple(flag for flag in FLAGS if flag != "--no-sandbox")
NO_SANDBOX = os.geteuid() == 0
"""Chromium's own sandbox does not start for root, as in most containers."""


@pytest.fixture
async def server(start_server: StartServer, wix: WixRig) -> RunningServer:
    """A server with a worker."""
    server = await start_server(worker=True, **wix.settings())

    async def shown() -> bool:
        answer = await server.http.get(server.counters(wix.tickets["fixed"]))
        return '"available"' in answer.text

    await until(shown)
    return server


def script(server: RunningServer, name: str = "ticket-counter.js") -> str:
    return f'<script src="{server.url}/widget/v1/{name}" async></script>'


def element(wix: WixRig) -> str:
    return f'<ticket-counter ticket="{wix.tickets["fixed"]}" site="{wix.site}"></ticket-counter>'


async def found_on(url: str) -> list[Finding]:
    return [one async for one in page.check(url, sandbox=not NO_SANDBOX, flags=QUICK)]


async def test_page_that_is_right(site: HostSite, server: RunningServer, wix: WixRig) -> None:
    """A page whose counter is shown is right, with the state that it shows; so is one in a frame."""
    inner = site.put("/inner", script(server) + element(wix))
    url = site.put("/", script(server) + element(wix) + f'<iframe src="{inner}"></iframe>')

    (found,) = await found_on(url)

    assert ("ok", "counters that are shown: 2 (available)") == (found.level, found.what)


async def test_page_without_the_counter(site: HostSite) -> None:
    """A page without script and element is a fault that names Wix's menus, and a page that does not open is one too."""
    (empty,) = await found_on(site.put("/", "<p>Hello"))
    (missing,) = await found_on("http://nothing.invalid/")

    assert "neither the script of the counter nor its element" in empty.what
    assert "Custom Element" in empty.cure
    assert "does not open: " in missing.what


async def test_policy_of_the_page(
    site: HostSite, server: RunningServer, wix: WixRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A Content-Security-Policy that refuses the script, or the connection, is a fault with the address."""
    monkeypatch.setattr(page, "SHOWN_WITHIN", 2000.0)
    body = script(server) + element(wix)
    no_script = await found_on(site.put("/a", body, content_security_policy="script-src 'self'"))
    no_connection = await found_on(site.put("/b", body, content_security_policy="connect-src 'self'"))

    assert f"refuses {server.url}/widget/v1/ticket-counter.js (script-src-elem)" in faults(no_script)[0]
    assert "(connect-src)" in faults(no_connection)[0]


async def test_origin_of_the_page(
    site: HostSite, start_server: StartServer, wix: WixRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A page whose origin is not in ORIGINS is a fault that names the origin to add."""
    monkeypatch.setattr(page, "SHOWN_WITHIN", 1000.0)
    server = await start_server(**wix.settings(), origins="https://www.example.org")

    (found,) = await found_on(site.put("/", script(server) + element(wix)))

    assert f"ORIGINS does not allow {site.url}, the origin of this page" == found.what


async def test_script_that_does_not_come(
    site: HostSite, server: RunningServer, wix: WixRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A script with a wrong address is a fault with the answer, and one that is loaded twice is told."""
    monkeypatch.setattr(page, "SHOWN_WITHIN", 1000.0)
    wrong = await found_on(site.put("/a", script(server, "ticket-counter.v9.js") + element(wix)))
    twice = await found_on(site.put("/b", script(server) * 2 + element(wix)))

    assert faults(wrong)[0].endswith("does not come: what is answered there is no script, as a page that says 404")
    assert ["notice", "ok"] == levels(twice)
    assert "the script is loaded 2 times" == twice[0].what


async def test_ticket_that_no_one_knows(site: HostSite, server: RunningServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A counter of a ticket that Wix does not have is told."""
    monkeypatch.setattr(page, "SHOWN_WITHIN", 1000.0)
    tag = '<ticket-counter ticket="11111111-aaaa-4aaa-8aaa-0000000000ff"></ticket-counter>'

    found = await found_on(site.put("/", script(server) + tag))

    assert ["fault"] == levels(found)
    assert "Wix has no such ticket" in found[0].what


async def test_script_of_the_page_that_fails(
    site: HostSite, server: RunningServer, wix: WixRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error of another script is told where the counter does not come up, with its place, and not where it does."""
    monkeypatch.setattr(page, "SHOWN_WITHIN", 1000.0)
    broken = "<script>throw new TypeError('the shop fails')</script>"
    right = await found_on(site.put("/a", broken + script(server) + element(wix)))
    spoilt = "<script>window.WebSocket = window.EventSource = window.fetch = undefined</script>"
    wrong = await found_on(site.put("/b", spoilt + broken + script(server) + element(wix)))

    assert ["ok"] == levels(right)
    (told,) = [one for one in wrong if one.level == "notice"]
    assert "another script of the page fails: TypeError: the shop fails" in told.what


async def test_element_of_an_event(
    site: HostSite, server: RunningServer, wix: WixRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An element of an event is not said to lack a ticket; an event that no one knows is told."""
    monkeypatch.setattr(page, "SHOWN_WITHIN", 500.0)
    tag = '<ticket-counter event="{}" site="{}" server="{}"></ticket-counter>'
    known = await found_on(site.put("/a", script(server) + tag.format(wix.event, wix.site, server.url)))
    unknown = await found_on(site.put("/b", script(server) + tag.format("no-such-event", wix.site, server.url)))

    assert [] == faults(known)
    assert faults(unknown)[0].startswith("event no-such-event: 404 ")


async def test_browser_that_cannot_be_started(site: HostSite, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without Playwright, or without a browser, or where its sandbox cannot be used, the cure is told, and nothing is opened without it."""
    url = site.put("/", "<p>Hello")
    if NO_SANDBOX:
        (refused,) = [one async for one in page.check(url, flags=QUICK)]
        assert "its sandbox cannot be used" in refused.what
        assert "--no-browser-sandbox" in refused.cure
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr(page, "BROWSERS", ())
    monkeypatch.setenv("PLAYWRIGHT_BROWSERS_PATH", "/nowhere")
    (no_browser,) = [one async for one in page.check(url)]
    assert "no Chromium is installed here" == no_browser.what
    monkeypatch.setitem(sys.modules, "playwright.async_api", None)
    (no_playwright,) = [one async for one in page.check(url)]
    assert "needs Playwright" in no_playwright.what


async def test_environment_of_the_browser(monkeypatch: pytest.MonkeyPatch) -> None:
    """The browser gets nothing of our environment, in which secrets stand."""
    monkeypatch.setenv("WIX_APP_SECRET", "hush-hush-secret")
    found = []
    async with page._browser(sandbox=not NO_SANDBOX, flags=QUICK) as browser:
        await browser.new_page()
        for process in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                if b"chrom" in (process / "cmdline").read_bytes():
                    found.append((process / "environ").read_bytes())

    ours = [one for one in found if b"HOME=/" in one and b"/ticket-counter-" in one]
    assert ours
    assert [] == [one for one in found if b"hush-hush-secret" in one]
