"""No worker ran for a while: what is still news is told after the start, what is too old is recorded, and nobody hears twice."""

import time

from tests.rig.sale_deployment import SaleDeployment, time_of
from tests.rig.server import until

HOUR = 3600.0
READERS = [f"reader-{number}@example.com" for number in range(8)]
MANY = [f"reader-{number}@example.com" for number in range(40)]
ONCE = dict.fromkeys(READERS, 1)


async def test_back_after_one_hour_and_after_three(sales: SaleDeployment) -> None:
    """A sale that started 1 h before the worker is back is told, within its window; one of 3 h before is recorded, and nobody hears."""
    sales.subscribe(READERS)
    fresh = await sales.add_event(title="Spring Gala")
    old = await sales.add_event(title="Autumn Ball")
    await sales.serve()
    await sales.deployment.processes[0].stop()
    sales.let_pass(4 * HOUR)
    await sales.move_sale(fresh, time.time() - HOUR)
    await sales.move_sale(old, time.time() - 3 * HOUR)
    worker = sales.worker()

    told = await sales.done(fresh)
    assert ({"sent": len(READERS)}, 0) == (told.counts, told.status)
    assert (fresh.start, fresh.start + 2 * HOUR) == (time_of(told.json["start"]), time_of(told.json["deadline"]))
    missed = await sales.ended(old)
    assert ("too late", "too late") == (missed.json["state"], missed.mail["state"])
    assert (len(READERS), {}, 0) == (missed.not_sent, missed.counts, missed.status)
    assert f"too late: no worker saw it on sale in time: {len(READERS)} not sent" in missed.text
    [line] = [one for one in worker.err.splitlines() if "sale_start_missed" in one]
    assert old.slug in line
    assert (ONCE, ONCE) == (sales.mails_about(fresh), sales.mails_by_address)
    # A person may tell of it all the same, and says so twice.
    assert 3 == (await sales.cli("send", old.slug, "--yes")).status
    assert 0 == (await sales.cli("send", old.slug, "--again", "--yes")).status
    await sales.done(old)
    assert ONCE == sales.mails_about(old)


async def test_stopped_in_the_middle_and_back_too_late(sales: SaleDeployment) -> None:
    """Where no worker runs from the middle to the end of a campaign's time, the rest hear nothing, and how many is told, then and after."""
    sales.subscribe(MANY)
    sales.per_second = 5.0
    event = await sales.add_event()
    await sales.serve()
    await sales.start_sale(event, 2)
    await until(lambda: len(sales.mails) >= 5, 60)
    await sales.deployment.processes[0].stop()
    had = len(sales.mails)
    assert had < len(MANY)
    away = await sales.told(event)
    assert ("sending", len(MANY) - had) == (away.mail["state"], away.mail["waiting"])
    assert "no worker runs it: start `ticket-counter serve` or `worker`" in away.text

    sales.let_pass(2 * HOUR)
    away = await sales.told(event)
    assert ("too late", 0) == (away.mail["state"], away.mail["waiting"])
    assert f"no worker ran at its end: {len(MANY) - had} not sent" == away.mail["note"]
    worker = sales.worker()
    told = await sales.ended(event)

    assert ("too late", away.mail["note"]) == (told.mail["state"], told.mail["note"])
    assert (len(MANY) - had, {"sent": had}, 0) == (told.not_sent, told.counts, told.status)
    await worker.says("campaign_ended")
    assert had == len(sales.mails)
    assert {1} == set(sales.mails_by_address.values())


async def test_window_ends_while_it_is_sent(sales: SaleDeployment) -> None:
    """Nothing goes out after start + window, in the middle of a campaign either; who waits for another try is skipped, with the reason."""
    sales.subscribe(MANY)
    sales.per_second = 5.0
    event = await sales.add_event()
    sales.relay.on("rcpt", "451 4.3.0 later", recipient=MANY[0])
    await sales.serve()
    await sales.start_sale(event, 2)
    await until(lambda: len(sales.mails) >= 5, 60)
    sales.end_window(1.5)
    end = time.time() + 1.5
    told = await sales.ended(event)

    had = len(sales.mails)
    assert 5 <= had < len(MANY)
    assert max(one.at for one in sales.mails) < end + 0.5
    assert {"sent": had, "skipped": 1} == told.counts
    assert {"too late": 1} == told.reasons["skipped"]
    assert ("too late", f"{len(MANY) - had} not sent") == (told.mail["state"], told.mail["note"])
