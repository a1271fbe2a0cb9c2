"""Checks of records: create, find, list, take off sale, delete."""

from collections.abc import Collection
from typing import Any

from server.errors import TargetError, TargetRefused
from server.model import TicketId
from server.sync.conformance.bench import Bench, keys
from server.sync.conformance.check import check, checks
from server.sync.conformance.expectation import NotOffered, Unmet, brief, expect
from server.sync.model import NOT_KNOWN, Deleted, Missing, Record, Value


@check
async def create_and_find(bench: Bench) -> None:
    """A created record is found by its id, once, by the key that was answered, and is on sale."""
    wanted = await bench.wanted(await bench.ticket())
    key = await bench.create(wanted)
    record = await bench.one(wanted.ticket, "created a record")
    expect(record.key == key, "created a record", f"key {key}, as create answered", record.key)
    expect(record.active, "created a record", "that it is on sale", "that it is not")


@check
async def find_with_its_key(bench: Bench) -> None:
    """A record is found once, not twice, where its key is given as well."""
    wanted = await bench.wanted(await bench.ticket())
    key = await bench.create(wanted)
    await bench.one(wanted.ticket, "created a record")
    found = await bench.find(wanted.ticket, key)
    expect([key] == [one.key for one in found], "looked a record up by id and key", f"record {key}, once", keys(found))


@check
async def find_nothing(bench: Bench) -> None:
    """No record is found by an id that none bears, not even where the key of another is given."""
    wanted = await bench.wanted(await bench.ticket())
    key = await bench.create(wanted)
    found = await bench.target.find(bench.event, await bench.ticket(), None)
    expect(not found, "looked up an id that nothing bears", "no record", keys(found))
    found = await bench.target.find(bench.event, await bench.ticket(), key)
    expect(not found, "looked up an id that nothing bears, with the key of another record", "no record", keys(found))


@check
async def created_values(bench: Bench) -> None:
    """What was created reads back as it was written, so that the next plan is empty."""
    wanted = await bench.wanted(await bench.ticket(), name="Early bird", description="A text", position=3)
    await bench.create(wanted)
    try:
        await equal(bench, wanted.ticket, "created a record", name="Early bird", description="A text", position=3)
    finally:
        # What is not kept at all would fail most of the checks that follow, each in the same words.
        operation = await bench.plan(wanted)
        bench.set_aside |= {one.name for one in operation.fields} if operation else set()


@check
async def create_again_with_the_same_key(bench: Bench) -> None:
    """The same try of a creation, sent twice, makes one record."""
    wanted = await bench.wanted(await bench.ticket())
    first = await bench.create(wanted, "same-try")
    try:
        second = await bench.create(wanted, "same-try")
    except TargetError:
        second = first  # it says that the record exists, which is as good
    found = await bench.find(wanted.ticket)
    expect(len(found) == 1, "sent the same creation twice, with one idempotency key", "one record", keys(found))
    expect(first == second, "sent the same creation twice, with one idempotency key", f"key {first} again", second)


@check
async def bring_again(bench: Bench) -> None:
    """A ticket that is brought twice has one record, and the second time nothing is written."""
    wanted = await bench.wanted(await bench.ticket())
    await bench.bring(wanted)
    before = bench.meter.writes
    operation = await bench.bring(wanted)
    expect(operation is None, "brought a ticket twice", "nothing to do the second time", operation and operation.kind)
    expect(
        bench.meter.writes == before, "brought a ticket twice", "no write the second time", bench.meter.writes - before
    )
    await bench.one(wanted.ticket, "brought a ticket twice")


@check
async def list_each_once(bench: Bench) -> None:
    """A list has each record once, with its id and all its fields, in the order in which they were made."""
    await _listed(bench, 3)


@check
async def list_a_page(bench: Bench) -> None:
    """A list that fills a page exactly has each record once."""
    await _listed(bench, await _up_to(bench, 0))


