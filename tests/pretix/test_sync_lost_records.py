"""Our records are lost, pretix's database is an older one, or an event was copied: what is in pretix decides, and nothing is doubled."""

from tests.rig.pretix import META
from tests.rig.pretix_equal import bears
from tests.rig.sync_rig import PATIENCE, SyncedEvent, SyncRig

TICKETS = 14


async def started(sync: SyncRig) -> SyncedEvent:
    """An event with tickets of all kinds that is equal in pretix, and followed."""
    event = await sync.add_event(TICKETS)
    await sync.serve()
    await sync.known()
    await sync.apply(event)
    await sync.equal()
    await sync.quiet()
    return event


async def test_redis_is_flushed(sync: SyncRig) -> None:
    """With all of Redis lost, an apply finds every record by its id, writes nothing, and later edits are followed as before."""
    event = await started(sync)
    written = sync.written
    sync.redis.ask("FLUSHALL")
    await sync.known()
    plan = await sync.plan(event)
    await sync.apply(event)
    await sync.quiet()

    assert ([], TICKETS) == (plan["operations"], plan["equal"])
    assert [] == sync.proxy.writes[written:]
    await sync.edit(sync.tickets(event)[0].id, name="After the loss")
    await sync.equal()
    assert 1 == len(sync.proxy.writes) - written


async def test_older_database_is_restored(sync_alone: SyncRig) -> None:
    """After pretix's database was restored from an older copy, an apply makes it equal again, though ids are used again."""
    sync = sync_alone
    event = await started(sync)
    backup = sync.pretix.backup()
    for ticket in sync.tickets(event)[:4]:
        await sync.edit(ticket.id, name=f"New {ticket.position}", initialLimit=7)
    body = {
        "eventId": event.id,
        "feeType": "NO_FEE",
        "pricingMethod": {"fixedPrice": {"value": "3.00", "currency": "EUR"}},
    }
    for name in ("Late one", "Late two"):
        await sync.control("POST", "/tickets", {**body, "name": name})
    await sync.equal()
    lost = {bears(item): item["id"] for item in await sync.pretix.all(event.pretix, "items")}
    await sync.proxy.refuse()
    sync.pretix.restore(backup)
    # A person makes an item that gets the id which one of ours had.
    made = await sync.pretix.api(
        "POST", sync.pretix.path(event.pretix, "items"), {"name": {"en": "Cloakroom"}, "default_price": "2.00"}
    )
    assert made.json()["id"] in lost.values()
    await sync.proxy.heal()
    await sync.apply(event)

    assert [] == await sync.differences() + await sync.doubles() + await sync.half_made()
    [own] = [item for item in await sync.pretix.all(event.pretix, "items") if item["id"] == made.json()["id"]]
    assert ({"en": "Cloakroom"}, "2.00", "") == (own["name"], own["default_price"], bears(own))


async def test_cloned_event(sync: SyncRig) -> None:
    """The items of a cloned event are told as conflicts and never touched, also when the copy is another Wix event's."""
    event = await started(sync)
    copy = await sync.pretix.clone_event(event.pretix)
    other = await sync.control("POST", "/events", {"title": "Autumn"})
    await sync.control("POST", f"/events/{other['id']}/fill", {"tickets": 2, "currency": "EUR"})
    before = await sync.pretix.all(copy, "items")
    autumn = SyncedEvent(other["id"], other["slug"], copy)
    sync.events.append(autumn)
    sync.write_file()
    await sync.known()
    plan = await sync.plan(autumn)
    await sync.apply(autumn, status=4)
    await sync.quiet()

    assert {"create": 2, "conflict": TICKETS} == {
        kind: len([one for one in plan["operations"] if one["kind"] == kind]) for kind in ("create", "conflict")
    }
    assert {"copied"} == {one["reason"] for one in plan["operations"] if one["kind"] == "conflict"}
    after = [item for item in await sync.pretix.all(copy, "items") if item["id"] in {one["id"] for one in before}]
    assert before == after


async def test_cloned_item(sync: SyncRig) -> None:
    """A copy of an item in the same event is a conflict that names both; it is not touched, and a person decides."""
    event = await started(sync)
    [first, *_] = await sync.pretix.all(event.pretix, "items")
    body = {name: first[name] for name in ("name", "default_price", "internal_name", "meta_data")}
    made = await sync.pretix.api("POST", sync.pretix.path(event.pretix, "items"), body)
    assert 201 == made.status_code, made.text
    written = sync.written
    plan = await sync.plan(event)
    await sync.edit(first["meta_data"][META], name="Which one?")
    await sync.parked_as("conflict", first["meta_data"][META], PATIENCE)

    [conflict] = plan["operations"]
    assert ("conflict", "two_records") == (conflict["kind"], conflict["reason"])
    assert {str(first["id"]), str(made.json()["id"])} == {conflict["record"], *conflict["others"]} - {None}
    assert [] == sync.proxy.writes[written:]
    adopted = await sync.cli("adopt", first["meta_data"][META], "--to", "box", "--record", str(first["id"]))
    assert 0 == adopted.status, adopted
    await sync.equal()
    assert [] == await sync.doubles()
