"""The status of a target from what is remembered of it."""

from collections.abc import AsyncIterator

import pytest

from server.sync.model import State
from server.sync.reports import TargetStatus, Workers
from server.sync.status import Statuses
from tests.rig.applier_rig import EVENT_ID, NAME, SETTINGS, SITE_ID, ApplierRig, ticket_id

A, B, C, D = (ticket_id(number) for number in range(1, 5))


@pytest.fixture
async def rig(redis_url: str) -> AsyncIterator[ApplierRig]:
    async with ApplierRig.on(redis_url) as found:
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

    assert ("Gala: 5 deactivations wait for a person: sync apply --deactivate 5",) == (await status(rig)).limited


async def test_status_tells_whether_workers_bring_tickets(rig: ApplierRig) -> None:
    """A worker that does not run, or read another file when it started, is told: else nothing would follow, without a word."""
    assert Workers.NONE is (await status(rig)).workers
    await rig.stores.targets.served(NAME, SETTINGS.digest, rig.clock())
    assert Workers.RUN is (await status(rig)).workers
    await rig.stores.targets.served(NAME, "another", rig.clock())
    assert Workers.OTHER_SETTINGS is (await status(rig)).workers
    rig.clock.advance(60)
    assert Workers.NONE is (await status(rig)).workers
