"""What the commands do, on a real Redis, against a model of a target."""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from server.errors import NotStarted, TargetForbidden
from server.model import EventId
from server.sync.mapping import Mode
from server.sync.model import Kind, Outcome, State
from server.sync.service import Sync
from tests.rig.applier_rig import NAME, OTHER_EVENT, SETTINGS, SITE_ID, TARGET_EVENT, ApplierRig, ticket_id
from tests.rig.fake_reader import EVENT
from tests.rig.model_target import Fault, ModelTarget
from tests.rig.server import SITE

TEN = [ticket_id(number) for number in range(10)]
A, B = TEN[:2]


@pytest.fixture
async def rig(redis_url: str) -> AsyncIterator[ApplierRig]:
    async with ApplierRig.on(redis_url) as found:
        await found.flush()
        yield found


@pytest.fixture
def sync(rig: ApplierRig, monkeypatch: pytest.MonkeyPatch) -> Sync:
    """The commands of a process; the target is the rig's model."""
    return new_sync(rig, monkeypatch)


def new_sync(rig: ApplierRig, monkeypatch: pytest.MonkeyPatch, **changes: object) -> Sync:
    """The commands of a process whose target's settings are these."""
    monkeypatch.setattr("server.sync.service.open_target", lambda *_: rig.target)
    return Sync(rig.reader.store, {NAME: replace(SETTINGS, **changes)}, clock=rig.clock)  # type: ignore[arg-type]


async def followed(rig: ApplierRig) -> set[EventId]:
    """The events that are followed."""
    return set(await rig.stores.records.followed(SITE_ID, NAME))


# -- plan and apply --


async def test_event_is_followed_only_after_its_first_apply(rig: ApplierRig, sync: Sync) -> None:
    """A plan writes nothing, neither at the target nor in what is followed; apply does it, and tells its progress."""
    for one in TEN:
        await rig.says(one, name=one)
    plan = await sync.plan(NAME, EVENT)
    assert ([], set(), 10) == (rig.target.writes, await followed(rig), plan.count(Kind.CREATE))

    told: list[tuple[State, int, int]] = []
    summary = await sync.apply(plan, progress=lambda outcome, done, all_: told.append((outcome.state, done, all_)))

    assert [(State.EQUAL, number + 1, 10) for number in range(10)] == told
    assert ({Kind.CREATE: 10}, (), False) == (dict(summary.done), summary.open, summary.person_needed)
    assert {EVENT} == await followed(rig)
    assert ((), 10) == ((again := await sync.plan(NAME, EVENT)).operations, again.equal)


async def test_second_apply_writes_nothing(rig: ApplierRig, sync: Sync) -> None:
    """What is equal stays as it is, and is remembered even where the memory was lost."""
    await rig.says(A)
    await sync.apply(await sync.plan(NAME, EVENT))
    writes = len(rig.target.writes)
    await rig.flush()

    await sync.apply(await sync.plan(NAME, EVENT))

    assert writes == len(rig.target.writes)
    assert State.EQUAL == (await rig.memory(A)).state


@pytest.mark.parametrize("killed", range(2, 32, 2))
async def test_apply_that_was_killed_ends_equal_when_run_again(
    redis_url: str, monkeypatch: pytest.MonkeyPatch, killed: int
) -> None:
    """Wherever the process ends, the next run leaves one record each, and nothing half made was on sale meanwhile."""
    monkeypatch.setattr("server.store.leases.LASTS", 0.3)
    monkeypatch.setattr("server.store.sync_due.LASTS", 0.3)
    options = {"a": ("Adult", "20.00"), "b": ("Child", "8.50")}
    async with ApplierRig.on(redis_url, target=ModelTarget(steps=True, faults={killed: Fault.KILLED_AFTER})) as rig:
        sync = new_sync(rig, monkeypatch)
        for one in TEN[:3]:
            await rig.says(one, name=one, options=options)
        for _ in range(3):
            plan = asyncio.ensure_future(_apply(sync))
            await asyncio.wait({plan})
            complete = [one for one in rig.target.stored[TARGET_EVENT].values() if one.complete]
            assert [2] * len(complete) == [len(one.options) for one in complete]
            if plan.exception() is None:
                break
            rig.clock.advance(1)

        rig.target.faults.clear()
        assert sorted(TEN[:3]) == sorted(one.ticket for one in rig.target.stored[TARGET_EVENT].values())
        assert () == (await sync.plan(NAME, EVENT)).operations


