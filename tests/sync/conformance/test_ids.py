from collections.abc import Callable

import pytest

from server.errors import TargetForbidden
from server.model import TicketId
from server.sync.conformance import ids
from server.sync.conformance.check import Verdict, run_check
from server.sync.model import Record
from server.sync.targets.target import BeforeWrite
from tests.rig.model_bench import ModelBench, line_of
from tests.rig.model_target import ModelTarget

CHECKS = {one.name: one for one in ids.CHECKS}


class KeepsTheId(ModelTarget):
    async def mark(self, event: str, record: Record, ticket: TicketId | None, before_write: BeforeWrite) -> None:
        await before_write()


class LosesAPrice(ModelTarget):
    async def mark(self, event: str, record: Record, ticket: TicketId | None, before_write: BeforeWrite) -> None:
        await super().mark(event, record, ticket, before_write)
        if ticket:
            self.edit(event, record.key, price="0.00")


class ListsOnlyOurs(ModelTarget):
    async def list(self, event: str) -> list[Record]:
        return [one for one in await super().list(event) if one.ticket]


class FindsOne(ModelTarget):
    async def find(self, event: str, ticket: TicketId, key: str | None) -> list[Record]:
        return (await super().find(event, ticket, key))[:1]


class FindsEverywhere(ModelTarget):
    async def find(self, event: str, ticket: TicketId, key: str | None) -> list[Record]:
        return [one for some in self.stored for one in await super(FindsEverywhere, self).find(some, ticket, key)]


class EmptyElsewhere(ModelTarget):
    async def list(self, event: str) -> list[Record]:
        try:
            return await super().list(event)
        except TargetForbidden:
            return []


BROKEN: dict[str, tuple[Callable[[], ModelTarget], str]] = {
    "clear-the-id": (KeepsTheId, "cleared a record's id: expected that it is not found by the id, saw 1 (1)"),
    "write-the-id": (
        LosesAPrice,
        "wrote an id into a record: expected the same values, saw price: '25.00' → '0.00'",
    ),
    "adopt-by-hand": (ListsOnlyOurs, "made a record by hand: expected record 1 in the list, once, saw none"),
    "two-with-one-id": (FindsOne, "copied a record with its id: expected records 1 and 2, saw 1"),
    "a-copy-elsewhere": (
        FindsEverywhere,
        "copied a record to another event: expected one record in its own, saw 2 (1, 2)",
    ),
    "an-event-that-is-not-there": (
        EmptyElsewhere,
        "listed an event that is not there: expected TargetForbidden, saw []",
    ),
}


@pytest.mark.parametrize("name", CHECKS)
async def test_a_sound_target_passes(name: str) -> None:
    """A target that does what it must passes each check of ids."""
    result = await run_check(CHECKS[name], ModelBench(ModelTarget()))

    assert (Verdict.PASSED, "") == (result.verdict, result.text)


@pytest.mark.parametrize("name", CHECKS)
async def test_a_broken_target_fails_in_one_line(name: str) -> None:
    """Each check of ids fails on a target that is broken just there, and says what was done, expected and seen."""
    broken, line = BROKEN[name]

    assert line == await line_of(CHECKS[name], broken())
