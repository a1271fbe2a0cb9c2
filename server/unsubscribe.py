"""/u/TOKEN: leaves a list, by a button on a page or by one click in a mail program.

In: the token of a link in a mail, as any client may send it. Out: the address is suppressed at once, and a worker has an encrypted
request to tell the marketing tool. GET only shows the button, since scanners of mail open each link; POST needs no login, cookie,
token of the page or Origin, and its body is read and ignored. The address stands nowhere but in the token, which is not logged.
Source: RFC 8058, sections 3.1 and 3.2.
"""

import asyncio
import hashlib
import html
from base64 import b64encode
from dataclasses import dataclass
from http import HTTPStatus

from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from server import logs, metrics
from server.accept_language import preferred
from server.errors import RedisUnavailable
from server.keyring import KeyRing, Purpose
from server.logs import RepeatedWarning
from server.model import SiteId
from server.store.notify_requests import Kept, NotifyRequests
from server.store.suppressions import Suppressions
from server.wire import RETRY_AFTER

LONGEST_TOKEN = 2_000
"""Characters of a token: an address of 254 and long names of list and event make some 1,200."""
LARGEST = 10_000
"""Bytes of a body: both kinds of form need less than 200 for `List-Unsubscribe=One-Click`."""
READ_WITHIN = 5.0
"""Seconds for the body."""
ANSWER_WITHIN = 3.0
"""Seconds for Redis."""

log = logs.logger("unsubscribe")

_STYLE = (
    "html{color-scheme:light dark;font:1rem/1.5 system-ui,sans-serif}"
    "body{margin:0;padding:1.5rem;background:Canvas;color:CanvasText}"
    "main{max-width:34rem;margin:10vh auto 0}h1{font-size:1.5rem;line-height:1.25;margin:0 0 1rem}p{margin:0 0 1.5rem}"
    "button{font:inherit;font-weight:600;padding:.65rem 1.25rem;min-height:44px;border:0;border-radius:.5rem;"
    "background:#1d4ed8;color:#fff;cursor:pointer}button:hover{background:#1e40af}"
    "button:focus-visible{outline:3px solid Highlight;outline-offset:3px}"
)
_PAGE = """<!doctype html>
<html lang="{language}" dir="{direction}">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex, nofollow">
<title>{title}</title>
<style>{style}</style>
<main>
<h1>{title}</h1>
<p>{text}</p>
{form}</main>
</html>
"""
_FORM = '<form method="post"><button>{button}</button></form>\n'
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; "
    f"style-src 'sha256-{b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()}'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    "Vary": "Accept-Language",
    "X-Robots-Tag": "noindex, nofollow",
}


@dataclass(frozen=True, slots=True)
class Words:
    """The sentences of the page in one language, each a title and a text; `button` is on the button of the first and the last."""

    ask: tuple[str, str]
    done: tuple[str, str]
    unknown: tuple[str, str]
    later: tuple[str, str]
    button: str
    direction: str = "ltr"


WORDS = {
    "en": Words(
        ("Unsubscribe", "With this button you leave the list: you get no more mails from it when tickets go on sale."),
        (
            "You are unsubscribed",
            "You will get no more mails from this list. One that is already on its way may arrive.",
        ),
        (
            "This link does not work",
            "It may be incomplete. Open it in the mail once more, or answer the mail: who sent it will take you off the list.",
        ),
        ("Please try again", "This could not be saved just now. Press the button again in a minute."),
        "Unsubscribe",
    ),
    "de": Words(
        (
            "Abmelden",
            "Mit diesem Knopf verlassen Sie die Liste: Sie bekommen keine E-Mails mehr, wenn Tickets in den Verkauf gehen.",
        ),
        (
            "Sie sind abgemeldet",
            "Sie bekommen über diese Liste keine E-Mails mehr. Eine, die schon unterwegs ist, kann noch ankommen.",
        ),
        (
            "Dieser Link funktioniert nicht",
            "Vielleicht ist er unvollständig. Öffnen Sie ihn noch einmal in der E-Mail, oder antworten Sie auf die E-Mail.",
        ),
        (
            "Bitte noch einmal versuchen",
            "Das konnte gerade nicht gespeichert werden. Drücken Sie den Knopf in einer Minute noch einmal.",
        ),
        "Abmelden",
    ),
    "he": Words(
        ("ביטול הרשמה", "לחיצה על הכפתור תסיר אותך מהרשימה: לא יישלחו אליך עוד הודעות כשכרטיסים יוצאים למכירה."),
        ("ההרשמה בוטלה", "לא יישלחו אליך עוד הודעות מהרשימה הזאת. ייתכן שהודעה שכבר נשלחה עוד תגיע."),
        (
            "הקישור אינו תקין",
            "ייתכן שהקישור אינו שלם. אפשר לפתוח אותו שוב מתוך ההודעה, או להשיב להודעה כדי שהשולח יסיר אותך מהרשימה.",
        ),
        ("נא לנסות שוב", "לא היה אפשר לשמור את הבקשה כעת. אפשר ללחוץ שוב על הכפתור בעוד דקה."),
        "ביטול ההרשמה",
        "rtl",
    ),
}
"""The page in each language that it has."""


