import re
from html.parser import HTMLParser
from typing import Any

import pytest

from server.errors import RedisUnavailable
from server.tell_me.page import _FILES, ICON_SIZE
from tests.rig.fake_reader import EVENT
from tests.rig.server import SITE, TICKET, StartServer
from tests.rig.tell_me_rig import TellMe


class Tags(HTMLParser):
    """The tags of a page with their attributes, in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note a tag."""
        self.found.append((tag, dict(attrs)))

    def one(self, tag: str, **wanted: str) -> dict[str, str | None]:
        """The attributes of the only tag of this kind that has these."""
        [found] = [attrs for its, attrs in self.found if its == tag and wanted.items() <= attrs.items()]
        return found


async def test_the_page_runs_only_its_own_files(tell_me: TellMe) -> None:
    """The page has no script and no style but its own files, sends nothing elsewhere, stands in no frame, and is not cached."""
    await tell_me.offer()
    answer = await tell_me.running.http.get(f"/tell-me?ticket={TICKET}")
    policy = answer.headers["content-security-policy"]
    tags = Tags(answer.text)

    assert (200, "no-store") == (answer.status_code, answer.headers["cache-control"])
    assert "unsafe" not in policy
    for part in (
        "default-src 'none'",
        "script-src 'self'",
        "frame-ancestors 'none'",
        "form-action 'none'",
        "base-uri 'none'",
    ):
        assert part in policy
    assert ("nosniff", "no-referrer") == tuple(
        answer.headers[name] for name in ("x-content-type-options", "referrer-policy")
    )
    assert tags.one("script")["src"] == f"/tell-me/tell_me.js?{_FILES['tell_me.js'].hash}"
    assert [] == [attrs for _, attrs in tags.found if "style" in attrs or any(name.startswith("on") for name in attrs)]
    main = tags.one("main")
    assert f"event={EVENT}&site={SITE}" == main["data-query"]
    assert f"ticket={TICKET}&site={SITE}" == main["data-counters"]
    assert tell_me.key == main["data-key"]


@pytest.mark.parametrize(
    ("header", "lang", "direction"), [("en", "en", "ltr"), ("de-AT", "de", "ltr"), ("he,en", "he", "rtl")]
)
async def test_the_page_is_in_the_reader_s_language(tell_me: TellMe, header: str, lang: str, direction: str) -> None:
    """The page has the language of the browser and its direction, each field has a label, and each section a name."""
    await tell_me.offer()
    answer = await tell_me.running.http.get(f"/tell-me?event={EVENT}", headers={"accept-language": header})
    tags = Tags(answer.text)

    assert (lang, direction) == (tags.one("html")["lang"], tags.one("html")["dir"])
    assert (lang, "Accept-Language") == (answer.headers["content-language"], answer.headers["vary"])
    assert direction == tags.one("main")["dir"]
    labels = {attrs["for"] for tag, attrs in tags.found if tag == "label"}
    assert labels == {attrs["id"] for tag, attrs in tags.found if tag == "input"}
    titles = {attrs.get("id") for tag, attrs in tags.found if tag == "h2"}
    assert titles == {attrs["aria-labelledby"] for tag, attrs in tags.found if tag == "section"}
    assert not re.search(r"{\w+}", re.sub(r"<template.*?</template>", "", answer.text))


async def test_a_title_is_shown_as_text(tell_me: TellMe) -> None:
    """Whatever an organiser calls an event, it is text on the page."""
    evil = "</h1><script>alert(1)</script>\"'{title}"
    await tell_me.offer(title=evil)
    answer = await tell_me.running.http.get(f"/tell-me?event={EVENT}")

    assert 1 == answer.text.count("<script")
    assert "{title}" in answer.text
    manifest = (await tell_me.running.http.get(f"/tell-me/app.webmanifest?event={EVENT}")).json()
    assert evil == manifest["name"]


@pytest.mark.parametrize(
    ("facts", "sections"),
    [
        ({}, {"push", "mail", "tickets"}),
        ({"push": None}, {"mail", "tickets"}),
        ({"sign_up": None}, {"push", "tickets"}),
    ],
)
async def test_only_what_there_is_is_offered(tell_me: TellMe, facts: dict[str, Any], sections: set[str]) -> None:
    """The mail field is shown only where the tool takes sign-ups, and push only where the event has it."""
    await tell_me.offer(**facts)
    answer = await tell_me.running.http.get(f"/tell-me?event={EVENT}")

    assert sections == {attrs.get("id") for tag, attrs in Tags(answer.text).found if tag == "section"}


