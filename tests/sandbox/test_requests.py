import json
from typing import Any

import pytest
from starlette.requests import Request

from sandbox import requests
from sandbox.errors import BadFilter, Invalid, NotFound


def request(content: bytes = b"") -> Request:
    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": content, "more_body": False}

    return Request({"type": "http", "method": "POST", "path": "/", "headers": []}, receive)


@pytest.mark.parametrize("content", [b"", b"[]", b"7", b"{", b"\xff", b"[" * 100_000])
async def test_body_must_be_an_object(content: bytes) -> None:
    """A body that is no JSON object is refused, however it is spoiled."""
    with pytest.raises(Invalid) as caught:
        await requests.body(request(content))

    assert "body" == caught.value.field


async def test_body_is_read() -> None:
    """A JSON object is returned as it is."""
    assert {"query": {"é": [1, None]}} == await requests.body(request('{"query": {"é": [1, null]}}'.encode()))


def test_fields_are_known_and_few() -> None:
    """Fields are optional, of the known ones, and not more than allowed."""
    assert frozenset() == requests.fields(None, {"A"}, 1)
    assert {"A"} == requests.fields(["A"], {"A", "B"}, 1)
    for wrong in ("A", ["C"], [["A"]], ["A", "B"]):
        with pytest.raises(Invalid):
            requests.fields(wrong, {"A", "B"}, 1)


@pytest.mark.parametrize(
    ("error", "own_code", "status", "what"),
    [
        (NotFound("gone"), False, 404, "applicationError"),
        (BadFilter("filter", "no"), False, 400, "validationError"),
        (BadFilter("filter", "no"), True, 400, "applicationError"),
        (Invalid("a", "no"), True, 400, "validationError"),
    ],
)
async def test_refusal_becomes_a_response(error: Exception, status: int, what: str, *, own_code: bool) -> None:
    """A refusal is answered in Wix's form; a filter has an error code of its own where the method has one."""

    async def refuse(_: Request) -> dict[str, Any]:
        raise error

    answer = await requests.endpoint(refuse, parser_error=own_code)(request())

    assert (status, [what]) == (answer.status_code, list(json.loads(bytes(answer.body))["details"]))
