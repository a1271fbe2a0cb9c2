"""Options of a ticket are variations of its item: added, changed, removed."""

import pytest

from server.errors import TargetRefused
from server.sync.model import Applied, Kind, Reason
from server.sync.plan import Found, Rules, plan_ticket
from tests.rig.pretix import META
from tests.rig.pretix_target import MakeOnPretix, changed, option, wanted


async def test_added(on_pretix: MakeOnPretix) -> None:
    """A new option is a new variation with the option's id, and in the quota: without it nothing of it could be sold."""
    on = await on_pretix()
    one = wanted("", option("Adult"), limit=5)
    await on.bring(one)

    await on.bring(changed(one, option("Adult"), option("Child", "5.00")))

    item, [quota] = await on.item(one.ticket), await on.quotas()
    assert [("10.00", {META: "option-Adult"}), ("5.00", {META: "option-Child"})] == [
        (each["default_price"], each["meta_data"]) for each in item["variations"]
    ]
    assert (5, [each["id"] for each in item["variations"]]) == (quota["size"], sorted(quota["variations"]))


async def test_changed_alone(on_pretix: MakeOnPretix) -> None:
    """A changed option is one request with only what changed; its id, its other variations and the item stay."""
    on = await on_pretix()
    one = wanted("", option("Adult"), option("Child"))
    await on.bring(one)
    before, number = await on.item(one.ticket), on.seen

    await on.bring(changed(one, option("Adult", "11.00"), option("Child")))

    assert [{"default_price": "11.00"}] == [each.json for each in on.writes(number)]
    after = await on.item(one.ticket)
    before["variations"][0] |= {"default_price": "11.00", "price": "11.00"}
    assert before == after


async def test_removed_without_orders(on_pretix: MakeOnPretix) -> None:
    """A removed option that nobody has ordered is deleted, and leaves its quota."""
    on = await on_pretix()
    one = wanted("", option("Adult"), option("Child"))
    await on.bring(one)

    await on.bring(changed(one, option("Child")))

    item, [quota] = await on.item(one.ticket), await on.quotas()
    assert ["option-Child"] == [each["meta_data"][META] for each in item["variations"]]
    assert [item["variations"][0]["id"]] == quota["variations"]


async def test_removed_with_orders_and_back(on_pretix: MakeOnPretix) -> None:
    """A removed option with orders is taken off sale; if Wix has it again, it is put on sale again."""
    on = await on_pretix()
    one = wanted("", option("Adult"), option("Child"))
    await on.bring(one)
    item = await on.item(one.ticket)
    await on.server.order(on.event, (item["id"], item["variations"][0]["id"]))

    await on.bring(changed(one, option("Child")))
    after = await on.item(one.ticket)
    back = await on.bring(one, applied=Applied(1.0, one.fields, {"option-Child": {}}))

    assert [False, True] == [each["active"] for each in after["variations"]]
    assert back is not None
    assert [True, True] == [each["active"] for each in (await on.item(one.ticket))["variations"]]


async def test_all_replaced(on_pretix: MakeOnPretix) -> None:
    """All options are replaced by others, although pretix keeps the last variation of an item while there is no other."""
    on = await on_pretix()
    one = wanted("", option("Adult"), option("Child"))
    await on.bring(one)

    await on.bring(changed(one, option("Day 1"), option("Day 2")))

    item, [quota] = await on.item(one.ticket), await on.quotas()
    assert ["option-Day 1", "option-Day 2"] == [each["meta_data"][META] for each in item["variations"]]
    assert [each["id"] for each in item["variations"]] == sorted(quota["variations"])


async def test_made_by_hand(on_pretix: MakeOnPretix) -> None:
    """A variation that somebody has made in pretix is left alone, in the quota or not."""
    on = await on_pretix()
    one = wanted("", option("Adult"))
    await on.bring(one)
    item = await on.item(one.ticket)
    made = await on.api("POST", f"items/{item['id']}/variations/", {"value": {"en": "Crew"}, "default_price": "0.00"})
    assert await on.plan(one) is None

    await on.bring(changed(one, option("Adult"), option("Child"), name="Stalls"))

    assert {"value": {"en": "Crew"}, "id": made["id"], "active": True}.items() <= next(
        each for each in (await on.item(one.ticket))["variations"] if each["id"] == made["id"]
    ).items()
    [quota] = await on.quotas()
    assert made["id"] not in quota["variations"]


@pytest.mark.parametrize("to_options", [True, False])
async def test_one_price_and_options(on_pretix: MakeOnPretix, to_options: bool) -> None:
    """A change between one price and options is a conflict; where it is tried all the same, pretix refuses it."""
    on = await on_pretix()
    plain = wanted()
    with_options = changed(plain, option("Adult"))
    before, after = (plain, with_options) if to_options else (with_options, changed(plain))
    await on.bring(before)

    operation = await on.plan(after)

    assert operation is not None
    assert (Kind.CONFLICT, Reason.NEEDS_REPLACING) == (operation.kind, operation.reason)
    if to_options:
        record = await on.record(plain.ticket)
        tried = plan_ticket(await on.fitted(after), Found((record,)), None, Rules())
        assert tried is not None
        with pytest.raises(TargetRefused, match="without variations to a product with variations is not allowed"):
            await on.target.update(on.event, record, await on.fitted(after), tried, on.before_write)


async def test_option_made_by_an_earlier_try(on_pretix: MakeOnPretix) -> None:
    """A variation that an earlier try has made meanwhile is written, not made a second time."""
    on = await on_pretix()
    one = wanted("", option("Adult"))
    await on.bring(one)
    two = changed(one, option("Adult"), option("Child", "5.00"))
    operation, record = await on.plan(two), await on.record(one.ticket)
    assert operation is not None
    await on.api(
        "POST",
        f"items/{record.key}/variations/",
        {"value": {"en": "Child"}, "default_price": "4.00", "meta_data": {META: "option-Child"}},
    )

    fitted = await on.fitted(two)
    await on.target.update(on.event, await on.record(one.ticket), fitted, operation, on.before_write)

    assert [("option-Adult", "10.00"), ("option-Child", "5.00")] == [
        (each["meta_data"][META], each["default_price"]) for each in (await on.item(one.ticket))["variations"]
    ]
    assert await on.plan(two) is None


async def test_replaced(on_pretix: MakeOnPretix) -> None:
    """A new item takes the place of one that pretix cannot change; both share the quota, so what was sold of the old one counts."""
    on = await on_pretix()
    one = wanted(limit=5)
    await on.bring(one)
    old = await on.item(one.ticket)
    await on.server.order(on.event, old["id"])
    await on.target.deactivate(on.event, await on.record(one.ticket), on.before_write)
    await on.target.mark(on.event, await on.record(one.ticket), None, on.before_write)

    await on.bring(changed(one, option("Adult"), option("Child")), attempt="2")

    new, [quota] = await on.item(one.ticket), await on.quotas()
    assert (False, True) == ((await on.api("GET", f"items/{old['id']}/"))["active"], new["active"])
    assert (5, sorted([old["id"], new["id"]])) == (quota["size"], sorted(quota["items"]))
    assert 4 == (await on.api("GET", f"quotas/{quota['id']}/availability/"))["available_number"]
