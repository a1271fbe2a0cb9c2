"""A ticket that is deleted in Wix: its item is taken off sale, or deleted where pretix allows that."""

from tests.rig.http_proxy import CUT_AFTER
from tests.rig.pretix import META
from tests.rig.pretix_target import MakeOnPretix, option, wanted


async def test_taken_off_sale(on_pretix: MakeOnPretix) -> None:
    """An item is taken off sale by one request of this field, and twice is once."""
    on = await on_pretix()
    one = wanted("", option("Adult"))
    await on.bring(one)
    before, number = await on.item(one.ticket), on.seen

    for _ in range(2):
        await on.target.deactivate(on.event, await on.record(one.ticket), on.before_write)

    assert [("PATCH", {"active": False})] == [(each.method, each.json) for each in on.writes(number)]
    assert {**before, "active": False} == await on.item(one.ticket)
    assert 1 == len(await on.quotas())


async def test_deleted(on_pretix: MakeOnPretix) -> None:
    """With *delete* the item and its quota are gone; another's quota that had the item stays, without it."""
    on = await on_pretix()
    one = wanted("", option("Adult"))
    await on.bring(one)
    item = await on.item(one.ticket)
    ids = [each["id"] for each in item["variations"]]
    await on.api("POST", "quotas/", {"name": "Room", "size": 9, "items": [item["id"]], "variations": ids})

    await on.target.deactivate(on.event, await on.record(one.ticket), on.before_write, delete=True)

    assert [] == await on.items()
    assert [("Room", [])] == [(each["name"], each["items"]) for each in await on.quotas()]


async def test_ordered(on_pretix: MakeOnPretix) -> None:
    """What has orders cannot be deleted: it is taken off sale, and keeps its quota."""
    on = await on_pretix()
    one = wanted()
    await on.bring(one)
    await on.server.order(on.event, (await on.item(one.ticket))["id"])

    for _ in range(2):
        await on.target.deactivate(on.event, await on.record(one.ticket), on.before_write, delete=True)

    assert (False, 1) == ((await on.item(one.ticket))["active"], len(await on.quotas()))


async def test_quota_with_others_stays(on_pretix: MakeOnPretix) -> None:
    """A quota of ours into which somebody has put another item stays when its own item is deleted."""
    on = await on_pretix()
    one, other = wanted(), await on.by_hand()
    await on.bring(one)
    [quota] = await on.quotas()
    await on.api("PATCH", f"quotas/{quota['id']}/", {"items": [*quota["items"], other["id"]]})

    await on.target.deactivate(on.event, await on.record(one.ticket), on.before_write, delete=True)

    assert [[other["id"]]] == [each["items"] for each in await on.quotas()]


async def test_gone(on_pretix: MakeOnPretix) -> None:
    """An item that somebody has deleted needs nothing more."""
    on = await on_pretix()
    one = wanted()
    await on.bring(one)
    record = await on.record(one.ticket)
    await on.api("DELETE", f"items/{record.key}/")
    number = on.seen
    stale = record.__class__(record.key, record.ticket, record.name, True, record.fields)

    await on.target.deactivate(on.event, stale, on.before_write)
    await on.target.deactivate(on.event, stale, on.before_write, delete=True)

    assert [] == on.writes(number)


async def test_adopted(on_pretix: MakeOnPretix) -> None:
    """An adopted item bears the id in its meta data and its internal name, and keeps everything else."""
    on = await on_pretix()
    await on.api("POST", "item_meta_properties/", {"name": "hall", "default": "", "allowed_values": None})
    made = await on.by_hand("Seat", internal_name="Box office", meta_data={"hall": "2"}, description={"de": "Reihen"})
    one = wanted(internal_name=...)
    [record] = await on.target.list(on.event)

    await on.target.mark(on.event, record, one.ticket, on.before_write)

    item = await on.item(one.ticket)
    assert {
        **made,
        "internal_name": f"Box office · wix:{one.ticket}",
        "meta_data": {"hall": "2", META: one.ticket},
    } == item
    assert str(made["id"]) == (await on.record(one.ticket)).key
    await on.bring(one)
    assert {"hall": "2", META: one.ticket} == (await on.item(one.ticket))["meta_data"]
    assert 1 == len(await on.quotas())


async def test_adopted_twice(on_pretix: MakeOnPretix) -> None:
    """An adoption whose answer was lost may be repeated; nothing in pretix is written twice by it."""
    on = await on_pretix(meta=False)
    await on.by_hand("Seat")
    one = wanted()
    [record] = await on.target.list(on.event)

    for _ in range(2):
        await on.target.mark(on.event, record, one.ticket, on.before_write)

    assert f"Seat · wix:{one.ticket}" == (await on.item(one.ticket))["internal_name"]
    assert 1 == on.requests().count("POST item_meta_properties/")


async def test_let_go(on_pretix: MakeOnPretix) -> None:
    """A copy that loses the id loses it in both places, keeps all else, and is found no more."""
    on = await on_pretix()
    one = wanted()
    await on.bring(one)
    item = await on.item(one.ticket)
    copy = await on.by_hand("Seat", internal_name=item["internal_name"], meta_data=item["meta_data"])
    _, second = await on.target.find(on.event, one.ticket, None)

    await on.target.mark(on.event, second, None, on.before_write)

    assert [str(item["id"])] == [each.key for each in await on.target.find(on.event, one.ticket, None)]
    assert {**copy, "internal_name": "Seat", "meta_data": {}} == await on.api("GET", f"items/{copy['id']}/")


async def test_answer_lost(on_pretix: MakeOnPretix) -> None:
    """A removal whose answer was lost is repeated without harm."""
    on = await on_pretix()
    one = wanted()
    await on.bring(one)
    record = await on.record(one.ticket)
    on.proxy.add(CUT_AFTER)
    await on.proxy.heal()

    await on.target.deactivate(on.event, record, on.before_write, delete=True)
    await on.target.deactivate(on.event, record, on.before_write, delete=True)

    assert ([], []) == (await on.items(), await on.quotas())


async def test_quota_follows_its_item(on_pretix: MakeOnPretix) -> None:
    """An item that gets another ticket's id takes its own quota with it; one that it shares, and the organiser's, keep their names."""
    on = await on_pretix()
    one, two = wanted(limit=5), wanted(limit=5)
    await on.bring(one)
    item = await on.item(one.ticket)
    room = await on.api("POST", "quotas/", {"name": "Room", "size": 9, "items": [item["id"]], "variations": []})
    await on.target.mark(on.event, await on.record(one.ticket), None, on.before_write)
    [left] = await on.target.list(on.event)

    await on.target.mark(on.event, left, two.ticket, on.before_write)

    assert ("", 5) == (left.ticket, left.fields["limit"])
    assert [f"wix:{two.ticket}", "Room"] == [each["name"] for each in await on.quotas()]
    assert room == (await on.quotas())[1]
    assert 5 == (await on.record(two.ticket)).fields["limit"]
