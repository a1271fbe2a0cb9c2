"""What an administrator is told while the worker or Wix is away, and that no process is taken out of its balancer for it."""

import time

import httpx

from server.store.worker_status import ALIVE_FOR
from tests.rig.deployment import Deployment
from tests.rig.process import Run
from tests.rig.report import report
from tests.rig.server import until
from tests.rig.wix import WixRig

TOKEN = "only-for-this-test"


async def test_lost_worker_and_lost_wix_are_notices(command: Run, redis_url: str, wix: WixRig) -> None:
    """A killed worker and an outage of Wix are told by /readyz, a metric and the log, and so are their ends; the web stays ready."""
    deployment = Deployment(command, redis_url, wix.settings(), METRICS_TOKEN=TOKEN, RECONCILE="5")
    worker = deployment.worker(WORKER_PORT="0")
    url = await deployment.web()
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with httpx.AsyncClient(trust_env=False, headers=headers, timeout=20) as owner:

        async def says(expected: tuple[bool, bool], *, at: str = url) -> bool:
            """Whether /readyz is 200 with these notices, of the worker and of Wix, and the metrics agree."""
            ready = await owner.get(f"{at}/readyz")
            lines = (await owner.get(f"{at}/metrics")).text.splitlines()
            assert 200 == ready.status_code
            found = (ready.json().get("worker", True), ready.json()["wix"])
            measured = f"ticketcounter_silent_wix_sites {float(not found[1])}" in lines
            measured = measured and f"ticketcounter_missing_workers {float(not found[0])}" in lines
            return expected == found and measured

        own = await worker.url()
        await until(lambda: says((True, True)))
        wix.knobs.turn(outage="503")
        began = time.monotonic()
        await until(lambda: says((True, False)))
        silent = time.monotonic() - began
        await until(lambda: says((True, False), at=own))
        wix.knobs.turn(outage="none")
        began = time.monotonic()
        await until(lambda: says((True, True)))
        await until(lambda: says((True, True), at=own))
        back = time.monotonic() - began

        worker.process.kill()
        began = time.monotonic()
        await until(lambda: says((False, True)))
        lost = time.monotonic() - began
        assert deployment.log.count("worker_lost") == 1
        deployment.worker()
        await until(lambda: says((True, True)))

    report(f"Wix away: told after {silent:.1f} s, its return after {back:.1f} s; a killed worker after {lost:.1f} s")
    assert ALIVE_FOR - 6 < lost < ALIVE_FOR + 12
    assert 1 == deployment.log.count("worker_back")
    assert 1 == deployment.log.count("worker_lost")
