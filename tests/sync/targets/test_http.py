import asyncio
import json
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from standardwebhooks import Webhook

from server.errors import (
    LeaseLost,
    NotStarted,
    TargetError,
    TargetForbidden,
    TargetRefused,
    TargetUnauthorized,
    TargetUnavailable,
    TargetUnsure,
)
from server.model import EventId, TicketId
from server.sync.definition import FIELDS, source
from server.sync.mapping import Quota, Rule, TargetSettings
from server.sync.mapping_file.kinds import kinds
from server.sync.model import Kind, Operation, Reason, Record, TargetEvent, Unfit, Wanted
from server.sync.plan import Found, Rules, plan_ticket
from server.sync.targets.http import HttpTarget
from tests.rig.raw_server import HANG, answer, raw_server
from tests.rig.receiver import EVENT, OTHER_EVENT, SECRET, Receiver, receiver

TICKET = TicketId("11111111-1111-4111-8111-111111111111")
OTHER = TicketId("22222222-2222-4222-8222-222222222222")
CHILD, ADULT = "aaaaaaaa-1111-4111-8111-111111111111", "bbbbbbbb-2222-4222-8222-222222222222"
GALA = TargetEvent(EVENT, "Spring Gala", "EUR")
PAGE: dict[str, Any] = {"event": {"name": "Spring Gala", "currency": None}, "records": [], "next": None, "total": 0}

FACTS: dict[str, Any] = {
    "name": "General admission",
    "description": "With a view 🎭 \u202bשלום\u202c",
    "hidden": False,
    "limited": True,
    "initialLimit": 120,
    "pricingMethod": {"fixedPrice": {"value": "25", "currency": "EUR"}},
    "salePeriod": {"endDate": "2027-03-01T19:00:00+01:00", "displayNotOnSale": True},
    "saleStatus": "SALE_STARTED",
    "feeType": "NO_FEE",
    "sortIndex": 3,
}

Make = Callable[..., HttpTarget]


def default_rules(**renamed: Rule) -> tuple[tuple[Rule, ...], tuple[Rule, ...]]:
    """The mapping that the kind has where sync.toml has none."""
    kind = kinds()["http"]
    fields = {name: Rule(name, source=one["from"]) for name, one in kind.fields.items()}
    options = tuple(Rule(name, source=one["from"]) for name, one in kind.options.items())
    return tuple({**fields, **renamed}.values()), options


def settings(url: str, **changes: Any) -> TargetSettings:
    rules, options = default_rules()
    made = TargetSettings(
        "box", "http", url, SecretStr(SECRET), {"gala": EVENT}, rules, options, allow_http=True, allow_private=True
    )
    return replace(made, **changes)


async def pay() -> None:
    """A budget that always has a request."""


async def leased() -> None:
    """A lease that is always ours."""


@pytest.fixture
async def box(tmp_path: Path) -> AsyncIterator[Receiver]:
    """A running reference receiver."""
    async with receiver(tmp_path) as running:
        yield running


@pytest.fixture
async def make() -> AsyncIterator[Make]:
    """Makes targets, and closes them."""
    made: list[HttpTarget] = []

    def new(url: str, **changes: Any) -> HttpTarget:
        made.append(HttpTarget(settings(url, **changes), pay))
        return made[-1]

    yield new
    for one in made:
        await one.aclose()


def wanted(target: HttpTarget, ticket: TicketId = TICKET, *, unsold: int = 87, at: float = 1.0, **facts: Any) -> Wanted:
    """What a ticket should be, fitted."""
    found = source(ticket, EventId("e"), {**FACTS, **facts}, unsold=unsold, read_at=at)
    mapped = target.settings.wanted(found)
    assert isinstance(mapped, Wanted)
    fitted = target.fit(mapped, GALA)
    assert isinstance(fitted, Wanted)
    return fitted


def options(*prices: tuple[str, str, str]) -> dict[str, Any]:
    """The pricing method of options: id, name, price."""
    money = [
        {"optionId": id_, "name": name, "price": {"value": price, "currency": "EUR"}} for id_, name, price in prices
    ]
    return {"pricingMethod": {"pricingOptions": {"optionDetails": money}}}


