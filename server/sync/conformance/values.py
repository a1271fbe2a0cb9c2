"""Checks of values: each field, limits, sale periods, options, texts, prices and times, and what is not ours."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any
from uuid import uuid4

from server.errors import TargetRefused
from server.model import TicketId
from server.sync.conformance.bench import Bench
from server.sync.conformance.check import check, checks
from server.sync.conformance.expectation import NotOffered, expect
from server.sync.conformance.records import equal
from server.sync.conformance.samples import CHANGES, PRICES, TEXTS, TIMES
from server.sync.model import Kind, Reason, Record, Unfit
from server.sync.plan import differences

Option = tuple[str, str, str]


@check
async def each_field_alone(bench: Bench) -> None:
    """Each mapped field is changed alone: it reads back as written, and no other field has changed."""
    ticket = await bench.ticket()
    await bench.create(await bench.wanted(ticket))
    for what, change in CHANGES.items():
        done = f"changed {what}"
        if not await _changes(bench, ticket, done, **change):
            continue
        await _changes(bench, ticket, f"{done} back")


@check
async def all_fields_at_once(bench: Bench) -> None:
    """All mapped fields are changed in one update."""
    ticket = await bench.ticket()
    await bench.create(await bench.wanted(ticket))
    change = {name: value for one in CHANGES.values() for name, value in one.items()} | {"limit": 60, "guest": False}
    await _changes(bench, ticket, "changed all fields at once", **change)


@check
async def only_what_is_named(bench: Bench) -> None:
    """An update writes the fields that the plan names, and leaves others as they are in the target."""
    if not bench.single_fields:
        raise NotOffered("an update of single fields")
    ticket = await bench.ticket()
    await bench.create(await bench.wanted(ticket))
    before = await bench.one(ticket, "created a record")
    wanted = await bench.wanted(ticket, name="Evening ticket", price="27.50", position=7)
    operation = await bench.plan(wanted)
    if operation is None or len(operation.fields) < 2:
        raise NotOffered("two fields that the mapping changes")
    first = operation.fields[0]
    await bench.target.update(
        bench.event, before, wanted, replace(operation, fields=(first,)), bench.meter.before_write
    )
    after = await bench.one(ticket, f"updated only {first.name}")
    _kept(before, after, {first.name}, f"updated only {first.name}")
    seen = after.fields.get(first.name)
    expect(seen == first.wix, f"updated only {first.name}", repr(first.wix), repr(seen))


@check
async def only_when_created(bench: Bench) -> None:
    """A field that the mapping writes only when a record is created is left as a person changes it."""
    ticket = await bench.ticket()
    wanted = await bench.wanted(ticket, description="As it was created")
    initial = {rule.name for rule in bench.settings.rules if rule.initial and rule.source == "description"}
    key = await bench.create(wanted)
    if not initial:
        raise NotOffered("a description that is written only when a record is created")
    await bench.edit(key, dict.fromkeys(initial, "As a person wrote it"))
    before = await bench.one(ticket, "edited a description by hand")
    await bench.bring(await bench.wanted(ticket, name="Evening ticket", description="As it is in Wix now"))
    after = await bench.one(ticket, "updated the name")
    for name in initial:
        was, now = before.fields.get(name), after.fields.get(name)
        expect(was == now, "updated the name after an edit of the description", f"{name} as edited, {was!r}", repr(now))


@check
async def edited_by_hand(bench: Bench) -> None:
    """A value that was edited in the target by hand is seen, and is written again."""
    ticket = await bench.ticket()
    await bench.create(await bench.wanted(ticket))
    record = await bench.one(ticket, "created a record")
    fields = differences((await bench.wanted(ticket, price="27.50")).fields, None, record.fields)
    if not fields:
        raise NotOffered("a price in the mapping")
    edited, names = {one.name: one.wix for one in fields}, [one.name for one in fields]
    await bench.edit(record.key, edited)
    operation = await bench.plan(await bench.wanted(ticket))
    seen = sorted(one.name for one in operation.fields) if operation else []
    expect(
        seen == sorted(names), f"edited {', '.join(names)} by hand", "just this in the plan", seen or "nothing to do"
    )
    await bench.bring(await bench.wanted(ticket))
    await equal(bench, ticket, "wrote a value again that was edited by hand")


@check
async def unmapped_is_kept(bench: Bench) -> None:
    """What no mapping names is as before after an update of all fields, byte for byte."""
    ticket = await bench.ticket()
    key = await bench.create(await bench.wanted(ticket, options=_options("Child", "Adult")))
    await bench.add_unmapped(key)
    before = await bench.unmapped(key)
    change = {name: value for one in CHANGES.values() for name, value in one.items() if name not in {"price", "guest"}}
    for step in (change, {}):
        options = _options("Child", "Grown-up", "Senior")
        await bench.bring(await bench.wanted(ticket, **{**step, "limit": 60, "options": options}))
        after = await bench.unmapped(key)
        expect(after == before, "updated all fields and options", f"unmapped fields as before, {before}", after)


@check
async def limits(bench: Bench) -> None:
    """A limit, no limit, and a limit of 0 read back as written, and none is taken for another."""
    if not bench.target.abilities.limits:
        raise NotOffered("limits")
    ticket = await bench.ticket()
    await bench.create(await bench.wanted(ticket))
    for limit in (None, 0, 1, None, 2_000_000, 0, 100):
        await _changes(bench, ticket, f"set the limit to {'unlimited' if limit is None else limit}", limit=limit)
    for limit in (None, 0):
        other = await bench.ticket()
        await bench.create(await bench.wanted(other, limit=limit))
        done = f"created a record whose limit is {'unlimited' if limit is None else limit}"
        await equal(bench, other, done, limit=limit)


@check
async def limit_below_sold(bench: Bench) -> None:
    """A limit below what is sold is stored, or refused as a limit."""
    if not bench.target.abilities.limits:
        raise NotOffered("limits")
    ticket = await bench.ticket()
    key = await bench.create(await bench.wanted(ticket, limit=10))
    for _ in range(2):
        await bench.sell(key)
    try:
        await bench.bring(await bench.wanted(ticket, limit=1))
    except TargetRefused:
        await equal(bench, ticket, "was refused a limit below what is sold", limit=10)
    else:
        await equal(bench, ticket, "set the limit below what is sold", limit=1)


@check
async def options(bench: Bench) -> None:
    """Options are created, added, renamed, priced, reordered and removed, and each reads back as written."""
    child, adult, senior = _options("Child", "Adult", "Senior")
    renamed, priced = (adult[0], "Grown-up", adult[2]), (child[0], "Child", "8.50")
    steps: Sequence[tuple[str, Sequence[Option]]] = (
        ("created two options", (child, adult)),
        ("added an option", (child, adult, senior)),
        ("renamed an option", (child, renamed, senior)),
        ("changed an option's price", (priced, renamed, senior)),
        ("gave the options another order", (senior, priced, renamed)),
        ("removed an option", (senior, renamed)),
        ("gave an option's name to another", (senior, (child[0], "Grown-up", "9.00"), (renamed[0], "Child", "25.00"))),
        ("removed all but one", (senior,)),
    )
    ticket = await bench.ticket()
    for done, now in steps:
        await bench.bring(await bench.wanted(ticket, options=now))
        record = await equal(bench, ticket, done, options=now)
        there = {one.id for one in record.options if one.active}
        expect(there == {one[0] for one in now}, done, f"{len(now)} options on sale", len(there))


@check
async def removed_option_that_sold(bench: Bench) -> None:
    """An option with orders is taken off sale when Wix has it no more, and comes back when Wix has it again."""
    ticket, (child, adult) = await bench.ticket(), _options("Child", "Adult")
    await bench.bring(await bench.wanted(ticket, options=(child, adult)))
    record = await bench.one(ticket, "created a record with options")
    await bench.sell(record.key, next(one.key for one in record.options if one.id == child[0]))
    for done, now in (("removed an option with orders", (adult,)), ("brought it back", (child, adult))):
        await bench.bring(await bench.wanted(ticket, options=now))
        record = await equal(bench, ticket, done, options=now)
        there = {one.id for one in record.options if one.active}
        expect(there == {one[0] for one in now}, done, f"{len(now)} options on sale", len(there))


@check
async def price_to_options_and_back(bench: Bench) -> None:
    """One price becomes options, and options one price, where the target can do that; else the plan says that it cannot."""
    ticket, two = await bench.ticket(), _options("Child", "Adult")
    await bench.create(await bench.wanted(ticket))
    if not bench.target.abilities.changes_options:
        operation = await bench.plan(await bench.wanted(ticket, options=two))
        reason = operation.reason if operation else None
        expect(reason is Reason.NEEDS_REPLACING, "gave a ticket with one price options", "a conflict", reason)
        return
    for done, now in (("one price became options", two), ("options became one price", ())):
        await bench.bring(await bench.wanted(ticket, options=now))
        record = await equal(bench, ticket, done, options=now)
        expect(len(now) == sum(one.active for one in record.options), done, f"{len(now)} options", record.options)


@check
async def hidden_and_shown(bench: Bench) -> None:
    """A hidden ticket's record is not on sale, and is again when the ticket is shown."""
    ticket = await bench.ticket()
    if await bench.wanted(ticket) == await bench.wanted(ticket, hidden=True):
        raise NotOffered("hidden tickets in the mapping")
    for hidden in (True, False, True):
        await bench.bring(await bench.wanted(ticket, hidden=hidden))
        done = "hid a ticket" if hidden else "showed a hidden ticket"
        record = await equal(bench, ticket, done, hidden=hidden)
        expect(record.active is not hidden, done, f"on sale: {not hidden}", record.active)