async def _apply(sync: Sync) -> None:
    """One run of the command; a kill ends it as it ends a process: nothing is given back."""
    try:
        await sync.apply(await sync.plan(NAME, EVENT))
    except BaseException as error:
        raise RuntimeError("killed") from error


async def test_apply_leaves_what_a_person_has_to_decide(rig: ApplierRig, sync: Sync) -> None:
    """An adoption is done only with adopt=True; what is left is in the summary."""
    rig.target.put(TARGET_EVENT, "Gala", {"name": "Gala"})
    await rig.says(A, name="Gala")

    summary = await sync.apply(await sync.plan(NAME, EVENT))
    assert (True, [State.CONFLICT]) == (summary.person_needed, [one.state for one in summary.open])

    summary = await sync.apply(await sync.plan(NAME, EVENT), adopt=True)
    assert ({Kind.ADOPT: 1}, False) == (dict(summary.done), summary.person_needed)


async def test_person_says_the_number_of_deactivations(rig: ApplierRig, sync: Sync) -> None:
    """More than happens by itself is done with the number, and with a smaller one nothing is."""
    for one in TEN:
        await rig.says(one, name=one)
    await sync.apply(await sync.plan(NAME, EVENT))
    await rig.deletes(*TEN[:6])

    summary = await sync.apply(await sync.plan(NAME, EVENT))
    assert [State.LIMIT] * 6 == [one.state for one in summary.open]
    with pytest.raises(NotStarted, match="more than 5: look at it, and say 6"):
        await sync.apply(await sync.plan(NAME, EVENT), deactivate=5)
    summary = await sync.apply(await sync.plan(NAME, EVENT), deactivate=6)
    assert {Kind.DEACTIVATE: 6} == dict(summary.done)


async def test_apply_waits_out_a_short_outage(rig: ApplierRig, monkeypatch: pytest.MonkeyPatch) -> None:
    """A target that is away for a moment is asked again; the command ends equal."""
    rig.clock = time.time  # type: ignore[assignment] # the wait is a real one
    sync = new_sync(rig, monkeypatch)
    await rig.says(A)
    plan = await sync.plan(NAME, EVENT)
    rig.target.faults.update(dict.fromkeys(range(rig.target.requests + 1, rig.target.requests + 4), Fault.UNAVAILABLE))

    assert () == (await sync.apply(plan)).open


async def test_copies_are_told_and_not_touched(rig: ApplierRig, sync: Sync) -> None:
    """A record with the id of another event's ticket is left, and the summary has it."""
    await rig.says(A)
    await sync.apply(await sync.plan(NAME, EVENT))
    rig.target.writes.clear()
    await rig.says(B, name="Other", event=OTHER_EVENT)
    rig.target.put(TARGET_EVENT, "Copied", {"name": "Copied"}, ticket=B)

    summary = await sync.apply(await sync.plan(NAME, EVENT))

    assert ([State.CONFLICT], []) == ([one.state for one in summary.open], rig.target.writes)


async def test_observed_target_is_planned_and_not_applied(rig: ApplierRig, monkeypatch: pytest.MonkeyPatch) -> None:
    """With mode = "observe" apply refuses before it writes anything."""
    observing = new_sync(rig, monkeypatch, mode=Mode.OBSERVE)
    await rig.says(A)

    with pytest.raises(NotStarted, match="observe"):
        await observing.apply(await observing.plan(NAME, EVENT))
    assert [] == rig.target.writes


