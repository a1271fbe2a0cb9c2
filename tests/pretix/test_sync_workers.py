"""Several workers at once, which are killed again and again, and hundreds of random edits."""

import asyncio
import random

import pytest

from tests.rig.http_proxy import Exchange
from tests.rig.report import report
from tests.rig.server import until
from tests.rig.sync_rig import PATIENCE, SIZE, SyncRig, random_edit, record_of

WORKERS = 4
EDITS = 100 * SIZE
KILL_EACH = 25
"""Edits between two kills of a worker."""


@pytest.mark.long
async def test_four_workers_with_kills(sync: SyncRig) -> None:
    """After random edits, with four workers of which one is killed again and again, every record is equal; pretix never had two writes at once."""
    event = await sync.add_event(28)
    await sync.serve(workers=WORKERS)
    await sync.known()
    await sync.apply(event)
    await sync.equal()
    rng = random.Random(4)
    workers = [one for one in sync.deployment.processes if one.words == ("worker",)]
    killed = 0
    for number in range(1, EDITS + 1):
        ticket, members = random_edit(rng, sync, event)
        await sync.edit(ticket, **members)
        await asyncio.sleep(rng.random() * 0.1)
        if number % KILL_EACH == 0:
            busy = len(sync.proxy.writes)
            await until(lambda: len(sync.proxy.writes) > busy, PATIENCE)  # noqa: B023
            workers.pop(rng.randrange(len(workers))).process.kill()
            workers.append(sync.deployment.worker())
            killed += 1
    took = await sync.equal(180)
    await sync.quiet()

    assert [] == await sync.differences() + await sync.doubles() + await sync.half_made()
    assert 1 == sync.proxy.most_writes_at_once(record_of)[0]
    # pretix takes one write at a time, of all records together; one whose sender was killed may still be at work.
    most, _ = sync.proxy.most_writes_at_once(any_record)
    assert 1 == most
    assert [] == [one for one in sync.deployment.processes if one.process.poll() not in {None, 0, -9}]
    report(f"{EDITS} edits, {killed} workers killed: equal {took:.1f} s after the last; {sync.written} writes")


def any_record(_: Exchange) -> str:
    """All records are one."""
    return "pretix"
