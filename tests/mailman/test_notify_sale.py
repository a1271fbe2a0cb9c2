"""A sale starts: whom the subscribers of a real list hear from, over a real relay, by the product's own processes."""

import asyncio
import random
import time
from itertools import pairwise

from tests.rig.background import background
from tests.rig.mailman import BY_BOUNCES, BY_MODERATOR, BY_USER
from tests.rig.notify_deployment import FIRST_WITHIN, SIZE, NotifyDeployment
from tests.rig.percentile import percentile
from tests.rig.report import report

SUBSCRIBERS = 500 * SIZE


async def test_everyone_who_confirmed_gets_one_mail(notify: NotifyDeployment) -> None:
    """Exactly those who had confirmed when they were asked about get exactly one mail, the first at once, all within the pace.

    Law 17: of members, pending ones, members with delivery off, those who have left, and those who leave while it runs.
    """
    mailman, rng = notify.mailman, random.Random(16)
    list_id, other = await mailman.new_list(), await mailman.new_list()
    reading = [f"reader-{number}@example.com" for number in range(SUBSCRIBERS)]
    leaving = [f"leaving-{number}@example.com" for number in range(SUBSCRIBERS // 20)]
    digest = [f"digest-{number}@example.com" for number in range(5)]
    off = {
        BY_USER: "off-user@example.com",
        BY_BOUNCES: "off-bounces@example.com",
        BY_MODERATOR: "off-moderator@example.com",
    }
    mailman.fill(list_id, rng.sample([*reading, *leaving], len(reading) + len(leaving)))
    for address in digest:
        await mailman.subscribe(list_id, address, delivery_mode="plaintext_digests")
    for status, address in off.items():
        mailman.fill(list_id, [address], status=status)
    for number in range(10):
        await mailman.subscribe(list_id, f"pending-{number}@example.com", confirmed=False)
        await mailman.subscribe(list_id, f"left-{number}@example.com")
        await mailman.unsubscribe(list_id, f"left-{number}@example.com")
    mailman.fill(other, ["other-list@example.com"])
    ids = {address: await mailman.member_id(list_id, address) for address in leaving}
    left_at: dict[str, float] = {}

    async def leave() -> None:
        await asyncio.sleep(max(0.0, event.start - time.time()))
        for address in rng.sample(leaving, len(leaving)):
            await mailman.unsubscribe(list_id, address)
            left_at[address] = time.monotonic()
            await asyncio.sleep(len(reading) / notify.per_second / len(leaving) * 0.8)

    event = await notify.add_event(list_id)
    await notify.serve()
    await notify.start_sale(event)
    worker = notify.deployment.processes[0]
    async with background(leave()):
        await notify.reached(event, "sending", 60)
        early = notify.memory(worker)
        run = await notify.reached(event, "done", 60 + 3 * len(reading) / notify.per_second)
    late = notify.memory(worker)

    got = notify.mails_by_address
    times = sorted(one.at for one in notify.mails)
    took = times[-1] - times[0]
    report(
        f"{len(times)} mails; first {times[0] - event.start:.2f} s after the start; {len(times) / took:.1f} a second; "
        f"worker {early:.0f} MB, at the end {late:.0f} MB"
    )
    assert 0 <= times[0] - event.start < FIRST_WITHIN
    assert {} == {address: number for address, number in got.items() if number > 1}
    assert set() == {*reading, *digest} - set(got)
    assert set() == set(got) - {*reading, *digest, *leaving}
    # Who left meanwhile got a mail only if Mailman, when it was asked, still said yes.
    consents = notify.consents()
    for address in leaving:
        yes = any(200 == one.answered and one.received < left_at[address] for one in consents.get(ids[address], []))
        assert got[address] <= int(yes), address
    assert [] == notify.too_quick()
    assert percentile([b - a for a, b in pairwise(times)], 0.99) < 1.0
    assert late < early * 1.2 + 20
    assert (len(times), 0, 0) == (int(run["sent"]), int(run.get("failed", 0)), int(run.get("unknown", 0)))
