"""What a person decides: whether a target is written to, which records are adopted, and when one is replaced."""

from typing import Any

from tests.rig.pretix import META
from tests.rig.pretix_equal import bears
from tests.rig.server import until
from tests.rig.sync_rig import PATIENCE, TARGET, SyncedEvent, SyncRig


async def started(sync: SyncRig, tickets: int = 3) -> SyncedEvent:
    """An event that is equal in pretix, and followed."""
    event = await sync.add_event(tickets)
    await sync.serve()
    await sync.known()
    await sync.apply(event)
    await sync.equal()
    await sync.quiet()
    return event


async def test_observed_target_is_never_written_to(sync: SyncRig) -> None:
    """With mode = "observe" plan and diff work, apply is refused with status 2, and no request ever writes."""
    sync.write_file('mode = "observe"')
    event = await sync.add_event(3)
    await sync.serve()
    await sync.known()
    plan = await sync.plan(event)
    refused = await sync.cli("apply", event.id, "--to", TARGET, "--yes")
    await sync.edit(sync.tickets(event)[0].id, name="Other")
    await sync.quiet()

    assert ["create"] * 3 == [one["kind"] for one in plan["operations"]]
    assert (2, True) == (refused.status, "observe" in refused.err)
    assert [] == sync.proxy.writes


async def test_paused_target_gets_everything_after_the_pause(sync: SyncRig) -> None:
    """A paused target is not written to, the reason is in the status, and after `resume` all that changed is applied."""
    event = await started(sync)
    await sync.cli("pause", TARGET, "--reason", "moving")
    written = sync.written
    for ticket in sync.tickets(event):
        await sync.edit(ticket.id, name=f"Moved {ticket.position}")
    await sync.quiet(4)
    [status] = (await sync.cli("status", "--json")).json["targets"]
    assert ("moving", 3) == (status["paused"], status["due"])
    assert [] == sync.proxy.writes[written:]
    await sync.cli("resume", TARGET)
    await sync.equal(30)


async def test_item_of_the_same_name_is_adopted_only_if_asked(sync: SyncRig) -> None:
    """An item that has a ticket's name and no id is proposed; it gets the id only with --adopt, and then there is no second one."""
    event = await sync.add_event(2)
    await sync.serve()
    await sync.known()
    first = next(one for one in sync.tickets(event) if one.pricing.value != "options")
    body: dict[str, Any] = {"name": {"en": first.name}, "default_price": "1.00", "admission": True}
    made = await sync.pretix.api("POST", sync.pretix.path(event.pretix, "items"), body)
    plan = await sync.plan(event)
    await sync.apply(event, status=4)
    before = [bears(item) for item in await sync.pretix.all(event.pretix, "items")]
    await sync.apply(event, "--adopt")

    assert {("adopt", first.id, str(made.json()["id"]))} == {
        (one["kind"], one["ticket"], one["record"] or one["others"][0])
        for one in plan["operations"]
        if one["kind"] == "adopt"
    }
    assert "" in before
    assert first.id not in before
    items = await sync.pretix.all(event.pretix, "items")
    assert [first.id] == [item["meta_data"].get(META) for item in items if item["id"] == made.json()["id"]]
    assert 2 == len(items)
    assert [] == await sync.differences()


async def test_fixed_price_becomes_options(sync: SyncRig) -> None:
    """One price cannot become options in pretix: that is a conflict until --replace, which makes a new item and takes the old one off sale."""
    event = await started(sync)
    ticket = next(one for one in sync.tickets(event) if one.pricing.value != "options")
    [old] = [item for item in await sync.pretix.all(event.pretix, "items") if bears(item) == ticket.id]
    price = {"value": "12.00", "currency": "EUR"}
    details = [{"name": "Day", "price": price}, {"name": "Night", "price": price}]
    await sync.edit(ticket.id, pricingMethod={"pricingOptions": {"optionDetails": details}})
    conflict = await sync.parked_as("conflict", ticket.id)
    plan = await sync.plan(event)
    await sync.apply(event, "--replace", ticket.id)

    assert "--replace" in conflict["cure"]
    assert [("conflict", "needs_replacing")] == [(one["kind"], one["reason"]) for one in plan["operations"]]
    await sync.equal(30)
    items = {item["id"]: item for item in await sync.pretix.all(event.pretix, "items")}
    assert (False, "") == (items[old["id"]]["active"], bears(items[old["id"]]))

    async def nothing_parked() -> bool:
        return not (await sync.cli("parked", "--json")).json["parked"]

    await until(nothing_parked, PATIENCE)
