"""Pages and files besides the counters: the widget, the embed page.

In: GET. Out: the widget, by name and by hash; a page for iframes. A hash that is not this process's own is looked up in Redis: pages pin
a version for longer than it runs, and while a new one is rolled out, old and new processes get each other's requests.
"""

import asyncio
import gzip
import hashlib
import html
import re
import time
from base64 import b64encode
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Route

from server.errors import BadRequest, RedisUnavailable, Refused
from server.query import Query, parse
from server.snippet import HASH_DIGITS, hash_of
from server.store.widget_files import WidgetFiles

WIDGET = Path(__file__).parent.parent / "widget" / "ticket-counter.js"

KEEP_EVERY, KEEP_AGAIN = 3600.0, 10.0
"""Seconds until this process's version is kept again, as a Redis that was emptied lost it; and after Redis did not take it."""
LOOK_UPS = 10
"""Hashes that are looked up in Redis in any second: a page in use has one of a few, which stay in memory."""
OTHERS = 20
"""Other versions that stay in memory, each some 20 KB."""

_HASH = re.compile(f"[0-9a-f]{{{HASH_DIGITS}}}")

_STYLE = (
    # No color-scheme: a browser makes a frame opaque whose color-scheme is not that of the page around it.
    "html,body{background:transparent}body{margin:0;font:1rem/1.5 system-ui,sans-serif}"
    "ticket-counter{display:block;min-height:1lh}"
)
_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Tickets left</title>
<style>{style}</style>
<script src="{root}/widget/v1/ticket-counter.js" async></script>
<body>
{tags}
</body>
</html>
"""


class Pages:
    """The pages of one process; *files* are other versions of the widget, *find_site* raises BadRequest for tickets of two sites."""

    def __init__(
        self,
        *,
        frame_ancestors: str,
        public_url: str | None = None,
        find_site: Callable[[Query], Awaitable[object]] | None = None,
        widget: Path = WIDGET,
        files: WidgetFiles | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._find_site = find_site
        self._widget = widget
        self._files = files
        self._clock = clock
        # Other versions that were asked for here, and when hashes were looked up last.
        self._others: dict[str, _Widget] = {}
        self._looked_up: deque[float] = deque(maxlen=LOOK_UPS)
        self._policy = _content_security_policy(frame_ancestors, public_url)

    def routes(self) -> list[Route]:
        """The routes of these pages."""
        return [
            Route("/widget/v1/ticket-counter.js", self.widget),
            Route("/widget/v1/ticket-counter.{hash}.js", self.pinned_widget),
            Route("/embed", self.embed),
        ]

    async def run(self) -> None:
        """Keep this process's version of the widget for others, for ever."""
        while self._files is not None:
            try:
                await self._files.keep(_load(self._widget).plain)
            except RedisUnavailable:
                await asyncio.sleep(KEEP_AGAIN)
            else:
                await asyncio.sleep(KEEP_EVERY)

    async def widget(self, request: Request) -> Response:
        """The widget, cached for five minutes."""
        script = _load(self._widget)
        headers = {**_SCRIPT_HEADERS, "Cache-Control": "public, max-age=300", "ETag": f'W/"{script.hash}"'}
        if_none_match = request.headers.get("if-none-match", "")
        if if_none_match == "*" or f'"{script.hash}"' in if_none_match:
            return Response(status_code=304, headers=headers)
        return script.response(request, headers)

    async def pinned_widget(self, request: Request) -> Response:
        """The widget with this hash, cached for ever: for pages that pin it with an integrity attribute."""
        wanted, script = request.path_params["hash"], _load(self._widget)
        if wanted != script.hash:
            try:
                other = await self._other(wanted)
            except RedisUnavailable:
                return PlainTextResponse("come back in a while\n", 503, headers={**_NO_STORE, "Retry-After": "1"})
            if other is None:
                return PlainTextResponse("this version is not served here\n", 404, headers=_NO_STORE)
            script = other
        return script.response(request, {**_SCRIPT_HEADERS, "Cache-Control": "public, max-age=31536000, immutable"})

    async def _other(self, wanted: str) -> "_Widget | None":
        """Another version; None where nobody knows it. Raises RedisUnavailable, also where too many have been asked for."""
        if self._files is None or not _HASH.fullmatch(wanted):
            return None
        if wanted not in self._others:
            now = self._clock()
            if len(self._looked_up) == LOOK_UPS and now - self._looked_up[0] < 1.0:
                raise RedisUnavailable("too many versions of the widget were asked for in this second")
            self._looked_up.append(now)
            if (body := await self._files.find(wanted)) is None:
                return None
            if len(self._others) >= OTHERS:
                self._others.pop(next(iter(self._others)))
            self._others[wanted] = _Widget.of(body)
        return self._others[wanted]

    async def embed(self, request: Request) -> Response:
        """A page for an iframe: `?ticket=A[&ticket=B][&site=S]`, the query of /v1/counters."""
        try:
            query = parse(request.scope["query_string"].decode("latin-1"))
        except BadRequest as error:
            return PlainTextResponse(f"{error}\n", 400, headers=_NO_STORE)
        if query.event:
            return PlainTextResponse("name tickets here: ?ticket=<ticket definition id>\n", 400, headers=_NO_STORE)
        if self._find_site is not None:
            try:
                await self._find_site(query)
            except BadRequest as error:
                return PlainTextResponse(f"{error}\n", 400, headers=_NO_STORE)
            except Refused:
                # The script on the page comes back until there is an answer.
                pass
        site = f' site="{html.escape(query.site)}"' if query.site else ""
        # Several counters side by side need their names to be told apart.
        named = " show-name show-price" if len(query.tickets) > 1 else ""
        tags = "\n".join(
            f'<ticket-counter ticket="{html.escape(t)}"{site}{named}></ticket-counter>' for t in query.tickets
        )
        root = html.escape(request.scope.get("root_path", ""))
        return HTMLResponse(
            _PAGE.format(style=_STYLE, root=root, tags=tags),
            headers={"Content-Security-Policy": self._policy, **_NO_STORE},
        )


