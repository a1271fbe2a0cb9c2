"""Checks of the Wix id that each record bears: written, cleared, copied; and of the event."""

from collections.abc import Awaitable, Callable

from server.errors import TargetForbidden
from server.sync.conformance.bench import Bench, keys
from server.sync.conformance.check import check, checks
from server.sync.conformance.expectation import Unmet, expect
from server.sync.conformance.records import changed, equal, id_of, listed_key, made, same

Call = Callable[[str], Awaitable[object]]


@check
async def clear_the_id(bench: Bench) -> None:
    """A record whose id is cleared is found by it no more, and is listed without an id, otherwise as it was."""
    record = await made(bench)
    await bench.target.mark(bench.event, record, None, bench.meter.before_write)
    found = await bench.target.find(bench.event, id_of(record), record.key)
    expect(not found, "cleared a record's id", "that it is not found by the id", keys(found))
    left = await listed_key(bench, record.key, "cleared a record's id")
    expect(not left.ticket, "cleared a record's id", "no id", left.ticket)
    expect(same(record, left, bench.id_in), "cleared a record's id", "the same values", changed(record, left))


@check
async def write_the_id(bench: Bench) -> None:
    """A record that gets an id is found by it, otherwise as it was."""
    record = await made(bench)
    await bench.target.mark(bench.event, record, None, bench.meter.before_write)
    other = await bench.ticket()
    bench.made[other] = record.key
    cleared = await listed_key(bench, record.key, "cleared a record's id")
    await bench.target.mark(bench.event, cleared, other, bench.meter.before_write)
    after = await bench.one(other, "wrote an id into a record")
    expect(after.key == record.key, "wrote an id into a record", f"record {record.key}", after.key)
    expect(same(record, after, bench.id_in), "wrote an id into a record", "the same values", changed(record, after))


@check
async def adopt_by_hand(bench: Bench) -> None:
    """A record made by hand is listed without an id, and is found once it was given one."""
    name, ticket = "Made by hand", await bench.ticket()
    key = await bench.by_hand(name)
    record = await listed_key(bench, key, "made a record by hand")
    expect(not record.ticket, "made a record by hand", "no id", record.ticket)
    expect(record.name == name, "made a record by hand", f"the name {name!r}", repr(record.name))
    bench.made[ticket] = key
    await bench.target.mark(bench.event, record, ticket, bench.meter.before_write)
    await bench.one(ticket, "adopted a record made by hand")
    wanted = await bench.wanted(ticket)
    await bench.bring(wanted)
    await equal(bench, ticket, "adopted a record made by hand and updated it")


@check
async def two_with_one_id(bench: Bench) -> None:
    """Two records with one id are both found, the older first."""
    record = await made(bench)
    copied = await bench.copy(record.key, bench.event)
    found = [one.key for one in await bench.find(id_of(record), record.key)]
    expect(
        found == [record.key, copied],
        "copied a record with its id",
        f"records {record.key} and {copied}",
        ", ".join(found) or "none",
    )


@check
async def a_copy_elsewhere(bench: Bench) -> None:
    """A copy in another event is not found in this one, and is found in that one."""
    other = await bench.other_event()
    record = await made(bench)
    copied = await bench.copy(record.key, other)
    here = await bench.find(id_of(record), record.key)
    expect(len(here) == 1, "copied a record to another event", "one record in its own", keys(here))
    there = [one.key for one in await bench.target.list(other) if one.ticket == record.ticket]
    expect(
        there == [copied], "copied a record with its id to another event", f"record {copied} there", ", ".join(there)
    )


@check
async def an_event_that_is_not_there(bench: Bench) -> None:
    """An event that the target does not have is told as forbidden, not as an empty list."""
    event = "conformance-no-such-event"
    calls: tuple[tuple[str, Call], ...] = (("read", bench.target.event), ("listed", bench.target.list))
    for name, call in calls:
        try:
            seen = await call(event)
        except TargetForbidden:
            continue
        raise Unmet(f"{name} an event that is not there", "TargetForbidden", seen)


CHECKS = checks(globals())
