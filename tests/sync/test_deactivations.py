"""More deactivations than a mistake may cause need a person, who says the number."""

from collections.abc import AsyncIterator

import pytest

from server.sync.model import State
from server.sync.work import Allowed
from tests.rig.applier_rig import EVENT_ID, SITE_ID, ApplierRig, ticket_id

TEN = [ticket_id(number) for number in range(10)]


@pytest.fixture
async def rig(redis_url: str) -> AsyncIterator[ApplierRig]:
    async with ApplierRig.on(redis_url) as found:
        for one in TEN:
            await found.says(one, name=f"Ticket {one[-2:]}")
            await found.bring(one)
        yield found


async def states(rig: ApplierRig, *tickets: str, allowed: Allowed | None = None) -> list[State]:
    """What became of these."""
    return [(await rig.bring(one, allowed or Allowed())).state for one in TEN if one in tickets]


async def test_few_are_done_by_themselves(rig: ApplierRig) -> None:
    """Up to max_deactivate, or a fifth of the event."""
    await rig.deletes(*TEN[:3])

    assert [State.EQUAL] * 3 == await states(rig, *TEN[:3])


async def test_many_wait_for_a_person_before_the_first_is_done(rig: ApplierRig) -> None:
    """Of four at once of ten none is done, and each says how many there are."""
    await rig.deletes(*TEN[:4])

    assert [State.LIMIT] * 4 == await states(rig, *TEN[:4])
    assert all(rig.record(one).fields["active"] for one in TEN)
    memory = await rig.memory(TEN[0])
    assert ("sync apply --deactivate 4", True) == (memory.cure, memory.text.startswith("4 records"))
    assert [State.EQUAL] * 4 == await states(rig, *TEN[:4], allowed=Allowed(deactivate=True))


async def test_what_was_done_within_an_hour_counts(rig: ApplierRig) -> None:
    """One more after three is one too many, until an hour has passed."""
    await rig.deletes(*TEN[:3])
    await states(rig, *TEN[:3])
    await rig.deletes(TEN[3])

    assert [State.LIMIT] == await states(rig, TEN[3])
    rig.clock.advance(3601)
    assert [State.EQUAL] == await states(rig, TEN[3])


async def test_event_that_wix_deleted_is_taken_off_sale_as_a_whole(rig: ApplierRig) -> None:
    """Where Wix has no such event any more, and none of its tickets, nobody has to say a number."""
    await rig.deletes(*TEN)
    assert [State.LIMIT] == await states(rig, TEN[0])
    await rig.reader.store.do(
        "HSET", rig.stores.due.keys.key(SITE_ID, "event_snapshot", EVENT_ID), "left_out", "1", "read_at", "1"
    )

    assert [State.EQUAL] * 10 == await states(rig, *TEN)
