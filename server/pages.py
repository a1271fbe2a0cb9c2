"""Pages and files beside the counters: the widget, the embed page, health, metrics.

In: GET. Out: the widget as written, by name and by hash; a page for iframes; yes or no to /livez and /readyz; what
redaction hides (metrics, details) only to who has the token, and 404 to all where there is none.
"""

import gzip
import hashlib
import hmac
import html
from base64 import b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from server import metrics, wire
from server.errors import BadRequest

WIDGET = Path(__file__).parent.parent / "widget" / "ticket-counter.js"

_STYLE = (
    "html{color-scheme:light dark}body{margin:0;font:1rem/1.5 system-ui,sans-serif}"
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
    """The pages of one process. *details* says what has to hold for it to get viewers, *notices* what a person should know.

    Without a *token* both are hidden, as are the metrics.
    """

    def __init__(
        self,
        details: Callable[[], Mapping[str, bool]],
        notices: Callable[[], Mapping[str, bool]] = dict,
        *,
        token: str | None,
        frame_ancestors: str,
        public_url: str | None = None,
        widget: Path = WIDGET,
    ) -> None:
        self.details = details
        self.notices = notices
        self._widget = widget
        self._token = token
        self._policy = _policy(frame_ancestors, public_url)

    def routes(self) -> list[Route]:
        """Where these pages are."""
        return [
            Route("/widget/v1/ticket-counter.js", self.widget),
            Route("/widget/v1/ticket-counter.{hash}.js", self.pinned),
            Route("/embed", self.embed),
            Route("/livez", self.live),
            Route("/readyz", self.ready),
            Route("/metrics", self.metrics),
        ]

    async def widget(self, request: Request) -> Response:
        """The widget, briefly cached: pages get a new one within minutes."""
        script = _read(self._widget)
        headers = {**_SCRIPT, "Cache-Control": "public, max-age=300", "ETag": f'W/"{script.hash}"'}
        asked = request.headers.get("if-none-match", "")
        if asked == "*" or f'"{script.hash}"' in asked:
            return Response(status_code=304, headers=headers)
        return script.answer(request, headers)

    async def pinned(self, request: Request) -> Response:
        """The widget of exactly this hash, for ever: for pages that pin it with an integrity attribute."""
        script = _read(self._widget)
        if request.path_params["hash"] != script.hash:
            return PlainTextResponse("this version is not served here\n", 404, headers={"Cache-Control": "no-store"})
        return script.answer(request, {**_SCRIPT, "Cache-Control": "public, max-age=31536000, immutable"})

    async def embed(self, request: Request) -> Response:
        """A page for an iframe: `?ticket=A[&ticket=B][&site=S]`, as the counters take it."""
        try:
            wanted = wire.wanted(request.scope["query_string"].decode("latin-1"))
        except BadRequest as error:
            return PlainTextResponse(f"{error}\n", 400, headers=_PLAIN)
        site = f' site="{html.escape(wanted.site)}"' if wanted.site else ""
        # Two sentences side by side say nothing unless each says of what.
        named = " show-name show-price" if len(wanted.tickets) > 1 else ""
        tags = "\n".join(
            f'<ticket-counter ticket="{html.escape(t)}"{site}{named}></ticket-counter>' for t in wanted.tickets
        )
        root = html.escape(request.scope.get("root_path", ""))
        return HTMLResponse(
            _PAGE.format(style=_STYLE, root=root, tags=tags),
            headers={"Content-Security-Policy": self._policy, **_PLAIN},
        )

    async def live(self, _: Request) -> Response:
        """Whether the loop turns: nothing else, so that a lost Redis does not restart what waits for it."""
        return PlainTextResponse("yes\n", headers=_PLAIN)

    async def ready(self, request: Request) -> Response:
        """Whether this process should get viewers now."""
        details = self.details()
        good = all(details.values())
        if self._knows(request):
            return JSONResponse({**details, **self.notices()}, 200 if good else 503, headers=_PLAIN)
        return PlainTextResponse("yes\n" if good else "no\n", 200 if good else 503, headers=_PLAIN)

    async def metrics(self, request: Request) -> Response:
        """Prometheus's text format."""
        if self._token is None:
            return PlainTextResponse("Not Found", 404)
        if not self._knows(request):
            return PlainTextResponse("bearer token needed\n", 401, headers={"WWW-Authenticate": "Bearer"})
        return Response(metrics.text(), media_type="text/plain; version=0.0.4", headers=_PLAIN)

    def _knows(self, request: Request) -> bool:
        given = request.headers.get("authorization", "").removeprefix("Bearer ")
        return self._token is not None and hmac.compare_digest(given.encode(), self._token.encode())


def _policy(frame_ancestors: str, public_url: str | None) -> str:
    style = b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
    # Browsers that do not count a WebSocket of the same host as 'self' need it by name.
    parts = urlsplit(public_url or "")
    socket = f" {'wss' if parts.scheme == 'https' else 'ws'}://{parts.netloc}" if parts.netloc else ""
    return (
        f"default-src 'none'; script-src 'self'; connect-src 'self'{socket}; style-src 'sha256-{style}'; "
        f"base-uri 'none'; form-action 'none'; frame-ancestors {frame_ancestors}"
    )


_PLAIN = {"Cache-Control": "no-store"}
_SCRIPT = {
    "Access-Control-Allow-Origin": "*",
    "Cross-Origin-Resource-Policy": "cross-origin",
    "Vary": "Accept-Encoding",
}


@dataclass(frozen=True, slots=True)
class _Script:
    """The widget as written, compressed, and named by its hash."""

    plain: bytes
    gzipped: bytes
    hash: str

    def answer(self, request: Request, headers: Mapping[str, str]) -> Response:
        """The script, compressed for who can read that."""
        if "gzip" in request.headers.get("accept-encoding", ""):
            return Response(self.gzipped, media_type="text/javascript", headers={**headers, "Content-Encoding": "gzip"})
        return Response(self.plain, media_type="text/javascript", headers=headers)


@cache
def _read(widget: Path) -> _Script:
    body = widget.read_bytes()
    return _Script(body, gzip.compress(body, 9, mtime=0), hashlib.sha256(body).hexdigest()[:16])
