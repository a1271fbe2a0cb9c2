from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import Any

import pytest

from docs import receiver
from server.sync.conformance import wire
from server.sync.conformance.check import Verdict, run_check
from server.sync.conformance.http_bench import HttpBench, http_settings
from tests.rig import broken_receivers as broken
from tests.rig.model_bench import ModelBench
from tests.rig.model_target import ModelTarget
from tests.rig.receiver import EVENT, SECRET

CHECKS = {one.name: one for one in wire.CHECKS}

BROKEN: dict[str, tuple[type[Any], str]] = {
    "unsigned": (broken.AcceptsAll, "sent GET without a signature: expected 401, saw 200"),
    "signed-by-another": (broken.AcceptsAll, "sent GET signed with another secret: expected 401, saw 200"),
    "signed-long-ago": (broken.AcceptsOld, "sent GET signed ten minutes ago: expected 401, saw 200"),
    "signed-for-another-method": (
        broken.AcceptsOtherMethods,
        "sent GET signed for another method: expected 401, saw 200",
    ),
    "signed-for-another-address": (broken.AcceptsAll, "sent GET signed for another address: expected 401, saw 200"),
    "signed-with-another-body": (
        broken.WritesBeforeItVerifies,
        "sent POST signed with another body: expected no record, saw 1 (",
    ),
    "two-signatures": (
        broken.TakesOneSignature,
        "sent GET with a wrong and a right signature: expected 200, saw 401",
    ),
    "same-key-again": (
        broken.ForgetsKeys,
        "sent one POST twice with one idempotency key: expected 201 to the second as well, saw 409 ",
    ),
    "same-key-with-another-body": (
        broken.IgnoresOtherBodies,
        "sent another POST with an idempotency key that was used: expected 422, saw 201",
    ),
    "old-key-after-a-change": (
        broken.ForgetsKeys,
        "sent an old PUT again with its key: expected the newer name, saw 'Old name'",
    ),
    "key-that-is-not-signed": (
        broken.TakesAnyKey,
        "sent POST with an idempotency key that is not the webhook-id: expected 400, saw 201",
    ),
    "second-post-of-a-ticket": (
        broken.DoublesTickets,
        "sent a second POST for one ticket, with another idempotency key: expected one record with its id, saw 2 (",
    ),
    "put-of-some-members": (
        broken.ForgetsTheId,
        "sent PUT with a name alone: expected one record with its id, saw none",
    ),
    "put-of-another-id": (broken.ReplacesTheId, "sent PUT with the id of another ticket: expected 409, saw 200"),
    "unknown-record": (
        broken.FailsOnGone,
        "sent DELETE of a record that is not there: expected 404 or 410, saw 500 ",
    ),
    "delete-twice": (broken.DeletesOnce, "sent DELETE twice: expected 200, 204, 404 or 410, saw 400 "),
    "unknown-event": (broken.EmptyElsewhere, "sent GET of an event that is not there: expected 404, saw 200"),
    "bodies-that-are-none": (broken.FailsOnNoJson, "sent POST with half a JSON: expected 400 or 422, saw 500 "),
    "words-of-errors": (
        broken.SaysNothing,
        'sent POST with half a JSON: expected JSON with "detail", saw 400 <h1>Error</h1>',
    ),
    "page-of-one-ticket": (broken.CountsAll, "sent GET of a ticket with 1 records: expected a total of 1, saw 2"),
    "answers-soon": (broken.Slow, "sent GET for a list: expected an answer within 0.2 s, saw one after 0."),
}
"""Each check of the wire, with a receiver that is broken just there and the line that says so."""


@asynccontextmanager
async def bench(kind: type[Any] = receiver.Receiver) -> AsyncIterator[HttpBench]:
    """The bench of such a receiver."""
    async with broken.serving(kind) as url:
        settings = http_settings(url, SECRET, event=EVENT, allow_http=True, allow_private=True)
        async with aclosing(HttpBench(settings, EVENT)) as found:
            yield found


async def test_the_reference_receiver_passes() -> None:
    """The receiver of docs/ does what docs/http-target.md says."""
    async with bench() as one:
        results = [await run_check(check, one) for check in wire.CHECKS]

    assert [] == [result.text for result in results if result.verdict is not Verdict.PASSED]


@pytest.mark.parametrize("name", CHECKS)
async def test_a_broken_receiver_fails_in_one_line(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each check of the wire fails on a receiver that is broken just there, and says what was sent, expected and seen."""
    monkeypatch.setattr(wire, "SOON", 0.2)
    kind, line = BROKEN[name]
    async with bench(kind) as one:
        result = await run_check(CHECKS[name], one)

    assert (Verdict.FAILED, line) == (result.verdict, result.text[: len(line)])
    assert "\n" not in result.text


async def test_only_over_http() -> None:
    """The checks of the wire need a system behind a URL: on another target they fail, and pass nothing unseen."""
    result = await run_check(CHECKS["unsigned"], ModelBench(ModelTarget()))

    assert (Verdict.FAILED, True) == (result.verdict, "HttpBench" in result.text)