@check
async def list_a_page_and_one(bench: Bench) -> None:
    """A list of one record more than a page has each once."""
    await _listed(bench, await _up_to(bench, 1))


@check
async def list_while_it_changes(bench: Bench) -> None:
    """A list of several pages misses no record because another is deactivated or made meanwhile."""
    if bench.page is None:
        raise NotOffered("pages")
    gone = await bench.wanted(await bench.ticket(), name="Goes in the meantime")
    await bench.create(gone)
    others = await _make(bench, await _up_to(bench, 1))
    record = await bench.one(gone.ticket, "created a record")

    async def change() -> None:
        await bench.target.deactivate(bench.event, record, bench.meter.before_write, delete=True)
        await bench.create(await bench.wanted(await bench.ticket(), name="Comes in the meantime"))

    bench.meter.interrupt(2, change)
    listed = [one.ticket for one in await bench.target.list(bench.event)]
    missing = [ticket for ticket in others if listed.count(ticket) != 1]
    done = f"listed {len(listed)} records while one was deleted and one was made"
    expect(not missing, done, "each of the others once", f"{len(missing)} of them not once")


@check
async def deactivate(bench: Bench) -> None:
    """A record that is taken off sale is not on sale any more, and keeps its id where it is kept."""
    record = await made(bench)
    await bench.target.deactivate(bench.event, record, bench.meter.before_write)
    await _off_sale(bench, record, "took a record off sale")


@check
async def deactivate_twice(bench: Bench) -> None:
    """A record may be taken off sale again."""
    record = await made(bench)
    await bench.target.deactivate(bench.event, record, bench.meter.before_write)
    await bench.target.deactivate(bench.event, record, bench.meter.before_write)
    await _off_sale(bench, record, "took a record off sale twice")


@check
async def deactivate_sold(bench: Bench) -> None:
    """A record with orders is taken off sale."""
    record = await made(bench)
    await bench.sell(record.key)
    await bench.target.deactivate(bench.event, record, bench.meter.before_write)
    await _off_sale(bench, record, "took a record with orders off sale")


@check
async def delete(bench: Bench) -> None:
    """A record without orders is deleted where the target can do that, and else taken off sale."""
    record = await made(bench)
    await bench.target.deactivate(bench.event, record, bench.meter.before_write, delete=True)
    await _off_sale(bench, record, "deleted a record", gone=bench.target.abilities.deletes)


@check
async def delete_sold(bench: Bench) -> None:
    """A record with orders is not deleted: it is taken off sale."""
    record = await made(bench)
    await bench.sell(record.key)
    await bench.target.deactivate(bench.event, record, bench.meter.before_write, delete=True)
    await _off_sale(bench, record, "deleted a record with orders")
    await bench.one(id_of(record), "deleted a record with orders")


@check
async def deactivate_gone(bench: Bench) -> None:
    """Taking a record off sale that is gone does nothing, or is refused as of a record that is gone."""
    if not bench.target.abilities.deletes:
        raise NotOffered("deleting a record")
    record = await made(bench)
    for _ in range(2):
        try:
            await bench.target.deactivate(bench.event, record, bench.meter.before_write, delete=True)
        except TargetRefused as error:
            expect(error.status in {404, 410}, "deleted a record twice", "success, or 404", error)
    await _off_sale(bench, record, "deleted a record twice", gone=True)


@check
async def plan_after_deletion(bench: Bench) -> None:
    """After a deleted ticket's record was taken off sale, nothing is left to do for it."""
    record = await made(bench)
    await bench.target.deactivate(bench.event, record, bench.meter.before_write)
    found = await bench.plan(Deleted(id_of(record)))
    expect(found is None, "took the record of a deleted ticket off sale", "nothing left to do", found and found.kind)


