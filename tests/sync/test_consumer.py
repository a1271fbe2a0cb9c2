"""Changes mark tickets, and nothing else."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from server.sync.consumer import STOCK_AFTER, Consumer
from server.sync.mapping import Quota
from server.timed_event import TimedEvent
from tests.rig.applier_rig import NAME, OTHER_EVENT, SETTINGS, SITE_ID, ApplierRig, ticket_id
from tests.rig.server import until

A, B, C = (ticket_id(number) for number in range(1, 4))


@pytest.fixture
async def rig(redis_url: str) -> AsyncIterator[ApplierRig]:
    async with ApplierRig.on(redis_url) as found:
        yield found


def consumer(rig: ApplierRig, quota: Quota = Quota.LIMIT) -> Consumer:
    """The consumer of a process."""
    return Consumer({NAME: replace(SETTINGS, quota=quota)}, rig.stores, lambda: [SITE_ID], clock=rig.clock)


async def taken(rig: ApplierRig) -> list[str]:
    """The due tickets, which this takes."""
    found = []
    while claimed := await rig.stores.due.claim(SITE_ID, NAME):
        await rig.stores.due.settle(claimed)
        found.append(claimed.ticket)
    return sorted(found)


async def test_change_of_a_followed_event_marks_its_ticket(rig: ApplierRig) -> None:
    """New, changed and deleted tickets are due; those of an event that is not followed are not."""
    marks = consumer(rig)
    await rig.says(A)
    await rig.says(B, event=OTHER_EVENT)
    await marks.poll(SITE_ID)
    assert [A] == await taken(rig)

    await rig.says(A, price="26.00")
    await marks.poll(SITE_ID)
    assert [A] == await taken(rig)

    await rig.deletes(A)
    await marks.poll(SITE_ID)
    assert [A] == await taken(rig)


async def test_read_without_a_change_marks_nothing(rig: ApplierRig) -> None:
    """A sale changes no fact."""
    marks = consumer(rig)
    await rig.says(A, unsold=5)
    await marks.poll(SITE_ID)
    await taken(rig)
    await rig.says(A, unsold=4)

    await marks.poll(SITE_ID)

    assert [] == await taken(rig)


async def test_sale_marks_a_ticket_where_the_target_follows_the_stock(rig: ApplierRig) -> None:
    """With quota = "unsold" a sale makes a ticket due, a few seconds later, with the sales until then."""
    marks = consumer(rig, Quota.UNSOLD)
    await rig.says(A, unsold=5)
    await rig.bring(A)
    await marks.poll(SITE_ID)
    await taken(rig)
    for unsold in (4, 3, 2):
        await rig.says(A, unsold=unsold)

    await marks.poll(SITE_ID)

    assert 0 < (await rig.due_in(A) or 0) <= STOCK_AFTER
    await rig.says(B, unsold=1)
    await marks.poll(SITE_ID)
    await marks.poll(SITE_ID)
    assert [B] == await taken(rig), "a new ticket is due by its change"


async def test_what_a_dead_process_took_is_marked_by_another(rig: ApplierRig, monkeypatch: pytest.MonkeyPatch) -> None:
    """An entry that was read and not acknowledged is taken over."""
    dead = consumer(rig)
    await rig.says(A)
    await dead.changes.read(SITE_ID)

    marks = consumer(rig)
    await marks.poll(SITE_ID)
    assert [] == await taken(rig)

    rig.clock.advance(60)
    monkeypatch.setattr("server.sync.consumer.RECLAIM_IDLE", 0.0)
    await marks.poll(SITE_ID)
    assert [A] == await taken(rig)


async def test_sale_that_a_dead_process_took_is_marked_by_another(
    rig: ApplierRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An entry of the history that was read and not acknowledged is taken over too, where a target follows the stock."""
    marks = consumer(rig, Quota.UNSOLD)
    await rig.says(A, unsold=5)
    await rig.bring(A)
    await marks.poll(SITE_ID)
    await taken(rig)
    await rig.says(A, unsold=4)
    await consumer(rig, Quota.UNSOLD).history.entries(SITE_ID)
    await marks.poll(SITE_ID)
    assert await rig.due_in(A) is None

    rig.clock.advance(60)
    monkeypatch.setattr("server.sync.consumer.RECLAIM_IDLE", 0.0)
    await marks.poll(SITE_ID)

    assert 0 < (await rig.due_in(A) or 0) <= STOCK_AFTER


async def test_trimmed_stream_marks_every_ticket(rig: ApplierRig) -> None:
    """Where entries are lost, all tickets of followed events are due."""
    marks = consumer(rig)
    for one in (A, B, C):
        await rig.says(one, name=one)
    await marks.poll(SITE_ID)
    await taken(rig)
    await rig.says(A, name="Another")
    await rig.reader.store.do("XTRIM", rig.stores.due.keys.key(SITE_ID, "changes"), "MAXLEN", 0)

    await marks.poll(SITE_ID)

    assert sorted([A, B, C]) == await taken(rig)


async def test_consumer_runs_until_it_is_stopped(rig: ApplierRig) -> None:
    """It polls by itself, and ends when told."""
    stopping = TimedEvent()
    running = asyncio.create_task(consumer(rig).run(stopping))
    await rig.says(A)

    async def is_due() -> bool:
        return await rig.due_in(A) is not None

    await until(is_due)
    stopping.set()
    await asyncio.wait_for(running, 5)
