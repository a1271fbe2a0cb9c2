"""GET /v1/counters as JSON, and as server-sent events.

In: the query string, Accept, Origin, If-None-Match. Out: whole counters; errors as JSON that name the parameter.
Both watch through the hub as a socket does, so a poller and a viewer see the same bytes.
"""

import asyncio
import hashlib
import re
from collections.abc import Collection, Sequence

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from server import metrics, wire
from server.errors import BadRequest, NoSiteYet, TooManyUnconfirmed, UnknownSite
from server.hub.heartbeat import unix_ms
from server.hub.hub import Hub
from server.hub.topics import Topic
from server.live.admission import Admission
from server.live.request import resolve
from server.model import SiteId, TicketId
from server.wire import Close

FIRST_READ_WITHIN = 1.0
"""Seconds that a poller waits for a number that nobody has read yet."""
RETRY_AFTER = "5"
FULL = "full: come back in a while"

_STREAM = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
"""Nobody keeps a stream, and no proxy holds it back until it has enough of it."""


async def counters(request: Request) -> Response:
    """Answer JSON, or a stream to those who accept one."""
    if request.method == "OPTIONS":
        return Response(status_code=204, headers=_cors(request))
    if _accepts_stream(request.headers.get("accept", "")):
        return await stream(request)
    found = _wanted(request)
    if isinstance(found, Response):
        return found
    hub: Hub = request.state.hub
    admission: Admission = request.state.admission
    address = _address(request)
    # He may wait, and keeps topics open: a poller without a cap could have the hub full of them.
    if not admission.enter(address):
        return _refusal(request, 503, None, FULL)
    viewer = _Mailbox()
    try:
        audience = hub.join(viewer, *found, address)
        try:
            await viewer.wait_for(audience.topics, FIRST_READ_WITHIN)
        finally:
            hub.leave(audience, viewer)
    finally:
        admission.leave(address)
    if viewer.code is Close.FULL:
        return _refusal(request, 503, None, FULL)
    texts = [topic.shown or wire.unknown(topic.ticket) for topic in audience.topics]
    body = f'{{"counters":[{",".join(texts)}]}}'.encode()
    headers = _cors(request)
    if '"state":"unknown"' in body.decode():
        headers["Cache-Control"] = "no-store"
    else:
        headers["Cache-Control"] = "public, max-age=1, stale-if-error=30"
        headers["ETag"] = f'"{hashlib.sha256(body).hexdigest()[:24]}"'
        if _matches(request.headers.get("if-none-match"), headers["ETag"]):
            return Response(status_code=304, headers=headers)
    return Response(body, media_type="application/json", headers=headers)


async def stream(request: Request) -> Response:
    """Answer server-sent events: a beat and each counter at once, then each change."""
    if request.method == "OPTIONS":
        return Response(status_code=204, headers=_cors(request))
    found = _wanted(request)
    if isinstance(found, Response):
        return found
    hub: Hub = request.state.hub
    admission: Admission = request.state.admission
    if request.method == "HEAD":
        return Response(media_type="text/event-stream", headers={**_cors(request), **_STREAM})
    address = _address(request)
    if not admission.enter(address):
        return _refusal(request, 503, None, FULL)
    return _EventStream(hub, admission, address, *found, headers=_cors(request))


