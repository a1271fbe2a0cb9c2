import hashlib
from base64 import b64encode
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette

from server import metrics
from server.pages import Pages
from tests.rig.server import OTHER, SITE, TICKET, StartServer

SCRIPT = "{ customElements.define('ticket-counter', class extends HTMLElement {}) }\n"
HASH = hashlib.sha256(SCRIPT.encode()).hexdigest()[:16]
PINNED = f"/widget/v1/ticket-counter.{HASH}.js"

Serve = Callable[..., httpx.AsyncClient]


@pytest.fixture
async def serve(tmp_path: Path) -> AsyncIterator[Serve]:
    """Serve the pages with the test's own widget; *details* and other arguments as given."""
    widget = tmp_path / "ticket-counter.js"
    widget.write_text(SCRIPT)
    async with AsyncExitStack() as stack:

        def start(root: str = "", details: dict[str, bool] | None = None, **given: Any) -> httpx.AsyncClient:
            settings: dict[str, Any] = {"token": None, "frame_ancestors": "*", "widget": widget, **given}
            pages = Pages(lambda: {"redis": True, "accepting": True, **(details or {})}, **settings)
            transport = httpx.ASGITransport(Starlette(routes=pages.routes()), root_path=root)
            client = httpx.AsyncClient(transport=transport, base_url="http://pages.test")
            stack.push_async_callback(client.aclose)
            return client

        yield start


class Page(HTMLParser):
    """A page as a browser parses it: its elements with their attributes, and the text of its style."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.style = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note an element."""
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        """Note the style's text."""
        if self.elements and self.elements[-1][0] == "style" and self.lasttag == "style":
            self.style += data.rstrip("\n")

    def all(self, tag: str) -> list[dict[str, str | None]]:
        """The attributes of every element of this name."""
        return [attributes for name, attributes in self.elements if name == tag]


def policy(response: httpx.Response) -> dict[str, str]:
    """The page's content security policy, by directive."""
    parts = (part.strip().partition(" ") for part in response.headers["content-security-policy"].split(";"))
    return {name: value for name, _, value in parts}


# -- the widget --


async def test_widget_script(serve: Serve) -> None:
    """The widget is served as written, to pages of every origin, and cached for five minutes."""
    response = await serve().get("/widget/v1/ticket-counter.js")

    assert (200, SCRIPT) == (response.status_code, response.text)
    assert response.headers["content-type"].startswith("text/javascript")
    assert "public, max-age=300" == response.headers["cache-control"]
    assert ("*", "cross-origin") == (
        response.headers["access-control-allow-origin"],
        response.headers["cross-origin-resource-policy"],
    )


async def test_widget_not_modified(serve: Serve) -> None:
    """A client that names this version, among others or not, gets 304 without a body; any other gets the widget."""
    client = serve()
    etag = (await client.get("/widget/v1/ticket-counter.js")).headers["etag"]
    found = {}

    for known in (etag, etag.removeprefix("W/"), f'"x", {etag}', "*", '"x"', HASH):
        response = await client.get("/widget/v1/ticket-counter.js", headers={"If-None-Match": known})
        found[known] = (response.status_code, response.text == SCRIPT, response.headers["etag"])

    same, new = (304, False, etag), (200, True, etag)
    assert [same, same, same, same, new, new] == [*found.values()]


@pytest.mark.parametrize("path", ["/widget/v1/ticket-counter.js", PINNED])
@pytest.mark.parametrize("coding", ["gzip", "identity"])
async def test_widget_compression(serve: Serve, path: str, coding: str) -> None:
    """The widget is compressed for a client that accepts gzip, and a cache keeps both forms apart."""
    response = await serve().get(path, headers={"Accept-Encoding": coding})

    assert coding == response.headers.get("content-encoding", "identity")
    assert "Accept-Encoding" in response.headers["vary"]
    assert SCRIPT == response.text


async def test_pinned_widget_is_immutable(serve: Serve) -> None:
    """Under its hash the widget never changes, so it may be cached for ever."""
    response = await serve().get(PINNED)

    assert (200, SCRIPT) == (response.status_code, response.text)
    assert "public, max-age=31536000, immutable" == response.headers["cache-control"]
    assert "*" == response.headers["access-control-allow-origin"]


