"""What a request to the endpoints of the page has to be: sent by our own page, small, fast, and JSON.

In: requests, as any client may send them. Out: their content and the client's address; errors as JSON. A page of another origin cannot
pretend to be ours, as browsers write the header Origin; another program can, and is held by the limits of what it asks for.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from server import logs
from server.errors import (
    BadRequest,
    EventNotListed,
    NoSiteYet,
    OriginNotAllowed,
    RedisUnavailable,
    Refused,
    SiteNotFound,
    TooManyUnconfirmed,
    UnknownEvent,
    UnknownSite,
    UnknownTicket,
)  # fmt: skip
from server.logs import RepeatedWarning
from server.wire import RETRY_AFTER

LARGEST = 4096
"""Bytes of a body: an endpoint of 1,000 characters and its keys need less than 1,500."""
READ_WITHIN = 5.0
"""Seconds for the body."""
ANSWER_WITHIN = 3.0
"""Seconds for Redis."""
HEADERS = {"Cache-Control": "no-store"}

STATUSES: dict[type[Refused], HTTPStatus] = {
    BadRequest: HTTPStatus.BAD_REQUEST,
    OriginNotAllowed: HTTPStatus.FORBIDDEN,
    UnknownSite: HTTPStatus.NOT_FOUND,
    UnknownTicket: HTTPStatus.NOT_FOUND,
    UnknownEvent: HTTPStatus.NOT_FOUND,
    EventNotListed: HTTPStatus.NOT_FOUND,
    NoSiteYet: HTTPStatus.SERVICE_UNAVAILABLE,
    SiteNotFound: HTTPStatus.SERVICE_UNAVAILABLE,
    TooManyUnconfirmed: HTTPStatus.SERVICE_UNAVAILABLE,
}

Handler = Callable[[Request, dict[str, Any]], Awaitable[Response]]
Address = Callable[[str, str | None], str]
"""The client's address, of its peer's and of X-Forwarded-For (live/admission.py)."""

log = logs.logger("tell_me")


class Posts:
    """Checks requests of one process. *public_url* is ours; without it the page is at the Host that a request names."""

    def __init__(self, public_url: str | None, address: Address, *, read_within: float = READ_WITHIN) -> None:
        parts = urlsplit(public_url or "")
        self._origin = f"{parts.scheme}://{parts.netloc}".lower() if parts.netloc else None
        self._address = address
        self._read_within = read_within
        self._unavailable = RepeatedWarning(log, "store_unavailable")

    def endpoint(self, handler: Handler) -> Callable[[Request], Awaitable[Response]]:
        """The handler of a route: *handler* gets the content of requests that may be answered, and may raise Refused."""

        async def answer(request: Request) -> Response:
            try:
                content = await self._content(request)
                async with asyncio.timeout(ANSWER_WITHIN):
                    response = await handler(request, content)
            except Refused as refused:
                return error(STATUSES[type(refused)], str(refused), refused.field)
            except ClientDisconnect:
                return Response(status_code=HTTPStatus.BAD_REQUEST)
            except (RedisUnavailable, TimeoutError) as fault:
                self._unavailable.warn("redis", error=str(fault) or "too slow")
                return error(HTTPStatus.SERVICE_UNAVAILABLE, "this cannot be stored now: come back in a while")
            self._unavailable.resolved("redis")
            return response

        return answer

    def address(self, request: Request) -> str:
        """The address of the client that sent a request."""
        forwarded = ",".join(request.headers.getlist("x-forwarded-for")) or None
        return self._address(request.client.host if request.client else "local", forwarded)

    async def _content(self, request: Request) -> dict[str, Any]:
        origin = request.headers.get("origin", "").lower()
        if self._origin is None:
            allowed = bool(origin) and urlsplit(origin).netloc == request.headers.get("host", "").lower()
        else:
            allowed = origin == self._origin
        if not allowed:
            raise OriginNotAllowed("only our own page may ask for this")
        try:
            async with asyncio.timeout(self._read_within):
                body = await _read(request)
        except TimeoutError:
            raise BadRequest("body", "the body took too long") from None
        try:
            content = json.loads(body)
        except (ValueError, RecursionError):
            raise BadRequest("body", "the body is no JSON") from None
        if not isinstance(content, dict):
            raise BadRequest("body", "the body is no object")
        return content


async def _read(request: Request) -> bytes:
    """The body, counted as it arrives, since Content-Length may be wrong."""
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > LARGEST:
            raise BadRequest("body", f"the body is longer than {LARGEST} bytes")
    return body


def error(status: HTTPStatus, text: str, field: str | None = None, retry_after: int = RETRY_AFTER) -> Response:
    """An error as JSON; what may succeed later says when."""
    later = status in {HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.TOO_MANY_REQUESTS}
    headers = {**HEADERS, "Retry-After": str(retry_after)} if later else HEADERS
    return JSONResponse({"error": {"field": field, "message": text}}, status, headers)
