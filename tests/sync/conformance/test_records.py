from collections.abc import Callable

import pytest

from server.errors import TargetRefused, TargetUnavailable
from server.model import TicketId
from server.sync.conformance import records
from server.sync.conformance.check import Verdict, run_check
from server.sync.model import Record, Wanted
from server.sync.targets.target import BeforeWrite
from tests.rig.model_bench import ModelBench, line_of
from tests.rig.model_target import ModelTarget

CHECKS = {one.name: one for one in records.CHECKS}


class Doubles(ModelTarget):
    async def create(self, event: str, wanted: Wanted, attempt: str, before_write: BeforeWrite) -> str:
        key = await super().create(event, wanted, attempt, before_write)
        self.copy(event, key, event)
        return key


class DoublesByKey(ModelTarget):
    async def find(self, event: str, ticket: TicketId, key: str | None) -> list[Record]:
        found = await super().find(event, ticket, key)
        return found + found if key else found


class BelievesTheKey(ModelTarget):
    async def find(self, event: str, ticket: TicketId, key: str | None) -> list[Record]:
        found = await super().find(event, ticket, key)
        return found or [one for one in await self.list(event) if one.key == key]


class ForgetsAttempts(ModelTarget):
    async def create(self, event: str, wanted: Wanted, attempt: str, before_write: BeforeWrite) -> str:
        self._attempts.clear()
        return await super().create(event, wanted, attempt, before_write)


class NewestFirst(ModelTarget):
    async def list(self, event: str) -> list[Record]:
        return (await super().list(event))[::-1]


class NothingAfterAFullPage(ModelTarget):
    async def list(self, event: str) -> list[Record]:
        found = await super().list(event)
        if self.page and len(found) % self.page == 0:
            raise TargetUnavailable("404 Invalid page")
        return found


class OnePage(ModelTarget):
    async def list(self, event: str) -> list[Record]:
        return (await super().list(event))[: self.page]


class PagesByNumber(ModelTarget):
    async def list(self, event: str) -> list[Record]:
        page, found, number = self.page or 2, list[Record](), 0
        while True:
            await self._read(event)
            all_now = [self._record(one) for one in self.stored[event].values()]
            found += all_now[number * page : (number + 1) * page]
            number += 1
            if number * page >= len(all_now):
                return found


class StaysOnSale(ModelTarget):
    async def deactivate(self, event: str, record: Record, before_write: BeforeWrite, *, delete: bool = False) -> None:
        await before_write()


class OnlyOnce(ModelTarget):
    async def deactivate(self, event: str, record: Record, before_write: BeforeWrite, *, delete: bool = False) -> None:
        if not self._there(event, record.key).fields["active"]:
            raise TargetRefused("it is off sale already", status=409)
        await super().deactivate(event, record, before_write, delete=delete)


class KeepsSold(ModelTarget):
    async def deactivate(self, event: str, record: Record, before_write: BeforeWrite, *, delete: bool = False) -> None:
        if not self.stored[event][record.key].orders:
            await super().deactivate(event, record, before_write, delete=delete)


class NeverDeletes(ModelTarget):
    async def deactivate(self, event: str, record: Record, before_write: BeforeWrite, *, delete: bool = False) -> None:
        await super().deactivate(event, record, before_write)


class DeletesSold(ModelTarget):
    async def deactivate(self, event: str, record: Record, before_write: BeforeWrite, *, delete: bool = False) -> None:
        self.stored[event][record.key].orders = 0
        await super().deactivate(event, record, before_write, delete=delete)


class FailsOnGone(ModelTarget):
    async def deactivate(self, event: str, record: Record, before_write: BeforeWrite, *, delete: bool = False) -> None:
        if record.key not in self.stored[event]:
            raise TargetUnavailable("500")
        await super().deactivate(event, record, before_write, delete=delete)


BROKEN: dict[str, tuple[Callable[[], ModelTarget], str]] = {
    "create-and-find": (Doubles, "created a record: expected one record with its id, saw 2 (1, 2)"),
    "find-with-its-key": (DoublesByKey, "looked a record up by id and key: expected record 1, once, saw 2 (1, 1)"),
    "find-nothing": (
        BelievesTheKey,
        "looked up an id that nothing bears, with the key of another record: expected no record, saw 1 (1)",
    ),
    "created-values": (
        lambda: ModelTarget(ignores=frozenset({"description"})),
        "created a record: expected nothing left to do, saw description: wrote 'A text', reads nothing",
    ),
    "create-again-with-the-same-key": (
        ForgetsAttempts,
        "sent the same creation twice, with one idempotency key: expected one record, saw 2 (1, 2)",
    ),
    "bring-again": (
        lambda: ModelTarget(rewrites={"limit": lambda limit: 7}),
        "brought a ticket twice: expected nothing to do the second time, saw update",
    ),
    "list-each-once": (
        NewestFirst,
        "created 3 records and listed 3: expected the order in which they were made, saw another order",
    ),
    "list-a-page": (
        lambda: NothingAfterAFullPage(page=2),
        "expected no error, saw TargetUnavailable: 404 Invalid page",
    ),
    "list-a-page-and-one": (
        lambda: OnePage(page=2),
        "created 3 records and listed 2: expected each in the list, saw 1 missing, such as ",
    ),
    "list-while-it-changes": (
        lambda: PagesByNumber(page=2),
        "listed 3 records while one was deleted and one was made: expected each of the others once, saw 1 of them not once",
    ),
    "deactivate": (
        StaysOnSale,
        "took a record off sale: expected no record with its id on sale, saw record 1 on sale",
    ),
    "deactivate-twice": (OnlyOnce, "expected no error, saw TargetRefused: it is off sale already"),
    "deactivate-sold": (
        KeepsSold,
        "took a record with orders off sale: expected no record with its id on sale, saw record 1 on sale",
    ),
    "delete": (NeverDeletes, "deleted a record: expected that it is gone, saw 1 (1)"),
    "delete-sold": (DeletesSold, "deleted a record with orders: expected one record with its id, saw none"),
    "deactivate-gone": (FailsOnGone, "expected no error, saw TargetUnavailable: 500"),
    "plan-after-deletion": (
        StaysOnSale,
        "took the record of a deleted ticket off sale: expected nothing left to do, saw deactivate",
    ),
}


@pytest.mark.parametrize("name", CHECKS)
async def test_a_sound_target_passes(name: str) -> None:
    """A target that does what it must passes each check of records."""
    result = await run_check(CHECKS[name], ModelBench(ModelTarget(page=2)))

    assert (Verdict.PASSED, "") == (result.verdict, result.text)


@pytest.mark.parametrize("name", CHECKS)
async def test_a_broken_target_fails_in_one_line(name: str) -> None:
    """Each check of records fails on a target that is broken just there, and says what was done, expected and seen."""
    broken, line = BROKEN[name]
    seen = await line_of(CHECKS[name], broken())

    assert line == seen[: len(line)]
    assert "\n" not in seen
