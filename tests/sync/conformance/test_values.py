from collections.abc import Callable
from dataclasses import replace

import pytest

from server.errors import TargetRefused, TargetUnavailable
from server.sync.conformance import values
from server.sync.conformance.check import Verdict, run_check
from server.sync.model import Operation, Record, TargetEvent, Unfit, Wanted
from server.sync.targets.target import BeforeWrite
from tests.rig.model_bench import ModelBench, line_of
from tests.rig.model_target import ModelTarget, Stored

CHECKS = {one.name: one for one in values.CHECKS}


class WritesTheFirstField(ModelTarget):
    async def update(
        self, event: str, record: Record, wanted: Wanted, operation: Operation, before_write: BeforeWrite
    ) -> None:
        await super().update(event, record, wanted, replace(operation, fields=operation.fields[:1]), before_write)


class WritesAllFields(ModelTarget):
    async def update(
        self, event: str, record: Record, wanted: Wanted, operation: Operation, before_write: BeforeWrite
    ) -> None:
        self.edit(event, record.key, **wanted.fields)
        await super().update(event, record, wanted, operation, before_write)


class WritesInitialFields(ModelTarget):
    async def update(
        self, event: str, record: Record, wanted: Wanted, operation: Operation, before_write: BeforeWrite
    ) -> None:
        self.edit(event, record.key, **wanted.initial)
        await super().update(event, record, wanted, operation, before_write)


class Remembers(ModelTarget):
    def edit(self, event: str, key: str, **fields: object) -> None:
        """Nothing of it is seen."""


class Replaces(ModelTarget):
    async def update(
        self, event: str, record: Record, wanted: Wanted, operation: Operation, before_write: BeforeWrite
    ) -> None:
        self.stored[event][record.key].foreign.clear()
        await super().update(event, record, wanted, operation, before_write)


class NoLimitBelowSold(ModelTarget):
    async def update(
        self, event: str, record: Record, wanted: Wanted, operation: Operation, before_write: BeforeWrite
    ) -> None:
        if self.stored[event][record.key].orders:
            raise TargetUnavailable("500")
        await super().update(event, record, wanted, operation, before_write)


class DeletesSoldOptions(ModelTarget):
    async def update(
        self, event: str, record: Record, wanted: Wanted, operation: Operation, before_write: BeforeWrite
    ) -> None:
        self.stored[event][record.key].orders = 0
        await super().update(event, record, wanted, operation, before_write)
        self.stored[event][record.key].options.reverse()
        for one in operation.options:
            if one.kind == "deactivate":
                self.stored[event][record.key].options.pop()


class CannotChangeOptions(ModelTarget):
    async def update(
        self, event: str, record: Record, wanted: Wanted, operation: Operation, before_write: BeforeWrite
    ) -> None:
        if wanted.options:
            raise TargetRefused("no options for a ticket with one price", status=403)


class AlwaysOnSale(ModelTarget):
    def _record(self, one: Stored) -> Record:
        return replace(super()._record(one), active=True)


class TakesAnyCurrency(ModelTarget):
    def fit(self, wanted: Wanted, event: TargetEvent) -> Wanted | Unfit:
        return wanted


BROKEN: dict[str, tuple[Callable[[], ModelTarget], str]] = {
    "each-field-alone": (
        lambda: ModelTarget(rewrites={"description": lambda text: str(text).replace("\n", " ")}),
        "changed description: expected nothing left to do, saw description: wrote 'Doors open at seven.\\nNo seats.', ",
    ),
    "all-fields-at-once": (
        WritesTheFirstField,
        "changed all fields at once: expected nothing left to do, saw description: wrote ",
    ),
    "only-what-is-named": (WritesAllFields, "updated only name: expected position as before, 1, saw 7"),
    "only-when-created": (
        WritesInitialFields,
        "updated the name after an edit of the description: expected about as edited, 'As a person wrote it', saw 'As it is ",
    ),
    "edited-by-hand": (Remembers, "edited price by hand: expected just this in the plan, saw nothing to do"),
    "unmapped-is-kept": (Replaces, "updated all fields and options: expected unmapped fields as before, "),
    "limits": (
        lambda: ModelTarget(rewrites={"limit": lambda limit: limit or None}),
        "set the limit to 0: expected nothing left to do, saw limit: wrote 0, reads None",
    ),
    "limit-below-sold": (NoLimitBelowSold, "expected no error, saw TargetUnavailable: 500"),
    "options": (
        lambda: ModelTarget(rewrites={"position": lambda position: 1}),
        "created two options: expected nothing left to do, saw position: wrote 0, reads 1",
    ),
    "removed-option-that-sold": (
        DeletesSoldOptions,
        "removed an option with orders: expected nothing left to do, saw name: wrote 'Adult', reads nothing",
    ),
    "price-to-options-and-back": (
        CannotChangeOptions,
        "expected no error, saw TargetRefused: no options for a ticket with one price",
    ),
    "hidden-and-shown": (AlwaysOnSale, "hid a ticket: expected on sale: False, saw True"),
    "times": (
        lambda: ModelTarget(rewrites={"start": lambda at: at and str(at)[:19]}),
        "set the start of sale to 2027-03-01T18:00:00Z: expected nothing left to do, saw start: wrote '2027-03-01T18:00:00Z', ",
    ),
    "prices": (
        lambda: ModelTarget(rewrites={"price": lambda price: str(price).removesuffix(".00")}),
        "set the price to 0: expected nothing left to do, saw price: wrote '0.00', reads '0'",
    ),
    "texts": (
        lambda: ModelTarget(rewrites={"name": lambda name: str(name).strip()}),
        "gave it a name of spaces at the ends: expected nothing left to do, saw name: wrote '  two at each end  ', reads 'two at each end'",
    ),
    "currency": (
        TakesAnyCurrency,
        "gave it a price in USD in an event that sells in EUR: expected that it does not fit, for its currency, saw that it fits",
    ),
}


@pytest.mark.parametrize("name", CHECKS)
async def test_a_sound_target_passes(name: str) -> None:
    """A target that does what it must passes each check of values."""
    result = await run_check(CHECKS[name], ModelBench(ModelTarget()))

    assert (Verdict.PASSED, "") == (result.verdict, result.text)


@pytest.mark.parametrize("name", CHECKS)
async def test_a_broken_target_fails_in_one_line(name: str) -> None:
    """Each check of values fails on a target that is broken just there, and says what was done, expected and seen."""
    broken, line = BROKEN[name]
    seen = await line_of(CHECKS[name], broken())

    assert line == seen[: len(line)]
    assert "\n" not in seen
