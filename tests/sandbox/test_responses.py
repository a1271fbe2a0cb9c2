import json
from pathlib import Path
from typing import Any

import pytest
from starlette.responses import Response

from sandbox import responses
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

SAMPLES: dict[str, Any] = json.loads((Path(__file__).parent.parent / "samples" / "errors.json").read_text())


def said(response: Response) -> tuple[int, Any]:
    return response.status_code, json.loads(bytes(response.body))


@pytest.mark.parametrize(
    ("name", "response"),
    [
        ("404", responses.error(NotFound(""))),
        ("409_revision", responses.error(StaleRevision(""))),
        ("428_sale_period", responses.error(InvalidSalePeriod(""))),
        ("401", responses.fault(401)),
        ("403", responses.fault(403)),
        ("404", responses.fault(404)),
        ("429", responses.fault(429)),
        ("500", responses.fault(500)),
    ],
)
def test_refusals_are_those_of_wix(name: str, response: Response) -> None:
    """Status and body are those of Wix's own refusals."""
    assert (SAMPLES[name]["status"], SAMPLES[name]["body"]) == said(response)


def test_field_violation_names_its_field() -> None:
    """An invalid member is a field violation with its path, what is wrong, and the rule."""
    status, body = said(responses.error(Invalid("a.b", "value is not a valid GUID", "FORMAT")))

    sample = SAMPLES["400_validation"]
    [expected] = sample["body"]["details"]["validationError"]["fieldViolations"]
    [found] = body["details"]["validationError"]["fieldViolations"]
    assert (sample["status"], sample["body"]["message"], expected.keys()) == (status, body["message"], found.keys())
    assert ("a.b", expected["description"], expected["violatedRule"]) == tuple(
        found[name] for name in ("field", "description", "violatedRule")
    )


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (TooManyTickets(""), 428, "TICKET_DEFINITIONS_LIMIT_REACHED"),
        (EventNotFound(""), 404, "EVENT_NOT_FOUND"),
        (BadReorder(""), 400, "INVALID_REORDER_INSTRUCTION"),
    ],
)
def test_application_errors_have_codes(error: Refused, status: int, code: str) -> None:
    """Too many definitions, an unknown event and an impossible order have their own application errors."""
    found, body = said(responses.error(error))

    assert (status, code) == (found, body["details"]["applicationError"]["code"])


def test_filter_may_have_an_error_code() -> None:
    """A filter that Count or Query Events cannot use has its own application error."""
    status, body = said(responses.parser_error(BadFilter("filter", "no")))

    assert (400, "FILTER_PARSER_ERROR") == (status, body["details"]["applicationError"]["code"])


def test_429_may_be_plain_text() -> None:
    """A 429 may have a text as body, and a Retry-After or none."""
    plain, bare = responses.fault(429, 7, plain=True), responses.fault(429)

    assert (SAMPLES["429_bare"]["body_text"], "7") == (bytes(plain.body).decode(), plain.headers["retry-after"])
    assert "retry-after" not in bare.headers


@pytest.mark.parametrize(
    "response", [responses.ok({}), responses.fault(503), responses.error(NotFound("")), responses.not_json()]
)
def test_every_answer_has_a_request_id(response: Response) -> None:
    """Every answer, even nonsense, has a request id, as Wix's have."""
    seconds, _, number = response.headers["x-wix-request-id"].partition(".")

    assert (True, 19) == (seconds.isdecimal(), len(number))


def test_nonsense_is_not_json() -> None:
    """Nonsense has status 200 and is not JSON."""
    response = responses.not_json()

    assert 200 == response.status_code
    with pytest.raises(ValueError, match="Expecting"):
        json.loads(bytes(response.body))