def plan(want: Wanted, records: list[Record]) -> Operation | None:
    return plan_ticket(want, Found(tuple(records)), None, Rules())


async def bring(target: HttpTarget, want: Wanted, attempt: str = "1") -> Record:
    """Create or update, and prove that nothing is left to do; answers the record."""
    found = await target.find(EVENT, want.ticket, None)
    operation = plan(want, found)
    if operation and operation.kind is Kind.CREATE:
        await target.create(EVENT, want, attempt, leased)
    elif operation:
        await target.update(EVENT, found[0], want, operation, leased)
    found = await target.find(EVENT, want.ticket, None)
    assert plan(want, found) is None
    return found[0]


def written(request: bytes) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(request.partition(b"\r\n\r\n")[2])
    return found


# -- over HTTP, at the reference receiver --


async def test_created_record_is_equal(box: Receiver, make: Make) -> None:
    """A created record is found by the Wix id, with all its values as they were sent, so that nothing is left to do."""
    target = make(box.url)
    want = wanted(target)
    key = await target.create(EVENT, want, "1", leased)
    [record] = await target.find(EVENT, TICKET, None)

    assert (key, TICKET, "General admission", True) == (record.key, record.ticket, record.name, record.active)
    assert {**want.initial, **want.fields} == record.fields
    assert plan(want, [record]) is None
    assert [record] == await target.list(EVENT)


async def test_each_change_is_written_and_read_back(box: Receiver, make: Make) -> None:
    """Each change of a definition reads back as it was written."""
    target = make(box.url)
    steps: list[dict[str, Any]] = [
        {},
        {"name": "x" * 200},
        {"name": " <b>{é}</b> ", "description": '"\\\n\u0000'},
        {"initialLimit": 0},
        {"limited": False, "initialLimit": None},
        {"pricingMethod": {"guestPrice": {"value": "0", "currency": "EUR"}}},
        {"hidden": True},
        {"salePeriod": {}},
        options((CHILD, "Child", "8.5"), (ADULT, "Adult", "20")),
        options((ADULT, "Grown-up", "21")),
        {},
    ]
    for facts in steps:
        record = await bring(target, wanted(target, **facts))
        assert record.active is not facts.get("hidden", False)

    assert 1 == len(box.rows())


async def test_members_of_the_receiver_stay(box: Receiver, make: Make) -> None:
    """What no mapping names is as before after an update, in the record and in its options."""
    target = make(box.url)
    own = {"wix_option_id": None, "name": "Staff", "colour": "red"}
    child = {"wix_option_id": CHILD, "name": "Kid", "seats": [1, 2]}
    key = box.insert(EVENT, TICKET, {"name": "Old", "hall": {"row": 1.5}, "options": [own, child]})

    await bring(target, wanted(target, **options((CHILD, "Child", "8.5"))))

    [(id_, _, _, members)] = box.rows()
    assert (key, {"row": 1.5}) == (str(id_), members["hall"])
    first, last = members["options"]
    assert ([1, 2], "Child", own) == (first["seats"], first["name"], last)


async def test_removed_option_is_off_sale_and_returns(box: Receiver, make: Make) -> None:
    """An option that Wix has no more is off sale; what a person took off sale stays so while it is otherwise changed."""
    target = make(box.url)
    both = options((CHILD, "Child", "8.5"), (ADULT, "Adult", "20"))
    await bring(target, wanted(target, **both))
    record = await bring(target, wanted(target, **options((ADULT, "Adult", "20"))))
    assert {CHILD: False, ADULT: True} == {one.id: one.active for one in record.options}

    record = await bring(target, wanted(target, **{**both, "name": "New name"}))
    assert {CHILD: False, ADULT: True} == {one.id: one.active for one in record.options}


async def test_deactivated_record_returns_only_by_an_update(box: Receiver, make: Make) -> None:
    """Taking off sale may be repeated, also where the record is gone; a ticket that is wanted again is on sale again."""
    target = make(box.url)
    record = await bring(target, wanted(target))
    for _ in range(2):
        await target.deactivate(EVENT, record, leased)
    [off] = await target.find(EVENT, TICKET, record.key)
    assert not off.active
    assert (await bring(target, wanted(target))).active

    box.remove(record.key)
    await target.deactivate(EVENT, record, leased, delete=True)
    assert [] == await target.find(EVENT, TICKET, record.key)


