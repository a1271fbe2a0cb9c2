from collections.abc import Callable

import pytest

from server.errors import TargetError, TargetForbidden, TargetRefused, TargetUnavailable, TargetUnsure
from server.model import TicketId
from server.sync.conformance import faults
from server.sync.conformance.check import Verdict, run_check
from server.sync.model import Record, TargetEvent, Wanted
from server.sync.targets.target import BeforeWrite
from tests.rig.model_bench import ModelBench, line_of
from tests.rig.model_target import Effect, ModelTarget, Write

CHECKS = {one.name: one for one in faults.CHECKS}


class Says(ModelTarget):
    """A target that says something else of a write that went wrong."""

    def __init__(self, wrong: type[TargetError], says: Callable[[TargetError], TargetError | None]) -> None:
        super().__init__()
        self._wrong = wrong
        self._says = says

    async def _write(self, event: str, ticket: str, write: Write, effect: Effect, before_write: BeforeWrite) -> None:
        try:
            await super()._write(event, ticket, write, effect, before_write)
        except self._wrong as error:
            if said := self._says(error):
                raise said from None


class FindsNothingWhenDown(ModelTarget):
    async def find(self, event: str, ticket: TicketId, key: str | None) -> list[Record]:
        try:
            return await super().find(event, ticket, key)
        except TargetUnavailable:
            return []


class ForbiddenIsDown(ModelTarget):
    async def event(self, event: str) -> TargetEvent:
        try:
            return await super().event(event)
        except TargetForbidden as error:
            raise TargetUnavailable(str(error)) from None


class ForgetsAttempts(ModelTarget):
    async def create(self, event: str, wanted: Wanted, attempt: str, before_write: BeforeWrite) -> str:
        return await super().create(event, wanted, f"{attempt} {self.requests}", before_write)


def unavailable(error: TargetError) -> TargetError:
    return TargetUnavailable("no answer")


BROKEN: dict[str, tuple[Callable[[], ModelTarget], str]] = {
    "refused-write": (
        lambda: Says(TargetRefused, unavailable),
        "answered 400 to update: expected TargetRefused, saw TargetUnavailable: no answer",
    ),
    "forbidden-write": (
        lambda: Says(TargetRefused, lambda error: TargetForbidden("403")),
        "answered 403 to update: expected TargetRefused, saw TargetForbidden: 403",
    ),
    "unauthorized": (
        lambda: Says(TargetError, unavailable),
        "answered 401 to update: expected TargetUnauthorized, saw TargetUnavailable: no answer",
    ),
    "forbidden-event": (
        ForbiddenIsDown,
        "answered 403 to a read of the event: expected TargetForbidden, saw TargetUnavailable: model: 403 for ev1",
    ),
    "failed-reads": (
        FindsNothingWhenDown,
        "met “503” in a read (find): expected TargetUnavailable, saw success ([])",
    ),
    "unanswered-create": (
        lambda: Says(TargetUnsure, unavailable),
        "met “503” in create: expected TargetUnsure, saw TargetUnavailable: no answer",
    ),
    "unanswered-update": (
        lambda: Says(TargetUnsure, lambda error: None),
        "met “503” in update: expected TargetUnsure, saw success (",
    ),
    "unanswered-deactivate": (
        lambda: Says(TargetUnsure, lambda error: TargetRefused("no")),
        "met “503” in deactivate: expected TargetUnsure, saw TargetRefused: no",
    ),
    "late-create": (
        ForgetsAttempts,
        "created a record again whose first creation ended later: expected one record with its id, saw 2 (",
    ),
    "no-secret-in-errors": (
        lambda: Says(TargetRefused, lambda error: TargetRefused("refused: whsec_conformance")),
        "looked for the secret in errors and settings: expected that it is not there, saw refused: SECRET",
    ),
}


@pytest.mark.parametrize("name", CHECKS)
@pytest.mark.parametrize("steps", [False, True])
async def test_a_sound_target_passes(name: str, steps: bool) -> None:
    """A target that writes in one request, or in several, passes each check of faults."""
    result = await run_check(CHECKS[name], ModelBench(ModelTarget(steps=steps)))

    assert (Verdict.PASSED, "") == (result.verdict, result.text)


@pytest.mark.parametrize("name", CHECKS)
async def test_a_broken_target_fails_in_one_line(name: str) -> None:
    """Each check of faults fails on a target that is broken just there, and says what was done, expected and seen."""
    broken, line = BROKEN[name]
    seen = await line_of(CHECKS[name], broken())

    assert line == seen[: len(line)]
    assert "\n" not in seen
