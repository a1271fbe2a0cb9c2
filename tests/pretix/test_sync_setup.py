"""An organiser brings his events to pretix for the first time: plan, apply, and apply again after anything went wrong."""

import asyncio
import random

import pytest

from tests.rig.http_proxy import method
from tests.rig.report import report
from tests.rig.server import until
from tests.rig.sync_rig import PATIENCE, SIZE, TARGET, SyncRig

TICKETS = (10 * SIZE, 9 * SIZE, 6 * SIZE)
"""Of three events: 250 together at full size."""
KILLS = 2 * SIZE


async def test_plan_and_apply_end_one_to_one(sync: SyncRig) -> None:
    """Each ticket of three events is planned, and is one record after the apply; the second plan is empty and writes nothing."""
    events = [await sync.add_event(tickets) for tickets in TICKETS]
    await sync.serve()
    await sync.known()
    loop = asyncio.get_running_loop()
    plans = [await sync.plan(event) for event in events]
    written_by_plans = sync.written
    began = loop.time()
    applied = [await sync.apply(event) for event in events]
    took, requests = loop.time() - began, len(sync.proxy.exchanges)

    assert [["create"] * tickets for tickets in TICKETS] == [
        [one["kind"] for one in plan["operations"]] for plan in plans
    ]
    assert 0 == written_by_plans
    assert [{"create": tickets} for tickets in TICKETS] == [answer["done"] for answer in applied]
    assert [] == await sync.differences() + await sync.half_made()
    report(
        f"{sum(TICKETS)} definitions of three events: {took:.1f} s, {requests} requests, of which {sync.written} write"
    )

    await sync.quiet()
    written = sync.written
    again = [await sync.plan(event) for event in events]
    for event in events:
        await sync.apply(event)
    await sync.quiet()
    assert [([], tickets) for tickets in TICKETS] == [(plan["operations"], plan["equal"]) for plan in again]
    assert [] == sync.proxy.writes[written:]


@pytest.mark.long
async def test_apply_is_killed_and_run_again(sync: SyncRig) -> None:
    """An apply that is killed at any point, and run again, ends one to one: no doubles, and at no time half a record on sale."""
    event = await sync.add_event(sum(TICKETS) if SIZE < 4 else 100)
    await sync.serve()
    await sync.known()
    rng = random.Random(15)
    each = max(
        1, len(sync.tickets(event)) * 2 // KILLS
    )  # of three writes a ticket, so that some are left after the last kill
    killed = 0
    for _ in range(KILLS):
        number = len(sync.proxy.writes) + rng.randrange(1, 2 * each)
        command = sync.start("sync", "apply", event.id, "--to", TARGET, "--yes")
        await until(lambda: command.process.poll() is not None or len(sync.proxy.writes) >= number, PATIENCE)  # noqa: B023
        if command.process.poll() is None:
            await asyncio.sleep(rng.random() * 0.03)
            command.process.kill()
            killed += 1
        await command.ended()
        assert [] == await sync.half_made()
    await sync.apply(event)
    await sync.quiet()

    assert [] == await sync.differences() + await sync.doubles() + await sync.half_made()
    report(f"{len(sync.tickets(event))} definitions, killed {killed} times: {sync.written} writes in the end")


async def test_plan_that_has_changed_is_not_applied(sync: SyncRig) -> None:
    """An apply of a plan by its digest writes nothing when the plan would be another one by now, and says so with status 4."""
    event = await sync.add_event(2)
    await sync.serve()
    await sync.known()
    digest = (await sync.plan(event))["digest"]
    [first, _] = sync.tickets(event)
    await sync.edit(first.id, name="Balcony")

    async def changed() -> bool:
        return "Balcony" in [one["name"] for one in (await sync.plan(event))["operations"]]

    while not await changed():
        pass
    refused = await sync.cli("apply", event.id, "--to", TARGET, "--plan", digest)
    nothing = sync.written
    done = await sync.cli("apply", event.id, "--to", TARGET, "--plan", (await sync.plan(event))["digest"])

    assert (4, 0) == (refused.status, nothing)
    assert "nothing was written" in refused.err
    assert 0 == done.status
    assert [] == await sync.differences()


async def test_ticket_that_pretix_refuses_stops_no_other(sync: SyncRig) -> None:
    """A ticket of another currency is told as a conflict with status 4, and all others are brought."""
    event = await sync.add_event(3)
    other = await sync.control(
        "POST",
        "/tickets",
        {
            "eventId": event.id,
            "name": "Dollars",
            "feeType": "NO_FEE",
            "pricingMethod": {"fixedPrice": {"value": "5.00", "currency": "USD"}},
        },
    )
    await sync.serve()
    await sync.known()
    await sync.apply(event, status=4)
    parked = (await sync.cli("parked", "--json")).json["parked"]

    assert [f"Dollars {other['ticket'][:8]}: 0 items"] == await sync.differences()
    assert [(other["ticket"], "conflict")] == [(one["ticket"], one["state"]) for one in parked]
    assert all("USD" not in one.body.decode() for one in sync.proxy.exchanges if method("POST")(one))


async def test_token_without_a_right_parks_nothing(sync: SyncRig) -> None:
    """A token that may not make the event's property is told once, with its cure; nothing is parked, and the right is enough later."""
    event = await sync.add_event(3)
    [property_] = (await sync.pretix.get(sync.pretix.path(event.pretix, "item_meta_properties")))["results"]
    await sync.pretix.api("DELETE", sync.pretix.path(event.pretix, "item_meta_properties", property_["id"]))
    owner, less = sync.pretix.token, await sync.pretix.new_token(limit_event_permissions=["event.items:write"])
    sync.deployment.settings["BOX_TOKEN"] = less
    await sync.serve()
    await sync.known()

    refused = await sync.cli("apply", event.id, "--to", TARGET, "--yes")
    parked = (await sync.cli("parked", "--json")).json["parked"]
    sync.deployment.settings["BOX_TOKEN"] = owner
    done = await sync.apply(event)

    assert 0 != refused.status
    assert "permission General settings" in refused.out + refused.err
    assert less not in sync.deployment.log
    assert [] == parked
    assert {"create": 3} == done["done"]
    assert [] == await sync.differences()
