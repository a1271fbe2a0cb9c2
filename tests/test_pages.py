import asyncio
import hashlib
import itertools
from base64 import b64encode
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, aclosing
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette

from server.errors import BadRequest, NoSiteYet
from server.pages import FRAME, LOOK_UPS, OTHERS, WIDGET, Pages
from server.query import Query
from server.redis.client import RedisClient, Use
from server.snippet import hash_of
from server.store.widget_files import WidgetFiles
from tests.rig.process import PROGRAM, Run
from tests.rig.redis import Servers
from tests.rig.server import OTHER, SITE, TICKET, StartServer, until

SCRIPT = "{ customElements.define('ticket-counter', class extends HTMLElement {}) }\n"
HASH = hashlib.sha256(SCRIPT.encode()).hexdigest()[:16]
PINNED = f"/widget/v1/ticket-counter.{HASH}.js"

Serve = Callable[..., httpx.AsyncClient]


@pytest.fixture
async def serve(tmp_path: Path) -> AsyncIterator[Serve]:
    """Serve the pages with the test's own widget; other arguments as given."""
    widget = tmp_path / "ticket-counter.js"
    widget.write_text(SCRIPT)
    async with AsyncExitStack() as stack:

        def start(root: str = "", **given: Any) -> httpx.AsyncClient:
            settings: dict[str, Any] = {"frame_ancestors": "*", "widget": widget, **given}
            pages = Pages(**settings)
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

    for known in (etag, f"W/{etag}", f'"x", {etag}', "*", '"x"', HASH):
        response = await client.get("/widget/v1/ticket-counter.js", headers={"If-None-Match": known})
        found[known] = (response.status_code, response.text == SCRIPT, response.headers["etag"])

    same, new = (304, False, etag), (200, True, etag)
    assert [same, same, same, same, new, new] == [*found.values()]
    assert f'"{HASH}-gzip"' == etag


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


# -- other versions of the widget --

OLDER = SCRIPT.replace("{ }", "{ /* older */ }") + "// older\n"
OLDER_HASH = hashlib.sha256(OLDER.encode()).hexdigest()[:16]
OLDER_PATH = f"/widget/v1/ticket-counter.{OLDER_HASH}.js"


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[RedisClient]:
    async with aclosing(RedisClient(redis_url, Use.INGEST)) as found:
        yield found


async def test_older_widget_of_another_process(serve: Serve, redis: RedisClient) -> None:
    """A version that another process has had is served by its hash, as this process's own is, and then without Redis."""
    files = WidgetFiles(redis)
    await files.keep(OLDER.encode())
    client = serve(files=files)

    older, own = await client.get(OLDER_PATH), await client.get(PINNED)
    await redis.do("FLUSHALL")
    again = await client.get(OLDER_PATH, headers={"Accept-Encoding": "identity"})

    assert [(200, OLDER), (200, SCRIPT), (200, OLDER)] == [(one.status_code, one.text) for one in (older, own, again)]
    same = ("cache-control", "access-control-allow-origin", "cross-origin-resource-policy", "content-type", "vary")
    assert [own.headers[name] for name in same] == [older.headers[name] for name in same]
    assert "public, max-age=31536000, immutable" == older.headers["cache-control"]


async def test_unknown_widget_is_not_cached(serve: Serve, redis: RedisClient) -> None:
    """A version that nobody knows is 404 for now: a process that has it may start in a moment."""
    files = WidgetFiles(redis)
    client = serve(files=files)
    before = await client.get(OLDER_PATH)
    await files.keep(OLDER.encode())

    after = await client.get(OLDER_PATH)

    assert (404, "no-store", 200) == (before.status_code, before.headers["cache-control"], after.status_code)


async def test_forged_widget_is_not_served(serve: Serve, redis: RedisClient) -> None:
    """What somebody wrote to Redis under a hash that it does not have is not served."""
    await redis.do("SET", f"tc:widget:{OLDER_HASH}", "alert(1)")

    response = await serve(files=WidgetFiles(redis)).get(OLDER_PATH)

    assert (404, False) == (response.status_code, "alert" in response.text)