@pytest.mark.parametrize("name", [HASH[:-1], HASH.upper(), "0" * 16])
async def test_pinned_widget_with_another_hash(serve: Serve, name: str) -> None:
    """Another version is not served under a wrong hash, and the 404 is not cached."""
    response = await serve().get(f"/widget/v1/ticket-counter.{name}.js")

    assert 404 == response.status_code
    assert SCRIPT not in response.text
    assert "no-store" == response.headers["cache-control"]


async def test_head_request(serve: Serve) -> None:
    """HEAD answers as GET does, without the body."""
    response = await serve().head("/widget/v1/ticket-counter.js", headers={"Accept-Encoding": "identity"})

    assert (200, str(len(SCRIPT)), f'W/"{HASH}"') == (
        response.status_code,
        response.headers["content-length"],
        response.headers["etag"],
    )


# -- the embed page --


async def test_embed_page(serve: Serve) -> None:
    """The embed page has the widget's script and one element per ticket, in order; several show names and prices."""
    page = Page((await serve().get(f"/embed?ticket={TICKET}&ticket={OTHER.upper()}&site={SITE}")).text)

    named = {"site": SITE, "show-name": None, "show-price": None}
    assert [{"ticket": TICKET, **named}, {"ticket": OTHER, **named}] == page.all("ticket-counter")
    assert [{"src": "/widget/v1/ticket-counter.js", "async": None}] == page.all("script")


async def test_embed_without_site(serve: Serve) -> None:
    """Without a site in the query the elements name none."""
    page = Page((await serve().get(f"/embed?ticket={TICKET}")).text)

    assert [{"ticket": TICKET}] == page.all("ticket-counter")


async def test_embed_below_root_path(serve: Serve) -> None:
    """Below a root path the URL of the script has it too."""
    page = Page((await serve(root="/counter").get(f"/counter/embed?ticket={TICKET}")).text)

    assert ["/counter/widget/v1/ticket-counter.js"] == [one["src"] for one in page.all("script")]


async def test_embed_content_security_policy(serve: Serve) -> None:
    """The page may run the widget, connect to this server and use its own style only; ORIGINS may frame it."""
    response = await serve(frame_ancestors="https://shop.example", public_url="https://tickets.example").get(
        f"/embed?ticket={TICKET}"
    )

    style = b64encode(hashlib.sha256(Page(response.text).style.encode()).digest()).decode()
    assert {
        "default-src": "'none'",
        "script-src": "'self'",
        "connect-src": "'self' wss://tickets.example",
        "style-src": f"'sha256-{style}'",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "https://shop.example",
    } == policy(response)
    assert "no-store" == response.headers["cache-control"]
    assert "x-frame-options" not in response.headers


@pytest.mark.parametrize(
    ("public_url", "sources"),
    [
        (None, "'self'"),
        ("http://127.0.0.1:8000", "'self' ws://127.0.0.1:8000"),
        ("https://tickets.example/counter", "'self' wss://tickets.example"),
    ],
)
async def test_embed_policy_names_websocket(serve: Serve, public_url: str | None, sources: str) -> None:
    """The policy names PUBLIC_URL for WebSockets, which some browsers do not count as 'self'."""
    response = await serve(public_url=public_url).get(f"/embed?ticket={TICKET}")

    assert sources == policy(response)["connect-src"]


@pytest.mark.parametrize("query", ["", "ticket=%3Cscript%3Ealert(1)%3C/script%3E", f"ticket={TICKET}&site=%22%3E"])
async def test_embed_bad_request(serve: Serve, query: str) -> None:
    """A query that names no counter is answered with 400 as plain text, which no browser renders as a page."""
    response = await serve().get(f"/embed?{query}")

    assert 400 == response.status_code
    assert "text/plain; charset=utf-8" == response.headers["content-type"]
    assert "no-store" == response.headers["cache-control"]


# -- health --


@pytest.mark.parametrize("details", [{}, {"redis": False}, {"accepting": False}])
async def test_livez_answers_yes(serve: Serve, details: dict[str, bool]) -> None:
    """The process is alive as long as it answers, even if Redis is unavailable."""
    response = await serve(details=details).get("/livez")

    assert (200, "yes\n", "no-store") == (response.status_code, response.text, response.headers["cache-control"])


