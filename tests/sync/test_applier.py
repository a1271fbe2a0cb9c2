"""One ticket at a time, on a real Redis, against a model of a target."""

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from server.store.timing import DAY
from server.sync.applier import TRIES
from server.sync.mapping import Mode
from server.sync.model import Kind, Reason, State
from server.sync.work import Allowed
from server.sync.writer import LOOK_AGAIN, NEW_ATTEMPT
from tests.rig.applier_rig import EVENT_ID, NAME, SITE_ID, TARGET_EVENT, ApplierRig, ticket_id
from tests.rig.model_target import Fault, ModelTarget

A, B = ticket_id(1), ticket_id(2)
ADULT, CHILD = "aaaaaaaa-0001-4001-8001-000000000001", "aaaaaaaa-0002-4002-8002-000000000002"
TWO = {ADULT: ("Adult", "20.00"), CHILD: ("Child", "8.50")}


@pytest.fixture
async def rig(redis_url: str) -> AsyncIterator[ApplierRig]:
    async with ApplierRig.on(redis_url) as found:
        yield found


# -- what is done --


async def test_new_ticket_gets_one_record_that_bears_its_id(rig: ApplierRig) -> None:
    """A ticket without a record gets one, complete, and is not due again; what was applied is remembered."""
    await rig.says(A, name="Gala", price="25.00")

    outcome = await rig.bring(A)

    assert (State.EQUAL, Kind.CREATE) == (outcome.state, outcome.operation.kind)
    record = rig.record(A)
    assert {"name": "Gala", "price": "25.00", "limit": 100, "active": True, "note": "from Wix"} == record.fields
    memory = await rig.memory(A)
    assert (record.key, "equal", {"name": "Gala", "price": "25.00", "limit": 100, "active": True}) == (
        memory.record,
        memory.state,
        memory.applied and memory.applied["fields"],
    )
    assert await rig.due_in(A) is None


async def test_second_pass_writes_nothing(rig: ApplierRig) -> None:
    """What is equal is not written again."""
    await rig.says(A)
    await rig.bring(A)
    before = len(rig.target.writes)

    assert State.EQUAL == (await rig.bring(A)).state
    assert before == len(rig.target.writes)


async def test_change_in_wix_is_written_and_nothing_else(rig: ApplierRig) -> None:
    """Only the fields that differ are written."""
    await rig.says(A, price="25.00")
    await rig.bring(A)
    rig.target.writes.clear()
    await rig.says(A, price="27.50")

    outcome = await rig.bring(A)

    assert (Kind.UPDATE, Reason.CHANGED) == (outcome.operation.kind, outcome.operation.reason)
    assert ["price"] == [one.what for one in rig.target.writes]
    assert "27.50" == rig.record(A).fields["price"]


async def test_edit_by_hand_is_overwritten_and_initial_fields_are_not(rig: ApplierRig) -> None:
    """Wix wins over an edit in the target, but a field that is set once stays as the organiser made it."""
    await rig.says(A)
    await rig.bring(A)
    rig.target.edit(TARGET_EVENT, rig.record(A).key, price="1.00", note="mine")

    outcome = await rig.bring(A)

    assert (State.EQUAL, Reason.EDITED) == (outcome.state, outcome.operation.reason)
    assert ("25.00", "mine") == (rig.record(A).fields["price"], rig.record(A).fields["note"])


async def test_deleted_ticket_is_taken_off_sale_once(rig: ApplierRig) -> None:
    """A ticket for which Wix answers 404 is off sale, stays in the target, and is not written again."""
    for one in (A, B):
        await rig.says(one)
        await rig.bring(one)
    await rig.deletes(A)

    assert (State.EQUAL, Kind.DEACTIVATE) == ((o := await rig.bring(A)).state, o.operation.kind)
    assert rig.record(A).fields["active"] is False
    writes = len(rig.target.writes)
    await rig.bring(A)
    assert writes == len(rig.target.writes)


async def test_ticket_that_is_not_stored_is_left_alone_and_asked_for(rig: ApplierRig) -> None:
    """A ticket of which no read is stored is not known: nothing is written, and Wix is asked."""
    await rig.says(A)
    await rig.bring(A)
    await rig.reader.store.do("DEL", rig.stores.due.keys.key(SITE_ID, "ticket", A))
    writes = len(rig.target.writes)

    outcome = await rig.bring(A)

    assert (State.DUE, writes) == (outcome.state, len(rig.target.writes))
    assert A in await rig.reader.schedule.tracked(SITE_ID)
    assert 0 < (await rig.due_in(A) or 0) <= 5


async def test_options_are_created_changed_and_removed(rig: ApplierRig) -> None:
    """Each pricing option has one option of the record, by its id."""
    await rig.says(A, options=TWO)
    await rig.bring(A)
    assert {ADULT: "20.00", CHILD: "8.50"} == {one.id: one.fields["price"] for one in rig.record(A).options}

    await rig.says(A, options={ADULT: ("Grown-up", "21.00")})
    assert State.EQUAL == (await rig.bring(A)).state
    assert [(ADULT, "Grown-up", "21.00")] == [
        (one.id, one.fields["name"], one.fields["price"]) for one in rig.record(A).options if one.active
    ]