@pytest.mark.parametrize("name", ["", "0", "*", "A" * 16, "0" * 15, "0" * 17, "..%2f..%2fkey", "0" * 16 + "%0a"])
async def test_name_that_is_no_hash_is_not_looked_up(serve: Serve, name: str) -> None:
    """What cannot be a hash is 404 without a question to Redis, which is not even there."""
    async with aclosing(RedisClient("redis://127.0.0.1:9/0", Use.INGEST)) as nowhere:
        response = await serve(files=WidgetFiles(nowhere)).get(f"/widget/v1/ticket-counter.{name}.js")

    assert 404 == response.status_code


async def test_other_version_while_redis_is_unavailable(serve: Serve) -> None:
    """While Redis is unavailable another version is 503 and in no cache, and this process's own is served."""
    async with aclosing(RedisClient("redis://127.0.0.1:9/0", Use.INGEST)) as nowhere:
        client = serve(files=WidgetFiles(nowhere))

        other, own = await client.get(OLDER_PATH), await client.get(PINNED)

    assert (503, "no-store", "1") == (other.status_code, other.headers["cache-control"], other.headers["retry-after"])
    assert 200 == own.status_code


async def test_look_ups_of_hashes_are_limited(serve: Serve, redis: RedisClient) -> None:
    """Law 9: Hashes that nobody knows cost Redis no more than a few look-ups a second; known versions are still served."""
    now = 0.0
    files = WidgetFiles(redis)
    await files.keep(OLDER.encode())
    client = serve(files=files, clock=lambda: now)
    known = await client.get(OLDER_PATH)
    asked = [await client.get(f"/widget/v1/ticket-counter.{number:016x}.js") for number in range(3 * LOOK_UPS)]
    still = await client.get(OLDER_PATH)
    now += 1.0
    later = await client.get(f"/widget/v1/ticket-counter.{'0' * 16}.js")

    assert [404] * (LOOK_UPS - 1) + [503] * (2 * LOOK_UPS + 1) == [one.status_code for one in asked]
    assert (200, 200, 404) == (known.status_code, still.status_code, later.status_code)


async def test_few_other_versions_stay_in_memory(tmp_path: Path, redis: RedisClient) -> None:
    """However many versions are asked for, few stay in memory, and all are served."""
    now = itertools.count()
    files = WidgetFiles(redis)
    pages = Pages(frame_ancestors="*", files=files, clock=lambda: float(next(now)))
    bodies = [f"// {number}\n".encode() for number in range(2 * OTHERS)]
    for body in bodies:
        await files.keep(body)
        found = await pages._other(hash_of(body))
        assert found
        assert body == found.plain

    assert OTHERS == len(pages._others)


async def test_process_keeps_its_widget_for_others(serve: Serve, redis: RedisClient, tmp_path: Path) -> None:
    """A process keeps its version in Redis as soon as that takes it."""
    widget = tmp_path / "own.js"
    widget.write_text(OLDER)
    running = asyncio.create_task(Pages(frame_ancestors="*", widget=widget, files=WidgetFiles(redis)).run())
    try:
        assert OLDER.encode() == await until(lambda: WidgetFiles(redis).find(OLDER_HASH))
    finally:
        running.cancel()
        await asyncio.wait({running})