async def test_list_of_several_pages(box: Receiver, make: Make) -> None:
    """A list has each record once and in its order: none, a page, a page and one, and those without an id."""
    target = make(box.url)
    assert [] == await target.list(EVENT)
    keys = []
    for number in range(251):
        keys.append(box.insert(EVENT, None if number % 2 else f"t{number}", {"name": str(number)}))
        if number in {99, 100}:
            assert keys == [one.key for one in await target.list(EVENT)]
    box.insert(OTHER_EVENT, TICKET, {})

    assert keys == [one.key for one in await target.list(EVENT)]
    assert 1 == len(await target.list(OTHER_EVENT))


async def test_doubles_and_copies(box: Receiver, make: Make) -> None:
    """Two records with one id are both found, the older first; a copy in another event is not."""
    target = make(box.url)
    keys = [box.insert(EVENT, TICKET, {"name": "General"}) for _ in range(2)]
    box.insert(OTHER_EVENT, TICKET, {"name": "General"})

    assert keys == [one.key for one in await target.find(EVENT, TICKET, keys[0])]


async def test_adoption(box: Receiver, make: Make) -> None:
    """A record made by hand gets the id and nothing else, and loses it again; one that has an id does not get another."""
    target = make(box.url)
    key = box.insert(EVENT, None, {"name": "By hand", "note": [1]})
    [record] = await target.list(EVENT)
    assert ("", "By hand") == (record.ticket, record.name)

    await target.mark(EVENT, record, TICKET, leased)
    [record] = await target.find(EVENT, TICKET, key)
    with pytest.raises(TargetUnsure, match="409"):
        await target.mark(EVENT, record, OTHER, leased)
    await target.mark(EVENT, record, None, leased)

    assert [] == await target.find(EVENT, TICKET, key)
    assert [(int(key), EVENT, None, {"name": "By hand", "note": [1]})] == box.rows()


async def test_create_again(box: Receiver, make: Make) -> None:
    """The same try again answers the same record; another try is told that there is one; there is one at the end."""
    target = make(box.url)
    key = await target.create(EVENT, wanted(target), "1", leased)
    assert key == await target.create(EVENT, wanted(target), "1", leased)
    for attempt, want in (("2", wanted(target)), ("1", wanted(target, name="Changed meanwhile"))):
        with pytest.raises(TargetUnsure) as caught:
            await target.create(EVENT, want, attempt, leased)
        assert 409 == caught.value.status
        assert not caught.value.replayed

    assert 1 == len(box.rows())


async def test_create_at_the_same_time(box: Receiver, make: Make) -> None:
    """Of several creations of one ticket at once, one makes the record, and the others look it up."""
    target = make(box.url)
    made = await asyncio.gather(
        *(target.create(EVENT, wanted(target), str(number), leased) for number in range(4)), return_exceptions=True
    )

    assert 1 == len(box.rows()) == sum(isinstance(one, str) for one in made)
    assert 3 == sum(isinstance(one, TargetUnsure) for one in made)


async def test_replayed_answer_of_a_record_that_is_gone(box: Receiver, make: Make) -> None:
    """Where a key's old answer is all there is, the creation needs a new attempt, and says so."""
    target = make(box.url)
    box.remove(await target.create(EVENT, wanted(target), "1", leased))
    with pytest.raises(TargetUnsure) as caught:
        await target.create(EVENT, wanted(target), "1", leased)
    assert caught.value.replayed

    assert await target.create(EVENT, wanted(target), "2", leased)


async def test_update_of_a_record_that_is_gone(box: Receiver, make: Make) -> None:
    """A record that is gone, or bears another id by now, is not written: the ticket is looked up again."""
    target = make(box.url)
    record = await bring(target, wanted(target))
    operation = plan(wanted(target, name="New"), [record])
    assert operation
    box.remove(record.key)
    with pytest.raises(TargetUnsure) as caught:
        await target.update(EVENT, record, wanted(target, name="New"), operation, leased)
    assert 404 == caught.value.status

    other = replace(record, key=box.insert(EVENT, OTHER, {"name": "Restored"}))
    with pytest.raises(TargetUnsure):
        await target.update(EVENT, other, wanted(target, name="New"), operation, leased)
    assert "Restored" == box.rows()[0][3]["name"]


