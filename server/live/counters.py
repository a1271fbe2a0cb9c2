"""GET /v1/counters: counters as JSON.

In: the query string, Accept, Origin, If-None-Match. Out: whole counters, or an error as JSON that names the parameter; a
stream for a client that accepts one (sse.py). A poll joins the hub as a socket does, so both see the same bytes.
"""

import hashlib
import re
from collections.abc import Sequence

from starlette.requests import Request
from starlette.responses import Response

from server import wire
from server.hub.hub import Hub
from server.hub.topics import EventTopic, TicketTopic, Topic
from server.live import responses
from server.live.admission import Admission
from server.live.poll import polled
from server.live.sse import stream


async def counters(request: Request) -> Response:
    """Answer JSON, or a stream to a client that accepts one."""
    if request.method == "OPTIONS":
        return Response(status_code=204, headers=responses.cors(request))
    if _accepts_stream(request.headers.get("accept", "")):
        return await stream(request)
    # A poll may wait, and keeps topics open: without a limit, polls could fill the hub.
    admitted = await responses.admit(request)
    if isinstance(admitted, Response):
        return admitted
    hub: Hub = request.state.hub
    admission: Admission = request.state.admission
    try:
        # The topics of an event become more when its list is known.
        poll = await polled(hub, admitted, lambda topics: all(topic.verified for topic in topics))
    finally:
        admission.leave(admitted.address)
    if fault := responses.of_poll(request, poll):
        return fault
    body = _body(poll.topics)
    headers = responses.cors(request)
    if '"state":"unknown"' in body.decode():
        headers["Cache-Control"] = "no-store"
    else:
        headers["Cache-Control"] = "public, max-age=1, stale-if-error=30"
        headers["ETag"] = f'"{hashlib.sha256(body).hexdigest()[:24]}"'
        if _matches(request.headers.get("if-none-match"), headers["ETag"]):
            return Response(status_code=304, headers=headers)
    return Response(body, media_type="application/json", headers=headers)


def _body(topics: Sequence[Topic]) -> bytes:
    """The counters; of an event its list comes first."""
    counters = [topic.shown or wire.unknown(topic.ticket) for topic in topics if isinstance(topic, TicketTopic)]
    listed = [topic.shown[1:-1] for topic in topics if isinstance(topic, EventTopic) and topic.shown]
    members = ",".join([*listed, f'"counters":[{",".join(counters)}]'])
    return f"{{{members}}}".encode()


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