@pytest.mark.parametrize(("query", "status"), [("event=unknown", 404), ("ticket=x", 400), ("", 400)])
async def test_what_is_not_there_is_said(tell_me: TellMe, query: str, status: int) -> None:
    """A link that names nothing of ours is answered with a page that says so."""
    answer = await tell_me.running.http.get(f"/tell-me?{query}", headers={"accept-language": "de"})

    assert (status, "de") == (answer.status_code, Tags(answer.text).one("html")["lang"])
    assert "<script" not in answer.text
    assert 404 == (await tell_me.running.http.get(f"/tell-me/app.webmanifest?{query}")).status_code


async def test_without_redis_the_page_comes_later(tell_me: TellMe, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where Redis does not answer, the page says that it may be loaded again."""

    async def down(*_: Any) -> Any:
        raise RedisUnavailable("down")

    monkeypatch.setattr(tell_me.running.web.redis, "do", down)
    for path in ("/tell-me", "/tell-me/app.webmanifest"):
        answer = await tell_me.running.http.get(f"{path}?event={EVENT}")
        assert 503 == answer.status_code
    assert "retry-after" in (await tell_me.running.http.get(f"/tell-me?event={EVENT}")).headers


@pytest.mark.parametrize("name", sorted(_FILES))
async def test_files_are_cached_by_their_hash(tell_me: TellMe, name: str) -> None:
    """Each file has its type and a hash; the service worker is asked for each time, and may control the page."""
    answer = await tell_me.running.http.get(f"/tell-me/{name}")
    again = await tell_me.running.http.get(f"/tell-me/{name}", headers={"if-none-match": answer.headers["etag"]})

    assert (200, 304, b"") == (answer.status_code, again.status_code, again.content)
    assert answer.headers["content-type"].startswith(_FILES[name].media_type)
    is_worker = name == "service_worker.js"
    assert is_worker == (answer.headers.get("service-worker-allowed") == "/tell-me")
    assert is_worker == (answer.headers["cache-control"] == "no-cache")
    if name == "icon.png":
        assert ICON_SIZE == int.from_bytes(answer.content[16:20], "big") == int.from_bytes(answer.content[20:24], "big")


async def test_the_name_of_the_installed_page_is_one_line(tell_me: TellMe) -> None:
    """A title as an attacker types it turns nothing around it, and adds no line, in the page, its head and its manifest."""
    await tell_me.offer(title="a\r\nb\u202ec")
    page = (await tell_me.running.http.get(f"/tell-me?event={EVENT}")).text
    manifest = (await tell_me.running.http.get(f"/tell-me/app.webmanifest?event={EVENT}")).json()

    assert '<meta name="apple-mobile-web-app-title" content="a b\u202ec\u202c">' in page
    assert "<h1><bdi>a b\u202ec\u202c</bdi></h1>" in page
    assert ("a b\u202ec\u202c", "a b\u202ec\u202c") == (manifest["name"], manifest["short_name"])


async def test_the_page_can_be_installed(tell_me: TellMe) -> None:
    """The manifest starts the page of this event in a window of its own, with an icon."""
    await tell_me.offer()
    answer = await tell_me.running.http.get(
        f"/tell-me/app.webmanifest?ticket={TICKET}", headers={"accept-language": "he"}
    )
    manifest = answer.json()

    assert "application/manifest+json" == answer.headers["content-type"]
    assert ("Spring Gala", "rtl", "standalone") == tuple(manifest[name] for name in ("name", "dir", "display"))
    assert f"/tell-me?event={EVENT}&site={SITE}" == manifest["start_url"]
    assert manifest["start_url"].startswith(manifest["scope"])
    assert 200 == (await tell_me.running.http.get(manifest["icons"][0]["src"])).status_code


async def test_below_a_path(start_server: StartServer) -> None:
    """Behind a proxy below a path, every address of the page has that path in front."""
    running = await start_server(notify_keys="k" * 40, root_path="/tickets")
    answer = await running.http.get("/tickets/tell-me/service_worker.js")
    page = await running.http.get("/tickets/tell-me?event=none")

    assert "/tickets/tell-me" == answer.headers["service-worker-allowed"]
    assert "/tickets/tell-me/tell_me.css" in page.text


async def test_without_keys_there_is_no_page(start_server: StartServer) -> None:
    """Without NOTIFY_KEYS nothing of it is served, and without NOTIFY_VAPID_KEYS nothing of push."""
    without = await start_server()
    for path in ("/tell-me?event=x", "/tell-me/tell_me.js"):
        assert 404 == (await without.http.get(path)).status_code
    assert 404 == (await without.http.post("/tell-me/sign-up", json={})).status_code
    mail_only = await start_server(notify_keys="k" * 40)
    assert 200 == (await mail_only.http.get("/tell-me/tell_me.js")).status_code
    assert 404 == (await mail_only.http.post("/tell-me/subscribe", json={})).status_code
