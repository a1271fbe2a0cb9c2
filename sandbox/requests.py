"""What the requests to both APIs have in common: a JSON body, `fields`, and how a refusal becomes a response.

In: requests. Out: parsed values, or Invalid; and endpoints for handlers that return JSON or raise Refused.
"""

import json
from collections.abc import Awaitable, Callable, Collection
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from sandbox import responses
from sandbox.errors import BadFilter, Invalid, Refused

Json = dict[str, Any]


def endpoint(
    handler: Callable[[Request], Awaitable[Json]], *, parser_error: bool = False
) -> Callable[[Request], Awaitable[Response]]:
    """The endpoint of a handler. *parser_error*: an invalid filter has an error code of its own."""

    async def answer(request: Request) -> Response:
        try:
            return responses.ok(await handler(request))
        except BadFilter as error:
            return responses.parser_error(error) if parser_error else responses.error(error)
        except Refused as error:
            return responses.error(error)

    return answer


def fields(given: Any, known: Collection[str], most: int) -> frozenset[str]:
    """The `fields` of a request: at most *most*, all *known*. Raises Invalid."""
    asked = [] if given is None else given
    if not isinstance(asked, list) or len(asked) > most:
        raise Invalid("fields", f"a list of at most {most}", "MAX_SIZE")
    for one in asked:
        if not isinstance(one, str) or one not in known:
            raise Invalid("fields", f"must be of {', '.join(sorted(known))}", "ENUM")
    return frozenset(asked)


async def body(request: Request) -> Json:
    """The body as an object. Raises Invalid."""
    found = parsed(await request.body())
    if not isinstance(found, dict):
        raise Invalid("body", "the body is not a JSON object", "FORMAT")
    return found


def parsed(content: bytes) -> Any:
    """The content as JSON; None if it is none."""
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        return None
