"""Pages and files besides the counters: the widget, the embed page, health, metrics.

In: GET. Out: the widget, by name and by hash; a page for iframes; yes or no to /livez and /readyz; metrics and the
details of /readyz only with the token, as they show what redaction hides. /metrics is 404 if no token is set.
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

from server import metrics
from server.errors import BadRequest
from server.query import parse

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
    """The pages of one process.

    *details* are the conditions under which it gets viewers, *notices* are for an administrator. Both and the metrics
    are shown only with the *token*, and never if that is None.
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
        self._policy = _content_security_policy(frame_ancestors, public_url)

    def routes(self) -> list[Route]:
        """The routes of these pages."""
        return [
            Route("/widget/v1/ticket-counter.js", self.widget),
            Route("/widget/v1/ticket-counter.{hash}.js", self.pinned_widget),
            Route("/embed", self.embed),
            Route("/livez", self.livez),
            Route("/readyz", self.readyz),
            Route("/metrics", self.metrics),
        ]

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
        script = _load(self._widget)
        if request.path_params["hash"] != script.hash:
            return PlainTextResponse("this version is not served here\n", 404, headers={"Cache-Control": "no-store"})
        return script.response(request, {**_SCRIPT_HEADERS, "Cache-Control": "public, max-age=31536000, immutable"})

    async def embed(self, request: Request) -> Response:
        """A page for an iframe: `?ticket=A[&ticket=B][&site=S]`, the query of /v1/counters."""
        try:
            query = parse(request.scope["query_string"].decode("latin-1"))
        except BadRequest as error:
            return PlainTextResponse(f"{error}\n", 400, headers=_NO_STORE)
        if query.event:
            return PlainTextResponse("name tickets here: ?ticket=<ticket definition id>\n", 400, headers=_NO_STORE)
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

    async def livez(self, _: Request) -> Response:
        """Whether the event loop runs. Nothing else: a restart would not help while Redis is unavailable."""
        return PlainTextResponse("yes\n", headers=_NO_STORE)

    async def readyz(self, request: Request) -> Response:
        """Whether this process should get viewers now."""
        details = self.details()
        ready = all(details.values())
        if self._has_token(request):
            return JSONResponse({**details, **self.notices()}, 200 if ready else 503, headers=_NO_STORE)
        return PlainTextResponse("yes\n" if ready else "no\n", 200 if ready else 503, headers=_NO_STORE)

    async def metrics(self, request: Request) -> Response:
        """The metrics, in Prometheus's text format."""
        if self._token is None:
            return PlainTextResponse("Not Found", 404)
        if not self._has_token(request):
            return PlainTextResponse("bearer token needed\n", 401, headers={"WWW-Authenticate": "Bearer"})
        return Response(metrics.text(), media_type="text/plain; version=0.0.4", headers=_NO_STORE)

    def _has_token(self, request: Request) -> bool:
        given = request.headers.get("authorization", "").removeprefix("Bearer ")
        return self._token is not None and hmac.compare_digest(given.encode(), self._token.encode())


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
    """The widget's source, the same compressed, and its hash (the first 16 hex digits of SHA-256)."""

    plain: bytes
    gzipped: bytes
    hash: str

    def response(self, request: Request, headers: Mapping[str, str]) -> Response:
        """The script, compressed if the client accepts gzip."""
        if "gzip" in request.headers.get("accept-encoding", ""):
            return Response(self.gzipped, media_type="text/javascript", headers={**headers, "Content-Encoding": "gzip"})
        return Response(self.plain, media_type="text/javascript", headers=headers)


@cache
def _load(widget: Path) -> _Widget:
    body = widget.read_bytes()
    return _Widget(body, gzip.compress(body, 9, mtime=0), hashlib.sha256(body).hexdigest()[:16])
