"""Plans as a pure function; the property: what was applied to a model of a target has an empty plan, from any start."""

import asyncio
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from server.model import TicketId
from server.sync.model import (
    NOT_KNOWN,
    Applied,
    Deleted,
    FieldChange,
    Kind,
    Operation,
    Reason,
    Record,
    RecordOption,
    Unfit,
    Value,
    Wanted,
    WantedOption,
)
from server.sync.plan import Found, Rules, plan_ticket
from tests.rig.model_target import ModelTarget, free

A = TicketId("11111111-bbbb-4bbb-8bbb-000000000001")
WANTED = Wanted(A, "Gala", {"price": "25.00", "limit": 100})
RECORD = Record("12", A, "Gala", active=True, fields={"price": "25.00", "limit": 100})
APPLIED = Applied(1.0, {"price": "25.00", "limit": 100}, {})


def planned(
    wanted: Wanted | Deleted | Unfit,
    *bearing: Record,
    same_name: tuple[Record, ...] = (),
    applied: Applied | None = APPLIED,
    rules: Rules = Rules(),  # noqa: B008 - frozen
) -> Operation | None:
    """The operation for these."""
    return plan_ticket(wanted, Found(bearing, same_name), applied, rules)


def test_equal_record_needs_nothing() -> None:
    """A record with all wanted values has no plan, whatever else it has."""
    assert planned(WANTED, replace(RECORD, fields={**RECORD.fields, "mine": "x"})) is None


@pytest.mark.parametrize(
    ("wix", "target", "applied", "reason"),
    [
        ("27.50", "25.00", "25.00", Reason.CHANGED),
        ("25.00", "19.00", "25.00", Reason.EDITED),
        ("27.50", "19.00", "25.00", Reason.BOTH),
        ("27.50", "25.00", None, Reason.NOT_KNOWN),
    ],
)
def test_reason_tells_who_changed_it(wix: str, target: str, applied: str | None, reason: Reason) -> None:
    """What was applied last tells a change in Wix from an edit in the target."""
    operation = planned(
        replace(WANTED, fields={"price": wix}),
        replace(RECORD, fields={"price": target}),
        applied=Applied(1.0, {"price": applied}, {}) if applied else None,
    )

    assert operation
    change = FieldChange("price", wix, applied or NOT_KNOWN, target)
    assert (Kind.UPDATE, reason, (change,)) == (operation.kind, operation.reason, operation.fields)
    assert (applied is not None and target != applied) == bool(operation.edits)


def test_yes_is_not_one_and_none_is_a_value() -> None:
    """Values are equal only if they are of one kind; None (no limit) is not a missing value."""
    assert planned(replace(WANTED, fields={"limit": 1}), replace(RECORD, fields={"limit": True})) is not None
    assert planned(replace(WANTED, fields={"limit": None}), replace(RECORD, fields={})) is not None
    assert planned(replace(WANTED, fields={"limit": None}), replace(RECORD, fields={"limit": None})) is None


def test_what_is_not_known_writes_nothing() -> None:
    """A field that Wix did not say is not compared."""
    assert planned(replace(WANTED, fields={}), replace(RECORD, fields={"limit": 5})) is None


def test_new_ticket_is_created_with_its_initial_fields() -> None:
    """Fields that are set once are part of a creation, and of nothing else."""
    wanted = replace(WANTED, initial={"admission": True})
    created = planned(wanted)
    assert created
    assert {"price", "limit", "admission"} == {one.name for one in created.fields}
    assert planned(wanted, RECORD) is None


def test_same_name_is_proposed_and_two_of_them_are_a_conflict() -> None:
    """One record of the same name is an adoption with what it would change; two need a person."""
    other = replace(RECORD, key="41", ticket="", fields={"price": "15.00", "limit": 100})

    one = planned(WANTED, same_name=(other,))
    assert one
    assert (Kind.ADOPT, "41", ("price",)) == (one.kind, one.record, tuple(f.name for f in one.fields))
    two = planned(WANTED, same_name=(other, replace(other, key="42")))
    assert two
    assert (Kind.CONFLICT, ("41", "42")) == (two.kind, two.others)


@pytest.mark.parametrize("wanted", [WANTED, Deleted(A), Unfit(A, "Gala", Reason.CURRENCY, "it sells in USD")])
def test_two_records_with_one_id_are_always_a_conflict(wanted: Wanted | Deleted | Unfit) -> None:
    """Nothing is decided between two, not even that both go off sale."""
    operation = planned(wanted, RECORD, replace(RECORD, key="44"))

    assert operation
    assert (Kind.CONFLICT, Reason.TWO_RECORDS, "12", ("44",)) == (
        operation.kind,
        operation.reason,
        operation.record,
        operation.others,
    )


def test_deleted_ticket_closes_an_open_record_only() -> None:
    """What is off sale, or not there, needs nothing; where records are deleted, one off sale is deleted too."""
    assert (operation := planned(Deleted(A), RECORD))
    assert Kind.DEACTIVATE is operation.kind
    closed = replace(RECORD, active=False)
    assert planned(Deleted(A), closed) is None
    assert planned(Deleted(A)) is None
    assert planned(Deleted(A), closed, rules=Rules(delete=True)) is not None


