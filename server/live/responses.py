"""What the counters' HTTP answers have in common: admission of a request, CORS headers, and errors as JSON.

In: a request. Out: an Admitted, or a response that names the parameter at fault.
"""

from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from server.errors import Refused
from server.hub.hub import Hub
from server.live.admission import ANSWERS, FULL, Admission, Admitted
from server.live.poll import Poll
from server.wire import RETRY_AFTER, Close

PREFLIGHT_HEADERS = "If-None-Match, Cache-Control, Last-Event-ID, X-Requested-With, Content-Type"
"""What browsers ask for before a request of libraries: caches switched off, event streams by fetch, what all their requests have."""

NOT_READ = "the tickets of this event cannot be read now: come back in a while"


async def admit(request: Request) -> Admitted | Response:
    """Count the request's connection until `Admission.leave`; a Response says why it is refused."""
    admission: Admission = request.state.admission
    forwarded = ",".join(request.headers.getlist("x-forwarded-for")) or None
    address = admission.address(request.client.host if request.client else "local", forwarded)
    query = request.scope["query_string"].decode("latin-1")
    hub: Hub = request.state.hub
    try:
        found = admission.admit(hub, request.headers.get("origin"), query, address)
        if isinstance(found, Admitted):
            return found
        try:
            return await admission.look_up(hub, found)
        except BaseException:
            admission.leave(address)
            raise
    except Refused as refusal:
        return refused(request, refusal)


def refused(request: Request, refusal: Refused) -> Response:
    """The answer to a request that gets no counters."""
    status, code = ANSWERS[type(refusal)]
    return error(request, status, refusal.field, str(refusal), later=code is Close.FULL)


def of_poll(request: Request, poll: Poll) -> Response | None:
    """The answer to a poll that the hub sent away, or that saw no list of the event that it asked for; else None."""
    if poll.refusal is not None:
        return refused(request, poll.refusal)
    if poll.code is Close.FULL or poll.without_list:
        return error(request, HTTPStatus.SERVICE_UNAVAILABLE, None, FULL if poll.code is Close.FULL else NOT_READ)
    return None


def error(request: Request, status: HTTPStatus, field: str | None, text: str, *, later: bool = False) -> Response:
    """An error as JSON; 503, and any with *later*, says when to come back."""
    headers = {**cors(request), "Cache-Control": "no-store"}
    if later or status == HTTPStatus.SERVICE_UNAVAILABLE:
        headers["Retry-After"] = str(RETRY_AFTER)
    return JSONResponse({"error": {"field": field, "message": text}}, status, headers)


def cors(request: Request) -> dict[str, str]:
    """Headers by which a browser lets pages of allowed origins read the answer (Fetch, section 3.2)."""
    admission: Admission = request.state.admission
    headers = {"Access-Control-Expose-Headers": "Date, ETag, Retry-After", "Vary": "Accept"}
    origin = request.headers.get("origin")
    if admission.all_origins:
        headers["Access-Control-Allow-Origin"] = "*"
    else:
        headers["Vary"] = "Accept, Origin"
        if origin is not None and admission.allows(origin):
            headers["Access-Control-Allow-Origin"] = origin
    if request.method == "OPTIONS":
        headers["Access-Control-Allow-Methods"] = "GET"
        headers["Access-Control-Allow-Headers"] = PREFLIGHT_HEADERS
        headers["Access-Control-Max-Age"] = "86400"
    return headers