@check
async def times(bench: Bench) -> None:
    """Times read back as the same moment, whatever their zone and fraction."""
    ticket = await bench.ticket()
    await bench.create(await bench.wanted(ticket))
    for at in TIMES:
        await _changes(bench, ticket, f"set the start of sale to {at}", start=at, end=None)
        await _changes(bench, ticket, f"set the end of sale to {at}", start=None, end=at)


@check
async def prices(bench: Bench) -> None:
    """Prices read back as the same amount: 0 and 0.00 are one."""
    ticket = await bench.ticket()
    await bench.create(await bench.wanted(ticket))
    for price in PRICES:
        await _changes(bench, ticket, f"set the price to {price}", price=price)


@check
async def texts(bench: Bench) -> None:
    """Texts read back as they were written, or as the target says that it keeps them: emoji, markup, spaces, 200 letters."""
    ticket = await bench.ticket()
    await bench.create(await bench.wanted(ticket))
    for what, text in TEXTS.items():
        await _changes(bench, ticket, f"gave it a name of {what}", name=text, description=text)
    for what, text in TEXTS.items():
        other, two = await bench.ticket(), _options(text, "Other")
        fitted = await bench.fitted(other, name=text, options=two)
        if not isinstance(fitted, Unfit):
            await bench.create(fitted)
            await equal(bench, other, f"created a record with a name and an option of {what}", name=text, options=two)