async def test_observed_target_is_never_written(rig: ApplierRig) -> None:
    """With mode = "observe" it is only compared."""
    await rig.says(A)

    outcome = await rig.bring(A, applier=rig.new_applier(mode=Mode.OBSERVE))

    assert (State.DIFFERS, []) == (outcome.state, rig.target.writes)


async def test_event_that_the_file_does_not_name_is_not_written(rig: ApplierRig) -> None:
    """A ticket of an event that has no event at the target is dropped."""
    await rig.says(A)

    outcome = await rig.bring(A, applier=rig.new_applier(events={}))

    assert (State.EQUAL, []) == (outcome.state, rig.target.writes)
    assert await rig.due_in(A) is None


async def test_event_that_is_not_followed_is_left_to_a_person(rig: ApplierRig) -> None:
    """What an interrupted first apply left is not gone on with by a worker, but by the person who runs it again."""
    await rig.says(A)
    await rig.flush()

    assert (State.DUE, []) == ((await rig.bring(A)).state, rig.target.writes)
    assert await rig.due_in(A) is None
    assert State.EQUAL == (await rig.bring(A, Allowed(by_person=True))).state


# -- decisions of a person --


async def test_adoption_is_proposed_and_done_only_if_asked_for(rig: ApplierRig) -> None:
    """A record of the same name without an id is not doubled and not taken over; a person decides."""
    key = rig.target.put(TARGET_EVENT, "Gala", {"name": "Gala", "price": "15.00", "limit": 100, "active": True})
    await rig.says(A, name="Gala", price="18.00")

    outcome = await rig.bring(A)
    assert (State.CONFLICT, Kind.ADOPT, []) == (outcome.state, outcome.operation.kind, rig.target.writes)

    outcome = await rig.bring(A, Allowed(adopt=True))
    assert (State.EQUAL, key, "18.00") == (outcome.state, rig.record(A).key, rig.record(A).fields["price"])
    assert 1 == len(rig.target.stored[TARGET_EVENT])


async def test_two_records_with_one_id_are_a_conflict_that_writes_nothing(rig: ApplierRig) -> None:
    """Law 16: a copy that bears the id is told, and neither is touched, not even when the ticket is deleted."""
    await rig.says(A)
    await rig.bring(A)
    rig.target.copy(TARGET_EVENT, rig.record(A).key, TARGET_EVENT)
    rig.target.writes.clear()
    await rig.says(A, price="30.00")

    assert State.CONFLICT == (await rig.bring(A)).state
    await rig.deletes(A)
    assert State.CONFLICT == (await rig.bring(A)).state
    assert [] == rig.target.writes


async def test_price_that_becomes_options_needs_replacing(redis_url: str) -> None:
    """Where the target cannot change that, a person has it replaced: the old record is off sale without the id."""
    target = ModelTarget(steps=True)
    target.abilities = replace(target.abilities, changes_options=False)
    async with ApplierRig.on(redis_url, target=target) as rig:
        await rig.says(A)
        await rig.bring(A)
        old = rig.record(A).key
        await rig.says(A, options=TWO)

        outcome = await rig.bring(A)
        assert (State.CONFLICT, Reason.NEEDS_REPLACING) == (outcome.state, outcome.operation.reason)

        assert State.EQUAL == (await rig.bring(A, Allowed(replace=True))).state
        assert 2 == len(rig.record(A).options)
        former = target.stored[TARGET_EVENT][old]
        assert ("", False) == (former.ticket, former.fields["active"])


# -- what the target could not take --


async def test_refused_write_is_parked_with_the_targets_words(rig: ApplierRig) -> None:
    """A write that would be refused again is parked for a day, with the reason."""
    rig.target.refuses[A] = "name: at most 10 characters"
    await rig.says(A)

    outcome = await rig.bring(A)

    assert State.REFUSED == outcome.state
    assert "name: at most 10 characters" in (await rig.memory(A)).text
    assert DAY - 60 < (await rig.due_in(A) or 0) <= DAY


async def test_parked_ticket_recovers_when_it_changes(rig: ApplierRig) -> None:
    """Success clears the error and the count of tries."""
    rig.target.refuses[A] = "too long"
    await rig.says(A)
    await rig.bring(A)
    del rig.target.refuses[A]

    assert State.EQUAL == (await rig.bring(A)).state
    memory = await rig.memory(A)
    assert ("", 0) == (memory.text, memory.tries)


async def test_value_that_the_target_rewrites_is_parked_and_not_repeated(rig: ApplierRig) -> None:
    """What is read back otherwise than written is told as it is."""
    rig.target.rewrites["price"] = lambda _: "99.00"
    await rig.says(A, price="25.00")

    outcome = await rig.bring(A)

    assert (State.NOT_KEPT, "wrote price '25.00', reads '99.00'") == (outcome.state, outcome.text)


