import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing

import pytest

from server.catalog.payment import ByPace, FromBudget
from server.counter import Rules
from server.errors import NotThere, WixUnavailable
from server.model import SiteId
from server.redis.client import RedisClient, Use
from server.store.budget import Budget, Priority, Wait
from server.store.schedule import Schedule
from server.wix.calls import Pay
from tests.rig.server import SITE

SITE_ID = SiteId(SITE)


@pytest.fixture
async def schedule(redis_url: str) -> AsyncIterator[Schedule]:
    """The schedule of a known site."""
    async with aclosing(RedisClient(redis_url, Use.WORK)) as redis:
        found = Schedule(redis, budget=Budget(capacity=4, refill=2.0))
        await found.add_site(SITE_ID, Rules(), everything=True)
        yield found


async def answer(_: Pay) -> str:
    return "answer"


async def test_calls_are_paid_from_the_budget(schedule: Schedule) -> None:
    """Law 5: each call of a command is paid from the site's budget, and waits while that has no call left."""
    began = asyncio.get_running_loop().time()

    for _ in range(7):
        assert "answer" == await FromBudget(schedule).call(SITE_ID, answer)

    # Three calls above the burst of four, at two a second.
    assert asyncio.get_running_loop().time() - began > 1.2
    assert isinstance(await schedule.spend(SITE_ID, Priority.REST), Wait)


async def test_second_call_is_paid_too(schedule: Schedule) -> None:
    """A call that is repeated with a new token is paid twice."""

    async def twice(pay: Pay) -> list[bool]:
        return [await pay() for _ in range(5)]

    paid = await FromBudget(schedule).call(SITE_ID, twice)

    assert paid[0]
    assert not paid[-1]


async def test_pause_is_told(schedule: Schedule) -> None:
    """While a site is paused for longer than a person waits, the command says so at once and calls nothing."""
    await schedule.pause(SITE_ID, None, 60.0)

    with pytest.raises(WixUnavailable, match=rf"^no call to Wix may be made for site {SITE} for \d+ s: its calls are"):
        await FromBudget(schedule).call(SITE_ID, answer)


async def test_too_many_calls_pause_the_site(schedule: Schedule) -> None:
    """Law 5: after an answer 429 to a command the site is paused for as long as Wix says, for the worker too."""

    async def refused(_: Pay) -> str:
        raise WixUnavailable("Wix answered 429", status=429, retry_after=30.0)

    with pytest.raises(WixUnavailable, match="429"):
        await FromBudget(schedule).call(SITE_ID, refused)

    wait = await schedule.spend(SITE_ID, Priority.HINTED)
    assert isinstance(wait, Wait)
    assert 20 < wait.seconds <= 60


async def test_errors_of_a_call_are_passed_on(schedule: Schedule) -> None:
    """An answer that is no fault of Wix's reaches the caller, and the next call may follow."""

    async def missing(_: Pay) -> str:
        raise NotThere("Wix answered 404")

    with pytest.raises(NotThere):
        await FromBudget(schedule).call(SITE_ID, missing)
    assert "answer" == await FromBudget(schedule).call(SITE_ID, answer)


async def test_pace_without_redis() -> None:
    """Law 5: without Redis the calls of a command keep Wix's limit by themselves: a burst, and then a pace."""
    loop = asyncio.get_running_loop()
    payment = ByPace(Budget(capacity=2, refill=10.0))

    async def twice(pay: Pay) -> bool:
        return await pay()

    began = loop.time()
    assert await payment.call(SITE_ID, twice)
    assert loop.time() - began < 0.08
    assert await payment.call(SITE_ID, twice)
    assert loop.time() - began > 0.19