async def test_process_keeps_its_widget_after_redis_was_away(
    redis_server: Servers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process whose version Redis did not take tries again, and stores it again from time to time."""
    monkeypatch.setattr("server.pages.KEEP_AGAIN", 0.05)
    monkeypatch.setattr("server.pages.KEEP_EVERY", 0.05)
    server = redis_server()
    server.kill()
    async with aclosing(RedisClient(server.url, Use.INGEST)) as client:
        pages = Pages(frame_ancestors="*", files=WidgetFiles(client))
        running = asyncio.create_task(pages.run())
        try:
            server.start()
            own = hash_of(WIDGET.read_bytes())
            first = await until(lambda: server.ask("EXISTS", f"tc:widget:{own}"))
            server.ask("FLUSHALL")
            second = await until(lambda: server.ask("EXISTS", f"tc:widget:{own}"))
        finally:
            running.cancel()
            await asyncio.wait({running})

    assert (1, 1) == (first, second)


async def test_head_request(serve: Serve) -> None:
    """HEAD answers as GET does, without the body."""
    response = await serve().head("/widget/v1/ticket-counter.js", headers={"Accept-Encoding": "identity"})

    assert (200, str(len(SCRIPT)), f'"{HASH}"') == (
        response.status_code,
        response.headers["content-length"],
        response.headers["etag"],
    )


# -- the embed page --


async def test_embed_page(serve: Serve) -> None:
    """The embed page has the widget's script and one element per ticket, in order; several show names and prices."""
    page = Page((await serve().get(f"/embed?ticket={TICKET}&ticket={OTHER.upper()}&site={SITE}")).text)

    named = {"site": SITE, "show-name": None, "show-price": None, "eager": None}
    assert [{"ticket": TICKET, **named}, {"ticket": OTHER, **named}] == page.all("ticket-counter")
    assert [
        {"src": "/widget/v1/ticket-counter.js", "async": None},
        {"src": "/widget/v1/embed.js", "defer": None},
    ] == page.all("script")


async def test_embed_without_site(serve: Serve) -> None:
    """Without a site in the query the elements name none."""
    page = Page((await serve().get(f"/embed?ticket={TICKET}")).text)

    assert [{"ticket": TICKET, "eager": None}] == page.all("ticket-counter")


async def test_embed_below_root_path(serve: Serve) -> None:
    """Below a root path the URL of the script has it too."""
    page = Page((await serve(root="/counter").get(f"/counter/embed?ticket={TICKET}")).text)

    assert ["/counter/widget/v1/ticket-counter.js", "/counter/widget/v1/embed.js"] == [
        one["src"] for one in page.all("script")
    ]


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


async def test_embed_refuses_tickets_of_two_sites(serve: Serve) -> None:
    """A query that names tickets of two sites is answered with 400; one whose site cannot be found now gets the page, which asks again."""

    async def two_sites(query: Query) -> None:
        raise BadRequest("site", "tickets of two sites")

    async def not_now(query: Query) -> None:
        raise NoSiteYet

    refused = await serve(find_site=two_sites).get(f"/embed?ticket={TICKET}")
    later = await serve(find_site=not_now).get(f"/embed?ticket={TICKET}")

    assert (400, "tickets of two sites\n") == (refused.status_code, refused.text)
    assert 200 == later.status_code


async def test_frame_script(serve: Serve) -> None:
    """The embed page's script is served as the widget is."""
    client = serve()
    script, widget = await client.get("/widget/v1/embed.js"), await client.get("/widget/v1/ticket-counter.js")

    assert (200, FRAME.read_text()) == (script.status_code, script.text)
    same = ("cache-control", "vary", "content-type", "cross-origin-resource-policy")
    assert [widget.headers[name] for name in same] == [script.headers[name] for name in same]


# -- in a web process --


async def test_pages_in_a_web_process(start_server: StartServer) -> None:
    """A web process serves these pages, to frames of the sites that may read, and versions of the widget that others have had."""
    running = await start_server(origins="https://shop.example")

    embed = await running.http.get(f"/embed?ticket={TICKET}")
    own = hash_of(WIDGET.read_bytes())
    await until(lambda: running.web.redis.do("EXISTS", f"tc:widget:{own}"))
    await WidgetFiles(running.web.redis).keep(OLDER.encode())
    older = await running.http.get(OLDER_PATH)

    assert "https://shop.example" == policy(embed)["frame-ancestors"]
    assert (200, OLDER) == (older.status_code, older.text)


OLD_PROCESS = f"""
from pathlib import Path
from server.pages import Pages
Path("old.js").write_text({OLDER!r})
Pages.__init__.__kwdefaults__["widget"] = Path("old.js")
from server.cli import main
main()
"""
"""A process of a version that has another widget."""


async def test_old_and_new_processes_serve_each_others_widget(command: Run, redis_url: str) -> None:
    """Two versions side by side both serve both widgets by their hashes; the new one still does when the old one has ended."""
    new = f"/widget/v1/ticket-counter.{hash_of(WIDGET.read_bytes())}.js"
    running = [command("web", program=program, REDIS_URL=redis_url) for program in (OLD_PROCESS, PROGRAM)]
    urls = [await one.url() for one in running]
    async with httpx.AsyncClient(trust_env=False) as client:

        async def all_served(*urls: str) -> bool:
            return {200} == {(await client.get(url + path)).status_code for url in urls for path in (OLDER_PATH, new)}

        await until(lambda: all_served(*urls))
        own = (await client.get(f"{urls[0]}/widget/v1/ticket-counter.js")).text
        ended = await running[0].stop()
        restarted = command("web", REDIS_URL=redis_url)
        url = await restarted.url()
        later = (await client.get(url + OLDER_PATH)).text

    assert (OLDER, OLDER, 0) == (own, later, ended[0])
