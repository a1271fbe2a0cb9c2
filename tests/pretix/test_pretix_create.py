"""A new ticket becomes an item of pretix, with its variations and its quota."""

import pytest

from server.errors import TargetUnsure
from server.sync.model import Kind
from tests.rig.http_proxy import CUT_AFTER, Fault, method
from tests.rig.pretix import META
from tests.rig.pretix_target import MakeOnPretix, changed, free, new_id, option, wanted


async def test_one_price(on_pretix: MakeOnPretix) -> None:
    """A ticket with one price is an item with all fields of the mapping, on sale, in a quota of its own."""
    on = await on_pretix()
    one = wanted(
        description="Rows 1 to 9\nnot **numbered**",
        default_price="18.5",
        free_price=True,
        available_from="2027-03-01T18:00:00Z",
        available_until="2027-04-01T18:00:00+02:00",
        available_from_mode="info",
        position=3,
        limit=40,
        initial={"admission": True},
    )

    operation = await on.bring(one)

    assert operation is not None
    assert Kind.CREATE is operation.kind
    item = await on.item(one.ticket)
    assert {
        "name": {"en": "Seat"},
        "internal_name": f"Seat · wix:{one.ticket}",
        "description": {"en": "Rows 1 to 9\nnot **numbered**"},
        "default_price": "18.50",
        "free_price": True,
        "available_from": "2027-03-01T18:00:00Z",
        "available_until": "2027-04-01T16:00:00Z",
        "available_from_mode": "info",
        "available_until_mode": "hide",
        "position": 3,
        "active": True,
        "admission": True,
        "meta_data": {META: one.ticket},
    }.items() <= item.items()
    [quota] = await on.quotas()
    assert (f"wix:{one.ticket}", 40, [item["id"]], []) == tuple(
        quota[name] for name in ("name", "size", "items", "variations")
    )


async def test_options(on_pretix: MakeOnPretix) -> None:
    """An option is a variation that bears the option's id, in the order of Wix, and in the quota."""
    on = await on_pretix()
    one = wanted("", option("Adult", "20.00"), option("Child", "8.5"), limit=None)

    await on.bring(one)

    item = await on.item(one.ticket)
    assert [
        ({"en": "Adult"}, "20.00", {META: "option-Adult"}, True),
        ({"en": "Child"}, "8.50", {META: "option-Child"}, True),
    ] == [(each["value"], each["default_price"], each["meta_data"], each["active"]) for each in item["variations"]]
    [quota] = await on.quotas()
    assert (None, [item["id"]], [each["id"] for each in item["variations"]]) == tuple(
        quota[name] for name in ("size", "items", "variations")
    )


async def test_on_sale_only_when_complete(on_pretix: MakeOnPretix) -> None:
    """A new item is put on sale by the last of its requests, after its quota was read back."""
    on = await on_pretix()
    one = await on.fitted(wanted("", option("Adult")))
    number = on.seen

    await on.target.create(on.event, one, "1", on.before_write)

    assert ["POST items/", "POST quotas/", "PATCH items/N/"] == [
        each for each in on.requests(number) if not each.startswith("GET")
    ]
    assert "GET quotas/" == on.requests(number)[-2]
    first, _, last = on.writes(number)
    assert (False, {"active": True}) == (first.json["active"], last.json)


async def test_not_on_sale(on_pretix: MakeOnPretix) -> None:
    """A ticket that is hidden in Wix is an item that is not active; one whose mapping does not say is on sale."""
    on = await on_pretix()
    hidden, silent = wanted(active=False), wanted(active=...)

    await on.bring(hidden)
    await on.bring(silent)

    assert (False, True) == ((await on.item(hidden.ticket))["active"], (await on.item(silent.ticket))["active"])


async def test_limit_that_is_not_known(on_pretix: MakeOnPretix) -> None:
    """Where the limit is not known, no quota is made, so nothing is sold until it is."""
    on = await on_pretix()
    one = wanted(limit=...)
    await on.bring(one)
    assert [] == await on.quotas()

    await on.bring(changed(one, limit=7))

    assert [7] == [each["size"] for each in await on.quotas()]


@pytest.mark.parametrize("step", range(4))
async def test_stopped_in_between(on_pretix: MakeOnPretix, step: int) -> None:
    """A creation that ends after any of its requests is completed by the next look: one item, one quota, on sale at the end."""
    on = await on_pretix()
    one = wanted("", option("Adult"), option("Child"))
    writes = 0

    async def stop() -> None:
        nonlocal writes
        writes += 1
        if writes > step:
            raise RuntimeError("killed")

    on.before_write = stop
    if step < 3:
        with pytest.raises(RuntimeError):
            await on.bring(one)
    assert all(not item["active"] for item in await on.items())
    on.before_write = free

    await on.bring(one)

    assert (1, 1) == (len(await on.items()), len(await on.quotas()))
    assert (await on.item(one.ticket))["active"]


@pytest.mark.parametrize("path", ["items/", "quotas/", "items/[0-9]+/"])
async def test_answer_lost(on_pretix: MakeOnPretix, path: str) -> None:
    """Where the answer to any request of a creation is lost, the next look completes it without a double."""
    on = await on_pretix()
    one = wanted()
    on.proxy.add(Fault(cut=True, executes=True, times=1, meets=method("PATCH" if "+" in path else "POST", path)))

    with pytest.raises(TargetUnsure):
        await on.bring(one)
    await on.bring(one)

    assert (1, 1, True) == (len(await on.items()), len(await on.quotas()), (await on.item(one.ticket))["active"])


