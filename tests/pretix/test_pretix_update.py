"""Changes of a ticket reach its item: what changed, and nothing else."""

import asyncio
from typing import Any

import pytest

from server.errors import TargetRefused, TargetUnsure
from server.sync.model import Kind, Value
from tests.rig.pretix import META
from tests.rig.pretix_target import MakeOnPretix, changed, option, wanted

CHANGES: list[tuple[str, Value, Value]] = [
    ("name", "Stalls", {"en": "Stalls"}),  # type: ignore[list-item]
    ("description", "Rows 1 to 9", {"en": "Rows 1 to 9"}),  # type: ignore[list-item]
    ("default_price", "27.50", "27.50"),
    ("default_price", "0.00", "0.00"),
    ("free_price", True, True),
    ("available_from", "2027-03-01T18:00:00Z", "2027-03-01T18:00:00Z"),
    ("available_until", "2027-03-01T18:00:00.123456Z", "2027-03-01T18:00:00.123456Z"),
    ("available_from_mode", "info", "info"),
    ("available_until_mode", "info", "info"),
    ("position", 7, 7),
    ("position", -7, -7),
    ("active", False, False),
    ("max_per_order", 4, 4),
    ("checkin_text", "  Left door ", "Left door"),
]


@pytest.mark.parametrize(("name", "value", "shown"), CHANGES)
async def test_each_field_alone(on_pretix: MakeOnPretix, name: str, value: Value, shown: Any) -> None:
    """Each field is changed alone, by one request that has only this field, and everything else stays as it was."""
    on = await on_pretix()
    one = wanted(internal_name=...)
    await on.bring(one)
    before, number = await on.item(one.ticket), on.seen

    operation = await on.bring(changed(one, **{name: value}))

    assert operation is not None
    assert [name] == [change.name for change in operation.fields]
    assert [{name: shown}] == [
        {each: each_value for each, each_value in request.json.items() if each == name} for request in on.writes(number)
    ]
    assert [[name]] == [list(request.json) for request in on.writes(number)]
    assert {**before, name: shown} == await on.item(one.ticket)


async def test_fields_together(on_pretix: MakeOnPretix) -> None:
    """All fields that changed are one request, and times are taken away by null."""
    on = await on_pretix()
    one = wanted(available_from="2027-03-01T18:00:00Z", available_until="2027-04-01T18:00:00Z")
    await on.bring(one)
    number = on.seen

    await on.bring(changed(one, name="Stalls", default_price="1.00", available_from=None, available_until=None))

    assert ["PATCH items/N/"] == [each for each in on.requests(number) if not each.startswith("GET")]
    item = await on.item(one.ticket)
    assert ({"en": "Stalls"}, "1.00", None, None) == tuple(
        item[name] for name in ("name", "default_price", "available_from", "available_until")
    )


async def test_other_languages_stay(on_pretix: MakeOnPretix) -> None:
    """Only our language of a text is compared and written: the organiser's translations stay."""
    on = await on_pretix()
    one = wanted("", option("Adult"), description="Rows")
    await on.bring(one)
    item = await on.item(one.ticket)
    await on.api("PATCH", f"items/{item['id']}/", {"name": {"en": "Seat", "de": "Platz", "fr": "Place"}})
    await on.api("PATCH", f"items/{item['id']}/", {"description": {"en": "Rows", "de": "Reihen"}})
    path = f"items/{item['id']}/variations/{item['variations'][0]['id']}/"
    await on.api("PATCH", path, {"value": {"en": "Adult", "de": "Erwachsene"}})
    assert await on.plan(one) is None

    await on.bring(changed(one, option("Grown-up", id_="option-Adult"), name="Stalls", description=""))

    item = await on.item(one.ticket)
    assert {"en": "Stalls", "de": "Platz", "fr": "Place"} == item["name"]
    assert "Reihen" == item["description"]["de"]
    assert not item["description"].get("en")
    assert {"en": "Grown-up", "de": "Erwachsene"} == item["variations"][0]["value"]


@pytest.mark.parametrize("empty", [None, {}, {"en": ""}, "", {"de": "Reihen"}])
async def test_empty_descriptions_are_equal(on_pretix: MakeOnPretix, empty: Any) -> None:
    """A description that pretix has as null, as nothing, or as an empty text is no difference to an empty one."""
    on = await on_pretix()
    one = wanted(description="")
    await on.bring(one)

    await on.server.api(
        "PATCH", on.server.path(on.event, "items", (await on.item(one.ticket))["id"]), {"description": empty}
    )

    assert await on.plan(one) is None


async def test_other_meta_data_stays(on_pretix: MakeOnPretix) -> None:
    """No update sends meta data, so the organiser's own, and the Wix id, stay."""
    on = await on_pretix()
    await on.api("POST", "item_meta_properties/", {"name": "hall", "default": "", "allowed_values": None})
    one = wanted()
    await on.bring(one)
    item = await on.item(one.ticket)
    await on.api("PATCH", f"items/{item['id']}/", {"meta_data": {META: one.ticket, "hall": "2"}})

    await on.bring(changed(one, name="Stalls", limit=3))

    assert {META: one.ticket, "hall": "2"} == (await on.item(one.ticket))["meta_data"]
    assert not [each for each in on.writes() if each.method == "PATCH" and "meta_data" in each.json]


