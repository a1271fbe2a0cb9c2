"""Audits mark what differs, and remember what is equal."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
from structlog.testing import capture_logs

from server.errors import TargetUnavailable
from server.sync.audit import EVERY, Audit
from server.sync.model import State
from server.timed_event import TimedEvent
from tests.rig.applier_rig import EVENT_ID, NAME, SITE_ID, TARGET_EVENT, ApplierRig, ticket_id
from tests.rig.model_target import Fault

A, B = ticket_id(1), ticket_id(2)


@pytest.fixture
async def rig(redis_url: str) -> AsyncIterator[ApplierRig]:
    async with ApplierRig.on(redis_url) as found:
        for one in (A, B):
            await found.says(one, name=f"Ticket {one[-1]}")
            await found.bring(one)
        await found.audit().look()
        yield found


async def due(rig: ApplierRig) -> set[str]:
    """Which of the two are due now or soon."""
    return {one for one in (A, B) if (seconds := await rig.due_in(one)) is not None and seconds < 60}


async def test_edit_by_hand_is_marked_within_the_hour(rig: ApplierRig) -> None:
    """What somebody changed in the target is found by the next audit, and not before."""
    rig.target.edit(TARGET_EVENT, rig.record(A).key, price="1.00")
    audit = rig.audit()

    await audit.look()
    assert set() == await due(rig)
    rig.clock.advance(EVERY + 1)
    await audit.look()
    assert {A} == await due(rig)


async def test_audit_rebuilds_a_lost_memory_without_a_write(rig: ApplierRig) -> None:
    """An event that was applied is followed again, and its equal tickets are remembered, without one write."""
    before, writes = await rig.memory(A), len(rig.target.writes)
    await rig.flush()
    audit = rig.audit()

    await audit.look()
    rig.clock.advance(3)
    await audit.look()

    after = await rig.memory(A)
    assert (before.record, before.applied, State.EQUAL) == (after.record, after.applied, after.state)
    assert (writes, set()) == (len(rig.target.writes), await due(rig))
    assert EVENT_ID in await rig.stores.records.followed(SITE_ID, NAME)


async def test_copy_of_an_event_is_not_followed_by_itself(rig: ApplierRig) -> None:
    """A new target whose event is a copy of one that was applied bears our ids, and is left alone until its own first apply."""
    for record in list(rig.target.stored[TARGET_EVENT].values()):
        rig.target.copy(TARGET_EVENT, record.key, "ev2")
    writes = len(rig.target.writes)
    other = rig.new_applier(name="other", events={EVENT_ID: "ev2"})
    audit = Audit(other, lambda: [SITE_ID], targets=(NAME, "other"), clock=rig.clock)

    await audit.look()

    assert {} == await rig.stores.records.followed(SITE_ID, "other")
    assert writes == len(rig.target.writes)


async def test_interrupted_first_apply_is_not_gone_on_with(rig: ApplierRig) -> None:
    """Records of an event that is not followed are no reason to follow it, unless Redis has lost what it knew."""
    await rig.reader.store.do("DEL", rig.stores.due.keys.sync(SITE_ID, NAME, "events"))

    await rig.audit().look()

    assert {} == await rig.stores.records.followed(SITE_ID, NAME)


@pytest.mark.parametrize("changes", [{"events": {EVENT_ID: "ev2"}}, {"url": "https://other.example.org"}])
async def test_event_at_another_place_needs_an_apply_of_its_own(rig: ApplierRig, changes: dict[str, Any]) -> None:
    """A file that names another event, or another address, writes nothing there before a person applies it."""
    rig.target.edit(TARGET_EVENT, rig.record(A).key, price="1.00")
    rig.clock.advance(EVERY + 1)
    moved = rig.new_applier(**changes)
    writes = len(rig.target.writes)

    await Audit(moved, lambda: [SITE_ID], clock=rig.clock).look()
    await rig.bring(A, applier=moved)

    assert writes == len(rig.target.writes)
    assert {} == rig.target.stored["ev2"]


async def test_audit_goes_on_after_errors(rig: ApplierRig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither an outage of the target nor a bug ends the audits, nor the process; the outage is told once, and its end."""
    monkeypatch.setattr("server.sync.audit.LOOK_EVERY", 0.01)
    monkeypatch.setattr("server.sync.audit.AFTER_BUG", 0.01)
    audit, stopping = rig.audit(), TimedEvent()
    errors: list[Exception | None] = [TargetUnavailable("503"), TargetUnavailable("503"), ZeroDivisionError(), None]

    async def look() -> bool:
        if error := errors.pop(0):
            raise error
        stopping.set()
        return True

    monkeypatch.setattr(audit, "look", look)
    with capture_logs() as lines:
        await asyncio.wait_for(audit.run(stopping), 5)

    assert ["audit_failed", "sync_bug", "audit_failed_no_more"] == [one["event"] for one in lines]


