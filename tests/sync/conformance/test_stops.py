from collections.abc import Callable
from dataclasses import replace

import pytest

from server.errors import LeaseLost
from server.model import TicketId
from server.sync.conformance import stops
from server.sync.conformance.check import Verdict, run_check
from server.sync.model import Operation, Record, TargetEvent, Wanted
from server.sync.targets.target import BeforeWrite
from tests.rig.model_bench import ModelBench, line_of
from tests.rig.model_target import ModelTarget, Stored

CHECKS = {one.name: one for one in stops.CHECKS}


class OnSaleAtOnce(ModelTarget):
    """The record is on sale with its first request, and its options come later."""

    def _record(self, one: Stored) -> Record:
        return super()._record(replace(one, complete=True))


class LooksComplete(ModelTarget):
    """What was broken off is not on sale, and says nothing of it."""

    def _record(self, one: Stored) -> Record:
        return replace(super()._record(one), fields=dict(one.fields))


class IdLast(ModelTarget):
    """The id is cleared while it writes."""

    async def update(
        self, event: str, record: Record, wanted: Wanted, operation: Operation, before_write: BeforeWrite
    ) -> None:
        await self.mark(event, record, None, before_write)
        await super().update(event, record, wanted, operation, before_write)
        await self.mark(event, record, wanted.ticket, before_write)


class IdFirst(ModelTarget):
    """The id is cleared before the record is taken off sale."""

    async def deactivate(self, event: str, record: Record, before_write: BeforeWrite, *, delete: bool = False) -> None:
        await self.mark(event, record, None, before_write)
        await super().deactivate(event, record, before_write, delete=delete)


class WithoutALease(ModelTarget):
    async def mark(self, event: str, record: Record, ticket: TicketId | None, before_write: BeforeWrite) -> None:
        await super().mark(event, record, ticket, self.pay_nothing)

    async def pay_nothing(self) -> None:
        """No lease is asked for."""


class WritesFirst(ModelTarget):
    async def mark(self, event: str, record: Record, ticket: TicketId | None, before_write: BeforeWrite) -> None:
        try:
            await super().mark(event, record, ticket, before_write)
        except LeaseLost:
            self.edit(event, record.key, price="0.00")
            raise


class PaysOnce(ModelTarget):
    async def list(self, event: str) -> list[Record]:
        self.requests += 3
        return await super().list(event)


class RemembersTheEvent(ModelTarget):
    async def event(self, event: str) -> TargetEvent:
        return TargetEvent(event, "Gala", "EUR")


BROKEN: dict[str, tuple[Callable[[], ModelTarget], str]] = {
    "stopped-in-create": (
        lambda: LooksComplete(steps=True),
        "stopped before request 2 of a creation, and went on: expected that it is on sale, saw that it is not",
    ),
    "stopped-in-create-with-options": (
        lambda: OnSaleAtOnce(steps=True),
        "stopped before request 2 of a creation: expected nothing on sale that is not complete, saw on sale without Child, Adult",
    ),
    "stopped-in-update": (
        IdLast,
        "stopped before request 3 of an update, and went on: expected its id in record ",
    ),
    "stopped-in-deactivate": (
        IdFirst,
        "stopped before request 3 of a deactivation, and went on: expected the record off sale, saw it on sale",
    ),
    "lost-lease": (WithoutALease, "called mark without the lease: expected LeaseLost, saw None"),
    "each-request-is-paid": (PaysOnce, "made 15 requests: expected 15 paid from the budget, saw 12"),
    "no-request-without-budget": (
        RemembersTheEvent,
        "called event without a budget: expected that it waits for the budget, saw that it did not ask for it",
    ),
}


@pytest.mark.parametrize("name", CHECKS)
@pytest.mark.parametrize("steps", [False, True])
async def test_a_sound_target_passes(name: str, steps: bool) -> None:
    """A target that writes in one request, or in several, passes each check of a process that ends."""
    result = await run_check(CHECKS[name], ModelBench(ModelTarget(steps=steps)))

    assert (Verdict.PASSED, "") == (result.verdict, result.text)


@pytest.mark.parametrize("name", CHECKS)
async def test_a_broken_target_fails_in_one_line(name: str) -> None:
    """Each check of a process that ends fails on a target that is broken just there, in one line."""
    broken, line = BROKEN[name]
    seen = await line_of(CHECKS[name], broken())

    assert line == seen[: len(line)]
    assert "\n" not in seen


async def test_writes_before_the_lease_are_seen() -> None:
    """A target that asks for the lease, and writes without it, does not pass."""
    line = "called update, deactivate and mark without the lease: expected the record as before, saw "

    assert line == (await line_of(CHECKS["lost-lease"], WritesFirst()))[: len(line)]
