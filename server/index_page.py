"""GET /: what this server is, for a person who opens its address in a browser.

In: GET. Out: a page with the version, the addresses of this server, and where its documentation is. Nothing of sites and tickets, and
nothing that a setting says: anyone may open it.
"""

import hashlib
import html
from base64 import b64encode
from importlib.metadata import version

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

_STYLE = (
    "html{color-scheme:light dark}body{margin:2rem auto;max-width:46rem;padding:0 1rem;font:1rem/1.5 system-ui,sans-serif}"
    "dt{font-family:ui-monospace,monospace}dd{margin:0 0 .5rem 1.5rem}"
)
_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<meta name="robots" content="noindex">
<title>ticket-counter</title>
<style>{style}</style>
<body>
<h1>ticket-counter {version}</h1>
<p>This server tells pages of Wix Events sites how many tickets are left. It has no pages of its own for visitors: they see the
counter on the pages that it is put on.</p>
<dl>
<dt>{root}/widget/v1/ticket-counter.js</dt>
<dd>the script that such a page loads; <code>ticket-counter embed</code> prints the HTML</dd>
<dt>{root}/embed?ticket=TICKET-DEFINITION-ID</dt>
<dd>a page with one counter or several, for an iframe; <code>ticket-counter tickets</code> lists the ids</dd>
<dt>{root}/v1/counters?ticket=TICKET-DEFINITION-ID</dt>
<dd>the same counters as JSON, for programs (docs/contract.md)</dd>
<dt>{root}/livez, {root}/readyz</dt>
<dd>whether this server runs, and whether it should get visitors</dd>
<dt>{root}/metrics</dt>
<dd>metrics for Prometheus: only with the bearer token of the setting METRICS_TOKEN</dd>
</dl>
<p>The documentation comes with the source of the program: README.md to begin with, docs/operate.md to run it.
<code>ticket-counter --help</code> lists the commands, and <code>ticket-counter doctor</code> says what is wrong and what to do.</p>
</body>
</html>
"""
_POLICY = (
    f"default-src 'none'; style-src 'sha256-{b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()}'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)


def routes() -> list[Route]:
    """The route of the page."""
    return [Route("/", index)]


async def index(request: Request) -> Response:
    """The page, with addresses below ROOT_PATH."""
    page = _PAGE.format(
        style=_STYLE,
        version=html.escape(version("ticket-counter")),
        root=html.escape(request.scope.get("root_path", "")),
    )
    return HTMLResponse(page, headers={"Content-Security-Policy": _POLICY, "Cache-Control": "no-store"})
