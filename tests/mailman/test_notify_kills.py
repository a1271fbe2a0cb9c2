"""The worker of a campaign dies, is stopped, or has another one beside it: no one hears twice, and who may not have heard is known."""

import asyncio
import random

from tests.rig.notify_deployment import SIZE, NotifyDeployment
from tests.rig.report import report
from tests.rig.server import until

READERS = 100 * SIZE
TIMES = 2 * SIZE
CONNECTIONS = 4
"""Messages in flight at a time, as it is where notify.toml does not say another number."""


def readers(number: int = READERS) -> list[str]:
    return [f"reader-{one}@example.com" for one in range(number)]


async def sent(notify: NotifyDeployment, number: int) -> None:
    """Wait until the relay has so many mails."""
    await until(lambda: len(notify.mails) >= number, 120)


async def test_worker_is_killed_again_and_again(notify: NotifyDeployment) -> None:
    """A worker that is killed at random and started again repeats no mail, and each that is missing is listed (law 17)."""
    rng = random.Random(17)
    list_id = await notify.mailman.new_list()
    notify.mailman.fill(list_id, readers())
    event = await notify.add_event(list_id)
    await notify.serve()
    worker = notify.deployment.processes[0]
    await notify.start_sale(event)
    for number in range(TIMES):
        await sent(notify, (number + 1) * READERS // (TIMES + 1))
        await asyncio.sleep(rng.uniform(0.0, 0.2))
        await worker.stop(9)
        worker = notify.deployment.worker()
    run = await notify.reached(event, "done", 120 + 30 * TIMES)

    got, unknown = notify.mails_by_address, await notify.unknown(event)
    missing = set(readers()) - set(got)
    report(f"{TIMES} kills: {len(missing)} of {READERS} missing, {len(unknown)} unknown")
    assert {} == {address: times for address, times in got.items() if times > 1}
    assert len(missing) <= CONNECTIONS * TIMES
    assert set() == set((await notify.rows(event, missing)).values()) - unknown
    assert len(unknown) == int(run.get("unknown", 0))
    assert READERS == int(run["sent"]) + len(unknown)


async def test_worker_is_stopped_again_and_again(notify: NotifyDeployment) -> None:
    """A worker that is told to end finishes what is in flight: everyone gets one mail, and none is unknown."""
    list_id = await notify.mailman.new_list()
    notify.mailman.fill(list_id, readers())
    event = await notify.add_event(list_id)
    await notify.serve()
    worker = notify.deployment.processes[0]
    await notify.start_sale(event)
    for number in range(TIMES):
        await sent(notify, (number + 1) * READERS // (TIMES + 1))
        await worker.stop()
        worker = notify.deployment.worker()
    run = await notify.reached(event, "done", 120 + 30 * TIMES)

    assert dict.fromkeys(readers(), 1) == notify.mails_by_address
    assert (READERS, 0) == (int(run["sent"]), int(run.get("unknown", 0)))


async def test_two_workers_at_once(notify: NotifyDeployment) -> None:
    """Two workers send no mail twice, and keep to the pace together; when the one that sends is stopped, the other goes on."""
    list_id = await notify.mailman.new_list()
    notify.mailman.fill(list_id, readers())
    event = await notify.add_event(list_id)
    await notify.serve(workers=2)
    await notify.start_sale(event)
    await sent(notify, READERS // 3)
    await notify.deployment.processes[0].stop()
    await notify.reached(event, "done")

    assert dict.fromkeys(readers(), 1) == notify.mails_by_address
    assert [] == notify.too_quick()