@pytest.mark.parametrize("fault", [Fault.LOST, Fault.UNAVAILABLE, Fault.LATE])
@pytest.mark.parametrize("number", range(1, 9))
async def test_fault_at_any_request_leaves_one_record(redis_url: str, fault: Fault, number: int) -> None:
    """However one request fails, passes until it is equal leave exactly one record, equal, and never half on sale."""
    async with ApplierRig.on(redis_url, target=ModelTarget(steps=True, faults={number: fault}, late=3)) as rig:
        await rig.says(A, options=TWO)
        for _ in range(12):
            outcome = await rig.bring(A)
            half = [one for one in rig.target.stored[TARGET_EVENT].values() if one.complete and len(one.options) < 2]
            assert [] == half
            if outcome.state is State.EQUAL:
                break
            rig.clock.advance(NEW_ATTEMPT / 3)

        assert State.EQUAL == outcome.state
        assert 1 == len(rig.target.stored[TARGET_EVENT])
        assert State.EQUAL == (await rig.bring(A)).state


async def test_creation_without_answer_is_not_repeated_with_other_content(rig: ApplierRig) -> None:
    """While a creation may still come to its end, another one with other content waits."""
    rig.target.late = 100
    rig.target.faults[4] = Fault.LATE
    await rig.says(A, price="25.00")
    await rig.bring(A)
    await rig.says(A, price="30.00")

    outcome = await rig.bring(A)

    assert (State.DUE, 0) == (outcome.state, len(rig.target.stored[TARGET_EVENT]))
    rig.clock.advance(LOOK_AGAIN + 1)
    assert State.EQUAL == (await rig.bring(A)).state
    assert "30.00" == rig.record(A).fields["price"]


async def test_ticket_that_alone_fails_is_tried_again_and_then_parked(rig: ApplierRig) -> None:
    """While the target answers other requests, one ticket's faults neither pause it nor go on for ever."""
    await rig.says(A)
    states = []
    for _ in range(TRIES):
        rig.target.next[True] = Fault.UNAVAILABLE
        states.append((await rig.bring(A)).state)

    assert [State.DUE] * (TRIES - 1) + [State.UNSURE] == states
    assert 0 == (await rig.stores.targets.read(NAME)).faults


@pytest.mark.parametrize("fault", [Fault.UNAVAILABLE, Fault.UNAUTHORIZED])
async def test_outage_pauses_the_target_and_parks_nothing(rig: ApplierRig, fault: Fault) -> None:
    """A target that answers nothing, or refuses our credentials, waits, and the ticket stays due."""
    await rig.says(A)
    rig.target.faults.update(dict.fromkeys(range(1, 100), fault))

    outcome = await rig.bring(A)

    assert State.DUE == outcome.state
    state = await rig.stores.targets.read(NAME)
    assert (1, True) == (state.faults, state.wait_until > rig.clock())
    assert 0 >= (await rig.due_in(A) or 0)
    rig.target.faults.clear()
    assert State.EQUAL == (await rig.bring(A)).state
    assert 0 == (await rig.stores.targets.read(NAME)).faults


async def test_forbidden_event_waits_and_the_target_does_not(rig: ApplierRig) -> None:
    """403 to a read concerns that event only."""
    await rig.says(A)
    rig.target.faults.update(dict.fromkeys(range(1, 3), Fault.FORBIDDEN))

    outcome = await rig.bring(A)

    followed = (await rig.stores.records.followed(SITE_ID, NAME))[EVENT_ID]
    assert (State.DUE, 1) == (outcome.state, followed.faults)
    assert (followed.wait_until > rig.clock(), 0) == (True, (await rig.stores.targets.read(NAME)).faults)
    rig.clock.advance(1000)
    rig.target.faults.clear()
    assert State.EQUAL == (await rig.bring(A)).state
    assert 0 == (await rig.stores.records.followed(SITE_ID, NAME))[EVENT_ID].faults


# -- what is remembered --


async def test_lost_memory_is_rebuilt_without_a_write(rig: ApplierRig) -> None:
    """All that sync remembers can be thrown away: the record bears the id."""
    await rig.says(A)
    await rig.bring(A)
    before, writes = await rig.memory(A), len(rig.target.writes)
    await rig.flush()
    await rig.follow()

    assert State.EQUAL == (await rig.bring(A)).state
    after = await rig.memory(A)
    assert (before.record, before.applied, writes) == (after.record, after.applied, len(rig.target.writes))


async def test_id_that_was_cleared_by_hand_is_not_doubled(rig: ApplierRig) -> None:
    """A record that lost our id has its name still: adoption is proposed."""
    await rig.says(A)
    await rig.bring(A)
    rig.target.clear(TARGET_EVENT, rig.record(A).key)

    outcome = await rig.bring(A)

    assert (State.CONFLICT, Kind.ADOPT, 1) == (
        outcome.state,
        outcome.operation.kind,
        len(rig.target.stored[TARGET_EVENT]),
    )