async def test_a_value_that_returns_is_written(box: Receiver, make: Make) -> None:
    """A value that returns is written again, and is not taken for the request that wrote it before."""
    target = make(box.url)
    for name in ("A", "B", "A", "B"):
        assert name == (await bring(target, wanted(target, name=name))).name


async def test_the_event_and_one_that_is_not_there(box: Receiver, make: Make) -> None:
    """An event has its name and its currency, or none; one that is not there is forbidden, and never an empty list."""
    target = make(box.url)
    assert GALA == await target.event(EVENT)
    assert TargetEvent(OTHER_EVENT, "Summer Ball", None) == await target.event(OTHER_EVENT)
    calls: list[Awaitable[Any]] = [target.event("X"), target.list("X"), target.find("X", TICKET, None)]
    for call in calls:
        with pytest.raises(TargetForbidden, match="there is no event X"):
            await call
    with pytest.raises(TargetRefused, match="there is no event X"):
        await target.create("X", wanted(target), "1", leased)


async def test_another_secret_is_unauthorized(box: Receiver, make: Make) -> None:
    """A wrong secret is a matter of credentials, and appears in no error; with the old and the new one both are right."""
    wrong = "whsec_enp6enp6enp6enp6enp6enp6enp6enp6"
    target = make(box.url, secret=SecretStr(wrong), secret_env="BOX_SECRET")
    for call in (target.event(EVENT), target.create(EVENT, wanted(target), "1", leased)):
        with pytest.raises(TargetUnauthorized) as caught:
            await call
        assert "signature" in str(caught.value)
        assert str(caught.value).endswith(": check the secret in BOX_SECRET")
        assert wrong not in str(caught.value)

    assert GALA == await make(box.url, secret=SecretStr(f"{wrong} {SECRET}")).event(EVENT)


# -- what is compared --


def test_another_currency_does_not_fit(make: Make) -> None:
    """A ticket in another currency than the event's does not fit; where the event has none, every currency does."""
    target = make("http://127.0.0.1:9")
    want = wanted(target)
    found = target.fit(want, TargetEvent(EVENT, "Gala", "USD"))

    assert isinstance(found, Unfit)
    assert (Reason.CURRENCY, "it is sold in EUR, and Gala in USD") == (found.reason, found.text)
    assert want == target.fit(want, TargetEvent(EVENT, "Gala", None)) == target.fit(want, GALA)


async def test_unsold_is_told_and_not_compared(box: Receiver, make: Make) -> None:
    """A sale changes nothing to write, but what is written has the newest number and the time at which it was read."""
    target = make(box.url)
    record = await bring(target, wanted(target, unsold=87, at=1.0))
    assert plan(wanted(target, unsold=3, at=9.0), [record]) is None

    record = await bring(target, wanted(target, unsold=3, at=9.0, name="New"))
    assert (3, "1970-01-01T00:00:09Z") == (record.fields["unsold"], record.fields["read_at"])


async def test_unsold_as_the_quota_is_compared(box: Receiver, make: Make) -> None:
    """With quota = "unsold" each sale is written, as the limit too; a mere new read of Wix is not."""
    target = make(box.url, quota=Quota.UNSOLD)
    record = await bring(target, wanted(target, unsold=87, at=1.0))
    assert plan(wanted(target, unsold=87, at=9.0), [record]) is None
    operation = plan(wanted(target, unsold=86, at=9.0), [record])
    assert operation
    assert ["limit", "unsold"] == sorted(change.name for change in operation.fields)

    record = await bring(target, wanted(target, unsold=86, at=9.0))
    assert (86, 86, "1970-01-01T00:00:09Z") == tuple(record.fields[name] for name in ("limit", "unsold", "read_at"))


