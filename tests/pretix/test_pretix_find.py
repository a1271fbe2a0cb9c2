"""A ticket's item is found by the Wix id in its meta data, and lists are whole."""

import dataclasses

import pytest

from server.errors import TargetForbidden, TargetUnavailable, TargetUnsure
from server.model import TicketId
from server.sync.mapping import Rule
from server.sync.targets.pretix import items as pretix_items
from tests.rig.http_proxy import Exchange, Fault
from tests.rig.pretix import META, PretixServers
from tests.rig.pretix_target import MakeOnPretix, OnPretix, changed, new_id, option, wanted


async def test_event(on_pretix: MakeOnPretix) -> None:
    """An event is told with its name and its currency; reading it writes nothing, also where its property is missing."""
    on = await on_pretix("CHF", name="Spring Gala", meta=False)

    found = await on.described()

    assert (on.event, "Spring Gala", "CHF") == (found.key, found.name, found.currency)
    assert [] == on.writes()


async def _forbidden(on: OnPretix, event: str, organizer: str) -> str:
    """What is told of an event that may not be read, which is the same of its lists, less the path."""
    with pytest.raises(TargetForbidden) as raised:
        await on.target.event(event)
    with pytest.raises(TargetForbidden, match=r"there is no organizer .* check all three"):
        await on.target.list(event)
    head, tail = str(raised.value).split(" (event) was answered ")
    assert f"pretix-main: GET /organizers/{organizer}/events/{event}/" == head
    assert f"there is no organizer {organizer}, where that has no event {event}, and" in tail
    assert on.settings.secret.get_secret_value() not in str(raised.value)
    return tail.replace(event, "EVENT").replace(organizer, "ORGANIZER")


async def test_no_such_event(on_pretix: MakeOnPretix) -> None:
    """No such organizer, no such event, and an event that is not for our token are forbidden, and one text has all three causes."""
    on = await on_pretix()
    organizer, other = on.server.organizer, await on.server.new_event()
    no_event = await _forbidden(on, "nothing", organizer)

    await on.use_team(all_events=False, limit_events=[on.event], limit_event_permissions=["event.items:write"])
    await on.described()
    no_team = await _forbidden(on, other, organizer)

    on.settings = dataclasses.replace(on.settings, own={"organizer": "nobody"})
    on.target = on.new_target()
    no_organizer = await _forbidden(on, on.event, "nobody")

    assert no_event == no_team == no_organizer
    assert no_event.startswith("403: You do not have permission to perform this action: pretix answers the same where")
    assert no_event.endswith("the token's team does not have this event: check all three")


async def test_unknown_fields(on_pretix: MakeOnPretix) -> None:
    """Fields that pretix does not have are told once, of the event and all together, and not of each ticket."""
    on = await on_pretix()
    rules = (*on.settings.rules, Rule("geheim", "name"), Rule("defualt_price", "price"), Rule("limit", "limit"))
    options = (*on.settings.options, Rule("prise", "option.price"))
    on.settings = dataclasses.replace(on.settings, rules=rules, options=options)
    on.target = on.new_target()

    for _ in range(2):
        with pytest.raises(TargetForbidden) as raised:
            await on.described()
        assert (
            "pretix-main: the mapping names fields that pretix does not have, or lets nobody write: geheim in [fields],"
            " defualt_price in [fields] (did you mean default_price?), prise in [options]: change [targets.pretix-main]"
            " in the mapping file"
        ) == str(raised.value)


async def test_series(on_pretix: MakeOnPretix) -> None:
    """An event series is refused: its quotas belong to its dates."""
    on = await on_pretix(has_subevents=True)

    with pytest.raises(TargetForbidden, match="event series"):
        await on.described()


async def test_by_id_alone(on_pretix: MakeOnPretix) -> None:
    """Without a key an item is found by one search and one look at quotas; a key that the search has found costs nothing."""
    on = await on_pretix()
    one = wanted(limit=5)
    await on.bring(one)
    key = (await on.record(one.ticket)).key

    for known in (None, key):
        number = on.seen
        [record] = await on.target.find(on.event, one.ticket, known)
        assert (key, one.ticket, "Seat", True, 5) == (
            record.key,
            record.ticket,
            record.name,
            record.active,
            record.fields["limit"],
        )
        assert ["GET items/", "GET quotas/"] == on.requests(number)


async def test_ids_are_compared_whole(on_pretix: MakeOnPretix) -> None:
    """An item whose names only contain the id, or that bears a longer one, is not the ticket's."""
    on = await on_pretix()
    id_ = new_id()
    await on.by_hand(f"about wix:{id_}")
    await on.by_hand(internal_name=f"x wix:{id_}", meta_data={META: f"{id_}0"})

    assert [] == await on.target.find(on.event, id_, None)


