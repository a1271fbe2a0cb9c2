"""The pretix that all tests of this folder rest on: what it must do before anything is tested with it."""

import asyncio

import httpx
import pytest

from tests.rig.pretix import META, PretixServer, PretixServers


async def item_of(pretix: PretixServer, event: str, name: str = "Seat", size: int | None = 5) -> int:
    """Make an item with a quota; answers its id."""
    made = await pretix.api("POST", pretix.path(event, "items"), {"name": {"en": name}, "default_price": "10.00"})
    assert 201 == made.status_code, made.text
    item = int(made.json()["id"])
    quota = {"name": name, "size": size, "items": [item], "variations": [], "subevent": None}
    made = await pretix.api("POST", pretix.path(event, "quotas"), quota)
    assert 201 == made.status_code, made.text
    return item


async def test_events_of_tests_are_apart(pretix: PretixServer) -> None:
    """Each test makes events of its own, with a currency and the property for the Wix id, and sees no other's items."""
    euros, yen = await pretix.new_event(), await pretix.new_event("JPY")
    await item_of(pretix, euros)

    assert ("EUR", {META: ""}) == (
        (await pretix.get(pretix.path(euros)))["currency"],
        (await pretix.get(pretix.path(euros)))["item_meta_properties"],
    )
    assert "JPY" == (await pretix.get(pretix.path(yen)))["currency"]
    assert (1, 0) == (len(await pretix.all(euros, "items")), len(await pretix.all(yen, "items")))


async def test_orders_count(pretix: PretixServer) -> None:
    """An order takes from the quota, and then the item can no longer be deleted."""
    event = await pretix.new_event()
    item = await item_of(pretix, event)

    await pretix.order(event, item, item)

    [quota] = await pretix.all(event, "quotas")
    assert 3 == (await pretix.get(pretix.path(event, "quotas", quota["id"], "availability")))["available_number"]
    assert 403 == (await pretix.api("DELETE", pretix.path(event, "items", item))).status_code


async def test_lists_are_whole(pretix: PretixServer) -> None:
    """A list of more than one page is read to its end, in the order of the ids."""
    event = await pretix.new_event()
    made = [await item_of(pretix, event, f"Seat {number}") for number in range(52)]

    assert made == [one["id"] for one in await pretix.all(event, "items")]


async def test_copy_of_an_event(pretix: PretixServer) -> None:
    """A cloned event has copies of the items, which bear the same Wix ids."""
    event = await pretix.new_event()
    item = await item_of(pretix, event)
    await pretix.api("PATCH", pretix.path(event, "items", item), {"meta_data": {META: "11111111"}})

    [copied] = await pretix.all(await pretix.clone_event(event), "items")

    assert "11111111" == copied["meta_data"][META]
    assert item != copied["id"]


async def test_down_and_up(pretix_server: PretixServers) -> None:
    """A killed pretix refuses connections, a frozen one does not answer; after both it has all its data."""
    pretix = pretix_server()
    event = await pretix.new_event()
    item = await item_of(pretix, event)

    pretix.freeze()
    with pytest.raises(httpx.ReadTimeout):
        await pretix.api("GET", pretix.path(event), timeout=0.5)
    pretix.thaw()
    await asyncio.to_thread(pretix.ready)
    pretix.kill()
    with pytest.raises(httpx.ConnectError):
        await pretix.api("GET", pretix.path(event))
    pretix.start()

    assert [item] == [one["id"] for one in await pretix.all(event, "items")]


async def test_restored_backup(pretix_server: PretixServers) -> None:
    """After a restore, what was made since the backup is gone, and its id is given to another item."""
    pretix = pretix_server()
    event = await pretix.new_event()
    await item_of(pretix, event, "Old")
    older = pretix.backup()
    lost = await item_of(pretix, event, "Lost")

    pretix.restore(older)

    assert ["Old"] == [one["name"]["en"] for one in await pretix.all(event, "items")]
    assert lost == await item_of(pretix, event, "New")