async def test_renamed_and_added_members(box: Receiver, make: Make) -> None:
    """A mapping may give members other names and add some; what it writes once stays as it is later."""
    rules, _ = default_rules(
        name=Rule("title", source="name"),
        hidden=Rule("invisible", source="hidden"),
        hall=Rule("hall", constant="HALL-1"),
        unsold=Rule("left", source="unsold", convert="text"),
        note=Rule("note", constant="first", initial=True),
    )
    target = make(box.url, rules=rules)
    record = await bring(target, wanted(target))
    assert "General admission" == record.name == record.fields["title"]
    assert ("HALL-1", "87", "first", False) == tuple(record.fields[n] for n in ("hall", "left", "note", "invisible"))

    box.remove(record.key)
    box.insert(EVENT, TICKET, {**record.fields, "note": "edited", "title": "Edited"})
    record = await bring(target, wanted(target, unsold=1, hidden=True))
    assert ("edited", "General admission", False) == (record.fields["note"], record.name, record.active)


@pytest.mark.parametrize(
    "changes",
    [
        {"rules": (Rule("event", source="name"),)},
        {"options": (Rule("active", constant=True),)},
        {"secret": SecretStr("word")},
        {"allow_http": False},
    ],
)
def test_settings_that_cannot_be_used(make: Make, changes: dict[str, Any]) -> None:
    """Settings that cannot be used are told when the process starts, without the secret."""
    with pytest.raises(NotStarted) as caught:
        make("http://127.0.0.1:9", **changes)

    assert "word" not in str(caught.value).replace("password", "")


# -- what is sent --


async def test_whole_ticket_is_sent(make: Make) -> None:
    """A creation is POST to the address itself, with all members; an update is PUT to the record, with the same ones."""
    record = {"id": "a/b ?é", "event": EVENT, "wix_ticket_definition_id": TICKET}
    page = answer(200, {**PAGE, "records": [record], "total": 1})
    async with raw_server(answer(201), page, answer(204)) as server:
        target = make(f"{server.url}/box")
        want = wanted(target, **options((CHILD, "Child", "8.5")))
        key = await target.create(EVENT, want, "1", leased)
        found = Record("a/b ?é", TICKET, "", True, {})
        operation = plan(want, [found])
        assert operation
        await target.update(EVENT, found, want, operation, leased)

    assert ("a/b ?é", "POST /box") == (key, server.line(0))
    assert f"GET /box?event={EVENT}&ticket={TICKET}" == server.line(1)
    assert "PUT /box/a%2Fb%20%3F%C3%A9" == server.line(2)
    body = written(server.requests[0])
    assert body == written(server.requests[2])
    assert (TICKET, EVENT, True) == (body["wix_ticket_definition_id"], body["event"], body["active"])
    child = {"wix_option_id": CHILD, "active": True, "name": "Child", "price": "8.50", "currency": "EUR", "position": 0}
    assert [child] == body["options"]


async def test_every_request_is_signed_as_it_is_sent(make: Make) -> None:
    """Reads and writes are signed with method, path, query and body, exactly as they arrive."""
    page = answer(200, PAGE)
    async with raw_server(page, answer(200), answer(204)) as server:
        target = make(f"{server.url}/bö x")
        record = Record("7", TICKET, "", True, {})
        await target.event("G 2027&é")
        await target.mark(EVENT, record, TICKET, leased)
        await target.deactivate(EVENT, record, leased)

    assert ["GET /b%C3%B6%20x?event=G+2027%26%C3%A9", "PUT /b%C3%B6%20x/7", "DELETE /b%C3%B6%20x/7"] == [
        server.line(number) for number in range(3)
    ]
    for number, request in enumerate(server.requests):
        body = request.partition(b"\r\n\r\n")[2].decode()
        Webhook(SECRET).verify(f"{server.line(number)}\n{body}", server.head(number), json_parse=False)


async def test_idempotency_keys(make: Make) -> None:
    """A key is that of one method, address, body and attempt, and is the signed id; a PUT or a DELETE never uses one again."""
    refused = answer(503)
    async with raw_server(refused) as server:
        target, other = make(f"{server.url}/a"), make(f"{server.url}/b")
        record = Record("7", TICKET, "", True, {})
        for one, want, attempt in (
            (target, wanted(target), "1"),
            (target, wanted(target), "1"),
            (target, wanted(target), "2"),
            (target, wanted(target, name="New"), "1"),
            (other, wanted(target), "1"),
        ):
            with pytest.raises(TargetUnsure):
                await one.create(EVENT, want, attempt, leased)
        for _ in range(2):
            for call in (target.mark(EVENT, record, None, leased), target.deactivate(EVENT, record, leased)):
                with pytest.raises(TargetUnsure):
                    await call

    keys = [server.head(number)["idempotency-key"] for number in range(len(server.requests))]
    assert keys == [server.head(number)["webhook-id"] for number in range(len(server.requests))]
    assert keys[0] == keys[1]
    assert 8 == len(set(keys))


