"""People edit in pretix, too: what they changed is told, what is theirs is kept, and nothing is removed by mistake."""

from typing import Any

import pytest

from tests.rig.http_proxy import Exchange
from tests.rig.pretix import META
from tests.rig.pretix_equal import bears
from tests.rig.sync_rig import RECONCILE, TARGET, SyncedEvent, SyncRig

OURS = {
    "name", "internal_name", "default_price", "free_price", "available_from", "available_from_mode", "available_until",
    "available_until_mode", "active", "position",
}  # fmt: skip
"""The fields of an item that the shipped mapping owns after its creation."""
OURS_OF_OPTIONS = {"value", "default_price", "position", "active"}
OURS_OF_QUOTAS = {"name", "size", "items", "variations", "subevent"}


async def started(sync: SyncRig, tickets: int = 14) -> SyncedEvent:
    """An event with tickets of all kinds that is equal in pretix, and followed."""
    event = await sync.add_event(tickets)
    await sync.serve()
    await sync.known()
    await sync.apply(event)
    await sync.equal()
    await sync.quiet()
    return event


async def patch(sync: SyncRig, event: SyncedEvent, *words: str | int, **members: Any) -> None:
    """Edit something of an event in pretix, past the proxy."""
    answer = await sync.pretix.api("PATCH", sync.pretix.path(event.pretix, *words), members)
    assert 200 == answer.status_code, answer.text


async def test_diff_shows_exactly_the_hand_edits(sync: SyncRig) -> None:
    """Each value that a person changed in pretix is in the diff, as edited there, and nothing else; the plan says what it overwrites."""
    event = await started(sync)
    items = {bears(item): item for item in await sync.pretix.all(event.pretix, "items")}
    by_kind = {ticket.kind: ticket for ticket in sync.tickets(event)}
    fixed, guest, family = by_kind["fixed"], by_kind["guest"], by_kind["options"]
    await patch(sync, event, "items", items[fixed.id]["id"], default_price="99.00", position=55)
    await patch(sync, event, "items", items[guest.id]["id"], name={"en": "Charity", "de": "Spende"}, active=False)
    option = items[family.id]["variations"][0]
    await patch(sync, event, "items", items[family.id]["id"], "variations", option["id"], default_price="1.00")
    [quota] = [one for one in await sync.pretix.all(event.pretix, "quotas") if one["name"] == f"wix:{fixed.id}"]
    await patch(sync, event, "quotas", quota["id"], size=1)
    # What is not ours differs, too, and is nobody's business.
    await patch(sync, event, "items", items[fixed.id]["id"], description={"en": "Mine"}, checkin_attention=True)

    answer = await sync.cli("diff", event.id, "--to", TARGET, "--json", "--exit-code")
    plan = await sync.plan(event)
    found = {
        (one["ticket"], field["name"], field["applied"] == field["wix"])
        for one in answer.json["tickets"]
        for field in (*one["fields"], *(field for option in one["options"] for field in option["fields"]))
    }
    assert 3 == answer.status
    assert {
        (fixed.id, "default_price", True),
        (fixed.id, "position", True),
        (fixed.id, "limit", True),
        (guest.id, "name", True),
        (guest.id, "active", True),
        (family.id, "default_price", True),
    } == found
    assert {fixed.id: 3, guest.id: 2, family.id: 1} == {one["ticket"]: one["edits"] for one in plan["operations"]}
    assert {"edited"} == {one["reason"] for one in plan["operations"]}

    await sync.apply(event)
    assert [] == await sync.differences()
    now = {bears(item): item for item in await sync.pretix.all(event.pretix, "items")}
    assert ({"en": "Mine"}, True) == (now[fixed.id]["description"], now[fixed.id]["checkin_attention"])
    assert "Spende" == now[guest.id]["name"]["de"]


async def test_what_the_mapping_does_not_own_is_never_written(sync: SyncRig) -> None:
    """After its creation no write of an item, an option or a quota has a field that the mapping does not name."""
    event = await started(sync)
    number = len(sync.proxy.exchanges)
    for ticket in sync.tickets(event):
        await sync.edit(
            ticket.id, name=f"New {ticket.position}", initialLimit=ticket.position, hidden=not ticket.hidden
        )
    await sync.equal()

    def foreign(one: Exchange) -> set[str]:
        names = set(one.json or {}) - {"meta_data"}
        if "/variations/" in one.path:
            return names - OURS_OF_OPTIONS
        return names - (OURS_OF_QUOTAS if "/quotas/" in one.path else OURS)

    patches = [one for one in sync.proxy.since(number) if one.method == "PATCH"]
    assert len(patches) >= len(sync.tickets(event))
    assert {} == {str(one): foreign(one) for one in patches if foreign(one)}
    assert [] == [str(one) for one in patches if one.path.rstrip("/").endswith(f"/events/{event.pretix}")]


async def test_custom_fields_and_languages_of_others_stay(sync: SyncRig) -> None:
    """Other meta data, other languages, and other items of a quota are as before after an edit of every ticket."""
    event = await sync.add_event(6)
    hall = {"name": "hall", "default": "", "required": False, "allowed_values": None}
    made = await sync.pretix.api("POST", sync.pretix.path(event.pretix, "item_meta_properties"), hall)
    assert 201 == made.status_code, made.text
    await sync.serve()
    await sync.known()
    await sync.apply(event)
    for item in await sync.pretix.all(event.pretix, "items"):
        await patch(
            sync,
            event,
            "items",
            item["id"],
            meta_data={**item["meta_data"], "hall": "A1"},
            name={**item["name"], "de": "Platz"},
        )
    for ticket in sync.tickets(event):
        await sync.edit(ticket.id, name=f"New {ticket.position}")
    await sync.equal()
    await sync.quiet()

    after = await sync.pretix.all(event.pretix, "items")
    assert {("A1", "Platz")} == {(item["meta_data"]["hall"], item["name"]["de"]) for item in after}
    assert 6 == len({item["meta_data"][META] for item in after})


@pytest.mark.parametrize("found", ["none", "half"])
async def test_wix_list_that_finds_too_little_deactivates_nothing(sync: SyncRig, found: str) -> None:
    """While Wix's queries find nothing, or half, for two rounds of RECONCILE and an apply, nothing is written to pretix."""
    event = await started(sync)
    sync.wix.knobs.turn(query_results=found)
    calls = len(sync.wix.calls("query"))
    written = sync.written
    await sync.wait_for_calls("query", calls + 3, 3 * RECONCILE)
    plan = await sync.plan(event)
    await sync.apply(event)
    await sync.quiet()
    sync.wix.knobs.turn(query_results="all")

    assert [] == [one for one in plan["operations"] if one["kind"] == "deactivate"]
    assert [] == sync.proxy.writes[written:]
    assert [] == await sync.differences()
