"""All of sync in one process, from a read of Wix to a record."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from structlog.testing import capture_logs

from server.sync.syncer import Syncer
from tests.rig.applier_rig import EVENT_ID, NAME, SETTINGS, SITE_ID, ApplierRig, ticket_id
from tests.rig.server import until

A = ticket_id(1)


@pytest.fixture
async def rig(redis_url: str) -> AsyncIterator[ApplierRig]:
    async with ApplierRig.on(redis_url) as found:
        yield found


async def test_change_in_wix_is_at_the_target_within_seconds(rig: ApplierRig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Law 14: what a followed event's ticket is now is brought to the target, whatever changes came before."""
    monkeypatch.setattr("server.sync.syncer.open_target", lambda *_: rig.target)
    syncer = Syncer(rig.reader.store, rig.reader.schedule, {NAME: SETTINGS}, lambda: [SITE_ID])
    running = asyncio.create_task(syncer.run())

    for price in ("10.00", "11.00", "12.00"):
        await rig.says(A, price=price)
    await until(lambda: [one.fields["price"] for one in rig.target.stored["ev1"].values()] == ["12.00"], 5)
    await rig.deletes(A)
    await until(lambda: rig.record(A).fields["active"] is False, 5)

    syncer.stop()
    await asyncio.wait_for(running, 5)
    await syncer.aclose()
    assert EVENT_ID in await rig.stores.records.followed(SITE_ID, NAME)


async def test_paused_target_is_told_once_a_day(rig: ApplierRig, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pause that somebody forgot is a line in the log, with its reason and what ends it."""
    monkeypatch.setattr("server.sync.syncer.open_target", lambda *_: rig.target)
    monkeypatch.setattr("server.sync.syncer.MEASURE_EVERY", 0.01)
    await rig.stores.targets.pause(NAME, "moving", 0.0)
    syncer = Syncer(rig.reader.store, rig.reader.schedule, {NAME: SETTINGS}, lambda: [SITE_ID])
    with capture_logs() as lines:
        running = asyncio.create_task(syncer.run())
        await until(lambda: any(one["event"] == "target_paused" for one in lines))
        await asyncio.sleep(0.1)
        syncer.stop()
        await asyncio.wait_for(running, 5)

    [line] = [one for one in lines if one["event"] == "target_paused"]
    assert ("moving", f"ticket-counter sync resume {NAME}") == (line["reason"], line["hint"])
