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
    """Serve the pages with a widget of the test's own; `details` and the rest as given."""
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
    """What a browser finds in a page: its elements with their attributes, and the text of its style."""

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


async def test_widget(serve: Serve) -> None:
    """The widget is served as written, to pages of every origin, and asked for again within minutes."""
    response = await serve().get("/widget/v1/ticket-counter.js")

    assert (200, SCRIPT) == (response.status_code, response.text)
    assert response.headers["content-type"].startswith("text/javascript")
    assert "public, max-age=300" == response.headers["cache-control"]
    assert ("*", "cross-origin") == (
        response.headers["access-control-allow-origin"],
        response.headers["cross-origin-resource-policy"],
    )


async def test_widget_unchanged(serve: Serve) -> None:
    """Who has the widget already gets 304 and no body, however many he names; another version gets the new one."""
    client = serve()
    etag = (await client.get("/widget/v1/ticket-counter.js")).headers["etag"]
    found = {}

    for asked in (etag, etag.removeprefix("W/"), f'"x", {etag}', "*", '"x"', HASH):
        response = await client.get("/widget/v1/ticket-counter.js", headers={"If-None-Match": asked})
        found[asked] = (response.status_code, response.text == SCRIPT, response.headers["etag"])

    same, new = (304, False, etag), (200, True, etag)
    assert [same, same, same, same, new, new] == [*found.values()]


@pytest.mark.parametrize("path", ["/widget/v1/ticket-counter.js", PINNED])
@pytest.mark.parametrize("coding", ["gzip", "identity"])
async def test_compressed_for_who_can_read_it(serve: Serve, path: str, coding: str) -> None:
    """The widget travels compressed to who says that he can read it, and no cache mixes the two up."""
    response = await serve().get(path, headers={"Accept-Encoding": coding})

    assert coding == response.headers.get("content-encoding", "identity")
    assert "Accept-Encoding" in response.headers["vary"]
    assert SCRIPT == response.text


async def test_pinned_widget(serve: Serve) -> None:
    """Under its hash the widget never changes, so it may be kept for ever."""
    response = await serve().get(PINNED)

    assert (200, SCRIPT) == (response.status_code, response.text)
    assert "public, max-age=31536000, immutable" == response.headers["cache-control"]
    assert "*" == response.headers["access-control-allow-origin"]


@pytest.mark.parametrize("name", [HASH[:-1], HASH.upper(), "0" * 16])
async def test_another_hash(serve: Serve, name: str) -> None:
    """Another version is not served under a wrong name, and nobody remembers that it was not there."""
    response = await serve().get(f"/widget/v1/ticket-counter.{name}.js")

    assert 404 == response.status_code
    assert SCRIPT not in response.text
    assert "no-store" == response.headers["cache-control"]


async def test_head(serve: Serve) -> None:
    """HEAD answers as GET does, without the body."""
    response = await serve().head("/widget/v1/ticket-counter.js", headers={"Accept-Encoding": "identity"})

    assert (200, str(len(SCRIPT)), f'W/"{HASH}"') == (
        response.status_code,
        response.headers["content-length"],
        response.headers["etag"],
    )


# -- the embed page --


async def test_embed(serve: Serve) -> None:
    """The page for an iframe has one element a ticket, in order, each with its site, and the widget's script.

    Where there are several each says of what it speaks.
    """
    page = Page((await serve().get(f"/embed?ticket={TICKET}&ticket={OTHER.upper()}&site={SITE}")).text)

    named = {"site": SITE, "show-name": None, "show-price": None}
    assert [{"ticket": TICKET, **named}, {"ticket": OTHER, **named}] == page.all("ticket-counter")
    assert [{"src": "/widget/v1/ticket-counter.js", "async": None}] == page.all("script")


async def test_embed_of_the_only_site(serve: Serve) -> None:
    """Without a site in the address the elements name none."""
    page = Page((await serve().get(f"/embed?ticket={TICKET}")).text)

    assert [{"ticket": TICKET}] == page.all("ticket-counter")


async def test_embed_below_a_root(serve: Serve) -> None:
    """Below a root path the script is asked for below it too."""
    page = Page((await serve(root="/counter").get(f"/counter/embed?ticket={TICKET}")).text)

    assert ["/counter/widget/v1/ticket-counter.js"] == [one["src"] for one in page.all("script")]


async def test_embed_policy(serve: Serve) -> None:
    """The page may run our script, speak to us, use its own style, and nothing else; who may frame it is set."""
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
async def test_embed_socket(serve: Serve, public_url: str | None, sources: str) -> None:
    """The public address is named for sockets, which some browsers do not count as 'self'."""
    response = await serve(public_url=public_url).get(f"/embed?ticket={TICKET}")

    assert sources == policy(response)["connect-src"]


