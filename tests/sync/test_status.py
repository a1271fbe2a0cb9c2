"""The status of a target from what is remembered of it."""

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from server.sync.mapping import TargetSettings
from server.sync.model import State
from server.sync.reports import TargetStatus, Workers
from server.sync.status import Statuses
from tests.rig.applier_rig import EVENT_ID, NAME, SETTINGS, SITE_ID, ApplierRig, ticket_id

A, B, C, D = (ticket_id(number) for number in range(1, 5))


@pytest.fixture
async def rig(redis_url: str) -> AsyncIterator[ApplierRig]:
    """The rig, with a worker that has its settings."""
    async with ApplierRig.on(redis_url) as found:
        await found.stores.targets.served(NAME, SETTINGS.digest, found.clock())
        yield found


def statuses(rig: ApplierRig) -> Statuses:
    """The statuses of one target."""
    return Statuses({NAME: SETTINGS}, rig.stores, clock=rig.clock)


async def status(rig: ApplierRig) -> TargetStatus:
    """The status of that target."""
    [found] = await statuses(rig).all()
    return found


async def test_status_before_anything_is_not_known(rig: ApplierRig) -> None:
    """What was never compared is not called equal."""
    found = await status(rig)
    assert (0, None, None, 0, None, ("Gala",)) == (
        found.records,
        found.equal,
        found.latency_ms,
        found.due,
        found.audit_age,
        found.events,
    )


async def test_status_counts_by_state(rig: ApplierRig) -> None:
    """Equal, refused and due tickets are counted, with the age of the oldest that is due."""
    rig.target.refuses[B] = "too long"
    for one in (A, B):
        await rig.says(one, name=one)
        await rig.bring(one)
    await rig.stores.due.mark(SITE_ID, NAME, [C, D])

    found = await status(rig)

    assert (2, 1, 1, 0, 2) == (found.records, found.equal, found.parked, found.conflicts, found.due)
    assert 0 <= (found.oldest or -1.0) < 5
    [parked] = await statuses(rig).parked(NAME)
    assert (B, State.REFUSED) == (parked.ticket, parked.state)


async def test_unreachable_target_makes_equal_not_known(rig: ApplierRig) -> None:
    """After a failed comparison nothing is called equal, and the error and the wait are told."""
    await rig.says(A)
    await rig.bring(A)
    await rig.stores.targets.failed(NAME, "503", rig.clock())
    await rig.stores.targets.wait(NAME, rig.clock() + 48)

    found = await status(rig)

    assert (None, "503", 1, 48.0) == (found.equal, found.answer, found.faults, found.wait)


async def test_waiting_deactivations_are_told_with_their_number(rig: ApplierRig) -> None:
    """An event that waits for a person says for how many."""
    tickets = [ticket_id(number) for number in range(5)]
    for one in tickets:
        await rig.says(one, name=one)
        await rig.bring(one)
    await rig.deletes(*tickets)
    for one in tickets:
        await rig.bring(one)
    followed = (await rig.stores.records.followed(SITE_ID, NAME))[EVENT_ID]
    assert "Gala" == followed.title

    command = f"ticket-counter sync apply {EVENT_ID} --to {NAME} --deactivate 5"
    assert (f"Gala: 5 deactivations wait for a person: {command}",) == (await status(rig)).limited


async def test_nothing_is_called_equal_that_nobody_looks_after(rig: ApplierRig) -> None:
    """Without a worker it is not known whether records are equal still."""
    await rig.says(A)
    await rig.bring(A)
    assert 1 == (await status(rig)).equal
    rig.clock.advance(60)
    assert (1, None) == ((found := await status(rig)).records, found.equal)


async def test_event_that_is_not_followed_as_the_file_says_is_told(rig: ApplierRig) -> None:
    """An event that the file has no more, has elsewhere, or whose first apply has not ended, is told, and not counted as equal."""
    await rig.says(A)
    await rig.bring(A)
    apply = f"ticket-counter sync apply {EVENT_ID} --to {NAME}"

    async def told(settings: TargetSettings) -> tuple[int, tuple[str, ...], tuple[str, ...]]:
        [found] = await Statuses({NAME: settings}, rig.stores, clock=rig.clock).all()
        return found.records, found.events, found.limited

    left = "Gala: the file does not name it any more, so its records are left as they are"
    assert (0, (), (left,)) == await told(replace(SETTINGS, events={}))
    moved = "Gala: it was applied to another event or address than the file has now, so nothing is written: "
    assert (0, (), (f"{moved}{apply}",)) == await told(replace(SETTINGS, events={EVENT_ID: "ev2"}))
    await rig.reader.store.do("DEL", rig.stores.due.keys.sync(SITE_ID, NAME, "events"))
    [_, _, [first]] = await told(SETTINGS)
    assert "its first apply has not ended" in first
    assert apply in first


async def test_deleted_ticket_without_a_record_is_not_counted(rig: ApplierRig) -> None:
    """A ticket that Wix deleted and the target never had is no record."""
    await rig.says(A)
    await rig.says(B, name="Another")
    await rig.bring(A)
    await rig.deletes(B)
    assert State.GONE is (await rig.bring(B)).state

    assert (1, 1) == ((found := await status(rig)).records, found.equal)


async def test_status_tells_whether_workers_bring_tickets(rig: ApplierRig) -> None:
    """A worker that does not run, or read another file when it started, is told: else nothing would follow, without a word."""
    assert Workers.RUN is (await status(rig)).workers
    await rig.stores.targets.served(NAME, "another", rig.clock())
    assert Workers.OTHER_SETTINGS is (await status(rig)).workers
    rig.clock.advance(60)
    assert Workers.NONE is (await status(rig)).workers
