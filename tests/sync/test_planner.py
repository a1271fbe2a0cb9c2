"""A whole event compared, on a real Redis, against a model of a target."""

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from server.model import Pace
from server.sync.model import Kind, Plan, Reason
from tests.rig.applier_rig import OTHER_EVENT, SITE_ID, TARGET_EVENT, ApplierRig, ticket_id

A, B, C, D = (ticket_id(number) for number in range(1, 5))


@pytest.fixture
async def rig(redis_url: str) -> AsyncIterator[ApplierRig]:
    async with ApplierRig.on(redis_url) as found:
        yield found


async def plan(rig: ApplierRig) -> Plan:
    """The plan of the first event."""
    return (await rig.applier.planner.compare(rig.event)).plan


async def test_plan_has_every_kind_in_its_order_and_writes_nothing(rig: ApplierRig) -> None:
    """Creations, updates and adoptions by name, then conflicts, then what is taken off sale; equal ones are only counted."""
    await rig.says(A, name="Equal")
    await rig.says(B, name="Changed")
    await rig.says(C, name="Deleted")
    for one in (A, B, C):
        await rig.bring(one)
    await rig.says(B, name="Changed", price="1.00")
    await rig.deletes(C)
    await rig.says(D, name="Adopted")
    await rig.says(ticket_id(5), name="Brand new")
    rig.target.put(TARGET_EVENT, "Adopted", {"name": "Adopted"})
    rig.target.put(TARGET_EVENT, "Mine", {"name": "Mine"})
    rig.target.writes.clear()

    found = await plan(rig)

    assert [(Kind.ADOPT, D), (Kind.CREATE, ticket_id(5)), (Kind.UPDATE, B), (Kind.DEACTIVATE, C)] == [
        (one.kind, one.ticket) for one in found.operations
    ]
    assert (1, 2, 0, []) == (found.equal, found.left_alone, found.unread, rig.target.writes)


async def test_digest_is_that_of_the_operations(rig: ApplierRig) -> None:
    """Two plans that would do the same have one digest, whenever they were made; another one differs."""
    await rig.says(A)
    first = await plan(rig)
    rig.clock.advance(100)
    assert first.digest == (await plan(rig)).digest
    await rig.says(A, price="26.00")
    assert first.digest != (await plan(rig)).digest


async def test_copies_of_another_events_records_are_conflicts(rig: ApplierRig) -> None:
    """An event that was cloned in the target bears ids of the first one's tickets: told, and never written or taken off sale."""
    await rig.says(A)
    await rig.bring(A)
    rig.target.copy(TARGET_EVENT, rig.record(A).key, "ev2")
    await rig.says(B, event=OTHER_EVENT, name="Other")

    found = (await rig.applier.planner.compare(replace(rig.event, event=OTHER_EVENT, target_event="ev2"))).plan

    assert [(Kind.CREATE, Reason.NEW), (Kind.CONFLICT, Reason.COPIED)] == [
        (one.kind, one.reason) for one in found.operations
    ]


async def test_record_with_an_id_that_wix_never_had_is_a_copy_unless_we_made_it(rig: ApplierRig) -> None:
    """Wix's 404 for an id that was never read says nothing of a record that somebody copied; our memory tells the two apart."""
    await rig.says(A)
    await rig.bring(A)
    rig.target.put(TARGET_EVENT, "Copied", {}, ticket=B)
    for one in (A, B):
        key = rig.stores.due.keys.key(SITE_ID, "ticket", one)
        await rig.reader.store.do("DEL", key)
        await rig.reader.store.do("HSET", key, "pace", Pace.NEVER, "facts", "", "event", "", "read_at", "1")

    assert {(A, Kind.DEACTIVATE, Reason.DELETED), (B, Kind.CONFLICT, Reason.COPIED)} == {
        (one.ticket, one.kind, one.reason) for one in (await plan(rig)).operations
    }


async def test_ticket_that_was_not_read_is_counted_and_asked_for(rig: ApplierRig) -> None:
    """A list that leaves a ticket out deactivates nothing: what is not stored is not known."""
    await rig.says(A)
    await rig.bring(A)
    await rig.reader.store.do("DEL", rig.stores.due.keys.key(SITE_ID, "ticket", A))

    found = await plan(rig)

    assert ((), 1) == (found.operations, found.unread)
    assert A in await rig.reader.schedule.tracked(SITE_ID)


async def test_two_tickets_of_one_name_do_not_adopt_one_record(rig: ApplierRig) -> None:
    """A person says which of the two it is."""
    rig.target.put(TARGET_EVENT, "Twin", {"name": "Twin"})
    await rig.says(A, name="Twin")
    await rig.says(B, name="Twin")

    assert [Kind.CONFLICT, Kind.CONFLICT] == [one.kind for one in (await plan(rig)).operations]
