"""The loop of a target: due tickets, one after the other, in any number of processes."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from server.sync.loop import POLL_EVERY, TargetLoop
from server.sync.model import State
from server.timed_event import TimedEvent
from tests.rig.applier_rig import NAME, SITE_ID, ApplierRig, ticket_id
from tests.rig.model_target import ModelTarget
from tests.rig.server import until

MANY = [ticket_id(number) for number in range(20)]


@pytest.fixture
async def rig(redis_url: str) -> AsyncIterator[ApplierRig]:
    async with ApplierRig.on(redis_url) as found:
        yield found


def loop(rig: ApplierRig) -> TargetLoop:
    """The loop of one process."""
    return TargetLoop(rig.new_applier(), lambda: [SITE_ID], clock=rig.clock)


async def test_loops_of_four_workers_write_one_record_each(rig: ApplierRig) -> None:
    """Four processes bring twenty tickets: one record each, never two writes at once."""
    for one in MANY:
        await rig.says(one, name=one)
    await rig.stores.due.mark(SITE_ID, NAME, MANY)
    stopping = TimedEvent()

    workers = [asyncio.create_task(loop(rig).run(stopping)) for _ in range(4)]
    await until(lambda: len(rig.target.stored["ev1"]) == len(MANY))

    async def all_equal() -> bool:
        states = await rig.stores.records.states(SITE_ID, NAME)
        return [State.EQUAL] * len(MANY) == [state for state, _ in states.values()]

    await until(all_equal)
    stopping.set()
    await asyncio.wait_for(asyncio.gather(*workers), 5)
    assert 1 == rig.target.most_at_once
    assert sorted(MANY) == sorted(one.ticket for one in rig.target.stored["ev1"].values())


async def test_target_that_takes_several_writes_gets_them(redis_url: str) -> None:
    """As many tasks as the target takes at once bring tickets; each ticket is written by one."""
    target = ModelTarget(steps=True)
    target.abilities = replace(target.abilities, parallel=4)
    async with ApplierRig.on(redis_url, target=target) as rig:
        for one in MANY:
            await rig.says(one, name=one)
        await rig.stores.due.mark(SITE_ID, NAME, MANY)
        stopping = TimedEvent()
        running = asyncio.create_task(loop(rig).run(stopping))
        await until(lambda: len(target.stored["ev1"]) == len(MANY))
        stopping.set()
        await asyncio.wait_for(running, 5)

        assert 1 == target.most_at_once


async def test_nothing_is_sent_while_paused_or_waiting(rig: ApplierRig) -> None:
    """A person's pause and a wait after a fault hold all of a target, and what is due stays due."""
    await rig.says(MANY[0])
    await rig.stores.due.mark(SITE_ID, NAME, MANY[:1])
    await rig.stores.targets.pause(NAME, "moving", rig.clock())
    assert POLL_EVERY == await loop(rig).bring_next()
    await rig.stores.targets.resume(NAME)
    await rig.stores.targets.wait(NAME, rig.clock() + 0.25)
    assert 0.25 == pytest.approx(await loop(rig).bring_next())
    assert 0 == rig.target.requests

    rig.clock.advance(1)
    assert 0.0 == await loop(rig).bring_next()
    assert State.EQUAL == (await rig.memory(MANY[0])).state


async def test_bug_of_one_ticket_stops_no_other(rig: ApplierRig, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error that is a bug is logged, and the loop goes on."""
    await rig.says(MANY[0])
    await rig.stores.due.mark(SITE_ID, NAME, MANY[:1])
    broken = loop(rig)
    failed = asyncio.Event()

    async def bring_next(_: int = 0) -> float:
        failed.set()
        raise ZeroDivisionError

    monkeypatch.setattr(broken, "bring_next", bring_next)
    stopping = TimedEvent()
    running = asyncio.create_task(broken.run(stopping))
    await asyncio.wait_for(failed.wait(), 5)
    await asyncio.sleep(0)
    assert not running.done()
    stopping.set()
    await asyncio.wait_for(running, 5)
