"""Pages and files besides the counters: the widget, the embed page and its script.

In: GET. Out: the widget, by name and by hash (script_file.py); a page for iframes (embed_page.py). A hash that is not this process's own is looked up in Redis: pages pin
a version for longer than it runs, and while a new one is rolled out, old and new processes get each other's requests.
"""

import asyncio
import re
import time
from collections import deque
from collections.abc import Awaitable, Callable
from functools import cache
from pathlib import Path

from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Route

from server.embed_page import FRAME_SCRIPT, EmbedPage
from server.errors import BadRequest, RedisUnavailable, Refused
from server.query import Query
from server.script_file import FIVE_MINUTES, FOR_EVER, ScriptFile
from server.snippet import HASH_DIGITS
from server.store.widget_files import WidgetFiles

WIDGET = Path(__file__).parent.parent / "widget" / "ticket-counter.js"
FRAME = WIDGET.with_name("embed.js")
"""The script of the embed page, which the wheel has beside the widget."""

KEEP_EVERY, KEEP_AGAIN = 3600.0, 10.0
"""Seconds until this process's version is kept again, as a Redis that was emptied lost it; and after Redis did not take it."""
LOOK_UPS = 10
"""Hashes that are looked up in Redis in any second: a page in use has one of a few, which stay in memory."""
OTHERS = 20
"""Other versions that stay in memory, each some 20 KB."""

_HASH = re.compile(f"[0-9a-f]{{{HASH_DIGITS}}}")
_NO_STORE = {"Cache-Control": "no-store"}


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
        self._others: dict[str, ScriptFile] = {}
        self._looked_up: deque[float] = deque(maxlen=LOOK_UPS)
        self._frame_ancestors, self._public_url = frame_ancestors, public_url

    def routes(self) -> list[Route]:
        """The routes of these pages."""
        return [
            Route("/widget/v1/ticket-counter.js", self.widget),
            Route("/widget/v1/ticket-counter.{hash}.js", self.pinned_widget),
            Route(FRAME_SCRIPT, self.frame_script),
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
        return _load(self._widget).response(request, FIVE_MINUTES)

    async def frame_script(self, request: Request) -> Response:
        """The script of the embed page, cached for five minutes."""
        return _load(FRAME).response(request, FIVE_MINUTES)

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
        return script.response(request, FOR_EVER)

    async def _other(self, wanted: str) -> ScriptFile | None:
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
            self._others[wanted] = ScriptFile.of(body)
        return self._others[wanted]

    async def embed(self, request: Request) -> Response:
        """A page for an iframe: `?ticket=A[&ticket=B][&site=S]` or `?event=E`, the query of /v1/counters, and what embed_page.py reads."""
        try:
            page = EmbedPage.parse(request.scope["query_string"].decode("latin-1"))
            if self._find_site is not None:
                await self._find_site(page.query)
        except BadRequest as error:
            return PlainTextResponse(f"{error}\n", 400, headers=_NO_STORE)
        except Refused:
            # The script on the page comes back until there is an answer.
            pass
        return HTMLResponse(
            page.html(request.scope.get("root_path", "")),
            headers={
                "Content-Security-Policy": page.policy(self._frame_ancestors, self._public_url),
                **_NO_STORE,
            },
        )


@cache
def _load(script: Path) -> ScriptFile:
    return ScriptFile.read(script)
