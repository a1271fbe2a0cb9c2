import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from server.errors import TargetRefused, TargetUnavailable, TargetUnsure
from server.sync.targets.http import HttpTarget
from tests.rig.http_proxy import CUT_AFTER, Fault, HttpProxy, html, http_proxy, method, too_many, writes
from tests.rig.receiver import EVENT, SECRET, Receiver, receiver
from tests.rig.server import until
from tests.sync.targets.test_http import TICKET, bring, leased, pay, plan, settings, wanted


@pytest.fixture
async def box(tmp_path: Path) -> AsyncIterator[Receiver]:
    """A running reference receiver."""
    async with receiver(tmp_path) as running:
        yield running


@pytest.fixture
async def proxy(box: Receiver) -> AsyncIterator[HttpProxy]:
    """A proxy before it."""
    async with http_proxy(box.url.removesuffix("/wix/tickets")) as found:
        yield found


@pytest.fixture
async def target(proxy: HttpProxy) -> AsyncIterator[HttpTarget]:
    """The target behind the proxy; a call may take half a second."""
    made = HttpTarget(settings(f"{proxy.url}/wix/tickets"), pay)
    made._calls.within = 0.5
    yield made
    await made.aclose()


@pytest.mark.parametrize(
    "fault", [CUT_AFTER, html(502, executes=True), too_many(executes=True), Fault(hangs=True, executes=True)]
)
async def test_answer_of_a_creation_is_lost(box: Receiver, proxy: HttpProxy, target: HttpTarget, fault: Fault) -> None:
    """A creation whose answer is lost is unsure; the record is found then, and the same attempt makes no second one."""
    proxy.add(replace(fault, meets=method("POST"), times=1))
    with pytest.raises(TargetUnsure):
        await target.create(EVENT, wanted(target), "1", leased)
    await proxy.heal()

    [found] = await target.find(EVENT, TICKET, None)
    assert found.key == await target.create(EVENT, wanted(target), "1", leased)
    assert 1 == len(box.rows())


async def test_creation_ends_after_our_time_out(box: Receiver, proxy: HttpProxy, target: HttpTarget) -> None:
    """A creation that the system ends only after our time-out, and after a second try, makes one record."""
    proxy.add(Fault(hangs=True, executes=True, late=1.0, meets=method("POST"), times=1))
    with pytest.raises(TargetUnsure):
        await target.create(EVENT, wanted(target), "1", leased)
    assert [] == await target.find(EVENT, TICKET, None)
    await target.create(EVENT, wanted(target), "1", leased)
    await until(lambda: proxy.writes[0].status)

    assert [201, 201] == [one.status for one in proxy.writes]
    assert 1 == len(box.rows())
    first, second = proxy.writes
    assert first.headers["webhook-id"] == second.headers["webhook-id"]


async def test_late_creation_of_another_attempt(box: Receiver, proxy: HttpProxy, target: HttpTarget) -> None:
    """Even where the second try is another one, the system keeps one record for an id, and refuses the late one."""
    proxy.add(Fault(hangs=True, executes=True, late=1.0, meets=method("POST"), times=1))
    with pytest.raises(TargetUnsure):
        await target.create(EVENT, wanted(target), "1", leased)
    await target.create(EVENT, wanted(target, name="Changed"), "2", leased)
    await until(lambda: proxy.writes[0].status)

    assert [409, 201] == [one.status for one in proxy.writes]
    assert ["Changed"] == [row[3]["name"] for row in box.rows()]


@pytest.mark.parametrize("executes", [True, False])
async def test_answer_of_an_update_is_lost(proxy: HttpProxy, target: HttpTarget, executes: bool) -> None:
    """An update whose answer is lost is unsure; the next comparison knows whether it was done, and brings it to its end."""
    record = await bring(target, wanted(target))
    want = wanted(target, name="New")
    operation = plan(want, [record])
    assert operation
    proxy.add(Fault(cut=True, executes=executes, meets=writes, times=1))
    with pytest.raises(TargetUnsure):
        await target.update(EVENT, record, want, operation, leased)

    [found] = await target.find(EVENT, TICKET, record.key)
    assert executes is (plan(want, [found]) is None)
    assert "New" == (await bring(target, want)).name


@pytest.mark.parametrize(
    "fault",
    [
        Fault(cut=True),
        Fault(hangs=True),
        Fault(200, body=b'{"records": ['),
        Fault(200, {"Content-Type": "text/html"}, b"<html>"),
        Fault(500),
        Fault(503, {"Retry-After": "Thu, 01 Jan 2099 00:00:00 GMT"}),
        Fault(302, {"Location": "/elsewhere"}),
        too_many(7),
    ],
)
async def test_a_fault_of_a_read_is_no_answer(proxy: HttpProxy, target: HttpTarget, fault: Fault) -> None:
    """No fault of a read looks like an empty list, in its first page and in its last; the next read is right again."""
    await bring(target, wanted(target))
    proxy.add(fault)
    for call in (target.list(EVENT), target.find(EVENT, TICKET, None), target.event(EVENT)):
        with pytest.raises(TargetUnavailable):
            await call
    await proxy.heal()

    assert 1 == len(await target.list(EVENT))


async def test_a_fault_of_the_second_page(box: Receiver, proxy: HttpProxy, target: HttpTarget) -> None:
    """A list whose second page fails is no list."""
    for number in range(101):
        box.insert(EVENT, f"t{number}", {})
    assert 101 == len(await target.list(EVENT))
    proxy.add(Fault(500, meets=lambda one: "after=" in one.path))

    with pytest.raises(TargetUnavailable):
        await target.list(EVENT)


async def test_down_and_back(proxy: HttpProxy, target: HttpTarget) -> None:
    """While the system is down nothing is sent, so that not even a write is unsure; when it is back, all is as before."""
    await proxy.refuse()
    with pytest.raises(TargetUnavailable) as caught:
        await target.create(EVENT, wanted(target), "1", leased)
    assert not isinstance(caught.value, TargetUnsure)
    await proxy.heal()

    assert (await bring(target, wanted(target))).active


async def test_a_refusal_is_in_the_words_of_the_system(proxy: HttpProxy, target: HttpTarget) -> None:
    """A refused write says why, and never our secret; the next ticket is written."""
    proxy.add(
        Fault(422, body=b'{"detail": "no hall for whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIz"}', meets=writes, times=1)
    )
    with pytest.raises(TargetRefused, match=r"422: no hall for \*\*\*") as caught:
        await target.create(EVENT, wanted(target), "1", leased)
    assert SECRET not in str(caught.value)

    await target.create(EVENT, wanted(target), "2", leased)


async def test_four_records_at_once(box: Receiver, proxy: HttpProxy, target: HttpTarget) -> None:
    """As many records as the target allows are written at once, each by one connection."""
    tickets = [type(TICKET)(f"{number}{TICKET[1:]}") for number in range(target.abilities.parallel)]
    proxy.add(Fault(delay=0.2, executes=True, meets=method("POST")))
    await asyncio.gather(*(target.create(EVENT, wanted(target, one), "1", leased) for one in tickets))

    assert len(tickets) == len(box.rows())
    assert len(tickets) == proxy.most_writes_at_once(lambda _: "all")[0]
