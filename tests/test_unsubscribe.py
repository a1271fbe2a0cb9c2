import asyncio
import hashlib
from base64 import b64encode
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from html.parser import HTMLParser
from typing import Any

import httpx
import pytest
from playwright.async_api import Browser
from prometheus_client import REGISTRY
from starlette.applications import Starlette

from server.keyring import KeyRing, Purpose
from server.model import SiteId
from server.redis.client import RedisClient, Use
from server.store.notify_requests import Kept, NotifyRequests, RequestKind
from server.store.suppressions import Suppressions
from server.unsubscribe import LARGEST, LONGEST_TOKEN, WORDS, Unsubscribe
from tests.rig.process import Run
from tests.rig.redis import RedisServer
from tests.rig.server import SITE, RunningServer, StartServer, until

KEY, OLD = "a-key-for-tests-of-more-than-32-characters", "another-key-for-tests-of-32-characters"
RING = KeyRing([KEY])
PLACE = "mailman lists.example.org early-birds"
ADDRESS = "ada.lovelace@example.org"
ONE_CLICK = {"List-Unsubscribe": "One-Click"}


def token(address: str = ADDRESS, ring: KeyRing = RING, place: str = PLACE, **more: Any) -> str:
    """The token of a link, as a mail has it."""
    content = {"s": SITE, "p": place, "e": "spring-gala", "a": address, **more}
    return ring.encrypt(Purpose.UNSUBSCRIBE, content)


