"""The proxies of deploy/: each program accepts its file, and viewers, streams and webhooks come through it."""

from pathlib import Path

import httpx
import pytest
from playwright.async_api import Browser
from websockets.exceptions import ConnectionClosed

from tests.rig.process import Run
from tests.rig.proxied_server import proxied_server, sale_on_socket, sale_on_stream, within
from tests.rig.server import until
from tests.rig.tls_certificate import certificate
from tests.rig.tls_proxy import KINDS, prepare
from tests.rig.wix import WixRig

SECONDS = 20.0
"""Until a sale has to show: less than WATCH_EVERY, so that only the webhook can have told it."""


@pytest.mark.parametrize("kind", KINDS)
def test_program_accepts_its_file(tmp_path: Path, kind: str) -> None:
    """Each proxy accepts its file, without a warning."""
    said = prepare(kind, tmp_path / kind, certificate(tmp_path), 8000).checked()

    assert said.startswith("exit 0\n")
    assert "warn" not in said.lower()


@pytest.mark.parametrize("kind", KINDS)
async def test_a_sale_comes_through(tmp_path: Path, command: Run, wix: WixRig, kind: str) -> None:
    """A webhook through the proxy shows on a WebSocket, on a stream and as JSON through it, long before the next read."""
    ticket = wix.tickets["low"]
    async with proxied_server(kind, command, wix, tmp_path) as running:

        async def left() -> int | None:
            return (await running.json(ticket)).get("unsold")

        before = int(await until(left))
        since = wix.sandbox.delivery.last
        async with (
            running.socket(ticket) as socket,
            running.http.stream("GET", "/v1/counters/stream", params={"ticket": ticket}) as stream,
        ):
            lines = stream.aiter_lines()
            await within(SECONDS, sale_on_socket(socket, before), sale_on_stream(lines, before))
            wix.world.buy(ticket, 1)
            assert [200] == await running.webhooks(since)
            await within(SECONDS, sale_on_socket(socket, before - 1), sale_on_stream(lines, before - 1))
        assert before - 1 == await left()


@pytest.mark.parametrize("kind", KINDS)
async def test_visitors_are_counted_by_their_addresses(tmp_path: Path, command: Run, wix: WixRig, kind: str) -> None:
    """The limit per address counts the visitor and not the proxy, whatever address a visitor claims to have."""
    ticket = wix.tickets["low"]
    async with (
        proxied_server(kind, command, wix, tmp_path, MAX_CONNECTIONS_PER_ADDRESS="1") as running,
        running.socket(ticket, source="127.0.0.2") as first,
        running.socket(ticket, source="127.0.0.3") as other,
    ):
        await first.recv()
        await other.recv()
        with pytest.raises(ConnectionClosed) as refused:
            async with running.socket(ticket, source="127.0.0.2", **{"X-Forwarded-For": "203.0.113.7"}) as second:
                await second.recv()

    assert refused.value.rcvd is not None
    assert "full" in refused.value.rcvd.reason


@pytest.mark.parametrize("kind", KINDS)
async def test_plain_requests_are_sent_to_tls(tmp_path: Path, command: Run, wix: WixRig, kind: str) -> None:
    """Without TLS there is only a redirection to the same address with it; links to leave a list are in no log."""
    async with proxied_server(kind, command, wix, tmp_path) as running:
        async with httpx.AsyncClient(trust_env=False) as plain:
            answer = await plain.get(f"{running.proxy.plain}/v1/counters?ticket=a")
            await plain.get(f"{running.proxy.plain}/u/a-personal-token")
        await running.http.get("/u/a-personal-token")
        await running.http.get("/livez?seen=in-the-log")
        if kind != "caddy":  # it has no access log
            await until(lambda: "seen=in-the-log" in running.proxy.log)
        log = running.proxy.log

    assert answer.status_code in {301, 308}
    where = httpx.URL(answer.headers["location"])
    assert ("https", "localhost", b"/v1/counters?ticket=a") == (where.scheme, where.host, where.raw_path)
    assert "a-personal-token" not in log


@pytest.mark.parametrize("kind", KINDS)
async def test_the_widget_lives_in_a_browser(
    tmp_path: Path, command: Run, wix: WixRig, browser: Browser, kind: str
) -> None:
    """In Chromium, which uses HTTP/2 with each of these, the widget shows a number and follows a sale."""
    ticket = wix.tickets["low"]
    async with proxied_server(kind, command, wix, tmp_path) as running:
        context = await browser.new_context(ignore_https_errors=True)
        page = await context.new_page()
        await page.goto(f"{running.proxy.url}/embed?ticket={ticket}")
        protocol = await page.evaluate("performance.getEntriesByType('navigation')[0].nextHopProtocol")
        counter = page.locator("ticket-counter")
        await until(lambda: counter.get_attribute("data-state"))
        before = wix.world.tickets[ticket].left or 0
        await until(lambda: _says(counter, f"{before} left"))
        since = wix.sandbox.delivery.last
        wix.world.buy(ticket, 1)
        assert [200] == await running.webhooks(since)
        await until(lambda: _says(counter, f"{before - 1} left"), SECONDS)
        await context.close()

    assert "h2" == protocol


async def _says(counter: object, words: str) -> bool:
    return words in await counter.evaluate("element => element.shadowRoot.textContent")  # type: ignore[attr-defined]
