import hashlib
import re
from base64 import b64encode
from importlib.metadata import version

import httpx
import pytest
from starlette.applications import Starlette

from server import index_page
from server.counter import State
from tests.rig.fake_reader import FakeReader, definition
from tests.rig.server import SITE, TICKET, StartServer


async def get(path: str = "/", root: str = "") -> httpx.Response:
    """The answer of the page alone."""
    transport = httpx.ASGITransport(Starlette(routes=index_page.routes()), root_path=root)
    async with httpx.AsyncClient(transport=transport, base_url="http://pages.test") as client:
        return await client.get(path)


async def test_what_the_server_is() -> None:
    """The page says what the server is, its version, its addresses, and where the documentation is."""
    response = await get()

    assert (200, "no-store") == (response.status_code, response.headers["cache-control"])
    assert response.headers["content-type"].startswith("text/html")
    assert f"<h1>ticket-counter {version('ticket-counter')}</h1>" in response.text
    found = [path for line in re.findall("<dt>(.*?)</dt>", response.text) for path in re.findall(r"/[\w./-]+", line)]
    assert [
        "/widget/v1/ticket-counter.js", "/embed", "/v1/counters", "/livez", "/readyz", "/metrics"
    ] == found  # fmt: skip
    for name in ("README.md", "docs/operate.md", "docs/contract.md"):
        assert name in response.text


async def test_content_security_policy() -> None:
    """The page may use its own style, and nothing else; nothing may frame it."""
    response = await get()

    [style] = re.findall("<style>(.*?)</style>", response.text)
    hashed = b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert (
        f"default-src 'none'; style-src 'sha256-{hashed}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        == response.headers["content-security-policy"]
    )


async def test_below_root_path() -> None:
    """Below ROOT_PATH the page names the addresses there."""
    assert "<dt>/counter/embed?" in (await get("/counter/", "/counter")).text


@pytest.mark.parametrize("root", ["", "/counter"])
async def test_nothing_of_tickets_and_settings(start_server: StartServer, reads: FakeReader, root: str) -> None:
    """The page of a server has no id, name or number of a ticket, no site and no secret."""
    running = await start_server(metrics_token="a-token-of-metrics", root_path=root)
    await reads.read(definition(TICKET, 3, name="Front row"))
    counters = (await running.http.get(f"{root}{running.counters(TICKET)}")).json()["counters"]

    page = (await running.http.get(f"{root}/")).text

    assert [(State.LOW, "Front row")] == [(one["state"], one["name"]) for one in counters]
    assert "ticket-counter" in page
    for secret in (TICKET, SITE, "Front row", "a-token-of-metrics"):
        assert secret not in page