class Page(HTMLParser):
    """A page as a browser parses it: elements with their attributes, and its texts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, str] = {}
        self._inside = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._inside = tag

    def handle_data(self, data: str) -> None:
        self.texts.setdefault(self._inside, data)

    def of(self, tag: str) -> list[dict[str, str | None]]:
        """The attributes of each element with this name."""
        return [attributes for name, attributes in self.elements if name == tag]


def outcome(name: str) -> float:
    return REGISTRY.get_sample_value("ticketcounter_opt_outs_total", {"outcome": name}) or 0.0


@pytest.fixture
async def running(start_server: StartServer) -> RunningServer:
    """A web server with a key."""
    return await start_server(notify_keys=KEY)


@pytest.fixture
async def requests(store: RedisClient) -> NotifyRequests:
    return NotifyRequests(store)


async def suppressed(store: RedisClient, address: str = ADDRESS, place: str = PLACE, ring: KeyRing = RING) -> bool:
    """Whether an address is suppressed at a place."""
    return await Suppressions(store).has(SiteId(SITE), ring.hashes(Purpose.SUPPRESSION, place, address))


async def waiting(requests: NotifyRequests) -> int:
    return (await requests.backlog(SiteId(SITE), RequestKind.OPT_OUT)).waiting


# -- POST --


@pytest.mark.parametrize(
    "given",
    [
        {"data": ONE_CLICK},
        {"files": {"List-Unsubscribe": (None, "One-Click")}},
        {},
        {"content": b"List-Unsubscribe=One-Click", "headers": {"content-type": "text/plain"}},
        {
            "data": ONE_CLICK,
            "headers": {"origin": "https://mail.example", "cookie": "a=b", "referer": "https://x.test"},
        },
        {"data": ONE_CLICK, "headers": {"origin": "null", "sec-fetch-site": "cross-site"}},
    ],
    ids=["urlencoded", "multipart", "empty", "text", "another origin", "no origin"],
)
async def test_one_click_takes_the_address_off(
    running: RunningServer, store: RedisClient, requests: NotifyRequests, given: dict[str, Any]
) -> None:
    """Law 18: A POST with any form or none, from anywhere, without cookie or login, suppresses at once and asks the tool once."""
    before = outcome("kept")
    link = token()

    response = await running.http.post(f"/u/{link}", **given)

    assert 200 == response.status_code
    assert [] == response.history
    assert WORDS["en"].done[0] == Page(response.text).texts["h1"]
    assert await suppressed(store)
    assert not await suppressed(store, "bob@example.org")
    assert not await suppressed(store, place="another list")
    request = await requests.claim(SiteId(SITE), RequestKind.OPT_OUT)
    assert request is not None
    assert (PLACE, {"a": ADDRESS}) == (request.about, RING.decrypt(Purpose.OPT_OUT, request.content))
    # Who reads Redis cannot leave in another's name.
    assert RING.decrypt(Purpose.UNSUBSCRIBE, request.content) is None
    assert before + 1 == outcome("kept")


async def test_a_used_link_answers_the_same(running: RunningServer, requests: NotifyRequests) -> None:
    """A link that was used is answered as at the first time, also once the tool was told, and does nothing more."""
    path = f"/u/{token()}"
    first = await running.http.post(path, data=ONE_CLICK)
    again = await running.http.post(path, data=ONE_CLICK)
    assert 1 == await waiting(requests)
    request = await requests.claim(SiteId(SITE), RequestKind.OPT_OUT)
    assert request
    await requests.done(request)
    after = await running.http.post(path, data=ONE_CLICK)

    assert [(200, first.text)] * 2 == [(one.status_code, one.text) for one in (again, after)]
    assert 0 == await waiting(requests)


@pytest.mark.parametrize(
    "link",
    [
        "x",
        "gAAAAABn",
        token(ring=KeyRing([OLD])),
        token()[:-10],
        RING.encrypt(Purpose.SIGN_UP, {"s": SITE, "p": PLACE, "a": ADDRESS}),
        RING.encrypt(Purpose.UNSUBSCRIBE, {"s": SITE, "p": PLACE}),
        token(address=""),
        RING.encrypt(Purpose.UNSUBSCRIBE, {"s": None, "p": PLACE, "a": ADDRESS}),
        "x" * (LONGEST_TOKEN + 1),
        token(address="a" * LONGEST_TOKEN),
        "%FF%00%E2%80%A8",
        "%3Cscript%3E",
    ],
)
async def test_a_link_that_is_not_ours(running: RunningServer, store: RedisClient, link: str) -> None:
    """A token that is unknown, cut, of another purpose or too long is answered with 200, says so, and leaves nothing in Redis."""
    keys = await store.do("KEYS", "*notify*")
    response = await running.http.post(f"/u/{link}", data=ONE_CLICK)

    assert 200 == response.status_code
    assert WORDS["en"].unknown[0] == Page(response.text).texts["h1"]
    assert [] == Page(response.text).of("form")
    assert keys == await store.do("KEYS", "*notify*")
    assert WORDS["en"].unknown[0] == Page((await running.http.get(f"/u/{link}")).text).texts["h1"]


async def test_a_link_of_an_old_key(start_server: StartServer, store: RedisClient) -> None:
    """A link that an old key made works while that key is behind the new one, and is suppressed under both."""
    running = await start_server(notify_keys=f"{KEY},{OLD}")
    old = KeyRing([OLD])

    assert WORDS["en"].done[0] in (await running.http.post(f"/u/{token(ring=old)}")).text

    assert await suppressed(store)
    assert await suppressed(store, ring=old)


async def test_a_token_as_programs_write_it(running: RunningServer, store: RedisClient) -> None:
    """A mail program may write the `=` of a token as %3D."""
    response = await running.http.post(f"/u/{token().replace('=', '%3D')}", content=b"")

    assert WORDS["en"].done[0] == Page(response.text).texts["h1"]
    assert await suppressed(store)


async def test_without_redis_it_comes_again(
    redis_server: Callable[..., RedisServer], start_server: StartServer
) -> None:
    """What Redis did not keep is answered with 503 and Retry-After, and with the button; later the same link works."""
    server = redis_server()
    running = await start_server(notify_keys=KEY, redis_url=server.url)
    path = f"/u/{token()}"
    server.kill()

    response = await running.http.post(path, data=ONE_CLICK)

    assert (503, "5") == (response.status_code, response.headers["retry-after"])
    assert WORDS["en"].later[0] == Page(response.text).texts["h1"]
    assert [{"method": "post"}] == Page(response.text).of("form")
    assert WORDS["en"].ask[0] == Page((await running.http.get(path)).text).texts["h1"]
    server.start()
    await until(lambda: running.web.feed.healthy)
    assert 200 == (await running.http.post(path, data=ONE_CLICK)).status_code
    async with aclosing(RedisClient(server.url, Use.WORK)) as store:
        assert await suppressed(store)


async def test_a_request_that_is_not_kept_is_503(
    running: RunningServer, store: RedisClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where too many requests wait, the address is suppressed all the same, and the mail program asks again later."""
    monkeypatch.setattr("server.store.notify_requests.MOST_WAITING", {"opt-out": 1, "sign-up": 1})
    assert 200 == (await running.http.post(f"/u/{token('bob@example.org')}")).status_code

    assert 503 == (await running.http.post(f"/u/{token()}")).status_code
    assert await suppressed(store)


