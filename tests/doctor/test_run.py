import asyncio
from collections.abc import AsyncIterator

from server.doctor.deployment import Deployment
from server.doctor.finding import Finding
from server.doctor.run import run
from server.errors import NotThere
from tests.rig.doctor import examined, faults, levels
from tests.rig.server import StartServer, until
from tests.rig.settings import valid_settings
from tests.rig.wix import WixRig


async def test_no_false_alarm(start_server: StartServer, wix: WixRig, redis_url: str) -> None:
    """A deployment that is right has no fault."""
    server = await start_server(worker=True, **wix.settings())
    wix.send_to(server.url)
    await until(lambda: server.worker is not None and wix.calls("query_events"))

    found = await examined(valid_settings(redis_url=redis_url, **wix.settings()))

    assert [] == faults(found)
    assert {"settings", "redis", "wix", "webhooks", "process", "worker"} <= {one.check for one in found}


async def test_checks_that_do_not_end() -> None:
    """A check that takes too long is a fault, one that an error of ours ends has its words, and the others run all the same."""

    async def hangs(_: Deployment) -> AsyncIterator[Finding]:
        yield Finding.ok("slow", "first")
        await asyncio.sleep(3600)

    async def fails(_: Deployment) -> AsyncIterator[Finding]:
        yield Finding.ok("bad", "first")
        raise NotThere("it is not there")

    async def has_a_bug(deployment: Deployment) -> AsyncIterator[Finding]:
        yield Finding.ok("bug", str(1 / len(deployment.settings.wix_api_url[:0])))

    async def works(_: Deployment) -> AsyncIterator[Finding]:
        yield Finding.ok("good", "fine")

    checks = {"slow": (hangs,), "bad": (fails,), "bug": (has_a_bug,), "good": (works,)}
    found = [one async for one in run(valid_settings(), checks=checks, within=0.1)]

    assert ["ok", "fault", "ok", "fault", "fault", "ok"] == levels(found)
    assert ["the check did not end within 0.1 s", "it is not there"] == faults(found)[:2]
    assert faults(found)[2].startswith("this check itself failed: ZeroDivisionError")
