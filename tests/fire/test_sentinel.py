"""The master that Sentinels watch dies or hangs, with viewers and orders: web and worker follow them to the new one."""

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.rig.buyers import Buyers, buy_steadily
from tests.rig.deployment import Deployment
from tests.rig.process import Run
from tests.rig.recording_viewers import websocket_viewer
from tests.rig.report import report
from tests.rig.sentinels import DOWN_AFTER_MS, Watched, watched
from tests.rig.server import until
from tests.rig.webhook_sender import webhook_sender
from tests.rig.wix import WixRig


@pytest.fixture
def sentinels(tmp_path: Path) -> Iterator[Watched]:
    """A master, its replica and three Sentinels, to break."""
    with watched(tmp_path / "watched") as found:
        yield found


@pytest.mark.parametrize("how", ["kill", "freeze"])
async def test_failover_by_sentinels(command: Run, sentinels: Watched, wix: WixRig, how: str) -> None:
    """After a failover by real Sentinels all viewers are right again, without a restart; webhooks are refused until then."""
    buyers = Buyers(wix, wix.sandbox.add(10, limit=100_000))
    deployment = Deployment(command, sentinels.url, wix.settings(), WATCH_EVERY="5", MAX_STALE="20")
    deployment.worker()
    url = await deployment.web()
    async with (
        websocket_viewer(url, wix.site, buyers.tickets) as viewer,
        webhook_sender(url, wix=wix) as sender,
    ):
        await until(lambda: buyers.knows(viewer), 30)
        selling = asyncio.create_task(buy_steadily([buyers], 20, 15))
        await asyncio.sleep(2)
        began, at = time.monotonic(), asyncio.get_running_loop().time()
        getattr(sentinels.master, how)()
        await until(sentinels.failed_over, 20)
        over = time.monotonic() - began
        await selling
        sold_out = time.monotonic()
        await until(lambda: buyers.knows(viewer), 15)
        late = time.monotonic() - sold_out
        await until(lambda: not sender.pending, 30)

    refused = [one for one in sender.attempts if one.status != 200]
    withdrawn = sum(one.counter["state"] == "unknown" for one in viewer.received if one.at > at)
    report(
        f"{how}: another master after {over:.1f} s (down-after {DOWN_AFTER_MS} ms); {len(refused)} webhooks were brought again, "
        f"slowest answer {max(one.seconds for one in sender.attempts):.2f} s, {withdrawn} numbers withdrawn; "
        f"all right {late:.2f} s after the last order"
    )
    assert 0 == withdrawn
    assert 1.25 > max(one.seconds for one in sender.attempts)
    assert [] == deployment.ended
