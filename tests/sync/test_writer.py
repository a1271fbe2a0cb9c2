"""Creations are remembered before they are sent, and keep their attempt until it is known what became of them."""

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from server.errors import TargetRefused, TargetUnsure
from server.model import TicketId
from server.store.sync_records import StoredRecord
from server.sync.model import Wanted
from server.sync.plan import Found, Rules, plan_ticket
from server.sync.targets.target import BeforeWrite
from server.sync.work import NOTHING_MORE, HeldLeases, Work
from server.sync.writer import LOOK_AGAIN, NEW_ATTEMPT, Writer
from tests.rig.applier_rig import NAME, SETTINGS, SITE_ID, TARGET_EVENT, ApplierRig, ticket_id
from tests.rig.model_target import Fault

A = ticket_id(1)
WANTED = Wanted(A, "Gala", {"name": "Gala"})


@pytest.fixture
async def rig(redis_url: str) -> AsyncIterator[ApplierRig]:
    async with ApplierRig.on(redis_url) as found:
        yield found


@pytest.fixture
async def work(rig: ApplierRig) -> AsyncIterator[Work]:
    """A claimed ticket, under the lease of its target."""
    async with rig.stores.leases.held(SETTINGS.server) as lease:
        claimed = await rig.stores.due.claim(SITE_ID, NAME, A)
        assert claimed
        leases = HeldLeases(rig.stores, lease, claimed)
        yield Work(SITE_ID, A, rig.event, None, StoredRecord(), leases, NOTHING_MORE)


@pytest.fixture
def writer(rig: ApplierRig) -> Writer:
    """What writes to the rig's target."""
    return Writer(NAME, rig.target, rig.stores, rig.applier.deactivations, clock=rig.clock)


async def test_creation_is_remembered_before_it_is_sent(
    rig: ApplierRig, work: Work, writer: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that ends during the request leaves the knowledge that a record may come to be."""
    seen: list[StoredRecord] = []
    create = rig.target.create

    async def recorded(event: str, wanted: Wanted, attempt: str, before_write: BeforeWrite) -> str:
        seen.append(await rig.memory(A))
        return await create(event, wanted, attempt, before_write)

    monkeypatch.setattr(rig.target, "create", recorded)
    await writer.create(work, WANTED)

    assert (rig.clock(), 0, rig.event.event) == (seen[0].unsure_at, seen[0].attempt, seen[0].event)
    assert (0.0, 1, "1") == (work.memory.unsure_at, work.memory.attempt, work.memory.record)


async def test_attempt_stays_while_the_outcome_is_unknown(rig: ApplierRig, work: Work, writer: Writer) -> None:
    """The same attempt is the same idempotency key, so a second try makes no second record; after two minutes it is a new one."""
    rig.target.next[True] = Fault.LOST
    with pytest.raises(TargetUnsure):
        await writer.create(work, WANTED)
    assert 0 == (await rig.memory(A)).attempt

    await writer.create(work, WANTED)
    assert (1, 1) == (len(rig.target.stored[TARGET_EVENT]), work.memory.attempt)

    work.memory = replace(work.memory, unsure_at=rig.clock() - NEW_ATTEMPT, attempt=5)
    await writer.create(work, WANTED)
    assert 7 == work.memory.attempt


async def test_refused_creation_is_a_new_attempt(rig: ApplierRig, work: Work, writer: Writer) -> None:
    """An idempotency key replays a refusal, too."""
    rig.target.refuses[A] = "no"
    with pytest.raises(TargetRefused):
        await writer.create(work, WANTED)
    assert (1, 0.0) == (work.memory.attempt, work.memory.unsure_at)


async def test_replayed_answer_of_a_dead_record_is_a_new_attempt(
    rig: ApplierRig, work: Work, writer: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A key that answers a record which is no more is not used again."""

    async def replayed(*_: object) -> str:
        raise TargetUnsure("201 of a record that is gone", replayed=True)

    monkeypatch.setattr(rig.target, "create", replayed)
    with pytest.raises(TargetUnsure):
        await writer.create(work, WANTED)
    assert (1, 0.0) == ((await rig.memory(A)).attempt, (await rig.memory(A)).unsure_at)


async def test_other_content_waits_for_a_creation_without_answer(rig: ApplierRig, work: Work, writer: Writer) -> None:
    """Only what was sent may be sent again, until a minute has passed."""
    rig.target.next[True] = Fault.LOST
    with pytest.raises(TargetUnsure):
        await writer.create(work, WANTED)
    rig.clock.advance(10)

    assert 0.0 == writer.waits(work, WANTED)
    assert LOOK_AGAIN - 10 == pytest.approx(writer.waits(work, replace(WANTED, name="Ball")))
    rig.clock.advance(LOOK_AGAIN)
    assert 0.0 == writer.waits(work, replace(WANTED, name="Ball"))


async def test_replaced_record_is_off_sale_before_the_new_one_is(rig: ApplierRig, work: Work, writer: Writer) -> None:
    """The old one closes, loses the id, and then the new one is made."""
    key = rig.target.put(TARGET_EVENT, "Gala", {"active": True}, ticket=A)
    record = (await rig.target.list(TARGET_EVENT))[0]

    await writer.replace(work, record, WANTED)

    assert ["deactivate", "mark"] == [one.method for one in rig.target.writes][:2]
    assert ("", TicketId(A)) == (rig.target.stored[TARGET_EVENT][key].ticket, rig.record(A).ticket)


async def test_adopted_record_gets_the_id_and_what_differs(rig: ApplierRig, work: Work, writer: Writer) -> None:
    """The id comes first; then an update writes what the operation names."""
    key = rig.target.put(TARGET_EVENT, "Gala", {"name": "Gala", "price": "1.00"})
    [record] = await rig.target.list(TARGET_EVENT)
    await writer.adopt(work, record)
    assert (key, A) == (work.memory.record, rig.record(A).ticket)

    wanted = Wanted(A, "Gala", {"price": "2.00"})
    found = Found(tuple(await rig.target.list(TARGET_EVENT)))
    operation = plan_ticket(wanted, found, None, Rules())
    assert operation
    await writer.update(work, found, wanted, operation)
    assert "2.00" == rig.record(A).fields["price"]


async def test_deactivation_is_counted_and_remembered(rig: ApplierRig, work: Work, writer: Writer) -> None:
    """It counts for the hour's limit, and is not done again."""
    rig.target.put(TARGET_EVENT, "Gala", {"active": True}, ticket=A)
    [record] = await rig.target.list(TARGET_EVENT)

    await writer.deactivate(work, record, delete=False)

    assert (False, True) == (rig.record(A).fields["active"], work.memory.removed)
    assert 1 == await rig.stores.records.deactivations(SITE_ID, NAME, rig.event.event, 0.0)
