"""The tickets of an event change while many watch it: each viewer gets the new list, and none a ticket that Wix does not show."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from redis.asyncio import Redis
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidMessage

from sandbox.event_page import PageState, shown
from sandbox.model import Price, Pricing
from tests.rig.background import background
from tests.rig.cluster import Cluster
from tests.rig.default_keys import key
from tests.rig.deployment import Deployment
from tests.rig.process import Run
from tests.rig.redis import Servers
from tests.rig.report import report
from tests.rig.server import until
from tests.rig.wix import WixRig

VIEWERS = 20
PRICES = (Price("12.00", "USD"),)
WATCH_EVERY = 5.0


@dataclass
class EventViewer:
    """A viewer of an event that comes back at once after each close, unless it is told not to."""

    address: str
    tickets: list[str] | None = None
    states: dict[str, str] = field(default_factory=dict)
    codes: list[int] = field(default_factory=list)
    order_of_messages: list[str] = field(default_factory=list)

    async def run(self) -> None:
        """Connect again and again."""
        while not self.codes or self.codes[-1] < 4500:
            self.order_of_messages, self.states = [], {}
            try:
                async with connect(self.address) as socket:
                    try:
                        while True:
                            self._take(json.loads(await socket.recv()))
                    except ConnectionClosed:
                        self.codes.append(socket.close_code or 0)
            except (OSError, InvalidMessage):
                self.codes.append(0)
            await asyncio.sleep(0.05)
        self.tickets = None

    def _take(self, message: dict[str, Any]) -> None:
        self.order_of_messages.append(next(iter(message)))
        if "tickets" in message:
            self.tickets = message["tickets"]
        elif "state" in message:
            self.states[message["ticket"]] = message["state"]

    def sees(self, tickets: list[str]) -> bool:
        """Whether it has this list, and something to say of each ticket of it."""
        said = {ticket for ticket, state in self.states.items() if state not in {"unknown", "gone"}}
        return self.tickets == tickets and said == set(tickets)


def changes(wix: WixRig) -> list[tuple[str, Callable[[], object]]]:
    """What the organiser does."""
    world, event, tickets = wix.world, wix.event, wix.tickets
    return [
        ("hidden", lambda: world.update(tickets["free"], hidden=True)),
        ("moved", lambda: world.reorder(event, tickets["low"], before=tickets["fixed"])),
        ("shown", lambda: world.update(tickets["hidden"], hidden=False)),
        ("new", lambda: world.create(event, name="Balcony", limit=5, pricing=Pricing.FIXED, prices=PRICES)),
        ("deleted", lambda: world.delete(tickets["guest"])),
        ("unpublished", lambda: world.unpublish_event(event)),
    ]


def shown_by_wix(wix: WixRig) -> list[str]:
    """The tickets that Wix's page of the event shows, in its order."""
    event = wix.world.event(wix.event)
    tickets = wix.world.tickets_of(wix.event)
    return [one.id for one in tickets if shown(one, event, wix.knobs.now).state is not PageState.NOT_SHOWN]


async def follow(deployment: Deployment, wix: WixRig, url: str, *, lost: Callable[[str], bool]) -> dict[str, float]:
    """Make each change, and measure until every viewer is right; webhooks of those that are *lost* do not arrive."""
    loop = asyncio.get_running_loop()
    slug = wix.world.event(wix.event).slug
    viewers = [
        EventViewer(f"{url.replace('http', 'ws')}/v1/counters?event={name}&site={wix.site}")
        for name in (wix.event, slug) * (VIEWERS // 2)
    ]
    took: dict[str, float] = {}
    async with background(*(one.run() for one in viewers)):
        await until(lambda: all(one.sees(shown_by_wix(wix)) for one in viewers), 45)
        assert {("beat", "event")} == {tuple(one.order_of_messages[:2]) for one in viewers}
        await asyncio.sleep(6)
        for name, change in changes(wix):
            wix.knobs.turn(loss=1.0 if lost(name) else 0.0)
            began = loop.time()
            change()
            if name == "unpublished":
                # Until the site was listed nothing says that there is no such event.
                await complete(deployment, wix)
                await until(lambda: all(one.codes[-1:] == [4500] for one in viewers), 30)
            else:
                await until(lambda: all(one.sees(shown_by_wix(wix)) for one in viewers), 30)
            took[name] = loop.time() - began
    assert {1012, 4500} == {code for one in viewers for code in one.codes if code not in {0, 4000}}
    return took


async def complete(deployment: Deployment, wix: WixRig) -> None:
    """Wait until the site was listed."""
    if deployment.redis_url.startswith("redis://"):
        async with Redis.from_url(deployment.redis_url) as redis:
            await until(lambda: redis.hexists(key(wix.site, "site"), "complete"), 60)


@pytest.mark.alone
@pytest.mark.parametrize("track", ["all", "watched"])
async def test_every_viewer_of_an_event_follows_its_tickets(
    command: Run, redis_server: Servers, wix: WixRig, track: str
) -> None:
    """Each viewer, by id or by slug, has the list of Wix's page within 1 s of the webhook, without a deleted ticket within 4 s."""
    deployment = Deployment(command, redis_server().url, wix.settings(), WATCH_EVERY=str(int(WATCH_EVERY)), TRACK=track)
    deployment.worker()
    url = await deployment.web()
    wix.send_to(url)

    took = await follow(deployment, wix, url, lost=lambda _: False)

    report(
        f"{VIEWERS} viewers, TRACK={track}: " + ", ".join(f"{name} {seconds:.2f} s" for name, seconds in took.items())
    )
    # A ticket counts as deleted after two answers without it, 2 s apart.
    assert {} == {name: seconds for name, seconds in took.items() if seconds > (4 if name == "deleted" else 1)}


@pytest.mark.alone
async def test_lost_webhooks(command: Run, redis_server: Servers, wix: WixRig) -> None:
    """Without webhooks each viewer has the list within WATCH_EVERY + 1 s; only a new or hidden ticket waits for RECONCILE."""
    deployment = Deployment(
        command, redis_server().url, wix.settings(), WATCH_EVERY=str(int(WATCH_EVERY)), RECONCILE="10"
    )
    deployment.worker()
    url = await deployment.web()
    wix.send_to(url)

    # Wix lists new tickets only every ten minutes, and answers of a deleted one are looked at twice.
    took = await follow(deployment, wix, url, lost=lambda name: name not in {"new", "deleted"})

    report(f"{VIEWERS} viewers, no webhooks: " + ", ".join(f"{name} {seconds:.2f} s" for name, seconds in took.items()))
    limits = {"shown": 11.0, "unpublished": 2 * WATCH_EVERY + 1}
    assert {} == {name: seconds for name, seconds in took.items() if seconds > limits.get(name, WATCH_EVERY + 1)}


@pytest.mark.long
async def test_viewers_of_an_event_in_a_cluster(command: Run, cluster: Cluster, cluster_url: str, wix: WixRig) -> None:
    """In a cluster each viewer has the list of Wix's page as well."""
    deployment = Deployment(command, cluster_url, wix.settings(), WATCH_EVERY=str(int(WATCH_EVERY)))
    deployment.worker()
    url = await deployment.web()
    wix.send_to(url)

    took = await follow(deployment, wix, url, lost=lambda _: False)

    report(f"{VIEWERS} viewers, cluster: " + ", ".join(f"{name} {seconds:.2f} s" for name, seconds in took.items()))
    assert cluster.masters
