"""Registration and events change while many watch: nobody is told of tickets that Wix would not sell."""

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack

import pytest

from tests.rig.deployment import Deployment
from tests.rig.process import Run
from tests.rig.recording_viewers import websocket_viewer
from tests.rig.redis import Servers
from tests.rig.report import report
from tests.rig.server import until
from tests.rig.wix import WixRig

VIEWERS = 100
TICKET_KINDS = ("fixed", "options", "low", "unlimited")
WATCH_EVERY = 5.0


def changes(wix: WixRig) -> list[tuple[str, Callable[[], object], dict[str, str]]]:
    """What the organiser does, and the states after it: first of all tickets, then of one kind."""
    world, event = wix.world, wix.sandbox.site.ids.event
    open_ = {"": "available", "low": "low"}
    return [
        ("paused", lambda: world.pause_registration(event), {"": "closed"}),
        ("opened", lambda: world.open_registration(event), open_),
        ("closed", lambda: world.disable_registration(event), {"": "closed"}),
        ("opened again", lambda: world.open_registration(event), open_),
        ("for guests only", lambda: world.set_registration(event, override="OPEN_RSVP"), {"": "closed"}),
        ("for ticket buyers", lambda: world.set_registration(event, override=None), open_),
        ("unpublished", lambda: world.unpublish_event(event), {"": "gone"}),
        ("published", lambda: world.publish_event(event), open_),
        ("cancelled", lambda: world.cancel_event(event), {"": "gone"}),
    ]


@pytest.mark.alone
@pytest.mark.parametrize("webhooks", [True, False])
async def test_every_viewer_follows_registration(
    command: Run, redis_server: Servers, wix: WixRig, webhooks: bool
) -> None:
    """Each viewer is right within 1 s of a webhook, else within WATCH_EVERY + 1 s; `closed` has no number and no price."""
    deployment = Deployment(command, redis_server().url, wix.settings(), WATCH_EVERY=str(int(WATCH_EVERY)))
    deployment.worker()
    url = await deployment.web()
    wix.send_to(url)
    tickets = {wix.tickets[kind]: kind for kind in TICKET_KINDS}
    loop = asyncio.get_running_loop()
    took: dict[str, float] = {}
    async with AsyncExitStack() as stack:
        watching = [websocket_viewer(url, wix.site, list(tickets)) for _ in range(VIEWERS)]
        viewers = [await stack.enter_async_context(one) for one in watching]

        def all_show(states: dict[str, str]) -> bool:
            return all(
                viewer.state(ticket) == states.get(kind, states[""])
                for viewer in viewers
                for ticket, kind in tickets.items()
            )

        await until(lambda: all_show({"": "available", "low": "low"}))
        # The tickets are watched since the rounds of the web know their event.
        await asyncio.sleep(6)
        if not webhooks:
            wix.knobs.turn(loss=1.0)
        for name, change, states in changes(wix):
            began = loop.time()
            change()
            await until(lambda states=states: all_show(states), 2 * WATCH_EVERY + 5)  # type: ignore[misc]
            took[name] = loop.time() - began
        closed = [one.counter for viewer in viewers for one in viewer.received if one.counter["state"] == "closed"]

    how = "by webhook" if webhooks else "without webhooks"
    report(f"{VIEWERS} viewers, {how}: " + ", ".join(f"{name} {seconds:.2f} s" for name, seconds in took.items()))
    assert closed
    assert {(None, 0, None)} == {(one["unsold"], len(one["prices"]), one["fees"]) for one in closed}
    limit = 1.0 if webhooks else WATCH_EVERY + 1
    assert {} == {name: seconds for name, seconds in took.items() if seconds > limit}
