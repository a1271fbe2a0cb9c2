"""What goes wrong between sync and pretix: each fault is told as what it is, and the next try ends equal."""

import asyncio
import dataclasses
import random
import sqlite3
from collections.abc import Awaitable, Callable

import pytest
from pydantic import SecretStr

from server.errors import (
    LeaseLost,
    TargetForbidden,
    TargetRefused,
    TargetUnauthorized,
    TargetUnavailable,
    TargetUnsure,
)
from server.sync.model import Record
from server.sync.targets.pretix.target import Pretix
from tests.rig.http_proxy import CUT_AFTER, Exchange, Fault, html, method, too_many, writes
from tests.rig.pretix import META, PretixServers
from tests.rig.pretix_target import MakeOnPretix, changed, free, option, wanted

LOCKED = Fault(500, {"Content-Type": "text/html"}, b"<h1>Server Error (500)</h1>")


@pytest.mark.parametrize(
    "fault",
    [
        Fault(cut=True, executes=True),
        Fault(cut=True),
        too_many(1),
        too_many(1, executes=True),
        LOCKED,
        html(502),
        Fault(200, {"Content-Type": "application/json"}, b'{"id": 1'),
    ],
)
async def test_requests_fail_at_random(on_pretix: MakeOnPretix, fault: Fault) -> None:
    """While a fifth of all requests go wrong, a ticket is made, changed and changed back by tries alone, without a double."""
    on = await on_pretix()
    one = wanted("", option("Adult"), limit=5)
    dice = random.Random(3)
    on.proxy.add(dataclasses.replace(fault, meets=lambda _: dice.random() < 0.2))
    for attempt, ticket in enumerate(
        [one, changed(one, option("Adult"), option("Child"), name="Stalls", limit=3), one]
    ):
        for _ in range(60):
            try:
                await on.bring(ticket, attempt=str(attempt))
            except TargetUnavailable:
                continue
            break
        else:
            pytest.fail("sixty tries were not enough")
    await on.proxy.heal()

    assert await on.plan(one) is None
    assert (1, 1) == (len(await on.items()), len(await on.quotas()))


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (too_many(7), TargetUnsure),
        (LOCKED, TargetUnsure),
        (html(503), TargetUnsure),
        (CUT_AFTER, TargetUnsure),
        (Fault(cut=True), TargetUnsure),
        (Fault(409, body=b"{}"), TargetUnsure),
        (Fault(201, body=b"nothing"), TargetUnsure),
        (Fault(201, body=b"{}"), TargetUnsure),
        (Fault(401, body=b'{"detail": "Invalid token."}'), TargetUnauthorized),
        (Fault(403, body=b'{"detail": "You do not have permission to perform this action."}'), TargetRefused),
        (Fault(413), TargetRefused),
    ],
)
async def test_creation(on_pretix: MakeOnPretix, fault: Fault, error: type[Exception]) -> None:
    """The answer to a creation tells whether an item may have been made."""
    on = await on_pretix()
    one = await on.fitted(wanted())
    on.proxy.add(dataclasses.replace(fault, meets=method("POST", "/items/")))

    with pytest.raises(error) as raised:
        await on.target.create(on.event, one, "1", on.before_write)

    assert error is type(raised.value)
    assert on.server.token not in str(raised.value)


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (too_many(7), TargetUnavailable),
        (LOCKED, TargetUnavailable),
        (Fault(401), TargetUnauthorized),
        (Fault(403), TargetForbidden),
        (Fault(301, {"Location": "https://elsewhere.example/"}), TargetUnavailable),
        (Fault(cut=True), TargetUnavailable),
    ],
)
async def test_reads(on_pretix: MakeOnPretix, fault: Fault, error: type[Exception]) -> None:
    """A read that goes wrong is never an empty answer, and what it says of the target is told."""
    on = await on_pretix()
    one = wanted()
    await on.bring(one)
    on.proxy.add(fault)

    for read in (
        lambda: on.target.event(on.event),
        lambda: on.target.find(on.event, one.ticket, None),
        lambda: on.target.list(on.event),
    ):
        with pytest.raises(error) as raised:
            await read()
        assert error is type(raised.value)