async def test_event_that_was_never_applied_is_not_followed(rig: ApplierRig) -> None:
    """A line in the file alone writes nothing: a person applies first."""
    rig.target.stored[TARGET_EVENT].clear()
    await rig.flush()

    await rig.audit().look()

    assert {} == await rig.stores.records.followed(SITE_ID, NAME)


async def test_parked_ticket_is_not_marked_before_the_mapping_changes(rig: ApplierRig) -> None:
    """An audit does not repeat what was refused; another mapping, or other credentials, do."""
    rig.target.refuses[A] = "no"
    await rig.says(A, name="Ticket 1", price="30.00")
    await rig.bring(A)
    rig.clock.advance(EVERY + 1)
    await rig.audit().look()
    assert set() == await due(rig)

    changed = Audit(rig.new_applier(rules=rig.settings.rules[:4]), lambda: [SITE_ID], clock=rig.clock)
    await changed.look()
    assert {A} == await due(rig)


async def test_changed_mapping_of_a_process_without_sites(rig: ApplierRig) -> None:
    """A process that knows no site yet does not use up the change of a mapping: parked tickets are marked by a later look."""
    rig.target.refuses[A] = "no"
    await rig.says(A, name="Ticket 1", price="30.00")
    await rig.bring(A)
    await rig.stores.targets.set_digest(NAME, "another")

    await Audit(rig.applier, list, clock=rig.clock).look()
    assert set() == await due(rig)

    await rig.audit().look()
    assert {A} == await due(rig)
    assert rig.settings.digest == (await rig.stores.targets.read(NAME)).digest


async def test_processes_do_not_keep_each_other_from_audits(rig: ApplierRig) -> None:
    """Two processes that both came while a third one audited find the way free as soon as that has ended."""
    third = rig.stores.leases.lease(NAME, "audit")
    assert await third.take()
    rig.clock.advance(EVERY + 1)
    for process in (first := rig.audit(), rig.audit()):
        await process.look()
    assert rig.clock() > (await rig.stores.records.followed(SITE_ID, NAME))[EVENT_ID].audit_at
    await third.release()

    await first.look()

    assert rig.clock() == (await rig.stores.records.followed(SITE_ID, NAME))[EVENT_ID].audit_at


async def test_equal_tickets_are_known_by_the_mapping_of_now(rig: ApplierRig) -> None:
    """After a change of the mapping it is known again what was applied, as soon as it was compared."""
    changed = Audit(rig.new_applier(rules=rig.settings.rules[:3]), lambda: [SITE_ID], clock=rig.clock)
    rig.clock.advance(EVERY + 1)
    await changed.look()

    memory = await rig.memory(A)
    assert changed.settings.digest == memory.digest
    assert {"name", "price", "limit"} == set((memory.applied or {})["fields"])


async def test_paused_target_is_not_asked(rig: ApplierRig) -> None:
    """Neither a person's pause nor one after a fault is used for an audit."""
    rig.clock.advance(EVERY + 1)
    requests = rig.target.requests
    await rig.stores.targets.pause(NAME, "moving", rig.clock())
    await rig.audit().look()
    await rig.stores.targets.resume(NAME)
    await rig.stores.targets.wait(NAME, rig.clock() + 5)
    await rig.audit().look()

    assert requests == rig.target.requests


async def test_forbidden_event_waits(rig: ApplierRig) -> None:
    """An event that the target does not let us read is told, and tried later."""
    rig.clock.advance(EVERY + 1)
    rig.target.next[False] = Fault.FORBIDDEN
    await rig.audit().look()

    followed = (await rig.stores.records.followed(SITE_ID, NAME))[EVENT_ID]
    assert (True, True) == ("403" in followed.error, followed.wait_until > rig.clock())


async def test_outage_is_not_taken_for_an_empty_event(rig: ApplierRig) -> None:
    """A list that failed says nothing about records."""
    rig.clock.advance(EVERY + 1)
    rig.target.next[False] = Fault.UNAVAILABLE

    with pytest.raises(TargetUnavailable):
        await rig.audit().look()
    assert set() == await due(rig)
    assert replace((await rig.memory(A)), text="") == await rig.memory(A)