@pytest.mark.parametrize("known", [True, False])
async def test_internal_name_was_edited(on_pretix: MakeOnPretix, known: bool) -> None:
    """An item whose internal name has lost the id is found by its key, and without one in a list of all items."""
    on = await on_pretix()
    one = wanted(internal_name=...)
    await on.bring(one)
    key = (await on.record(one.ticket)).key
    await on.api("PATCH", f"items/{key}/", {"internal_name": "Box office"})

    for target in (on.target, on.new_target()):
        [record] = await target.find(on.event, one.ticket, key if known else None)
        assert key == record.key


async def test_list_is_remembered_for_a_minute(on_pretix: MakeOnPretix, monkeypatch: pytest.MonkeyPatch) -> None:
    """To prove that there is no item a list of all is read, at most once a minute: many creations cost few lists."""
    on = await on_pretix()
    number = on.seen
    for _ in range(3):
        assert [] == await on.target.find(on.event, new_id(), None)
    assert 4 == on.requests(number).count("GET items/")  # three searches and one list

    monkeypatch.setattr(pretix_items, "KNOWN", 0.0)
    number = on.seen
    assert [] == await on.target.find(on.event, new_id(), "999999")
    assert ["GET items/", "GET items/N/", "GET items/"] == on.requests(number)


async def test_two_with_one_id(on_pretix: MakeOnPretix) -> None:
    """Two items with one id are both found, the older first."""
    on = await on_pretix()
    one = wanted()
    await on.bring(one)
    item = await on.item(one.ticket)
    copy = await on.by_hand("Seat", internal_name=item["internal_name"], meta_data=item["meta_data"])

    found = await on.target.find(on.event, one.ticket, None)

    assert [str(item["id"]), str(copy["id"])] == [each.key for each in found]


async def test_list_of_all(on_pretix: MakeOnPretix) -> None:
    """A list has ours and others', whole and in the order in which they were made; what has no quota lacks the limit."""
    on = await on_pretix()
    one, two = wanted("", option("Adult"), limit=5), wanted(limit=...)
    await on.bring(one)
    other = await on.by_hand("Poster")
    await on.bring(two)

    found = await on.target.list(on.event)

    assert [one.ticket, "", two.ticket] == [each.ticket for each in found]
    assert ["Seat", "Poster", "Seat"] == [each.name for each in found]
    assert str(other["id"]) == found[1].key
    assert [5, None, None] == [each.fields.get("limit") for each in found]
    assert [True, False, False] == ["limit" in each.fields for each in found]
    assert [("option-Adult", {"value": "Adult", "default_price": "10.00"})] == [
        (each.id, {name: each.fields[name] for name in ("value", "default_price")}) for each in found[0].options
    ]


async def filled(on: OnPretix, number: int) -> list[int]:
    """An event with this many items of others; answers their ids."""
    async with on.server.client() as client:
        path = on.server.path(on.event, "items")
        made = [
            await client.post(path, json={"name": {"en": f"Item {each}"}, "default_price": "1.00"})
            for each in range(number)
        ]
    return [int(each.json()["id"]) for each in made]


@pytest.mark.parametrize(("number", "pages"), [(0, 1), (1, 1), (50, 1), (51, 3)])
async def test_pages(on_pretix: MakeOnPretix, number: int, pages: int) -> None:
    """A list of none, one, a page, and a page and one is whole; more than one page costs one request more than there are pages."""
    on = await on_pretix()
    ids = await filled(on, number)
    before = on.seen

    assert list(map(str, ids)) == [each.key for each in await on.target.list(on.event)]
    assert pages == on.requests(before).count("GET items/")


@pytest.mark.parametrize("made", [0, 1, 2])
async def test_items_are_deleted_and_made_meanwhile(on_pretix: MakeOnPretix, made: int) -> None:
    """Where an item is deleted, and others made, between two pages, no item is missed that was there all the time.

    With one made for one deleted even the numbers of rows are equal.
    """
    on = await on_pretix()
    ids = await filled(on, 120)
    requests = 0

    async def meanwhile() -> None:
        nonlocal requests
        requests += 1
        if requests in {2, 3}:  # after the first page, and after the next
            await on.api("DELETE", f"items/{ids[requests]}/")
            for _ in range(made):
                await on.by_hand()

    on.pay = meanwhile

    found = {each.key for each in await on.target.list(on.event)}

    assert set(map(str, ids)) - {str(ids[2]), str(ids[3])} <= found


async def test_list_that_never_holds_still(on_pretix: MakeOnPretix) -> None:
    """A list that changes in each pass is never answered in part."""
    on = await on_pretix()
    await filled(on, 51)

    async def meanwhile() -> None:
        await on.by_hand()

    on.pay = meanwhile

    with pytest.raises(TargetUnavailable, match="changed in each of 5 passes"):
        await on.target.list(on.event)