@pytest.mark.parametrize("query", ["", "ticket=%3Cscript%3Ealert(1)%3C/script%3E", f"ticket={TICKET}&site=%22%3E"])
async def test_embed_of_nothing(serve: Serve, query: str) -> None:
    """A request that names no counter is told so as plain text that no browser takes for a page."""
    response = await serve().get(f"/embed?{query}")

    assert 400 == response.status_code
    assert "text/plain; charset=utf-8" == response.headers["content-type"]
    assert "no-store" == response.headers["cache-control"]


# -- health --


@pytest.mark.parametrize("details", [{}, {"redis": False}, {"accepting": False}])
async def test_live(serve: Serve, details: dict[str, bool]) -> None:
    """The process lives as long as it answers: a lost Redis does not restart what waits for it."""
    response = await serve(details=details).get("/livez")

    assert (200, "yes\n", "no-store") == (response.status_code, response.text, response.headers["cache-control"])


@pytest.mark.parametrize(
    ("details", "status", "text"),
    [({}, 200, "yes\n"), ({"redis": False}, 503, "no\n"), ({"accepting": False}, 503, "no\n")],
)
async def test_ready(serve: Serve, details: dict[str, bool], status: int, text: str) -> None:
    """Law 11: A process is ready while everything holds; a stranger learns yes or no, and not why."""
    response = await serve(details=details, token="secret").get("/readyz")

    assert (status, text, "no-store") == (response.status_code, response.text, response.headers["cache-control"])


async def test_ready_in_detail(serve: Serve) -> None:
    """Who has the token learns what does not hold."""
    client = serve(details={"redis": False}, token="secret")

    response = await client.get("/readyz", headers={"Authorization": "Bearer secret"})

    assert (503, {"redis": False, "accepting": True}) == (response.status_code, response.json())


async def test_notices(serve: Serve) -> None:
    """What a person should know takes no viewers from a process, and strangers do not hear of it."""
    client = serve(notices=lambda: {"webhooks_heard": False}, token="secret")

    stranger, owner = [
        await client.get("/readyz", headers=headers) for headers in ({}, {"Authorization": "Bearer secret"})
    ]

    assert (200, "yes\n") == (stranger.status_code, stranger.text)
    assert (200, {"redis": True, "accepting": True, "webhooks_heard": False}) == (owner.status_code, owner.json())


@pytest.mark.parametrize("given", ["Bearer wrong", "Bearer ", "Bearer", "Basic secret", "Bearer secret2", "s\xe9cret"])
async def test_ready_with_a_wrong_token(serve: Serve, given: str) -> None:
    """A wrong token is a stranger's."""
    client = serve(token="secret")

    response = await client.get("/readyz", headers={b"Authorization": given.encode("latin-1")})

    assert (200, "yes\n") == (response.status_code, response.text)


async def test_no_token_is_no_key(serve: Serve) -> None:
    """Where no token is set, an empty one opens nothing."""
    response = await serve().get("/readyz", headers={"Authorization": "Bearer "})

    assert "yes\n" == response.text


# -- metrics --


async def test_metrics(serve: Serve) -> None:
    """Metrics are for who has the token, in Prometheus's text format."""
    metrics.withdrawn.inc()
    client = serve(token="secret")

    response = await client.get("/metrics", headers={"Authorization": "Bearer secret"})

    assert 200 == response.status_code
    assert response.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert "ticket_counter_withdrawn_total " in response.text


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer wrong"}])
async def test_metrics_of_strangers(serve: Serve, headers: dict[str, str]) -> None:
    """Without the right token nobody learns from the metrics what redaction hides."""
    response = await serve(token="secret").get("/metrics", headers=headers)

    assert (401, "Bearer") == (response.status_code, response.headers["www-authenticate"])
    assert "ticket_counter" not in response.text


async def test_metrics_off(serve: Serve) -> None:
    """Where no token is set there are no metrics, as if there had never been."""
    client = serve()
    nothing = await client.get("/nothing")

    for headers in ({}, {"Authorization": "Bearer "}, {"Authorization": "Bearer None"}):
        response = await client.get("/metrics", headers=headers)
        assert (404, nothing.text) == (response.status_code, response.text)


# -- in the house --


async def test_in_the_real_server(start_server: StartServer) -> None:
    """The web process serves these pages, says that it is ready, and says no when its doors are closed."""
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
