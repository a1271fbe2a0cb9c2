"""Sync never costs the counter anything: not its time to the truth, and nothing at all where no target is named."""

import asyncio

import pytest

from tests.rig.http_proxy import Fault
from tests.rig.percentile import percentile
from tests.rig.report import report
from tests.rig.server import until
from tests.rig.sync_rig import SIZE, SyncRig

ORDERS = 10 * SIZE
IN_TIME = 1.0
"""Seconds from an order to its counter."""


async def times_to_truth(sync: SyncRig, ticket: str) -> list[float]:
    """Seconds from each of some orders, one after the other, until the stored counter has it."""
    loop = asyncio.get_running_loop()
    found = []
    for _ in range(ORDERS):
        sync.wix.world.buy(ticket)
        began = loop.time()
        await until(lambda: sync.deployment.right(sync.wix, [ticket]), 30)
        found.append(loop.time() - began)
        await asyncio.sleep(0.3)
    return found


@pytest.mark.alone
async def test_counter_is_as_quick_while_sync_is_busy(sync: SyncRig) -> None:
    """While every ticket of an event is due, and pretix answers slowly or not at all, an order is in its counter as quickly as before."""
    event = await sync.add_event(14)
    await sync.serve()
    await sync.known()
    await sync.apply(event)
    await sync.equal()
    ticket = sync.wix.tickets["fixed"]
    idle = await times_to_truth(sync, ticket)
    took: dict[str, list[float]] = {}
    for name, fault in (("slow", Fault(delay=1.0)), ("hanging", Fault(hangs=True)), ("down", Fault(503))):
        sync.proxy.add(fault)
        for number, one in enumerate(sync.tickets(event)):
            await sync.edit(one.id, name=f"{name} {number}")
        took[name] = await times_to_truth(sync, ticket)
        await sync.proxy.heal()
    await sync.equal()

    shown = {"idle": idle, **took}
    report(
        "; ".join(
            f"{name}: median {percentile(times, 0.5):.3f} s, 95 % {percentile(times, 0.95):.3f} s"
            for name, times in shown.items()
        )
    )
    assert {} == {name: times for name, times in shown.items() if percentile(times, 0.95) > IN_TIME}


async def test_without_a_target_nothing_of_sync_runs(sync: SyncRig) -> None:
    """Without a mapping file no key of sync is written, and pretix is never asked."""
    await sync.add_event(3)
    sync.file.unlink()
    sync.deployment.settings["SYNC_FILE"] = ""
    await sync.serve()
    await sync.known()
    for ticket in sync.wix.world.tickets.values():
        await sync.edit(ticket.id, name="Other")
    await sync.wait_for_calls("query", len(sync.wix.calls("query")) + 2, 60)
    await sync.known()

    keys = [str(key) for key in sync.redis.ask("KEYS", "*")]
    assert keys
    assert [] == [key for key in keys if "sync" in key]
    assert [] == sync.proxy.exchanges
