"""/tell-me: the page, its script, style, icon and manifest, and the service worker that shows push messages.

In: `?ticket=T` or `?event=E`, and Accept-Language. Out: a page in the reader's language that works by its own files only: its content
security policy allows no script, style or address of others, and no frame around it. The page is not in a frame since browsers ask there
for no permission, and a service worker has the origin of its page.
"""

import hashlib
import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from server.errors import BadRequest, NoSiteYet, RedisUnavailable, Refused, SiteNotFound, TooManyUnconfirmed
from server.single_line import clean
from server.tell_me.asked_event import AskedEvent, AskedEvents
from server.tell_me.texts import Language, of_header
from server.wire import RETRY_AFTER

FOLDER = Path(__file__).parent
MAX_AGE = 300
"""Seconds for which browsers keep the files; the page names their hash, so it never gets old ones."""
ICON_SIZE = 512
NAME_LENGTH, SHORT_NAME_LENGTH = 60, 12
"""Characters of an event's title in the name of the installed page, and below its icon."""

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; manifest-src 'self'; "
    "worker-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
    "Vary": "Accept-Language",
    "X-Robots-Tag": "noindex",
}
_HEAD = """<!doctype html>
<html lang="{lang}" dir="{dir}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="robots" content="noindex">
<title>{title}</title>
<link rel="stylesheet" href="{root}/tell-me/tell_me.css?{css}">
<link rel="icon" href="{root}/tell-me/icon.png">
<link rel="apple-touch-icon" href="{root}/tell-me/icon.png">
"""
_MESSAGE = """</head>
<body>
<main dir="{dir}">
<h1>{title}</h1>
<p>{text}</p>
</main>
</body>
</html>
"""
_PAGE = """<meta name="mobile-web-app-capable" content="yes">
<meta name="apple-mobile-web-app-capable" content="yes">
<meta name="apple-mobile-web-app-title" content="{name}">
<link rel="manifest" href="{root}/tell-me/app.webmanifest?{query}">
<script src="{root}/tell-me/tell_me.js?{js}" defer></script>
</head>
<body>
<main dir="{dir}" data-root="{root}" data-query="{query}" data-counters="{counters}" data-key="{key}">
<p class="lead">{title}</p>
<h1><bdi>{event}</bdi></h1>
<noscript><p>{no_script}</p></noscript>
<section id="tickets" aria-labelledby="tickets-title">
<h2 id="tickets-title">{tickets}</h2>
<p id="reading" role="status">{reading}</p>
<ul id="list" hidden></ul>
</section>
{sections}<p class="privacy">{privacy}</p>
</main>
{templates}
</body>
</html>
"""
_PUSH = """<section id="push" aria-labelledby="push-title" hidden>
<h2 id="push-title">{push}</h2>
<p id="push-lead">{push_lead}</p>
<p id="push-state" role="status"></p>
<div id="install" hidden>
<p>{install}</p>
<ol><li>{install_share}</li><li>{install_add}</li><li>{install_open}</li></ol>
</div>
<p class="buttons"><button id="subscribe" type="button" hidden>{subscribe}</button>
<button id="unsubscribe" type="button" class="second" hidden>{unsubscribe}</button></p>
</section>
"""
_MAIL = """<section id="mail" aria-labelledby="mail-title" hidden>
<h2 id="mail-title">{mail}</h2>
<p>{mail_lead}</p>
<form id="mail-form" novalidate>
<label for="address">{address}</label>
<input id="address" type="email" name="email" autocomplete="email" inputmode="email" dir="ltr" required maxlength="254" aria-describedby="mail-state">
<button type="submit">{sign_up}</button>
</form>
<p id="mail-state" role="status"></p>
</section>
"""
_IN_SCRIPT = (
    *("unreadable", "available", "left", "low", "sold_out", "scheduled", "soon", "closed", "ended", "gone", "buy"),
    *("asking", "waiting", "confirmed", "left_off", "denied", "unsupported", "asked", "busy", "refused"),
    *("signed_up", "bad_address", "mail_crowded"),
)
"""Sentences that the script shows when it is their time."""


@dataclass(frozen=True, slots=True)
class _File:
    """A file of the page: its content, and the beginning of its hash."""

    body: bytes
    media_type: str

    @property
    def hash(self) -> str:
        """The first 16 hex digits of its SHA-256."""
        return hashlib.sha256(self.body).hexdigest()[:16]


_FILES = {
    name: _File((FOLDER / name).read_bytes(), media_type)
    for name, media_type in (
        ("tell_me.js", "text/javascript"),
        ("tell_me.css", "text/css"),
        ("service_worker.js", "text/javascript"),
        ("icon.png", "image/png"),
    )
}