@pytest.mark.parametrize(
    ("details", "status", "text"),
    [({}, 200, "yes\n"), ({"redis": False}, 503, "no\n"), ({"accepting": False}, 503, "no\n")],
)
async def test_readyz_follows_the_details(serve: Serve, details: dict[str, bool], status: int, text: str) -> None:
    """Law 11: a process is ready while all conditions hold; a client without the token does not learn why not."""
    response = await serve(details=details, token="secret").get("/readyz")

    assert (status, text, "no-store") == (response.status_code, response.text, response.headers["cache-control"])


async def test_readyz_with_token(serve: Serve) -> None:
    """With the token a client learns which condition does not hold."""
    client = serve(details={"redis": False}, token="secret")

    response = await client.get("/readyz", headers={"Authorization": "Bearer secret"})

    assert (503, {"redis": False, "accepting": True}) == (response.status_code, response.json())


async def test_readyz_notices(serve: Serve) -> None:
    """A notice does not make a process unready, and is shown only with the token."""
    client = serve(notices=lambda: {"webhooks_heard": False}, token="secret")

    without, with_token = [
        await client.get("/readyz", headers=headers) for headers in ({}, {"Authorization": "Bearer secret"})
    ]

    assert (200, "yes\n") == (without.status_code, without.text)
    assert (200, {"redis": True, "accepting": True, "webhooks_heard": False}) == (
        with_token.status_code,
        with_token.json(),
    )


@pytest.mark.parametrize("given", ["Bearer wrong", "Bearer ", "Bearer", "Basic secret", "Bearer secret2", "s\xe9cret"])
async def test_readyz_with_wrong_token(serve: Serve, given: str) -> None:
    """A wrong token shows no more than none."""
    client = serve(token="secret")

    response = await client.get("/readyz", headers={b"Authorization": given.encode("latin-1")})

    assert (200, "yes\n") == (response.status_code, response.text)


async def test_readyz_without_token_set(serve: Serve) -> None:
    """If no token is set, an empty one is not accepted."""
    response = await serve().get("/readyz", headers={"Authorization": "Bearer "})

    assert "yes\n" == response.text


# -- metrics --


async def test_metrics_with_token(serve: Serve) -> None:
    """With the token the metrics are served, in Prometheus's text format."""
    metrics.withdrawn.inc()
    client = serve(token="secret")

    response = await client.get("/metrics", headers={"Authorization": "Bearer secret"})

    assert 200 == response.status_code
    assert response.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert "ticket_counter_withdrawn_total " in response.text


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer wrong"}])
async def test_metrics_with_wrong_token(serve: Serve, headers: dict[str, str]) -> None:
    """Without the right token the metrics are 401: they show what redaction hides."""
    response = await serve(token="secret").get("/metrics", headers=headers)

    assert (401, "Bearer") == (response.status_code, response.headers["www-authenticate"])
    assert "ticket_counter" not in response.text


async def test_metrics_without_token_set(serve: Serve) -> None:
    """If no token is set, /metrics is 404 as any unknown path."""
    client = serve()
    nothing = await client.get("/nothing")

    for headers in ({}, {"Authorization": "Bearer "}, {"Authorization": "Bearer None"}):
        response = await client.get("/metrics", headers=headers)
        assert (404, nothing.text) == (response.status_code, response.text)


# -- in a web process --


async def test_pages_in_a_web_process(start_server: StartServer) -> None:
    """A web process serves these pages, is ready, and is not ready once it admits no viewers."""
    running = await start_server(metrics_token="secret", origins="https://shop.example")
    ready = await running.http.get("/readyz")
    embed = await running.http.get(f"/embed?ticket={TICKET}")
    running.web.admission.open = False

    closing = await running.http.get("/readyz", headers={"Authorization": "Bearer secret"})

    assert (200, "yes\n") == (ready.status_code, ready.text)
    assert "https://shop.example" == policy(embed)["frame-ancestors"]
    assert (503, {"redis": True, "accepting": False, "rules": True, "webhooks_heard": True}) == (
        closing.status_code,
        closing.json(),
    )