async def test_a_body_has_a_limit(running: RunningServer, store: RedisClient) -> None:
    """A body above the limit is refused, whatever its length was said to be, and changes nothing; at the limit it is taken."""

    async def parts() -> AsyncIterator[bytes]:
        for _ in range(LARGEST // 1000 + 1):
            yield b"x" * 1000

    path = f"/u/{token()}"
    assert 413 == (await running.http.post(path, content=b"x" * (LARGEST + 1))).status_code
    assert 413 == (await running.http.post(path, content=parts())).status_code
    assert not await suppressed(store)

    assert 200 == (await running.http.post(path, content=b"x" * LARGEST)).status_code
    assert await suppressed(store)


async def test_a_slow_or_broken_body(store: RedisClient) -> None:
    """A body that does not come in time, or whose client leaves, is given up, and changes nothing."""
    endpoint = Unsubscribe(RING, Suppressions(store), NotifyRequests(store), read_within=0.05)
    app = Starlette(routes=endpoint.routes())
    before = outcome("left")

    async def never() -> AsyncIterator[bytes]:
        yield b"List-"
        await asyncio.sleep(10)

    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://u.test") as client:
        assert 408 == (await client.post(f"/u/{token()}", content=never())).status_code

    scope = {"type": "http", "method": "POST", "path": f"/u/{token()}", "headers": [], "query_string": b""}
    sent: list[Any] = []

    async def receive() -> dict[str, str]:
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    await app(scope, receive, send)
    assert before + 1 == outcome("left")
    assert not await suppressed(store)


@pytest.mark.parametrize("kept", [Kept.KEPT, Kept.AGAIN, Kept.FULL])
async def test_suppressed_before_anything_else(store: RedisClient, monkeypatch: pytest.MonkeyPatch, kept: Kept) -> None:
    """An address is suppressed before the tool's request is kept, so that no fault between the two sends it another mail."""
    seen = []

    class Requests(NotifyRequests):
        async def opt_out(self, site: SiteId, place: str, token: str, recipient_hash: str) -> Kept:
            seen.append(await suppressed(store))
            return kept

    endpoint = Unsubscribe(RING, Suppressions(store), Requests(store))
    transport = httpx.ASGITransport(Starlette(routes=endpoint.routes()))
    async with httpx.AsyncClient(transport=transport, base_url="http://u.test") as client:
        assert (503 if kept is Kept.FULL else 200) == (await client.post(f"/u/{token()}")).status_code

    assert [True] == seen


# -- GET and HEAD --


async def test_get_and_head_change_nothing(running: RunningServer, store: RedisClient) -> None:
    """A scanner that opens each link of a mail takes nobody off: GET and HEAD only show a button."""
    keys = await store.do("KEYS", "*notify*")
    path = f"/u/{token()}"

    shown = [await running.http.get(path), await running.http.get(f"{path}?List-Unsubscribe=One-Click")]
    head = await running.http.head(path)

    assert [200, 200, 200] == [one.status_code for one in (*shown, head)]
    assert [{"method": "post"}] == Page(shown[0].text).of("form")
    assert "" == head.text
    assert shown[0].headers["content-length"] == head.headers["content-length"]
    assert keys == await store.do("KEYS", "*notify*")
    assert not await suppressed(store)


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS"])
async def test_other_methods_are_refused(running: RunningServer, store: RedisClient, method: str) -> None:
    """Only POST takes an address off."""
    answer = await running.http.request(method, f"/u/{token()}")

    assert 405 == answer.status_code
    assert {"GET", "HEAD", "POST"} == set(answer.headers["allow"].split(", "))
    assert not await suppressed(store)


async def test_without_keys_there_is_no_such_page(start_server: StartServer) -> None:
    """Without NOTIFY_KEYS no link was ever made, and the page is not there."""
    running = await start_server()

    assert 404 == (await running.http.get(f"/u/{token()}")).status_code
    assert 404 == (await running.http.post(f"/u/{token()}")).status_code


@pytest.mark.parametrize("path", ["/u/", "/u", "/u/a/b"])
async def test_no_redirect_to_other_paths(running: RunningServer, path: str) -> None:
    """Nothing near the page redirects: a mail program would give up."""
    assert 404 == (await running.http.post(path)).status_code


async def test_below_a_root(start_server: StartServer) -> None:
    """Behind a proxy that publishes the server below a path, the page and its button work with the path and without it."""
    running = await start_server(notify_keys=KEY, root_path="/counter")
    for path in (f"/u/{token()}", f"/counter/u/{token()}"):
        assert [{"method": "post"}] == Page((await running.http.get(path)).text).of("form")
        assert WORDS["en"].done[0] in (await running.http.post(path)).text


# -- the page --


@pytest.mark.parametrize(
    ("accepts", "language", "direction"),
    [("de-AT,de;q=0.9", "de", "ltr"), ("he-IL", "he", "rtl"), ("fr", "en", "ltr"), ("", "en", "ltr")],
)
async def test_the_page_speaks_the_readers_language(
    running: RunningServer, accepts: str, language: str, direction: str
) -> None:
    """Each state of the page is in the reader's language where we have it, with its direction, else in English."""
    http, path = running.http, f"/u/{token()}"
    headers = {"accept-language": accepts}
    pages = {
        "ask": await http.get(path, headers=headers),
        "done": await http.post(path, headers=headers),
        "unknown": await http.get("/u/x", headers=headers),
    }

    for state, response in pages.items():
        page = Page(response.text)
        title, text = getattr(WORDS[language], state)
        assert [{"lang": language, "dir": direction}] == page.of("html")
        assert (title, title, text) == (page.texts["title"], page.texts["h1"], page.texts["p"])
        assert (language, "Accept-Language") == (response.headers["content-language"], response.headers["vary"])
    assert WORDS[language].button == Page(pages["ask"].text).texts["button"]


def test_each_language_has_each_sentence() -> None:
    """No sentence is missing, empty or left in another language."""
    sentences = [[*one.ask, *one.done, *one.unknown, *one.later, one.button] for one in WORDS.values()]

    assert {9} == {len(one) for one in sentences}
    assert [] == [text for one in sentences for text in one if not text.strip()]
    assert not set(sentences[0]) & set(sentences[1]) & set(sentences[2])
    assert {"en", "de", "he"} == set(WORDS)


async def test_headers_keep_the_token_private(running: RunningServer) -> None:
    """The page is stored nowhere, tells no other site its address, is in no search engine and in no frame, and runs no script."""
    for response in (await running.http.get(f"/u/{token()}"), await running.http.post(f"/u/{token()}")):
        page = Page(response.text)
        style = b64encode(hashlib.sha256(page.texts["style"].encode()).digest()).decode()
        assert "no-store" == response.headers["cache-control"]
        assert "no-referrer" == response.headers["referrer-policy"]
        assert "noindex, nofollow" == response.headers["x-robots-tag"]
        assert "nosniff" == response.headers["x-content-type-options"]
        policy = dict(part.strip().split(" ", 1) for part in response.headers["content-security-policy"].split(";"))
        assert {
            "default-src": "'none'",
            "style-src": f"'sha256-{style}'",
            "base-uri": "'none'",
            "form-action": "'self'",
            "frame-ancestors": "'none'",
        } == policy
        assert "set-cookie" not in response.headers
        assert [] == page.of("script")
        assert ADDRESS not in response.text
        assert "gAAAA" not in response.text


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("language", ["en", "he"])
async def test_the_button_works_without_script(
    running: RunningServer, browser: Browser, store: RedisClient, scheme: Any, language: str
) -> None:
    """In a browser without script, in light and dark, the button takes the address off, and nothing is wider than a telephone."""
    page = await browser.new_page(
        java_script_enabled=False, color_scheme=scheme, locale=language, viewport={"width": 320, "height": 600}
    )
    errors: list[str] = []
    page.on("console", lambda message: errors.append(message.text))
    url = f"{running.url}/u/{token()}"
    await page.goto(url)
    box = await page.get_by_role("button", name=WORDS[language].button).bounding_box()
    assert box is not None
    assert box["height"] >= 44
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= 320

    await page.get_by_role("button").click()

    await page.get_by_role("heading", name=WORDS[language].done[0]).wait_for()
    assert url == page.url
    assert 0 == await page.get_by_role("button").count()
    assert await suppressed(store)
    assert [] == [one for one in errors if "favicon" not in one]


async def test_nothing_logs_a_link(command: Run, redis_url: str, store: RedisClient) -> None:
    """Law 18: At the lowest level of logs, neither these nor the metrics nor Redis hold an address, and the log no token."""
    links = {name: token(f"{name}@example.org") for name in ("ada", "bob", "eve")}
    server = command(
        "web",
        REDIS_URL=redis_url,
        NOTIFY_KEYS=KEY,
        LOG_LEVEL="DEBUG",
        METRICS_TOKEN="metrics-token",
        ALLOW_UNSAFE_REDIS="1",
    )
    async with httpx.AsyncClient(base_url=await server.url(), trust_env=False) as http:
        for link in links.values():
            assert 200 == (await http.get(f"/u/{link}")).status_code
            assert 200 == (await http.post(f"/u/{link}", data=ONE_CLICK)).status_code
            assert 200 == (await http.post(f"/u/{link[:-9]}", data=ONE_CLICK)).status_code
            assert 413 == (await http.post(f"/u/{link}", content=b"x" * (LARGEST + 1))).status_code
        metrics = (await http.get("/metrics", headers={"authorization": "Bearer metrics-token"})).text
    await server.stop()
    names = [str(name) for name in await store.do("KEYS", "*notify*")]
    hashes = [name for name in names if await store.do("TYPE", name) == "hash"]
    stored = " ".join([*names, *[str(await store.do("HGETALL", name)) for name in hashes]])

    assert 'ticketcounter_opt_outs_total{outcome="kept"} 3.0' in metrics
    assert server.err
    assert len(hashes) >= 2
    for name, link in links.items():
        assert [] == [place for place, text in (("log", server.err), ("metrics", metrics)) if link[20:60] in text]
        assert [] == [
            place
            for place, text in (("log", server.err + server.out), ("metrics", metrics), ("redis", stored))
            if f"{name}@example" in text
        ]
    assert "gAAAA" not in server.err + server.out + metrics


def test_the_longest_token_has_room() -> None:
    """A token of the longest address, and of long names of a list and an event, is not too long."""
    longest = RING.encrypt(
        Purpose.UNSUBSCRIBE, {"s": SITE, "p": "x" * 500, "e": "e" * 200, "a": f"{'a' * 64}@{'b' * 189}"}
    )

    assert len(longest) < LONGEST_TOKEN