class TellMePage:
    """The page of one process. *key* is the public VAPID key of new subscriptions, None where there is no push."""

    def __init__(self, events: AskedEvents, key: str | None) -> None:
        self._events = events
        self._key = key

    def routes(self) -> Sequence[Route]:
        """The routes of the page and its files."""
        return [
            Route("/tell-me", self.page),
            Route("/tell-me/app.webmanifest", self.manifest),
            *(Route(f"/tell-me/{name}", self.file, name=name) for name in _FILES),
        ]

    async def page(self, request: Request) -> Response:
        """The page for a ticket or an event."""
        language = of_header(request.headers.get("accept-language"))
        try:
            asked = await self._events.find(_query(request))
        except BadRequest:
            return _message(request, language, "bad_link", HTTPStatus.BAD_REQUEST)
        except (NoSiteYet, SiteNotFound, TooManyUnconfirmed, RedisUnavailable):
            return _message(request, language, "later", HTTPStatus.SERVICE_UNAVAILABLE)
        except Refused:
            return _message(request, language, "not_found", HTTPStatus.NOT_FOUND)
        return HTMLResponse(self._html(request, asked, language), headers=_headers(language))

    async def manifest(self, request: Request) -> Response:
        """What makes the page of an event an app on a home screen: without that, Safari on iOS has no push messages."""
        language = of_header(request.headers.get("accept-language"))
        try:
            asked = await self._events.find(_query(request))
        except Refused as refused:
            return PlainTextResponse(f"{refused}\n", HTTPStatus.NOT_FOUND, headers=_HEADERS)
        except RedisUnavailable:
            return PlainTextResponse("come back in a while\n", HTTPStatus.SERVICE_UNAVAILABLE, headers=_HEADERS)
        root = _root(request)
        content = {
            "name": _name(asked, language),
            "short_name": _name(asked, language, SHORT_NAME_LENGTH),
            "lang": language.name,
            "dir": language.direction,
            "start_url": f"{root}/tell-me?{asked.query}",
            "scope": f"{root}/tell-me",
            "display": "standalone",
            "icons": [{"src": f"{root}/tell-me/icon.png", "sizes": f"{ICON_SIZE}x{ICON_SIZE}", "type": "image/png"}],
        }
        return JSONResponse(content, headers=_HEADERS, media_type="application/manifest+json")

    async def file(self, request: Request) -> Response:
        """A file; the service worker may control the page, which is above its own folder."""
        name = request.url.path.rpartition("/")[2]
        found = _FILES[name]
        headers = {"Cache-Control": f"public, max-age={MAX_AGE}", "ETag": f'"{found.hash}"'}
        if name == "service_worker.js":
            headers = {
                **headers,
                "Cache-Control": "no-cache",
                "Service-Worker-Allowed": f"{_root(request)}/tell-me",
                "Content-Security-Policy": "default-src 'none'; connect-src 'self'; script-src 'self'",
            }
        if f'"{found.hash}"' in request.headers.get("if-none-match", ""):
            return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
        return Response(found.body, media_type=found.media_type, headers=headers)

    def _html(self, request: Request, asked: AskedEvent, language: Language) -> str:
        sections = (_PUSH if asked.push else "") + (_MAIL if asked.sign_up else "")
        sentences = {key: html.escape(text) for key, text in language.sentences.items()}
        values = {
            **sentences,
            **_basics(request, language),
            "title": sentences["title"],
            "event": html.escape(clean(asked.title)),
            "name": html.escape(_name(asked, language)),
            "query": html.escape(asked.query),
            "counters": html.escape(asked.counters),
            "key": html.escape(self._key or "") if asked.push else "",
            "sections": sections.format(**sentences),
            "templates": "\n".join(f'<template id="text-{key}">{sentences[key]}</template>' for key in _IN_SCRIPT),
        }
        return (_HEAD + _PAGE).format(**values)


def _message(request: Request, language: Language, key: str, status: HTTPStatus) -> Response:
    """A page that only says something."""
    texts = {"title": html.escape(language[key]), "text": html.escape(language[f"{key}_text"])}
    later = {"Retry-After": str(RETRY_AFTER)} if status == HTTPStatus.SERVICE_UNAVAILABLE else {}
    content = (_HEAD + _MESSAGE).format(**_basics(request, language), **texts)
    return HTMLResponse(content, status, headers={**_headers(language), **later})


def _basics(request: Request, language: Language) -> Mapping[str, str]:
    """What every page needs."""
    hashes = {"css": _FILES["tell_me.css"].hash, "js": _FILES["tell_me.js"].hash}
    return {"lang": language.name, "dir": language.direction, "root": html.escape(_root(request)), **hashes}


def _headers(language: Language) -> Mapping[str, str]:
    return {**_HEADERS, "Content-Language": language.name}


def _name(asked: AskedEvent, language: Language, longest: int = NAME_LENGTH) -> str:
    return clean(asked.title, longest) or language["tickets"][:longest]


def _root(request: Request) -> str:
    return str(request.scope.get("root_path", ""))


def _query(request: Request) -> str:
    found: bytes = request.scope["query_string"]
    return found.decode("latin-1")