async def test_token_that_pretix_does_not_know(on_pretix: MakeOnPretix) -> None:
    """A wrong token is told as such by pretix itself, and is not shown."""
    on = await on_pretix()
    settings = dataclasses.replace(on.settings, secret=SecretStr("wrongtoken"), secret_env="PRETIX_MAIN_TOKEN")
    target = Pretix(settings, free)

    with pytest.raises(
        TargetUnauthorized, match=r"401: Invalid token: check the token in PRETIX_MAIN_TOKEN$"
    ) as raised:
        await target.event(on.event)
    await target.aclose()

    assert "wrongtoken" not in str(raised.value)


@pytest.mark.parametrize("meta", [True, False])
async def test_token_that_may_not_change_the_event(on_pretix: MakeOnPretix, meta: bool) -> None:
    """A token that may only change products is enough where the property for the Wix id is there; else the event waits for it."""
    on = await on_pretix(meta=meta)
    one = wanted("", option("Adult"))
    await on.use_team(limit_event_permissions=["event.items:write"])

    if meta:
        await on.bring(one)
        await on.bring(changed(one, option("Child"), limit=3))
        await on.target.deactivate(on.event, await on.record(one.ticket), on.before_write, delete=True)
        assert [] == await on.items()
    else:
        record = Record(str((await on.by_hand())["id"]), "", "By hand", True, {})
        refusals: list[Callable[[], Awaitable[object]]] = [
            lambda: on.bring(one),
            lambda: on.target.mark(on.event, record, one.ticket, on.before_write),
        ]
        for write in refusals:
            with pytest.raises(TargetForbidden, match=r"answered 403: .*: give the token's team") as refused:
                await write()
            assert "permission General settings (view and change)" in str(refused.value)
            assert f"Settings → General → Item metadata, named {META}, with an empty default" in str(refused.value)
            assert on.settings.secret.get_secret_value() not in str(refused.value)
        await on.api("POST", "item_meta_properties/", {"name": META, "default": "", "allowed_values": None})
        await on.bring(one)


async def test_pretix_is_locked(pretix_server: PretixServers, on_pretix: MakeOnPretix) -> None:
    """While another holds its database, pretix answers 500 to a write: that is unsure, and the next try ends equal."""
    on = await on_pretix(server=pretix_server())
    one = wanted()
    await on.bring(one)
    with sqlite3.connect(on.server.folder / "db.sqlite3", isolation_level=None) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(TargetUnsure, match=r"500|no answer"):
            await on.bring(changed(one, name="Stalls"))
        other.execute("ROLLBACK")
    other.close()

    await on.bring(changed(one, name="Stalls"))

    assert {"en": "Stalls"} == (await on.item(one.ticket))["name"]


async def test_creation_in_flight(on_pretix: MakeOnPretix) -> None:
    """While pretix is at work on a creation, its repetition is no second item: it is unsure, and later the same item."""
    on = await on_pretix()
    one = wanted()
    fitted = await on.fitted(one)
    twice = on.new_target()
    await twice.event(on.event)

    done = await asyncio.gather(
        on.target.create(on.event, fitted, "1", on.before_write),
        twice.create(on.event, fitted, "1", on.before_write),
        return_exceptions=True,
    )
    for each in done:
        assert isinstance(each, (str, TargetUnsure)), each
    await on.bring(one, attempt="1")

    assert (1, 1) == (len(await on.items()), len(await on.quotas()))


