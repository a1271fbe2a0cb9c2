"""GET /v1/counters: counters as JSON.

In: the query string, Accept, Origin, If-None-Match. Out: whole counters, or an error as JSON that names the parameter; a
stream for a client that accepts one (sse.py). A poll joins the hub as a socket does, so both see the same bytes.
"""

import asyncio
import hashlib
import re
from collections.abc import Collection, Sequence
from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import Response

from server import wire
from server.hub.hub import Hub
from server.hub.topics import Topic
from server.live import responses
from server.live.admission import FULL, Admission
from server.live.sse import stream
from server.wire import Close

FIRST_READ_WITHIN = 1.0
"""Seconds that a poll waits for a number that has never been read."""


async def counters(request: Request) -> Response:
    """Answer JSON, or a stream to a client that accepts one."""
    if request.method == "OPTIONS":
        return Response(status_code=204, headers=responses.cors(request))
    if _accepts_stream(request.headers.get("accept", "")):
        return await stream(request)
    # A poll may wait, and keeps topics open: without a limit, polls could fill the hub.
    admitted = responses.admit(request)
    if isinstance(admitted, Response):
        return admitted
    hub: Hub = request.state.hub
    admission: Admission = request.state.admission
    poll = Poll()
    try:
        audience = hub.join(poll, *admitted)
        try:
            await poll.wait_for(audience.topics, FIRST_READ_WITHIN)
        finally:
            hub.leave(audience, poll)
    finally:
        admission.leave(admitted.address)
    if poll.code is Close.FULL:
        return responses.error(request, HTTPStatus.SERVICE_UNAVAILABLE, None, FULL)
    texts = [topic.shown or wire.unknown(topic.ticket) for topic in audience.topics]
    body = f'{{"counters":[{",".join(texts)}]}}'.encode()
    headers = responses.cors(request)
    if '"state":"unknown"' in body.decode():
        headers["Cache-Control"] = "no-store"
    else:
        headers["Cache-Control"] = "public, max-age=1, stale-if-error=30"
        headers["ETag"] = f'"{hashlib.sha256(body).hexdigest()[:24]}"'
        if _matches(request.headers.get("if-none-match"), headers["ETag"]):
            return Response(status_code=304, headers=headers)
    return Response(body, media_type="application/json", headers=headers)


class Poll:
    """A viewer that stays until its topics show verified counters."""

    def __init__(self) -> None:
        self.changed = asyncio.Event()
        # Why the hub sent it away.
        self.code: Close | None = None

    def show(self, topics: Collection[Topic]) -> None:  # noqa: ARG002 - it reads all of its topics at the end
        """These topics have a new frame."""
        self.changed.set()

    def beat(self, text: str) -> None:
        """A poll gets no heartbeat."""

    def bye(self, text: str, code: Close = Close.RESTART) -> None:  # noqa: ARG002 - the answer says when to come back
        """End the poll."""
        self.code = code
        self.changed.set()

    async def wait_for(self, topics: Sequence[Topic], seconds: float) -> None:
        """Wait until every topic shows a verified counter, or the poll is ended, but no longer than so many seconds."""
        try:
            async with asyncio.timeout(seconds):
                while self.code is None and not all(topic.verified for topic in topics):
                    self.changed.clear()
                    await self.changed.wait()
        except TimeoutError:
            pass


def _accepts_stream(accept: str) -> bool:
    """Whether a stream is named and not declined by a weight of zero (RFC 9110, section 12.4.2)."""
    for one in accept.lower().split(","):
        kind, *parameters = (part.strip() for part in one.split(";"))
        if kind == "text/event-stream":
            return not any(re.fullmatch(r"q=0(\.0*)?", parameter) for parameter in parameters)
    return False


def _matches(asked: str | None, etag: str) -> bool:
    """If-None-Match: a list, compared weakly (RFC 9110, section 13.1.2)."""
    return asked is not None and any(one.strip().removeprefix("W/") in (etag, "*") for one in asked.split(","))