class _EventStream(Response):
    """Server-sent events until the client leaves or the hub says bye.

    Not a StreamingResponse: whatever ends it, and whenever, the viewer must leave the hub and the count. A reader that
    takes nothing is ended by its listening socket's TCP_USER_TIMEOUT.
    """

    def __init__(
        self,
        hub: Hub,
        admission: Admission,
        address: str,
        site: SiteId,
        tickets: Sequence[TicketId],
        *,
        headers: dict[str, str],
    ) -> None:
        self.hub, self.admission, self.address, self.site, self.tickets = hub, admission, address, site, tickets
        self.status_code = 200
        self.media_type = "text/event-stream"
        self.background = None
        self.body = b""
        self.init_headers({**headers, **_STREAM})
        del self.headers["content-length"]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - ASGI's signature
        viewer = _Mailbox()
        audience = self.hub.join(viewer, self.site, self.tickets, self.address)
        metrics.sse_viewers.inc()
        tasks = {asyncio.create_task(self._pump(viewer, send)), asyncio.create_task(_left(receive))}
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            metrics.sse_viewers.dec()
            self.hub.leave(audience, viewer)
            self.admission.leave(self.address)

    async def _pump(self, viewer: "_Mailbox", send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        text = wire.sse_event("beat", wire.beat(unix_ms()))
        await send({"type": "http.response.body", "body": text, "more_body": True})
        ended = False
        while not ended:
            await viewer.changed.wait()
            # One that ends while a frame is being sent still has its word to say.
            ended = viewer.code is not None
            await send({"type": "http.response.body", "body": viewer.take(), "more_body": not ended})


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


class _Mailbox:
    """A viewer that is read from: it holds which topics changed, never more than one frame of each."""

    def __init__(self) -> None:
        self.changed = asyncio.Event()
        # Why it was sent away; nothing more is said to it then.
        self.code: Close | None = None
        self._due: dict[Topic, None] = {}
        self._words: list[bytes] = []

    def show(self, topics: Collection[Topic]) -> None:
        """These topics have a new frame."""
        self._due.update(dict.fromkeys(topics))
        self.changed.set()

    def beat(self, text: str) -> None:
        """A heartbeat; one that was not taken yet is replaced, but never the last word."""
        if self.code is None:
            self._words = [wire.sse_event("beat", text)]
            self.changed.set()

    def bye(self, text: str, code: Close = Close.RESTART) -> None:
        """The stream ends."""
        self._words = [wire.sse_event("bye", text)]
        self.code = code
        self.changed.set()

    def take(self) -> bytes:
        """Everything that is due, in one write."""
        self.changed.clear()
        due, words = self._due, self._words
        self._due, self._words = {}, []
        metrics.sse_frames.inc(len(due))
        return b"".join([*(topic.sse for topic in due), *words])

    async def wait_for(self, topics: Sequence[Topic], seconds: float) -> None:
        """Wait until every topic shows a verified counter, or it is sent away, but no longer than so many seconds."""
        try:
            async with asyncio.timeout(seconds):
                while self.code is None and not all(topic.verified for topic in topics):
                    self.changed.clear()
                    await self.changed.wait()
        except TimeoutError:
            pass


def _wanted(request: Request) -> tuple[SiteId, Sequence[TicketId]] | Response:
    admission: Admission = request.state.admission
    if not admission.admits(request.headers.get("origin")):
        metrics.refused.labels("origin").inc()
        return _refusal(request, 403, None, "this origin is not in ORIGINS")
    if not admission.open:
        return _refusal(request, 503, None, "restarting: come back in a while")
    try:
        query = request.scope["query_string"].decode("latin-1")
        found = resolve(wire.wanted(query), request.state.hub.sites)
        request.state.hub.admit(*found, _address(request))
    except BadRequest as error:
        metrics.refused.labels("request").inc()
        return _refusal(request, 400, error.field, str(error))
    except UnknownSite as error:
        metrics.refused.labels("request").inc()
        return _refusal(request, 404, "site", str(error))
    except (NoSiteYet, TooManyUnconfirmed) as error:
        metrics.refused.labels(error.reason).inc()
        return _refusal(request, 503, None, str(error))
    return found


def _accepts_stream(accept: str) -> bool:
    """Whether a stream is named and not declined by a weight of nothing (RFC 9110, section 12.4.2)."""
    for one in accept.lower().split(","):
        kind, *parameters = (part.strip() for part in one.split(";"))
        if kind == "text/event-stream":
            return not any(re.fullmatch(r"q=0(\.0*)?", parameter) for parameter in parameters)
    return False


def _address(request: Request) -> str:
    """Whom a request counts for."""
    admission: Admission = request.state.admission
    forwarded = ",".join(request.headers.getlist("x-forwarded-for")) or None
    return admission.address(request.client.host if request.client else "local", forwarded)


def _refusal(request: Request, status: int, field: str | None, text: str) -> Response:
    headers = {**_cors(request), "Cache-Control": "no-store"}
    if status == 503:
        headers["Retry-After"] = RETRY_AFTER
    return JSONResponse({"error": {"field": field, "message": text}}, status, headers)


def _cors(request: Request) -> dict[str, str]:
    admission: Admission = request.state.admission
    headers = {"Access-Control-Expose-Headers": "Date, ETag", "Vary": "Accept"}
    origin = request.headers.get("origin")
    if admission.anyone:
        headers["Access-Control-Allow-Origin"] = "*"
    else:
        headers["Vary"] = "Accept, Origin"
        if origin is not None and admission.admits(origin):
            headers["Access-Control-Allow-Origin"] = origin
    if request.method == "OPTIONS":
        headers["Access-Control-Allow-Methods"] = "GET"
        headers["Access-Control-Allow-Headers"] = "If-None-Match"
        headers["Access-Control-Max-Age"] = "86400"
    return headers


def _matches(asked: str | None, etag: str) -> bool:
    """If-None-Match: a list, compared weakly (RFC 9110, section 13.1.2)."""
    return asked is not None and any(one.strip().removeprefix("W/") in (etag, "*") for one in asked.split(","))
