"""Wix's answers as HTTP: success is 200 and JSON, and every refusal has its status and its body.

In: JSON, or what was refused. Out: responses, each with the x-wix-request-id that Wix puts on all of them.
Sources: Wix, "Errors", "Troubleshooting" (revisions); the texts that nobody documents are ours.
"""

import secrets
import time
from typing import Any

from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.types import Receive, Scope, Send

from sandbox.errors import BadFilter, Invalid, InvalidSalePeriod, NotFound, Refused, StaleRevision, TooManyTickets

APPLICATION: dict[type[Refused], tuple[int, str, str]] = {
    NotFound: (404, "NOT_FOUND", "Entity not found"),
    StaleRevision: (409, "INVALID_REVISION", "entity has already changed since the requested revision"),
    InvalidSalePeriod: (428, "INVALID_SALE_PERIOD", "Invalid sale period"),
    TooManyTickets: (428, "TICKET_DEFINITIONS_LIMIT_REACHED", "Ticket definitions limit reached"),
}
"""Refusals with an application error: status, code, description."""

STATUSES: dict[int, tuple[str, str, str]] = {
    401: ("UNAUTHENTICATED", "Invalid or expired token", "Unauthenticated"),
    403: ("PERMISSION_DENIED", "Missing permission", "Permission denied"),
    404: ("NOT_FOUND", "Entity not found", "Entity not found"),
    405: ("METHOD_NOT_ALLOWED", "Method not allowed", "Method not allowed"),
    429: ("RESOURCE_EXHAUSTED", "Too many requests", "Too many requests"),
}
"""What else is answered with an application error: code, description, message."""


def ok(json: Any) -> Response:
    """The answer to a good request."""
    return with_request_id(JSONResponse(json))


def error(error: Refused) -> Response:
    """The answer to a bad one."""
    if isinstance(error, Invalid):
        return _invalid(error)
    return with_request_id(_application(*APPLICATION[type(error)]))


def invalid_count_filter(error: BadFilter) -> Response:
    """What Count has for a filter that it cannot read."""
    return with_request_id(_application(400, "FILTER_PARSER_ERROR", str(error)))


def fault(status: int, retry_after: int | None = None, *, plain: bool = False) -> Response:
    """An answer without regard to the request: 4xx with its code, 5xx with nothing to say."""
    if status >= 500:
        response: Response = JSONResponse({"message": "", "details": {}}, status)
    elif plain:
        response = PlainTextResponse("Too Many Requests", status)
    else:
        response = _application(status, *STATUSES[status])
    if retry_after is not None:
        response.headers["Retry-After"] = str(retry_after)
    return with_request_id(response)


def not_json() -> Response:
    """Status 200 and no JSON, as a proxy in between might answer."""
    return with_request_id(Response("<html><body>We will be right back</body></html>", media_type="text/html"))


class Truncated(Response):
    """An answer that ends in the middle: the server closes the connection then."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - ASGI's
        """Promise more than is sent."""
        headers = [(b"content-type", b"application/json"), (b"content-length", b"1000")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b'{"ticketDefinitions": [', "more_body": True})


def with_request_id(response: Response) -> Response:
    """Put a request id on it."""
    response.headers["x-wix-request-id"] = f"{time.time():.0f}.{secrets.randbelow(10**19):019}"
    return response


def _invalid(error: Invalid) -> Response:
    violation = {"field": error.field, "description": error.text, "violatedRule": error.rule, "data": {}}
    details = {"validationError": {"fieldViolations": [violation]}}
    return with_request_id(JSONResponse({"message": "INVALID_ARGUMENT", "details": details}, 400))


def _application(status: int, code: str, text: str, message: str | None = None) -> Response:
    details = {"applicationError": {"code": code, "description": text, "data": {}}}
    return JSONResponse({"message": message or text, "details": details}, status)
