from collections.abc import Awaitable, Callable

import pytest

from server.errors import TargetRefused, TargetUnsure
from server.sync.conformance.bench import Bench
from server.sync.conformance.check import Verdict, check, checks, run_check
from server.sync.conformance.expectation import NotOffered, Unmet
from tests.rig.model_bench import ModelBench
from tests.rig.model_target import ModelTarget


def raising(error: BaseException | None) -> Callable[[Bench], Awaitable[None]]:
    async def some_check(bench: Bench) -> None:
        """What must be.

        More words.
        """
        if error:
            raise error

    return some_check


@pytest.mark.parametrize(
    ("error", "verdict", "text"),
    [
        (None, Verdict.PASSED, ""),
        (Unmet("made one", "one", "none"), Verdict.FAILED, "made one: expected one, saw none"),
        (NotOffered("a sold ticket"), Verdict.SKIPPED, "a sold ticket"),
        (TargetRefused("400: no"), Verdict.FAILED, "expected no error, saw TargetRefused: 400: no"),
        (TargetUnsure("cut"), Verdict.FAILED, "expected no error, saw TargetUnsure: cut"),
        (KeyError("total"), Verdict.FAILED, "expected an answer as documented, saw what leads to KeyError('total')"),
    ],
)
async def test_verdicts(error: BaseException | None, verdict: Verdict, text: str) -> None:
    """Whatever ends a check is its result, in one line."""
    result = await run_check(check(raising(error)), ModelBench(ModelTarget()))

    assert (verdict, text) == (result.verdict, result.text)


async def test_a_bug_of_ours_is_no_result() -> None:
    """An error that no target can cause ends the run."""
    with pytest.raises(AssertionError):
        await run_check(check(raising(AssertionError("bug"))), ModelBench(ModelTarget()))


def test_names() -> None:
    """A check has its function's name, and the first line of its docstring."""
    found = check(raising(None))

    assert ("some-check", "What must be.") == (found.name, found.about)
    assert (found,) == checks({"one": found, "other": 7})