async def test_edits_by_hand_are_seen_and_overwritten(on_pretix: MakeOnPretix) -> None:
    """An edit in pretix of a field that is ours is planned and undone; of any other it is neither."""
    on = await on_pretix()
    one = wanted()
    await on.bring(one)
    item = await on.item(one.ticket)
    await on.api("PATCH", f"items/{item['id']}/", {"default_price": "1.00", "max_per_order": 2, "allow_cancel": False})

    operation = await on.bring(one)

    assert operation is not None
    assert [("default_price", "25.00", "1.00")] == [(each.name, each.wix, each.target) for each in operation.fields]
    item = await on.item(one.ticket)
    assert ("25.00", 2, False) == (item["default_price"], item["max_per_order"], item["allow_cancel"])


@pytest.mark.parametrize("limits", [(60, None, 60), (60, 100, 0), (None, 0, 5)])
async def test_limits(on_pretix: MakeOnPretix, limits: tuple[int | None, ...]) -> None:
    """The limit is the size of the ticket's quota: unlimited, none and any number, there and back; one request each."""
    on = await on_pretix()
    one = wanted(limit=limits[0])
    await on.bring(one)

    for limit in limits[1:]:
        number = on.seen
        await on.bring(changed(one, limit=limit))
        assert [("PATCH", {"size": limit})] == [(each.method, each.json) for each in on.writes(number)]
        assert [limit] == [each["size"] for each in await on.quotas()]


async def test_limit_below_what_is_sold(on_pretix: MakeOnPretix) -> None:
    """A limit below what pretix has sold is written as it is: nothing more is sold then."""
    on = await on_pretix()
    one = wanted(limit=5)
    await on.bring(one)
    item = (await on.item(one.ticket))["id"]
    await on.server.order(on.event, item, item)

    await on.bring(changed(one, limit=1))

    [quota] = await on.quotas()
    assert (1, 0) == (
        quota["size"],
        (await on.api("GET", f"quotas/{quota['id']}/availability/"))["available_number"],
    )


async def test_what_closes_comes_first(on_pretix: MakeOnPretix) -> None:
    """Off sale and a lower limit come before all else, a higher limit and on sale after it."""
    on = await on_pretix()
    one = wanted("", option("Adult"), option("Child"), limit=50)
    await on.bring(one)
    number = on.seen

    await on.bring(changed(one, option("Adult", "12.00"), active=False, limit=10, name="Stalls"))
    closing = [(each.method, each.json) for each in on.writes(number)]
    number = on.seen
    await on.bring(changed(one, option("Adult", "13.00"), option("Senior"), limit=None, name="Seats"))
    opening = [
        (each.method, each.path.partition(f"/{on.event}/")[2].split("/")[::2], each.json) for each in on.writes(number)
    ]

    assert [
        ("PATCH", {"active": False}),
        ("PATCH", {"size": 10}),
        ("DELETE", None),
        ("PATCH", {"name": {"en": "Stalls"}}),
        ("PATCH", {"default_price": "12.00"}),
    ] == closing
    assert ["PATCH", "PATCH", "POST", "PATCH", "PATCH"] == [method for method, _, _ in opening]
    assert {"active": True} == opening[-1][2]
    assert None is opening[-2][2]["size"]
    assert 2 == len(opening[-2][2]["variations"])


async def test_quota_with_items_of_others(on_pretix: MakeOnPretix) -> None:
    """Items that somebody has put into our quota stay in it, and the quotas of others stay as they are."""
    on = await on_pretix()
    other = await on.by_hand()
    room = await on.api("POST", "quotas/", {"name": "Room", "size": 9, "items": [other["id"]], "variations": []})
    one = wanted()
    await on.bring(one)
    [ours] = [each for each in await on.quotas() if each["name"] != "Room"]
    item = ours["items"][0]
    await on.api("PATCH", f"quotas/{ours['id']}/", {"items": [item, other["id"]], "close_when_sold_out": True})
    await on.api("PATCH", f"quotas/{room['id']}/", {"items": [item, other["id"]]})

    await on.bring(changed(one, limit=3))

    rows = {each["name"]: each for each in await on.quotas()}
    assert (3, sorted([item, other["id"]]), True) == (
        rows[ours["name"]]["size"],
        sorted(rows[ours["name"]]["items"]),
        rows[ours["name"]]["close_when_sold_out"],
    )
    assert {**room, "items": rows["Room"]["items"]} == rows["Room"]


async def test_quota_is_deleted(on_pretix: MakeOnPretix) -> None:
    """Without its quota nothing of an item is sold, so a deleted one is a difference, and made again."""
    on = await on_pretix()
    one = wanted("", option("Adult"), limit=8)
    await on.bring(one)
    [quota] = await on.quotas()
    await on.api("DELETE", f"quotas/{quota['id']}/")
    assert "limit" not in (await on.record(one.ticket)).fields

    await on.bring(one)

    [quota] = await on.quotas()
    assert (8, 1, 1) == (quota["size"], len(quota["items"]), len(quota["variations"]))