@dataclass(frozen=True, slots=True)
class Link:
    """What the token of a link says: whose it is, and of which list."""

    site: SiteId
    place: str
    address: str


class Unsubscribe:
    """The page of one process, and what its button and mail programs post."""

    def __init__(
        self,
        keyring: KeyRing,
        suppressions: Suppressions,
        requests: NotifyRequests,
        *,
        read_within: float = READ_WITHIN,
    ) -> None:
        self._keyring = keyring
        self._suppressions = suppressions
        self._requests = requests
        self._read_within = read_within
        self._not_kept = RepeatedWarning(log, "opt_outs_not_kept")

    def routes(self) -> list[Route]:
        """The route of the page; HEAD is answered as GET, without the body."""
        return [Route("/u/{token}", self.answer, methods=["GET", "POST"])]

    async def answer(self, request: Request) -> Response:
        """One route for all methods, so that a refusal of others names them all."""
        return await (self.leave(request) if request.method == "POST" else self.page(request))

    async def page(self, request: Request) -> Response:
        """The button; nothing is changed, and nothing is asked of Redis."""
        words = _words(request)
        if self._read(request) is None:
            return _page(request, words.unknown)
        return _page(request, words.ask, button=words.button)

    async def leave(self, request: Request) -> Response:
        """Take the address off: 200, also for a token that is used or is not ours; 503 if that could not be kept."""
        words = _words(request)
        try:
            async with asyncio.timeout(self._read_within):
                fits = await _discard_body(request)
        except TimeoutError:
            return _refused(HTTPStatus.REQUEST_TIMEOUT, "slow")
        except ClientDisconnect:
            return _refused(HTTPStatus.BAD_REQUEST, "left")
        if not fits:
            return _refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "too_large")
        link = self._read(request)
        if link is None:
            metrics.opt_outs.labels("unknown").inc()
            return _page(request, words.unknown)
        try:
            async with asyncio.timeout(ANSWER_WITHIN):
                kept = await self._keep(link)
        except (RedisUnavailable, TimeoutError) as error:
            self._not_kept.warn("redis", error=str(error) or "too slow")
            kept = Kept.FULL
        else:
            self._not_kept.resolved("redis")
        metrics.opt_outs.labels("not_kept" if kept is Kept.FULL else kept).inc()
        if kept is Kept.FULL:
            return _page(request, words.later, HTTPStatus.SERVICE_UNAVAILABLE, button=words.button)
        return _page(request, words.done)

    async def _keep(self, link: Link) -> Kept:
        """Suppress first: from here on nothing is sent, whatever becomes of the request to the tool.

        The address is encrypted anew: who reads Redis cannot make a link of it.
        """
        hashes = self._keyring.hashes(Purpose.SUPPRESSION, link.place, link.address)
        await self._suppressions.add(link.site, hashes, "opted out")
        encrypted = self._keyring.encrypt(Purpose.OPT_OUT, {"a": link.address})
        return await self._requests.opt_out(link.site, link.place, encrypted, hashes[0])

    def _read(self, request: Request) -> Link | None:
        """What the token says; None where it is not ours, or was made with a key that we have no longer."""
        token: str = request.path_params["token"]
        found = self._keyring.decrypt(Purpose.UNSUBSCRIBE, token) if len(token) <= LONGEST_TOKEN else None
        if found is None:
            return None
        site, place, address = (str(found.get(name) or "") for name in ("s", "p", "a"))
        return Link(SiteId(site), place, address) if site and place and address else None


async def _discard_body(request: Request) -> bool:
    """Read the body and forget it; answers whether it is small enough: counted as it arrives, as Content-Length may be wrong."""
    size = 0
    async for part in request.stream():
        size += len(part)
        if size > LARGEST:
            return False
    return True


def _words(request: Request) -> Words:
    return WORDS[_language(request)]


def _language(request: Request) -> str:
    return preferred(request.headers.get("accept-language", ""), WORDS)


def _page(
    request: Request, sentences: tuple[str, str], status: HTTPStatus = HTTPStatus.OK, *, button: str | None = None
) -> Response:
    language = _language(request)
    title, text = map(html.escape, sentences)
    form = _FORM.format(button=html.escape(button)) if button else ""
    content = _PAGE.format(
        language=language,
        direction=WORDS[language].direction,
        title=title,
        text=text,
        form=form,
        style=_STYLE,
    )
    later = {"Retry-After": str(RETRY_AFTER)} if status == HTTPStatus.SERVICE_UNAVAILABLE else {}
    return HTMLResponse(content, status, headers={**_HEADERS, "Content-Language": language, **later})


def _refused(status: HTTPStatus, outcome: str) -> Response:
    """The rest of the body is not read, so the connection cannot be used again."""
    metrics.opt_outs.labels(outcome).inc()
    return Response(status_code=status, headers={**_HEADERS, "Connection": "close"})
