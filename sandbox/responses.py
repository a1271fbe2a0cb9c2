"""Wix's HTTP responses: 200 and JSON for success, and the status and body of each error.

In: JSON or an error. Out: responses with the x-wix-request-id header, as all of Wix's.
Sources: Wix, "Errors", "Troubleshooting" (revisions); texts that Wix does not document are invented.
"""

import secrets
import time
from typing import Any

from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.types import Receive, Scope, Send

from sandbox.errors import (
    BadFilter,
    BadReorder,
    EventNotFound,
    Invalid,
    InvalidSalePeriod,
    NotFound,
    Refused,
    StaleRevision,
    TooManyTickets,
)

APPLICATION: dict[type[Refused], tuple[int, str, str]] = {
    NotFound: (404, "NOT_FOUND", "Entity not found"),
    EventNotFound: (404, "EVENT_NOT_FOUND", "Event not found"),
    BadReorder: (400, "INVALID_REORDER_INSTRUCTION", "Invalid reorder instruction"),
    StaleRevision: (409, "INVALID_REVISION", "entity has already changed since the requested revision"),
    InvalidSalePeriod: (428, "INVALID_SALE_PERIOD", "Invalid sale period"),
    TooManyTickets: (428, "TICKET_DEFINITIONS_LIMIT_REACHED", "Ticket definitions limit reached"),
}
"""Errors of the request that have an application error: status, code, description."""

STATUSES: dict[int, tuple[str, str, str]] = {
    401: ("UNAUTHENTICATED", "Invalid or expired token", "Unauthenticated"),
    403: ("PERMISSION_DENIED", "Missing permission", "Permission denied"),
    404: ("NOT_FOUND", "Entity not found", "Entity not found"),
    405: ("METHOD_NOT_ALLOWED", "Method not allowed", "Method not allowed"),
    429: ("RESOURCE_EXHAUSTED", "Too many requests", "Too many requests"),
}
"""Application errors by status alone: code, description, message."""


def ok(json: Any) -> Response:
    """A successful response."""
    return with_request_id(JSONResponse(json))


def error(error: Refused) -> Response:
    """The response to a bad request."""
    if isinstance(error, Invalid):
        return _invalid(error)
    return with_request_id(_application(*APPLICATION[type(error)]))


def parser_error(error: BadFilter) -> Response:
    """The response of Count and Query Events to an invalid filter."""
    return with_request_id(_application(400, "FILTER_PARSER_ERROR", str(error)))


def fault(status: int, retry_after: int | None = None, *, plain: bool = False) -> Response:
    """An error that does not depend on the request: 4xx with its code, 5xx with an empty message."""
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
    """Status 200 with HTML instead of JSON, as a proxy might answer."""
    return with_request_id(Response("<html><body>We will be right back</body></html>", media_type="text/html"))


class Truncated(Response):
    """A response whose body is incomplete: the server then closes the connection."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - ASGI's
        """Send fewer bytes than Content-Length says."""
        headers = [(b"content-type", b"application/json"), (b"content-length", b"1000")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b'{"ticketDefinitions": [', "more_body": True})


def with_request_id(response: Response) -> Response:
    """Add a request id."""
    response.headers["x-wix-request-id"] = f"{time.time():.0f}.{secrets.randbelow(10**19):019}"
    return response


def _invalid(error: Invalid) -> Response:
    violation = {"field": error.field, "description": error.text, "violatedRule": error.rule, "data": {}}
    details = {"validationError": {"fieldViolations": [violation]}}
    return with_request_id(JSONResponse({"message": "INVALID_ARGUMENT", "details": details}, 400))


def _application(status: int, code: str, text: str, message: str | None = None) -> Response:
    details = {"applicationError": {"code": code, "description": text, "data": {}}}
    return JSONResponse({"message": message or text, "details": details}, status)
