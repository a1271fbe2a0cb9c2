"""What is done while a person waits, on a real Redis, against a model of a target."""

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

from server.errors import NotStarted, TargetUnavailable
from server.sync.attended import TRIES, Attended
from server.sync.model import State
from server.sync.work import Allowed
from tests.rig.applier_rig import NAME, SETTINGS, SITE_ID, ApplierRig, ticket_id
from tests.rig.model_target import Fault
from tests.rig.server import until

A = ticket_id(1)
BY_PERSON = Allowed(by_person=True)


@pytest.fixture
async def rig(redis_url: str) -> AsyncIterator[ApplierRig]:
    async with ApplierRig.on(redis_url) as found:
        found.clock = time.time  # type: ignore[assignment] # the waits are real ones
        found.applier = found.new_applier()
        found.chance = 0.0
        await found.says(A)
        yield found


def attended(rig: ApplierRig) -> Attended:
    """What a command uses."""
    return Attended(rig.stores, clock=time.time)


async def test_person_is_told_why_nothing_happens(rig: ApplierRig, monkeypatch: pytest.MonkeyPatch) -> None:
    """While another process writes, or a killed one may still be heard, a line says so, once."""
    monkeypatch.setattr("server.sync.attended.NOTICE_AFTER", 0.05)
    told: list[str] = []
    waiting = attended(rig)
    waiting.notice = told.append
    async with rig.stores.leases.held(SETTINGS.server):
        bringing = asyncio.create_task(waiting.bring(rig.applier, SITE_ID, A, BY_PERSON))
        await until(lambda: told)
        assert not bringing.done()

    assert State.EQUAL == (await bringing).state
    assert 1 == len(told)
    assert "another process writes" in told[0]


async def test_ticket_of_a_process_that_died_is_waited_for(rig: ApplierRig, monkeypatch: pytest.MonkeyPatch) -> None:
    """A claim ends by itself; one that never does is told."""
    assert await rig.stores.due.claim(SITE_ID, NAME, A)
    monkeypatch.setattr("server.sync.attended.LASTS", -4.5)
    with pytest.raises(NotStarted, match=f"another process has had ticket {A}"):
        await attended(rig).bring(rig.applier, SITE_ID, A, BY_PERSON)


async def test_outage_is_waited_out_and_a_long_one_is_left_to_the_workers(rig: ApplierRig) -> None:
    """A ticket is tried again while the target does not answer, and stays due after some tries."""
    first = rig.target.requests + 1
    rig.target.faults.update(dict.fromkeys(range(first, first + 3), Fault.UNAVAILABLE))
    assert State.EQUAL == (await attended(rig).bring(rig.applier, SITE_ID, A, BY_PERSON)).state

    await rig.says(A, price="30.00")
    rig.target.faults.update(dict.fromkeys(range(1, 1000), Fault.UNAVAILABLE))
    assert State.DUE == (await attended(rig).bring(rig.applier, SITE_ID, A, BY_PERSON)).state
    assert "25.00" == rig.record(A).fields["price"]


async def test_question_is_asked_again_while_the_target_does_not_answer(rig: ApplierRig) -> None:
    """A short outage is waited out; the error of a long one is the caller's."""
    asked: list[int] = []

    async def ask() -> None:
        asked.append(1)
        if len(asked) < answers_from:
            raise TargetUnavailable("503")

    answers_from = 3
    await attended(rig).asking(rig.applier, ask)
    assert 3 == len(asked)

    answers_from = 100
    with pytest.raises(TargetUnavailable):
        await attended(rig).asking(rig.applier, ask)
    assert 3 + TRIES == len(asked)