async def test_same_attempt_again(on_pretix: MakeOnPretix) -> None:
    """A repetition of one attempt is one item: pretix answers it as the first, also where the look-up came too early."""
    on = await on_pretix()
    one = await on.fitted(wanted())
    on.proxy.add(CUT_AFTER)
    on.proxy.add(Fault(meets=lambda each: False))
    await on.proxy.heal()
    on.proxy.add(Fault(200, body=b'{"count": 0, "results": []}', meets=lambda each: "search=" in each.path))

    keys = [await on.target.create(on.event, one, "1", on.before_write) for _ in range(2)]

    assert keys[0] == keys[1]
    assert (1, 1) == (len(await on.items()), len(await on.quotas()))


async def test_dead_item_answered_again(on_pretix: MakeOnPretix) -> None:
    """An answer of pretix's memory, of an item that was deleted since, is no success; a new attempt makes a new item."""
    on = await on_pretix()
    one = wanted()
    await on.bring(one, attempt="1")
    await on.api("DELETE", f"items/{(await on.item(one.ticket))['id']}/")
    fitted = await on.fitted(one)

    with pytest.raises(TargetUnsure, match=r"is gone.*as it did an earlier one") as unsure:
        await on.target.create(on.event, fitted, "1", on.before_write)
    assert unsure.value.replayed
    assert [] == await on.items()
    await on.bring(one, attempt="2")

    [item] = await on.items()
    assert [[item["id"]]] == [each["items"] for each in await on.quotas()]


async def test_there_already(on_pretix: MakeOnPretix) -> None:
    """Just before its creation a ticket is looked up again, so a new attempt makes no double."""
    on = await on_pretix()
    one = wanted()
    await on.bring(one)

    with pytest.raises(TargetUnsure, match="is there already"):
        await on.target.create(on.event, await on.fitted(one), "2", on.before_write)

    assert 1 == len(await on.items())


async def test_quota_left_by_a_deleted_item(on_pretix: MakeOnPretix) -> None:
    """A quota that a deleted item has left is used again, with no second beside it."""
    on = await on_pretix()
    one = wanted(limit=5)
    await on.bring(one)
    await on.api("DELETE", f"items/{(await on.item(one.ticket))['id']}/")
    assert [[]] == [each["items"] for each in await on.quotas()]

    await on.bring(changed(one, limit=6), attempt="2")

    [item], [quota] = await on.items(), await on.quotas()
    assert (6, [item["id"]]) == (quota["size"], quota["items"])


async def test_property_is_made(on_pretix: MakeOnPretix) -> None:
    """The event's property for the Wix id is made before the first write; its other properties and their values stay."""
    on = await on_pretix(meta=False)
    await on.api("POST", "item_meta_properties/", {"name": "hall", "default": "1", "allowed_values": None})
    other = await on.by_hand(meta_data={"hall": "2"})
    await on.described()
    await on.target.list(on.event)
    assert [] == on.writes()

    await on.bring(wanted())
    await on.bring(wanted())

    properties = (await on.server.get(on.server.path(on.event)))["item_meta_properties"]
    assert {"hall": "1", META: ""} == properties
    assert {"hall": "2"} == (await on.api("GET", f"items/{other['id']}/"))["meta_data"]
    assert 1 == on.requests().count("POST item_meta_properties/")


@pytest.mark.parametrize(
    "name",
    ["Ünïcödé 🎟️ 👩‍👩‍👧", "مقعد في الصف الأول", "<b>bold</b> & {braces} %s", "  spaces at both ends  ", "A", "n" * 300],
)
async def test_names(on_pretix: MakeOnPretix, name: str) -> None:
    """Names of any characters and length are kept, and found: the internal name is cut in its name, never in its id."""
    on = await on_pretix()
    one = wanted(name=name, description=name * 3)

    await on.bring(one)

    item = await on.item(one.ticket)
    assert ({"en": name}, {"en": name * 3}) == (item["name"], item["description"])
    assert item["internal_name"].endswith(f" · wix:{one.ticket}")
    assert await on.bring(one) is None


async def test_text_that_no_database_holds(on_pretix: MakeOnPretix) -> None:
    """NUL and half characters are left out, so that what is written and what is read are equal."""
    on = await on_pretix()
    one = wanted(name="a\0b\ud83dc")

    await on.bring(one)

    assert {"en": "ab\ufffdc"} == (await on.item(one.ticket))["name"]


async def test_internal_name_is_not_mapped(on_pretix: MakeOnPretix) -> None:
    """Without a mapping of the internal name a new item gets one, since a ticket is found by it."""
    on = await on_pretix()
    one = wanted(internal_name=...)

    await on.bring(one)

    assert f"Seat · wix:{one.ticket}" == (await on.item(one.ticket))["internal_name"]


async def test_options_of_two_tickets(on_pretix: MakeOnPretix) -> None:
    """Two tickets whose options have the same names and ids are two items, each with its own variations and quota."""
    on = await on_pretix()
    both = [wanted(new_id(), option("Adult"), limit=number) for number in (1, 2)]

    for one in both:
        await on.bring(one)

    for one, number in zip(both, (1, 2), strict=True):
        item = await on.item(one.ticket)
        [quota] = [each for each in await on.quotas() if item["id"] in each["items"]]
        assert (number, [item["variations"][0]["id"]]) == (quota["size"], quota["variations"])
