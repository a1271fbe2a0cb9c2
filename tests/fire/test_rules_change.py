"""LOW_AT and SHOW_AT_MOST are changed in running deployments: each web process shows only what its own settings allow."""

import asyncio
import random
from contextlib import AsyncExitStack
from functools import partial

from tests.rig.background import background
from tests.rig.deployment import Deployment
from tests.rig.process import Run
from tests.rig.recording_viewers import RecordingViewer, polling_viewer, sse_viewer, websocket_viewer
from tests.rig.report import report
from tests.rig.server import until
from tests.rig.wix import WixRig

FEW = {"LOW_AT": "3", "SHOW_AT_MOST": "20"}
ALL = {"LOW_AT": "40", "SHOW_AT_MOST": ""}
CHANGES = 6
EACH = 3.0
"""Seconds between two changes."""
MOST = 60


def shown(viewers: list[RecordingViewer]) -> list[tuple[str, int | None]]:
    """All states and numbers that these viewers were shown."""
    return [(one.counter["state"], one.counter["unsold"]) for viewer in viewers for one in viewer.received]


def gets_more(viewers: list[RecordingViewer], than: int) -> bool:
    """Whether these viewers were shown more than so many counters."""
    return len(shown(viewers)) > than


async def test_settings_change_while_tickets_are_sold(command: Run, redis_url: str, wix: WixRig) -> None:
    """Law 13: While the settings change again and again under orders, no viewer gets what its own process's settings hide."""
    ticket = wix.tickets["fixed"]
    wix.world.update(ticket, limit=MOST)
    chance = random.Random(7)

    async def stock_moves() -> None:
        while True:
            wix.world.update(ticket, limit=chance.randint(1, MOST))
            await asyncio.sleep(0.15)

    async with AsyncExitStack() as stack:
        deployment = Deployment(command, redis_url, wix.settings(), WATCH_EVERY="1")
        webs = [await deployment.web(**settings) for settings in (FEW, ALL)]
        wix.send_to(webs[0])
        few, all_ = [
            [
                await stack.enter_async_context(kind(url, wix.site, [ticket]))
                for kind in (websocket_viewer, sse_viewer, polling_viewer)
            ]
            for url in webs
        ]
        async with background(stock_moves()):
            for number in range(CHANGES):
                settings, its_viewers = ((FEW, few), (ALL, all_))[number % 2]
                worker = deployment.worker(**settings)
                before = len(shown(its_viewers))
                await asyncio.sleep(EACH)
                await until(partial(gets_more, its_viewers, before + 3))
                await worker.stop()
        # The last settings hold.
        wix.world.update(ticket, limit=MOST)
        deployment.worker(**FEW)
        await until(lambda: {"available"} == {one.state(ticket) for one in few})
        wix.world.update(ticket, limit=2)
        await until(lambda: {("low", 2)} == {(one.state(ticket), one.unsold(ticket)) for one in few})

    hidden = [(state, unsold) for state, unsold in shown(few) if unsold is not None and unsold > 20]
    wrong = [(state, unsold) for state, unsold in shown(few) if state == "low" and (unsold is None or unsold > 3)]
    wrong += [(state, unsold) for state, unsold in shown(all_) if state == "available" and (unsold or MOST) <= 40]
    report(f"{CHANGES} changes of the settings: {len(shown(few))} and {len(shown(all_))} counters shown")
    assert [] == hidden
    assert [] == wrong
    assert any(unsold is not None and unsold > 20 for _, unsold in shown(all_))
    assert any(unsold is not None and unsold > 3 for _, unsold in shown(few))
