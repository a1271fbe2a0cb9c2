"""No webhook comes any more: numbers are as right as periodic reads make them, and the silence is reported."""

import time
from contextlib import aclosing

import httpx

from server.model import SiteId
from server.redis.client import RedisClient, Use
from tests.rig.buyers import Buyers, buy_steadily
from tests.rig.deployment import Deployment
from tests.rig.process import Run
from tests.rig.redis import Servers
from tests.rig.report import report
from tests.rig.server import until
from tests.rig.time_travel import elapse
from tests.rig.wix import WixRig
from tests.rig.wix_calls import counted_calls, most_in_a_minute

TOKEN = "only-for-this-test"
SECONDS = 60


async def test_lost_webhooks_are_reported_and_numbers_stay_fresh(
    command: Run, redis_server: Servers, wix: WixRig
) -> None:
    """If every webhook is lost, 30 changes on 10 tickets are shown in 20 s for 60 calls a minute, and that is logged."""
    wix.knobs.turn(loss=1.0)
    deployment = Deployment(command, redis_server().url, wix.settings(), METRICS_TOKEN=TOKEN)
    deployment.worker()
    url = await deployment.web()
    wix.send_to(url)
    buyers = Buyers(wix, wix.sandbox.add(10))
    async with (
        buyers.watched(url) as viewer,
        aclosing(RedisClient(deployment.redis_url, Use.WORK)) as store,
        httpx.AsyncClient(base_url=url, trust_env=False, headers={"Authorization": f"Bearer {TOKEN}"}) as owner,
    ):

        async def says(heard: bool, sites: int) -> bool:
            ready = await owner.get("/readyz")
            metrics = (await owner.get("/metrics")).text
            assert 200 == ready.status_code
            return heard is ready.json()["webhooks_heard"] and f"ticketcounter_silent_sites {sites}.0" in metrics

        await until(lambda: buyers.knows(viewer), 30)
        began = time.time()
        sold = await buy_steadily([buyers], 30 / SECONDS, SECONDS)
        await until(lambda: not buyers.unseen, 25)
        most = most_in_a_minute(counted_calls(wix, began))
        assert await says(True, 0)
        assert "webhooks_silent" not in deployment.log

        # A minute without webhooks may be chance: five more go by before stock falls again.
        await elapse(store, SiteId(wix.site), 300)
        last = time.time()
        buyers.buy()
        await until(lambda: "webhooks_silent" in deployment.log, 25)
        told = time.time() - last
        await until(lambda: says(False, 1), 10)
        unauthenticated = await owner.get("/readyz", headers={"Authorization": ""})

        wix.knobs.turn(loss=0.0)
        buyers.buy()
        await until(lambda: says(True, 0), 10)
        await until(lambda: "webhooks_silent_no_more" in deployment.log, 10)
        await until(lambda: buyers.knows(viewer))

    line = next(one for one in deployment.log.splitlines() if "webhooks_silent" in one)
    report(
        f"{sold} changes on 10 watched tickets without any webhook: shown after {max(buyers.delays):.1f} s at most, "
        f"at most {most} calls in a minute; told {told:.1f} s after the first change that came 5 minutes later"
    )
    assert 30 <= sold
    assert 20 >= max(buyers.delays)
    assert 60 >= most
    assert (200, "yes\n") == (unauthenticated.status_code, unauthenticated.text)
    for word in ("falls=", "minutes=6", "last_webhook=never", "Webhooks page"):
        assert word in line