def _content_security_policy(frame_ancestors: str, public_url: str | None) -> str:
    style = b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
    # Some browsers do not count a WebSocket to the same host as 'self'.
    parts = urlsplit(public_url or "")
    socket = f" {'wss' if parts.scheme == 'https' else 'ws'}://{parts.netloc}" if parts.netloc else ""
    return (
        f"default-src 'none'; script-src 'self'; connect-src 'self'{socket}; style-src 'sha256-{style}'; "
        f"base-uri 'none'; form-action 'none'; frame-ancestors {frame_ancestors}"
    )


_NO_STORE = {"Cache-Control": "no-store"}
_SCRIPT_HEADERS = {
    "Access-Control-Allow-Origin": "*",
    "Cross-Origin-Resource-Policy": "cross-origin",
    "Vary": "Accept-Encoding",
}


@dataclass(frozen=True, slots=True)
class _Widget:
    """The widget's source, the same compressed, and its hash."""

    plain: bytes
    gzipped: bytes
    hash: str

    @classmethod
    def of(cls, body: bytes) -> Self:
        """The widget with this source."""
        return cls(body, gzip.compress(body, 9, mtime=0), hash_of(body))

    def response(self, request: Request, headers: Mapping[str, str]) -> Response:
        """The script, compressed if the client accepts gzip."""
        if "gzip" in request.headers.get("accept-encoding", ""):
            return Response(self.gzipped, media_type="text/javascript", headers={**headers, "Content-Encoding": "gzip"})
        return Response(self.plain, media_type="text/javascript", headers=headers)


@cache
def _load(widget: Path) -> _Widget:
    return _Widget.of(widget.read_bytes())