async def test_paused_target_is_not_written_to_by_a_person(rig: ApplierRig, sync: Sync) -> None:
    """A pause stops apply and adopt too, and says how to end it; a plan is still made."""
    await rig.says(A)
    plan = await sync.plan(NAME, EVENT)
    await sync.pause(NAME, "moving")

    with pytest.raises(NotStarted, match=r"is paused \(moving\): end that first with sync resume box"):
        await sync.apply(plan)
    with pytest.raises(NotStarted, match="is paused"):
        await sync.adopt(NAME, A, "1")
    assert [] == rig.target.writes
    assert plan.digest == (await sync.plan(NAME, EVENT)).digest


async def test_replaced_record_is_told_as_such(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A conflict that was solved by replacing is a creation that says what it replaces; a needless one is refused."""
    target = ModelTarget(steps=True)
    target.abilities = replace(target.abilities, changes_options=False)
    async with ApplierRig.on(redis_url, target=target) as rig:
        sync = new_sync(rig, monkeypatch)
        await rig.says(A)
        await sync.apply(await sync.plan(NAME, EVENT))
        with pytest.raises(NotStarted, match="needs no replacing"):
            await sync.apply(await sync.plan(NAME, EVENT), replace=frozenset({A}))
        await rig.says(A, options={"a": ("Adult", "20.00")})
        told: list[Outcome] = []

        summary = await sync.apply(
            await sync.plan(NAME, EVENT), replace=frozenset({A}), progress=lambda outcome, *_: told.append(outcome)
        )

        assert ({Kind.CREATE: 1}, ()) == (dict(summary.done), summary.open)
        assert "replaces record 1, which is off sale" == told[0].text


async def test_event_that_the_target_does_not_let_us_use_ends_an_apply(rig: ApplierRig, sync: Sync) -> None:
    """What concerns the whole event is told once, and not for each ticket; nothing is parked, and the event is not followed."""
    for one in TEN[:3]:
        await rig.says(one, name=one)
    plan = await sync.plan(NAME, EVENT)
    first = rig.target.requests + 1
    rig.target.faults.update(dict.fromkeys(range(first, first + 9), Fault.FORBIDDEN))

    with pytest.raises(TargetForbidden, match="403"):
        await sync.apply(plan)
    rig.target.faults.clear()
    assert (set(), ()) == (await followed(rig), await sync.parked())
    assert () == (await sync.apply(plan)).open


# -- names that are wrong --


@pytest.mark.parametrize(
    ("named", "says"),
    [
        (("nobody", EVENT, None), "sync.toml has no target 'nobody'; its targets: box"),
        ((NAME, "no-such-event", None), "no event 'no-such-event' is known"),
        (
            (NAME, EVENT, "11111111-1111-4111-8111-111111111111"),
            "no site '11111111-1111-4111-8111-111111111111' is known",
        ),
    ],
)
async def test_wrong_name_says_what_to_do(
    rig: ApplierRig, sync: Sync, named: tuple[str, str, str | None], says: str
) -> None:
    """A name that is not known is told, with those that are."""
    await rig.says(A)

    with pytest.raises(NotStarted, match=says):
        await sync.plan(named[0], named[1], site=named[2])


# -- differences --


async def test_diff_shows_exactly_the_edits(rig: ApplierRig, sync: Sync) -> None:
    """After edits by hand the fields that differ are told, with what was applied; the rest is counted."""
    for one in TEN:
        await rig.says(one, name=one)
    await sync.apply(await sync.plan(NAME, EVENT))
    rig.target.edit(TARGET_EVENT, rig.record(A).key, price="1.00", mine="x")
    rig.target.edit(TARGET_EVENT, rig.record(B).key, limit=None)

    diff = await sync.diff(NAME, EVENT, site=SITE)

    assert (8, 0) == (diff.equal, diff.without)
    assert {
        A: [("price", "25.00", "25.00", "1.00")],
        B: [("limit", 100, 100, None)],
    } == {one.ticket: [(f.name, f.wix, f.applied, f.target) for f in one.fields] for one in diff.tickets}


# -- decisions and status --


async def test_adopt_gives_one_of_two_records_the_id(rig: ApplierRig, sync: Sync) -> None:
    """The chosen record keeps the id and is brought up to date; the other loses it, and nothing else."""
    await rig.says(A)
    await sync.apply(await sync.plan(NAME, EVENT))
    copy = rig.target.copy(TARGET_EVENT, rig.record(A).key, TARGET_EVENT)
    await rig.says(A, price="30.00")

    outcome = await sync.adopt(NAME, A.upper(), copy)

    assert (State.EQUAL, copy) == (outcome.state, rig.record(A).key)
    former = next(one for one in rig.target.stored[TARGET_EVENT].values() if one.key != copy)
    assert "lost its id and is still on sale" in outcome.text
    assert ("", "25.00", "30.00") == (former.ticket, former.fields["price"], rig.record(A).fields["price"])


@pytest.mark.parametrize(
    ("ticket", "record", "says"),
    [("Gala", "1", "not a ticket definition id"), (A, "99", "has no record 99"), (B, "1", "bears the id of ticket")],
)
async def test_adopt_refuses_what_cannot_be(rig: ApplierRig, sync: Sync, ticket: str, record: str, says: str) -> None:
    """A wrong ticket, a record that is not there, and one that belongs to another ticket."""
    await rig.says(A)
    await sync.apply(await sync.plan(NAME, EVENT))
    await rig.says(B)

    with pytest.raises(NotStarted, match=says):
        await sync.adopt(NAME, ticket, record)


async def test_parked_tickets_are_listed_and_tried_again(rig: ApplierRig, sync: Sync) -> None:
    """What was refused is listed with its reason; a retry makes it due at once."""
    rig.target.refuses[A] = "too long"
    await rig.says(A, name="Gala")
    await sync.apply(await sync.plan(NAME, EVENT))

    [one] = await sync.parked(NAME)
    assert (A, "Gala", State.REFUSED, 1) == (one.ticket, one.name, one.state, one.tries)
    assert "too long" in one.text
    assert 1 == await sync.retry(ticket=A)
    assert 0 >= (await rig.due_in(A) or 0)
    assert () == await sync.parked()


async def test_status_counts_what_is_remembered(rig: ApplierRig, sync: Sync) -> None:
    """Equal, parked, due, paused and the last answer of each target."""
    [before] = await sync.status()
    assert (0, None, 0, None) == (before.records, before.equal, before.due, before.audit_age)

    rig.target.refuses[B] = "no"
    for one in (A, B):
        await rig.says(one, name=one)
    await sync.apply(await sync.plan(NAME, EVENT))
    await sync.pause(NAME, "moving")
    await rig.stores.targets.served(NAME, SETTINGS.digest, rig.clock() + 60)
    await rig.stores.due.mark(SITE_ID, NAME, [A])
    rig.clock.advance(60)

    [found] = await sync.status()
    assert (2, 1, 1, 0, 1) == (found.records, found.equal, found.parked, found.conflicts, found.due)
    assert ("moving", 60.0, 60.0) == (found.paused, found.paused_for, found.audit_age)

    await sync.resume(NAME)
    assert (await sync.status())[0].paused is None


async def test_two_commands_at_once_leave_one_record_each(rig: ApplierRig, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker and a command, or two commands, share the leases."""
    for one in TEN:
        await rig.says(one, name=one)
    syncs = [new_sync(rig, monkeypatch) for _ in range(2)]
    plans = [await one.plan(NAME, EVENT) for one in syncs]

    outcomes: list[Outcome] = []
    await asyncio.gather(
        *(one.apply(plan, progress=lambda o, *_: outcomes.append(o)) for one, plan in zip(syncs, plans, strict=True))
    )

    assert (sorted(TEN), 1) == (
        sorted(one.ticket for one in rig.target.stored[TARGET_EVENT].values()),
        rig.target.most_at_once,
    )