def test_ticket_that_does_not_fit_is_told_with_its_reason() -> None:
    """A currency that the target does not have is a conflict."""
    operation = planned(Unfit(A, "Gala", Reason.CURRENCY, "it sells in USD", "make an event in USD"), RECORD)
    assert operation
    assert ("it sells in USD", "make an event in USD") == (operation.text, operation.cure)


def test_options_without_an_id_are_left_alone() -> None:
    """An option that somebody made in the target is neither changed nor taken off sale."""
    mine = RecordOption("7", "", {"price": "1.00"})
    wanted = replace(WANTED, options=(WantedOption("a", "Adult", {"price": "20.00"}),))
    record = replace(RECORD, options=(mine, RecordOption("8", "a", {"price": "20.00"})))

    assert planned(wanted, record) is None


def test_option_that_wix_has_again_is_on_sale_again() -> None:
    """One that was taken off sale when Wix had none of it comes back; one that a person closed stays closed."""
    wanted = replace(WANTED, options=(WantedOption("a", "Adult", {"price": "20.00"}),))
    record = replace(RECORD, options=(RecordOption("8", "a", {"price": "20.00"}, active=False),))

    operation = planned(wanted, record, applied=replace(APPLIED, options={}))
    assert operation
    assert [("active", True)] == [(f.name, f.wix) for f in operation.options[0].fields]
    assert planned(wanted, record, applied=replace(APPLIED, options={"a": {"price": "20.00"}})) is None


def test_two_options_with_one_id_are_a_conflict() -> None:
    """A copied option is told, not guessed about."""
    wanted = replace(WANTED, options=(WantedOption("a", "Adult", {"price": "20.00"}),))
    twice = (RecordOption("8", "a", {"price": "20.00"}), RecordOption("9", "a", {"price": "20.00"}))

    operation = planned(wanted, replace(RECORD, options=twice))

    assert operation
    assert (Kind.CONFLICT, Reason.TWO_RECORDS) == (operation.kind, operation.reason)


# -- the property --

TEXTS = some.sampled_from(["25.00", "0.00", "Gala", "", "é 🎟️"])
VALUES: some.SearchStrategy[Value] = some.one_of(TEXTS, some.booleans(), some.none(), some.integers(0, 3))
NAMES = some.sampled_from(["name", "price", "limit", "active", "note"])
FIELDS = some.dictionaries(NAMES.filter(lambda name: name != "active"), VALUES, max_size=4)
OPTION_IDS = some.lists(some.sampled_from("abcd"), unique=True, max_size=4)


@some.composite
def wanteds(draw: some.DrawFn) -> Wanted:
    """What a ticket may be."""
    options = tuple(WantedOption(id_, id_, draw(FIELDS)) for id_ in draw(OPTION_IDS))
    fields = draw(FIELDS)
    if draw(some.booleans()):
        fields = {**fields, "active": draw(some.booleans())}
    return Wanted(A, "Gala", fields, draw(FIELDS), options)


@some.composite
def starts(draw: some.DrawFn) -> list[tuple[str, dict[str, Value], tuple[RecordOption, ...]]]:
    """What the target may have before: no record, one of ours, or one of the same name."""
    if not draw(some.booleans()):
        return []
    options = tuple(
        RecordOption(f"o{id_}", id_, draw(FIELDS), active=draw(some.booleans())) for id_ in draw(OPTION_IDS)
    )
    return [(draw(some.sampled_from([str(A), ""])), dict(draw(FIELDS)), options)]


@settings(max_examples=300, deadline=None)
@given(start=starts(), wanted=wanteds(), steps=some.booleans())
def test_plan_after_applying_a_plan_is_empty(
    start: list[tuple[str, dict[str, Value], tuple[RecordOption, ...]]], wanted: Wanted, steps: bool
) -> None:
    """From any start, applying a plan gives a record whose next plan is empty."""
    target = ModelTarget(steps=steps)
    for ticket, fields, options in start:
        target.put("ev1", "Gala", fields, ticket=ticket, options=options)

    async def plan() -> tuple[Operation | None, Found]:
        records = await target.list("ev1")
        bearing = tuple(one for one in records if one.ticket == A)
        found = Found(bearing, tuple(one for one in records if not one.ticket))
        return plan_ticket(wanted, found, None, Rules()), found

    async def apply() -> Operation | None:
        operation, found = await plan()
        if operation and operation.kind is Kind.ADOPT:
            await target.mark("ev1", found.same_name[0], A, free)
            operation, found = await plan()
        match operation:
            case Operation(kind=Kind.CREATE):
                await target.create("ev1", wanted, "1", free)
            case Operation(kind=Kind.UPDATE):
                await target.update("ev1", found.bearing[0], wanted, operation, free)
        return (await plan())[0]

    assert asyncio.run(apply()) is None
    assert 1 == len(target.stored["ev1"])