@pytest.mark.parametrize(
    "body",
    [
        b'{"count": 3, "next": null, "results": []}',
        b'{"count": 2, "next": null, "results": [{"id": 1}, {"id": 1}]}',
        b'{"count": 1, "results": [{"name": "no id"}]}',
        b'{"detail": "fine"}',
        b"[]",
        b'{"count": 0, "resu',
        b"<html>maintenance</html>",
    ],
)
async def test_lists_that_are_none(on_pretix: MakeOnPretix, body: bytes) -> None:
    """An answer that is no list, or less than it says, is never an empty list."""
    on = await on_pretix()
    on.proxy.add(Fault(200, {"Content-Type": "application/json"}, body, meets=lambda one: "/items/" in one.path))

    with pytest.raises(TargetUnavailable):
        await on.target.list(on.event)


async def test_next_is_not_followed(on_pretix: MakeOnPretix) -> None:
    """The address of the next page in an answer is not called: pretix makes it of the Host that it was asked for."""
    on = await on_pretix()
    ids = await filled(on, 51)

    def first(one: Exchange) -> bool:
        return "page=1" in one.path.split("&")[-1] and "/items/" in one.path

    rows = b",".join(b'{"id": %d}' % each for each in ids[:50])
    body = b'{"count": 51, "next": "http://127.0.0.1:1/steal?page=2", "results": [%s]}' % rows
    on.proxy.add(Fault(200, {"Content-Type": "application/json"}, body, meets=first))

    assert list(map(str, ids)) == [each.key for each in await on.target.list(on.event)]


async def test_restored_from_an_older_copy(pretix_server: PretixServers, on_pretix: MakeOnPretix) -> None:
    """After a restore an item's number is another item's: neither is it taken for the ticket's, nor written, and no item is doubled."""
    on = await on_pretix(server=pretix_server())
    first, lost, later = wanted(limit=1), wanted(limit=2), wanted(limit=3)
    await on.bring(first)
    backup = on.server.backup()
    await on.bring(lost)
    record, operation = await on.record(lost.ticket), await on.plan(changed(lost, name="Stalls", limit=1))
    assert operation is not None
    on.server.restore(backup)
    await on.bring(later, attempt="2")
    assert record.key == (await on.record(later.ticket)).key
    before = await on.items(), await on.quotas()

    assert [] == await on.target.find(on.event, lost.ticket, record.key)
    with pytest.raises(TargetUnsure, match=f"bears {later.ticket} now"):
        await on.target.update(on.event, record, await on.fitted(lost), operation, on.before_write)
    with pytest.raises(TargetUnsure, match=f"bears {later.ticket} now"):
        await on.target.deactivate(on.event, record, on.before_write, delete=True)
    with pytest.raises(TargetUnsure, match=f"bears {later.ticket} now"):
        await on.target.mark(on.event, record, None, on.before_write)
    assert before == (await on.items(), await on.quotas())
    await on.bring(lost, attempt="3")

    assert [(first.ticket, 1), (later.ticket, 3), (lost.ticket, 2)] == [
        (each.ticket, each.fields["limit"]) for each in await on.target.list(on.event)
    ]


async def test_cloned_event(on_pretix: MakeOnPretix) -> None:
    """A cloned event has copies with our ids and quotas: they are told as they are, and nothing is written to them."""
    on = await on_pretix()
    one = wanted("", option("Adult"))
    await on.bring(one)
    clone = await on.server.clone_event(on.event)
    number = on.seen

    [copy] = await on.target.list(clone)

    assert (one.ticket, "Seat") == (copy.ticket, copy.name)
    assert copy.key != (await on.record(one.ticket)).key
    assert [] == on.writes(number)


async def test_many(on_pretix: MakeOnPretix) -> None:
    """Sixty tickets are made with few lists, and then the whole event is equal."""
    on = await on_pretix()
    number = on.seen
    tickets = [wanted("", option("Adult")) if each % 5 == 0 else wanted() for each in range(60)]
    event = await on.described()
    for one in tickets:
        fitted = on.target.fit(one, event)
        assert [] == await on.target.find(on.event, one.ticket, None)
        await on.target.create(on.event, fitted, "1", on.before_write)  # type: ignore[arg-type]
    assert [each.ticket for each in tickets] == [each.ticket for each in await on.target.list(on.event)]
    assert 60 * 9 + 20 >= on.seen - number
    assert [None] * 60 == [await on.plan(one) for one in tickets]


async def test_numbers_that_are_none(on_pretix: MakeOnPretix) -> None:
    """A key that no item of pretix can have is a record that is gone, and no path of its API."""
    on = await on_pretix()

    assert [] == await on.target.find(on.event, TicketId("11111111"), "../../orders")
    assert not [one for one in on.proxy.exchanges if "orders" in one.path]
