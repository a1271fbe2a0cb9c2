"""pretix is down, slow, or answers nonsense, while tickets change in Wix: it ends equal, unattended and without doubles."""

import asyncio
import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from tests.rig.http_proxy import CUT_AFTER, Fault, HttpProxy, html, method, too_many, writes
from tests.rig.report import report
from tests.rig.server import until
from tests.rig.sync_rig import PATIENCE, SIZE, SyncedEvent, SyncRig, random_edit

DOWN = 12.0 * SIZE
"""Seconds for which a fault lasts: two minutes at full size."""
EDITS = 10 * SIZE

CREATES = method("POST", "/items/")

FAULTS: dict[str, Callable[[], list[Fault]]] = {
    "429": lambda: [too_many(2)],
    "429 after it was executed": lambda: [too_many(1, executes=True, meets=writes)],
    "500": lambda: [Fault(500, body=b"<h1>Server Error (500)</h1>")],
    "500 after it was executed": lambda: [Fault(500, executes=True, meets=writes, every=2)],
    "503": lambda: [Fault(503, {"Retry-After": "3"})],
    "a page of a proxy": lambda: [html()],
    "200 with a page": lambda: [html(200)],
    "hangs": lambda: [Fault(hangs=True)],
    "each third answer is cut": lambda: [replace(CUT_AFTER, every=3)],
    "each write's answer is cut": lambda: [replace(CUT_AFTER, meets=writes)],
    "answers later than we wait": lambda: [Fault(delay=14.0, meets=CREATES, times=2)],
    "creates after we gave up": lambda: [Fault(late=14.0, meets=CREATES, times=2)],
}


async def started(sync: SyncRig, tickets: int = 8) -> SyncedEvent:
    """An event with tickets of all kinds that is equal in pretix, and followed."""
    event = await sync.add_event(tickets)
    await sync.serve()
    await sync.known()
    await sync.apply(event)
    await sync.equal()
    return event


async def change(sync: SyncRig, event: SyncedEvent, seconds: float) -> None:
    """Edit, create and delete tickets for so long."""
    rng = random.Random(7)
    body: dict[str, Any] = {
        "eventId": event.id,
        "feeType": "NO_FEE",
        "pricingMethod": {"fixedPrice": {"value": "3.00", "currency": "EUR"}},
    }
    for number in range(EDITS):
        ticket, members = random_edit(rng, sync, event)
        await sync.edit(ticket, **members)
        if number % 4 == 0:
            await sync.control("POST", "/tickets", {**body, "name": f"Late {number}"})
        await asyncio.sleep(seconds / EDITS)
    await sync.delete(event, sync.tickets(event)[0].id)


async def state(proxy: HttpProxy) -> str:
    """What became of the requests, for the report."""
    lost = len([one for one in proxy.exchanges if one.answered != one.status])
    return f"{len(proxy.exchanges)} requests, {lost} of them with another answer than pretix gave"


@pytest.mark.parametrize("name", FAULTS)
async def test_fault_of_pretix(sync: SyncRig, name: str) -> None:
    """While pretix fails, tickets are edited, created and deleted; afterwards it is equal by itself, and nothing is doubled or parked."""
    event = await started(sync)
    for fault in FAULTS[name]():
        sync.proxy.add(fault)
    await change(sync, event, DOWN)
    await sync.proxy.heal()
    took = await sync.equal(PATIENCE)
    await until(lambda: not sync.proxy.at_work, 60)
    await sync.equal(PATIENCE)

    assert [] == await sync.doubles() + await sync.half_made()
    assert [] == (await sync.cli("parked", "--json")).json["parked"]
    report(f"{name}, for {DOWN:.0f} s: equal {took:.1f} s afterwards; {await state(sync.proxy)}")


async def test_pretix_is_down(sync_alone: SyncRig) -> None:
    """A pretix that is killed in the middle of writes, and started again later, is equal by itself, with nothing doubled or parked."""
    sync = sync_alone
    event = await started(sync)
    written = sync.written
    changing = asyncio.create_task(change(sync, event, DOWN))
    await until(lambda: sync.written > written + 2)
    sync.pretix.kill()
    await sync.proxy.refuse()
    await changing
    await asyncio.to_thread(sync.pretix.restart)
    await sync.proxy.heal()
    took = await sync.equal(PATIENCE)

    assert [] == await sync.doubles() + await sync.half_made()
    assert [] == (await sync.cli("parked", "--json")).json["parked"]
    report(f"down for {DOWN:.0f} s: equal {took:.1f} s afterwards")


async def test_token_is_revoked(sync: SyncRig) -> None:
    """While pretix answers 401 the target waits and no ticket is parked; it goes on by itself once the token is good again."""
    event = await started(sync)
    sync.proxy.add(Fault(401, {"Content-Type": "application/json"}, b'{"detail": "Invalid token."}'))
    await sync.edit(sync.tickets(event)[0].id, name="Waits")

    async def waits() -> bool:
        [target] = (await sync.cli("status", "--json")).json["targets"]
        return bool(target["faults"] and target["wait"] is not None)

    await until(waits, PATIENCE)
    parked = (await sync.cli("parked", "--json")).json["parked"]
    await sync.proxy.heal()
    await sync.equal(PATIENCE)

    assert [] == parked