async def equal(bench: Bench, ticket: TicketId, done: str, **changes: Any) -> Record:
    """Expect that nothing is left to do for this ticket; answers its record."""
    record = await bench.one(ticket, done)
    operation = await bench.plan(await bench.wanted(ticket, **changes))
    if operation:
        fields = [*operation.fields, *(field for one in operation.options for field in one.fields)]
        seen = "; ".join(f"{one.name}: wrote {brief(one.wix)}, reads {shown(one.target)}" for one in fields)
        options = "; ".join(f"option {one.name!r}: {one.kind}" for one in operation.options)
        raise Unmet(done, "nothing left to do", "; ".join(part for part in (seen, options, operation.text) if part))
    return record


async def made(bench: Bench) -> Record:
    """Create a record; answers it as it is found."""
    wanted = await bench.wanted(await bench.ticket())
    await bench.create(wanted)
    return await bench.one(wanted.ticket, "created a record")


async def _make(bench: Bench, number: int) -> list[TicketId]:
    made = []
    for index in range(number):
        wanted = await bench.wanted(await bench.ticket(), name=f"Ticket {index}", position=index)
        await bench.create(wanted)
        made.append(wanted.ticket)
    await bench.one(made[-1], f"created {number} records")
    return made


async def _up_to(bench: Bench, more: int) -> int:
    """How many records are missing to full pages, and so many more."""
    if bench.page is None:
        raise NotOffered("pages")
    there = len(await bench.target.list(bench.event))
    missing = -there % bench.page + more
    return missing if missing and there + missing >= bench.page else missing + bench.page


async def _listed(bench: Bench, number: int) -> None:
    made = await _make(bench, number)
    listed = await bench.target.list(bench.event)
    ours = [one.ticket for one in listed if one.ticket in set(made)]
    done = f"created {number} records and listed {len(listed)}"
    missing: set[str] = {one for one in made if one not in ours}
    twice = {one for one in ours if ours.count(one) > 1}
    if not bench.target.abilities.deletes:  # so those of earlier checks are there as well
        missing |= {key for key in bench.made.values() if key} - {one.key for one in listed}
    expect(not missing, done, "each in the list", f"{len(missing)} missing, such as {min(missing, default='')}")
    expect(not twice, done, "each once", f"{len(twice)} more than once, such as {min(twice, default='')}")
    expect(ours == made, done, "the order in which they were made", "another order")
    last = next(one for one in listed if one.ticket == made[-1])
    found = await bench.one(made[-1], done)
    expect(last == found, done, "the same record as a look-up by its id answers", changed(found, last))


async def listed_key(bench: Bench, key: str, done: str) -> Record:
    """The record with this key, as the list of the event has it."""
    listed = [one for one in await bench.target.list(bench.event) if one.key == key]
    expect(len(listed) == 1, done, f"record {key} in the list, once", keys(listed))
    return listed[0]


async def _off_sale(bench: Bench, record: Record, done: str, *, gone: bool = False) -> None:
    found = await bench.target.find(bench.event, id_of(record), record.key)
    expect(not any(one.active for one in found), done, "no record with its id on sale", f"record {record.key} on sale")
    expect(not (gone and found), done, "that it is gone", keys(found))


def shown(value: Value | Missing) -> str:
    """A value as a check says that it saw it."""
    return "nothing" if isinstance(value, Missing) else brief(value)


def id_of(record: Record) -> TicketId:
    """The Wix id that a record bears."""
    return TicketId(record.ticket)


def same(before: Record, after: Record, but: Collection[str]) -> bool:
    """Whether a record has the fields that it had before, *but* some."""
    return all(
        after.fields.get(name, NOT_KNOWN) == before.fields.get(name, NOT_KNOWN)
        for name in {**before.fields, **after.fields}
        if name not in but
    )


def changed(before: Record, after: Record) -> str:
    """What of a record is otherwise than before."""
    names = [name for name in {**before.fields, **after.fields} if before.fields.get(name) != after.fields.get(name)]
    return "; ".join(f"{name}: {before.fields.get(name)!r} → {after.fields.get(name)!r}" for name in names) or repr(
        after
    )


CHECKS = checks(globals())