async def test_signature_is_made_after_the_wait(make: Make) -> None:
    """A request is signed when it is sent, not before it has waited for the budget, so that it does not arrive too old."""
    paid_at = 0.0

    async def slow() -> None:
        nonlocal paid_at
        await asyncio.sleep(1.1)
        paid_at = time.time()

    async with raw_server(answer(204)) as server:
        target = HttpTarget(settings(server.url), slow)
        await target.deactivate(EVENT, Record("7", TICKET, "", True, {}), leased)
        await target.aclose()

    assert int(paid_at) <= int(server.head()["webhook-timestamp"])


async def test_lost_lease_writes_nothing(make: Make) -> None:
    """Where another process has the lease, nothing is sent."""

    async def lost() -> None:
        raise LeaseLost("another has it")

    async with raw_server(answer(200)) as server:
        target = make(server.url)
        record = Record("7", TICKET, "", True, {})
        calls: list[Awaitable[Any]] = [
            target.create(EVENT, wanted(target), "1", lost),
            target.mark(EVENT, record, None, lost),
            target.deactivate(EVENT, record, lost),
        ]
        for call in calls:
            with pytest.raises(LeaseLost):
                await call

    assert [] == server.requests


# -- what goes wrong --


@pytest.mark.parametrize(
    ("replies", "error"),
    [
        ([answer(500)], TargetUnsure),
        ([answer(429, b"", {"retry-after": "7"})], TargetUnsure),
        ([answer(408)], TargetUnsure),
        ([answer(409, {"detail": "in flight"})], TargetUnsure),
        ([answer(301, b"", {"location": "http://127.0.0.1:1"})], TargetUnsure),
        ([b""], TargetUnsure),
        ([answer(201), answer(500)], TargetUnsure),
        ([answer(201), answer(200, b"<html>")], TargetUnsure),
        ([answer(201), answer(200, PAGE)], TargetUnsure),
        ([answer(422, {"detail": "no hall"})], TargetRefused),
        ([answer(400)], TargetRefused),
        ([answer(403)], TargetRefused),
        ([answer(404)], TargetRefused),
        ([answer(401)], TargetUnauthorized),
    ],
)
async def test_outcome_of_a_creation(make: Make, replies: list[bytes], error: type[TargetError]) -> None:
    """A creation is refused only by a status that says so; in all other cases it may have happened, and is looked up."""
    async with raw_server(*replies) as server:
        target = make(server.url)
        with pytest.raises(TargetError) as caught:
            await target.create(EVENT, wanted(target), "1", leased)

    assert error is type(caught.value)


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (404, TargetUnsure),
        (409, TargetUnsure),
        (410, TargetUnsure),
        (500, TargetUnsure),
        (422, TargetRefused),
        (403, TargetRefused),
        (401, TargetUnauthorized),
    ],
)
async def test_outcome_of_an_update(make: Make, status: int, error: type[TargetError]) -> None:
    """A record that is gone, or bears another id, is looked up again; a refusal is one."""
    async with raw_server(answer(status)) as server:
        target = make(server.url)
        record = Record("7", TICKET, "", True, {})
        operation = plan(wanted(target), [record])
        assert operation
        with pytest.raises(TargetError) as caught:
            await target.update(EVENT, record, wanted(target), operation, leased)

    assert error is type(caught.value)


GOOD = {"id": "1", "event": EVENT, "wix_ticket_definition_id": TICKET}