@check
async def currency(bench: Bench) -> None:
    """A ticket in another currency than the event's does not fit; nothing is written."""
    event = await bench.target.event(bench.event)
    if event.currency is None:
        raise NotOffered("a currency of the event")
    other = "USD" if event.currency != "USD" else "EUR"
    for what, change in (("a price", {}), ("options", {"options": _options("Child", "Adult")})):
        found = await bench.fitted(await bench.ticket(), currency=other, **change)
        reason = found.reason if isinstance(found, Unfit) else "that it fits"
        done = f"gave it {what} in {other} in an event that sells in {event.currency}"
        expect(reason is Reason.CURRENCY, done, "that it does not fit, for its currency", reason)


async def _changes(bench: Bench, ticket: TicketId, done: str, **change: Any) -> bool:
    """Bring a changed ticket; answers whether the mapping and the target have a place for the change."""
    before = await bench.one(ticket, done)
    fitted = await bench.fitted(ticket, **change)
    if isinstance(fitted, Unfit):
        return False
    operation = await bench.plan(fitted)
    if operation is None:
        return False
    expect(operation.kind is Kind.UPDATE, done, "an update in the plan", f"{operation.kind}: {operation.text}")
    named = {one.name for one in operation.fields}
    await bench.target.update(bench.event, before, fitted, operation, bench.meter.before_write)
    _kept(before, await equal(bench, ticket, done, **change), named, done)
    return True


def _kept(before: Record, after: Record, named: set[str], done: str) -> None:
    for name in sorted({*before.fields, *after.fields} - named):
        was, now = before.fields.get(name), after.fields.get(name)
        expect(was == now, done, f"{name} as before, {was!r}", repr(now))


def _options(*names: str) -> tuple[Option, ...]:
    return tuple((str(uuid4()), name, f"{10 * index}.00") for index, name in enumerate(names, 1))


CHECKS = checks(globals())