async def test_creation_executed_late(on_pretix: MakeOnPretix) -> None:
    """A creation that pretix executes after our time-out, and after a second try of the same attempt, is one item."""
    on = await on_pretix()
    one = wanted()
    on.proxy.add(Fault(cut=True, times=1, meets=method("POST", "/items/")))
    with pytest.raises(TargetUnsure):
        await on.bring(one, attempt="1")
    first = on.writes()[-1]
    await on.bring(one, attempt="1")

    late = await on.server.api(
        "POST", first.path, first.json, headers={"X-Idempotency-Key": first.headers["x-idempotency-key"]}
    )

    assert int((await on.record(one.ticket)).key) == late.json()["id"]
    assert 1 == len(await on.items())


async def test_keys(on_pretix: MakeOnPretix) -> None:
    """The idempotency key is another for another attempt, ticket and value, and the same for the same."""
    on = await on_pretix()
    one, two = wanted(), wanted()
    on.proxy.add(Fault(500, meets=method("POST", "/items/")))
    for ticket, attempt in [(one, "1"), (one, "1"), (one, "2"), (two, "1"), (changed(one, default_price="1.00"), "1")]:
        with pytest.raises(TargetUnsure):
            await on.bring(ticket, attempt=attempt)

    first, again, *others = (each.headers["x-idempotency-key"] for each in on.writes())

    assert first == again
    assert 4 == len({first, *others})


async def test_lease_is_lost(on_pretix: MakeOnPretix) -> None:
    """Before each write the lease is extended; where another has it, the write is not sent."""
    on = await on_pretix(meta=False)
    one = wanted("", option("Adult"), option("Child"))
    held = 0

    async def count() -> None:
        nonlocal held
        held += 1

    on.before_write = count
    await on.bring(one)
    await on.bring(changed(one, option("Adult", "1.00"), option("Senior"), limit=1, name="Stalls"))
    record = await on.record(one.ticket)
    await on.target.mark(on.event, record, one.ticket, count)
    await on.target.deactivate(on.event, record, count)
    await on.target.deactivate(on.event, await on.record(one.ticket), count, delete=True)
    assert held == len(on.writes())
    assert 12 <= held

    async def lost() -> None:
        raise LeaseLost("another has it")

    on.before_write, number = lost, on.seen
    with pytest.raises(LeaseLost):
        await on.bring(one, attempt="2")
    assert [] == on.writes(number)


async def test_each_request_is_paid(on_pretix: MakeOnPretix) -> None:
    """Each request is paid for before it is made, by the budget, and no more is paid than is made."""
    on = await on_pretix()
    one = wanted("", option("Adult"))
    paid = 0

    async def pay() -> None:
        nonlocal paid
        paid += 1

    on.pay, number = pay, on.seen
    await on.bring(one)
    await on.bring(changed(one, option("Adult"), option("Child"), name="Stalls", limit=1, active=False))
    await on.target.deactivate(on.event, await on.record(one.ticket), on.before_write, delete=True)
    await on.target.list(on.event)

    assert on.seen - number == paid


@pytest.mark.parametrize("call", [lambda on: on.target.event(on.event), lambda on: on.target.list(on.event)])
async def test_reads_write_nothing(on_pretix: MakeOnPretix, call: Callable[..., object]) -> None:
    """What a plan asks for writes nothing, also in an event that has no property for the Wix id yet."""
    on = await on_pretix(meta=False)
    await call(on)  # type: ignore[misc]

    assert [] == [one for one in on.proxy.exchanges if writes(one)]


async def test_event_is_never_patched(on_pretix: MakeOnPretix) -> None:
    """No request changes the event itself: a PATCH of its properties would delete all others and their values."""
    on = await on_pretix(meta=False)
    one = wanted("", option("Adult"))
    await on.bring(one)
    await on.bring(changed(one, name="Stalls", limit=1))
    await on.target.mark(on.event, await on.record(one.ticket), None, on.before_write)

    def of_event(each: Exchange) -> bool:
        return each.path.rstrip("/").endswith(f"/events/{on.event}") or "settings" in each.path

    assert [] == [each for each in on.writes() if of_event(each)]
    assert META in (await on.server.get(on.server.path(on.event)))["item_meta_properties"]
