"""No order is lost: ten thousand of them, while worker, Redis and Wix are each unavailable for a while."""

import asyncio
import logging
import re
import signal

import httpx
import pytest

from sandbox.delivery import Webhook
from tests.rig.buyers import Buyers, buy_steadily
from tests.rig.deployment import Deployment
from tests.rig.process import Run
from tests.rig.redis import Servers
from tests.rig.report import report
from tests.rig.server import until
from tests.rig.wix import WixRig

ORDERS = 10_000
SECONDS = 120
"""They are placed in these seconds: the sandbox that sends their webhooks shares a core with all that is measured."""
TOKEN = "only-for-this-test"


@pytest.mark.long
async def test_no_order_is_lost(
    command: Run, redis_server: Servers, wix: WixRig, caplog: pytest.LogCaptureFixture
) -> None:
    """10,000 orders, placed while worker, Redis and Wix are unavailable one after the other, all end in right numbers."""
    caplog.set_level(logging.WARNING, "sandbox.delivery")
    tickets = wix.sandbox.add(200, limit=100_000)
    # Wix's schedule of resends, a minute and ten and an hour, runs a hundred times as fast; its outage lasts a whole
    # minute.
    wix.knobs.turn(resend_scale=0.01, reservation_events=False)
    redis = redis_server()
    # Only webhooks make unwatched tickets due: the reconciling read would come tomorrow.
    deployment = Deployment(command, redis.url, wix.settings(), RECONCILE="86400")
    worker = deployment.worker()
    url = await deployment.web(METRICS_TOKEN=TOKEN)
    wix.send_to(url)
    await until(lambda: deployment.right(wix, tickets), 30)
    loop = asyncio.get_running_loop()
    sent: list[Webhook] = []
    buyers, unwatched = Buyers(wix, tickets[:40]), Buyers(wix, tickets[40:])
    async with buyers.watched(url) as viewer:
        began = loop.time()

        async def at(second: float) -> None:
            await until(lambda: loop.time() - began >= second, SECONDS + 30)

        sending = asyncio.create_task(send(wix, sent))
        trading = asyncio.create_task(buy_steadily([buyers, unwatched], ORDERS / SECONDS, SECONDS))
        await at(4)
        await worker.stop(signal.SIGKILL)
        await at(14)
        deployment.worker()
        await at(18)
        redis.kill()
        await at(21)
        redis.start(wait=False)
        await at(26)
        wix.knobs.turn(outage="503")
        await at(56)
        wix.knobs.turn(outage="hang")
        await at(86)
        wix.knobs.turn(outage="none")
        sold = await trading + await buy_steadily([buyers], 1, 1)
        last = loop.time()

        async def all_right() -> bool:
            await asyncio.sleep(0.1)
            return await deployment.right(wix, tickets)

        # The last resend is 36 s after the first failure; the rest is what the sandbox, in this process, needs itself.
        await until(lambda: len(sent) == sold and wix.sandbox.delivery.pending == 0, 300)
        sending.cancel()
        answered = loop.time() - last
        await until(all_right, 60)
        await until(lambda: buyers.knows(viewer), 10)
        seconds = loop.time() - last

    taken, refused = await webhooks(url)
    report(
        f"{sold} orders, {refused} of their webhooks refused while Redis was away; "
        f"all answered {answered:.1f} s and all right {seconds:.1f} s after the last order"
    )
    assert sold >= ORDERS
    assert [] == [one.getMessage() for one in caplog.records if one.name == "sandbox.delivery"]
    assert refused > 0
    assert {200} == {one.attempts[-1].status for one in sent}
    assert taken >= sold
    assert [None, None] == [one.process.poll() for one in deployment.processes if one is not worker]


async def send(wix: WixRig, sent: list[Webhook]) -> None:
    """Let Wix send only the one webhook that the app needs, and note each."""
    delivery = wix.sandbox.delivery
    delivery.paused = True
    last = delivery.last
    while True:
        for one in wix.confirmed(last):
            last = one.n
            sent.append(one)
            delivery.send(one)
        await asyncio.sleep(0.02)


async def webhooks(url: str) -> tuple[int, int]:
    """How many webhooks of orders that web process has accepted, and how many it has refused."""
    async with httpx.AsyncClient(base_url=url, trust_env=False) as client:
        text = (await client.get("/metrics", headers={"Authorization": f"Bearer {TOKEN}"})).text
    found = re.findall(r'ticketcounter_webhooks_total\{outcome="(\w+)",type="[^"]+"\} ([0-9.e+]+)', text)
    return (
        sum(round(float(number)) for outcome, number in found if outcome == "marked"),
        sum(round(float(number)) for outcome, number in found if outcome == "unavailable"),
    )