@pytest.mark.parametrize(
    "page",
    [
        b"{",
        [],
        {**PAGE, "records": None},
        {**PAGE, "total": None},
        {**PAGE, "total": 1},
        {**PAGE, "records": [1], "total": 1},
        {**PAGE, "records": [{**GOOD, "id": None}], "total": 1},
        {**PAGE, "records": [{**GOOD, "id": ""}], "total": 1},
        {**PAGE, "records": [{**GOOD, "id": ".."}], "total": 1},
        {**PAGE, "records": [{**GOOD, "id": "x" * 201}], "total": 1},
        {**PAGE, "records": [{**GOOD, "event": "other"}], "total": 1},
        {**PAGE, "records": [{**GOOD, "wix_ticket_definition_id": 5}], "total": 1},
        {**PAGE, "records": [{**GOOD, "wix_ticket_definition_id": OTHER}], "total": 1},
        {**PAGE, "records": [{**GOOD, "options": {}}], "total": 1},
        {**PAGE, "records": [{**GOOD, "options": [1]}], "total": 1},
        {**PAGE, "records": [{**GOOD, "options": [{"wix_option_id": 5}]}], "total": 1},
        {**PAGE, "records": [GOOD, GOOD], "total": 2},
        {**PAGE, "next": "1"},
        {**PAGE, "next": 1},
    ],
)
async def test_answers_that_are_not_as_documented(make: Make, page: Any) -> None:
    """An answer that is not as documented, or a list that is not whole, is no answer: nothing follows from it."""
    async with raw_server(answer(200, page)) as server:
        with pytest.raises(TargetUnavailable) as caught:
            await make(server.url).find(EVENT, TICKET, None)

    assert not isinstance(caught.value, TargetUnsure)


@pytest.mark.parametrize("event", [None, {}, {"name": 1}, {"name": "Gala", "currency": 1}])
async def test_event_that_is_not_as_documented(make: Make, event: Any) -> None:
    """An event without a name, or with a currency that is no text, is no answer."""
    async with raw_server(answer(200, {**PAGE, "event": event})) as server:
        with pytest.raises(TargetUnavailable):
            await make(server.url).event(EVENT)


async def test_list_that_changes_is_read_again(make: Make) -> None:
    """A list whose number does not fit is read again from its start."""
    first = {**GOOD, "id": 1}
    short = answer(200, {**PAGE, "records": [first], "total": 2})
    whole = answer(200, {**PAGE, "records": [first, {**GOOD, "id": 2}], "total": 2})
    async with raw_server(short, short, whole) as server:
        assert ["1", "2"] == [one.key for one in await make(server.url).list(EVENT)]

    assert 3 == len(server.requests)


async def test_values_that_sync_does_not_know_are_shown(make: Make) -> None:
    """A value that sync never sends is read as its JSON, so that it differs and a person sees it."""
    record = {**GOOD, "price": 12.5, "tags": [1], "options": [{"name": "Own"}]}
    async with raw_server(answer(200, {**PAGE, "records": [record], "total": 1})) as server:
        [found] = await make(server.url).find(EVENT, TICKET, None)

    assert {"price": "12.5", "tags": "[1]"} == found.fields
    assert [("option 1", "", True)] == [(one.key, one.id, one.active) for one in found.options]


async def test_hanging_read_and_write(make: Make) -> None:
    """A system that hangs makes a read unavailable and a write unsure."""
    async with raw_server(HANG) as server:
        target = make(server.url)
        target._calls.within = 0.2
        with pytest.raises(TargetUnavailable) as read:
            await target.find(EVENT, TICKET, None)
        with pytest.raises(TargetUnsure):
            await target.create(EVENT, wanted(target), "1", leased)

    assert not isinstance(read.value, TargetUnsure)


# -- the documentation --


def test_every_field_is_documented_and_sent() -> None:
    """docs/http-target.md has each member with its field, as the default mapping has them; no field of a definition is left out."""
    text = (Path(__file__).parents[3] / "docs" / "http-target.md").read_text()
    table = re.findall(r"^\| `(\w+)` \|.*\| `([\w.]+)` \|$", text, re.MULTILINE)
    kind = kinds()["http"]

    assert {"id"} == set(FIELDS) - {field for _, field in table if field != "id"}
    assert {name: one["from"] for name, one in kind.fields.items()} == {
        name: field for name, field in table if field != "id"
    }


def test_option_is_documented() -> None:
    """The example of docs/http-target.md has each member of an option."""
    text = (Path(__file__).parents[3] / "docs" / "http-target.md").read_text()
    [option] = re.findall(r'\{"wix_option_id": .*\}', text)
    _, rules = default_rules()

    assert {"wix_option_id", "active", *(rule.name for rule in rules)} == set(json.loads(option))
