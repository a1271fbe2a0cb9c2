"""Wix's answers as HTTP: success is 200 and JSON, and every refusal has its status and its body.

In: JSON, or what was refused. Out: responses, each with the x-wix-request-id that Wix puts on all of them.
Sources: Wix, "Errors", "Troubleshooting" (revisions); the texts that nobody documents are ours.
"""

import secrets
import time
from typing import Any

from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.types import Receive, Scope, Send

from sandbox.errors import BadFilter, BadPeriod, Invalid, NotThere, Refused, Stale, TooMany

APPLICATION: dict[type[Refused], tuple[int, str, str]] = {
    NotThere: (404, "NOT_FOUND", "Entity not found"),
    Stale: (409, "INVALID_REVISION", "entity has already changed since the requested revision"),
    BadPeriod: (428, "INVALID_SALE_PERIOD", "Invalid sale period"),
    TooMany: (428, "TICKET_DEFINITIONS_LIMIT_REACHED", "Ticket definitions limit reached"),
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
    return signed(JSONResponse(json))


def refused(error: Refused) -> Response:
    """The answer to a bad one."""
    if isinstance(error, Invalid):
        return _invalid(error)
    return signed(_application(*APPLICATION[type(error)]))


def uncountable(error: BadFilter) -> Response:
    """What Count has for a filter that it cannot read."""
    return signed(_application(400, "FILTER_PARSER_ERROR", str(error)))


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
    return signed(response)


def nonsense() -> Response:
    """Status 200 and no JSON, as a proxy in between might answer."""
    return signed(Response("<html><body>We will be right back</body></html>", media_type="text/html"))


class Broken(Response):
    """An answer that ends in the middle: the server closes the connection then."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - ASGI's
        """Promise more than is sent."""
        headers = [(b"content-type", b"application/json"), (b"content-length", b"1000")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b'{"ticketDefinitions": [', "more_body": True})


def signed(response: Response) -> Response:
    """Put a request id on it."""
    response.headers["x-wix-request-id"] = f"{time.time():.0f}.{secrets.randbelow(10**19):019}"
    return response


def _invalid(error: Invalid) -> Response:
    violation = {"field": error.field, "description": error.text, "violatedRule": error.rule, "data": {}}
    details = {"validationError": {"fieldViolations": [violation]}}
    return signed(JSONResponse({"message": "INVALID_ARGUMENT", "details": details}, 400))


def _application(status: int, code: str, text: str, message: str | None = None) -> Response:
    details = {"applicationError": {"code": code, "description": text, "data": {}}}
    return JSONResponse({"message": message or text, "details": details}, status)
