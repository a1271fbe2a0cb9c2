"""Counters as server-sent events (HTML, section 9.2): GET /v1/counters/stream, or /v1/counters that accepts them.

In: a request. Out: a heartbeat and each counter at once, then each change, until the client leaves or the hub says `bye`.
"""

import asyncio
from collections.abc import Collection

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from server import metrics, wire
from server.errors import Refused
from server.hub.heartbeat import unix_ms
from server.hub.hub import Hub
from server.hub.topics import Topic
from server.live import responses
from server.live.admission import Admission, Admitted
from server.live.poll import polled
from server.wire import Close

HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
"""No cache keeps a stream, and no proxy buffers it."""


async def stream(request: Request) -> Response:
    """Answer server-sent events, or an error as JSON."""
    if request.method == "OPTIONS":
        return Response(status_code=204, headers=responses.cors(request))
    admitted = await responses.admit(request)
    if isinstance(admitted, Response):
        return admitted
    admission: Admission = request.state.admission
    if isinstance(admitted.wanted, str):
        # The status says whether there is such an event.
        try:
            poll = await polled(request.state.hub, admitted, lambda topics: topics[0].verified)
        except BaseException:
            admission.leave(admitted.address)
            raise
        if fault := responses.of_poll(request, poll):
            admission.leave(admitted.address)
            return fault
    headers = {**responses.cors(request), **HEADERS}
    if request.method == "HEAD":
        admission.leave(admitted.address)
        return Response(media_type="text/event-stream", headers=headers)
    return EventStream(request.state.hub, admission, admitted, headers)


class EventStream(Response):
    """The body of one stream.

    Not a StreamingResponse: however and whenever it ends, the viewer must leave the hub and the count. A client that takes
    nothing is ended by the listening socket's TCP_USER_TIMEOUT.
    """

    def __init__(self, hub: Hub, admission: Admission, admitted: Admitted, headers: dict[str, str]) -> None:
        self.hub, self.admission, self.admitted = hub, admission, admitted
        self.status_code = 200
        self.media_type = "text/event-stream"
        self.background = None
        self.body = b""
        self.init_headers(headers)
        del self.headers["content-length"]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - ASGI's signature
        """Serve the stream, as an ASGI application."""
        viewer = StreamViewer()
        site, wanted, address = self.admitted
        audience = self.hub.join(viewer, site, wanted, address)
        metrics.sse_viewers.inc()
        tasks = {asyncio.create_task(self._write(viewer, send)), asyncio.create_task(_disconnected(receive))}
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            metrics.sse_viewers.dec()
            self.hub.leave(audience, viewer)
            self.admission.leave(address)

    async def _write(self, viewer: "StreamViewer", send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        text = wire.sse_event("beat", wire.beat(unix_ms()))
        await send({"type": "http.response.body", "body": text, "more_body": True})
        ended = False
        while not ended:
            await viewer.changed.wait()
            # A stream that ends while a frame is being sent still has its `bye` to send.
            ended = viewer.ended
            await send({"type": "http.response.body", "body": viewer.take(), "more_body": not ended})


class StreamViewer:
    """A viewer that buffers which topics changed, never more than one frame of each."""

    def __init__(self) -> None:
        self.changed = asyncio.Event()
        # After `bye` nothing more is sent.
        self.ended = False
        self._due: dict[Topic, None] = {}
        self._events: list[bytes] = []

    def show(self, topics: Collection[Topic]) -> None:
        """These topics have a new frame."""
        self._due.update(dict.fromkeys(topics))
        self.changed.set()

    def beat(self, text: str) -> None:
        """Send a heartbeat; it replaces one that was not sent yet, but never the `bye`."""
        if not self.ended:
            self._events = [wire.sse_event("beat", text)]
            self.changed.set()

    def bye(self, text: str, code: Close = Close.RESTART) -> None:  # noqa: ARG002 - a stream has no close codes
        """End the stream."""
        self._events = [wire.sse_event("bye", text)]
        self.ended = True
        self.changed.set()

    def refuse(self, refusal: Refused) -> None:  # noqa: ARG002 - the client is told when it comes back
        """End the stream: the event that was there when it began is gone."""
        self.bye(wire.bye(*wire.LIST_RETRY_MS))

    def take(self) -> bytes:
        """All that is due, as one write."""
        self.changed.clear()
        due, events = self._due, self._events
        self._due, self._events = {}, []
        metrics.sse_frames.inc(len(due))
        return b"".join([*(topic.sse for topic in due), *events])


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
