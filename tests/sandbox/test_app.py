import asyncio
from typing import Any

import httpx
import pytest

from sandbox.app import Sandbox
from sandbox.knobs import Knobs
from sandbox.model import SaleStatus
from tests.rig.server import until
from tests.rig.wix import IDS, ManualClock, WixRig, decoded, sandbox_site


async def test_seed_sends_no_webhooks() -> None:
    """Neither the seed of a site nor tickets added for load cause webhooks."""
    sandbox = Sandbox(sandbox_site())

    made = sandbox.add(150)

    assert (8 + 150, 150) == (len(sandbox.world.tickets), len(made))
    assert [] == sandbox.delivery.since()


async def test_hold_expires_by_itself(wix: WixRig) -> None:
    """While the sandbox runs, a hold gives its tickets back in time, without any request."""
    wix.knobs.turn(hold_seconds=0.2)
    wix.world.hold(IDS.tickets["low"], 3)

    await until(lambda: wix.world.tickets[IDS.tickets["low"]].reserved == 0)

    webhook = wix.sandbox.delivery.since()[-1]
    assert "EXPIRED" == decoded(webhook.jwt)[1]["updatedEvent"]["currentEntity"]["status"]


async def test_sale_starts_by_itself(wix: WixRig) -> None:
    """A sale starts on time without any request, even if its start was set just before."""
    late = IDS.tickets["scheduled"]
    wix.world.update(late, start=wix.world.now() + 0.2)

    await until(lambda: wix.world.tickets[late].status is SaleStatus.STARTED)

    assert "wix.events.v3.ticket_definition_sale_started" == wix.sandbox.delivery.since()[-1].type


async def test_clock_is_an_argument() -> None:
    """With the test's own clock, tokens, calls, sales and webhooks all use it."""
    clock = ManualClock()
    sandbox = Sandbox(sandbox_site(), clock=clock, seeded_at=clock() - 30)

    before = sandbox.world.ticket(IDS.tickets["scheduled"]).status
    clock.advance(31)
    sandbox.world.tick()

    assert (SaleStatus.SCHEDULED, SaleStatus.STARTED) == (
        before,
        sandbox.world.ticket(IDS.tickets["scheduled"]).status,
    )
    [webhook] = sandbox.delivery.since()
    assert clock() == webhook.at


async def test_random_seed_is_repeatable() -> None:
    """The same random seed makes the same ids of orders."""
    numbers = [Sandbox(sandbox_site(), chance=7).world.buy(IDS.tickets["fixed"]).number for _ in range(2)]

    assert numbers[0] == numbers[1]


async def test_knobs_can_be_set_at_start() -> None:
    """A sandbox may start with its knobs turned."""
    sandbox = Sandbox(sandbox_site(), knobs=Knobs(hold_seconds=5.0))

    hold = sandbox.world.hold(IDS.tickets["fixed"])

    assert 5.0 == pytest.approx(hold.expires - hold.created)


async def test_closing_leaves_no_task() -> None:
    """A closed sandbox has no task, even with webhooks being sent and holds about to expire."""
    before = asyncio.all_tasks()
    sandbox = Sandbox(sandbox_site(), webhooks=["http://127.0.0.1:9/"])
    await sandbox.start()
    sandbox.world.buy(IDS.tickets["fixed"])
    sandbox.world.hold(IDS.tickets["fixed"])

    await sandbox.aclose()

    assert before == asyncio.all_tasks()


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/events/v3/events", 404),
        ("PUT", "/oauth2/token", 405),
        ("POST", "/events/v3/ticket-definitions/currency", 405),
    ],
)
async def test_unknown_path_is_refused_as_by_wix(method: str, path: str, status: int) -> None:
    """A path that the sandbox does not have is refused in Wix's form."""
    transport: Any = httpx.ASGITransport(app=Sandbox(sandbox_site()).app)
    async with httpx.AsyncClient(transport=transport, base_url="http://wix") as http:
        answer = await http.request(method, path)

    assert (status, {"message", "details"}) == (answer.status_code, answer.json().keys())
    assert "x-wix-request-id" in answer.headers


async def test_webhooks_are_signed_only_when_read() -> None:
    """The webhooks of a thousand purchases cost no signature, which is slow, until they are read."""
    sandbox = Sandbox(sandbox_site())

    for _ in range(1000):
        sandbox.world.buy(IDS.tickets["unlimited"])

    webhooks = sandbox.delivery.since()
    assert 4000 == len(webhooks)
    assert {None} == {one._jwt for one in webhooks}
    assert 2 == webhooks[0].jwt.count(".")