@pytest.mark.parametrize("lost", ["items", "variations"])
async def test_quota_has_lost_its_item(on_pretix: MakeOnPretix, lost: str) -> None:
    """An item, or a variation, that was taken out of its quota is put back, and the quota is not doubled."""
    on = await on_pretix()
    one = wanted("", option("Adult"), option("Child"), limit=8)
    await on.bring(one)
    [quota] = await on.quotas()
    kept = {"items": [], "variations": []} if lost == "items" else {"variations": quota["variations"][:1]}
    await on.api("PATCH", f"quotas/{quota['id']}/", kept)

    await on.bring(one)

    assert [quota] == await on.quotas()


async def test_two_quotas_of_one_ticket(on_pretix: MakeOnPretix) -> None:
    """A second quota of the ticket, of which the lower would count, is removed; one that holds more than the item is not."""
    on = await on_pretix()
    one = wanted(limit=8)
    await on.bring(one)
    other = await on.by_hand()
    [first] = await on.quotas()
    await on.api("POST", "quotas/", {**first, "size": 1})
    shared = await on.api("POST", "quotas/", {**first, "size": 2, "items": [*first["items"], other["id"]]})

    await on.bring(one)

    assert [first, shared] == await on.quotas()


async def test_closed_quota_is_told(on_pretix: MakeOnPretix) -> None:
    """A quota that somebody has closed stays closed, and the record says so."""
    on = await on_pretix()
    one = wanted()
    await on.bring(one)
    [quota] = await on.quotas()
    await on.api("PATCH", f"quotas/{quota['id']}/", {"closed": True})

    [note] = (await on.record(one.ticket)).notes

    assert "is closed" in note
    assert await on.plan(one) is None
    await on.bring(changed(one, limit=3))
    assert [True] == [each["closed"] for each in await on.quotas()]


async def test_refusal_in_the_words_of_pretix(on_pretix: MakeOnPretix) -> None:
    """What pretix refuses is told in its own words, with the field."""
    on = await on_pretix()
    one = wanted(available_from="2027-05-01T00:00:00Z", available_until="2027-04-01T00:00:00Z")

    with pytest.raises(TargetRefused, match="The item's availability cannot end before it starts") as refused:
        await on.bring(one)

    assert 400 == refused.value.status


async def test_id_is_looked_at_before_each_write(on_pretix: MakeOnPretix) -> None:
    """A record that was read longer ago is read again before it is written; if it bears another id by now, nothing is written."""
    on = await on_pretix()
    one = wanted(limit=5)
    await on.bring(one)
    operation = await on.plan(changed(one, name="Stalls", limit=9))
    record = await on.record(one.ticket)
    assert operation is not None
    await on.api("PATCH", f"items/{record.key}/", {"meta_data": {META: "another"}})
    await asyncio.sleep(0.6)  # longer than a look is good for
    number = on.seen

    with pytest.raises(TargetUnsure, match="bears another now"):
        await on.target.update(
            on.event, record, await on.fitted(changed(one, name="Stalls")), operation, on.before_write
        )

    assert [] == on.writes(number)


async def test_lease_that_takes_long(on_pretix: MakeOnPretix) -> None:
    """Where the time between a look and its write gets too long, the item is looked at again before the write."""
    on = await on_pretix()
    one = wanted()
    await on.bring(one)
    item = (await on.item(one.ticket))["id"]
    held = 0

    async def slow_once() -> None:
        nonlocal held
        held += 1
        if held == 1:
            await asyncio.sleep(0.6)  # longer than a look is good for
            await on.api("PATCH", f"items/{item}/", {"name": {"en": "Seat", "de": "Platz"}})

    on.before_write = slow_once

    await on.bring(changed(one, name="Stalls"))

    assert 2 == held
    assert {"en": "Stalls", "de": "Platz"} == (await on.item(one.ticket))["name"]


async def test_budget_that_lets_one_wait(on_pretix: MakeOnPretix) -> None:
    """A wait for the budget is before the look, not between it and the write: a slow budget is no reason to give up."""
    on = await on_pretix()
    one = wanted(limit=5)
    await on.bring(one)
    paid = 0

    async def slow() -> None:
        nonlocal paid
        paid += 1
        await asyncio.sleep(0.7)

    operation = await on.plan(changed(one, name="Stalls", limit=4))
    record = await on.record(one.ticket)
    assert operation is not None
    number, on.pay = on.seen, slow

    await on.target.update(
        on.event, record, await on.fitted(changed(one, name="Stalls", limit=4)), operation, on.before_write
    )

    assert Kind.UPDATE is operation.kind
    assert (["PATCH", "PATCH"], True) == (
        [each.method for each in on.writes(number)],
        0 <= paid - len(on.proxy.since(number)) <= 1,
    )
    assert await on.plan(changed(one, name="Stalls", limit=4)) is None
