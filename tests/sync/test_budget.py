"""Requests to a target are spread over time."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import replace

import pytest

from server.redis.client import RedisClient, Use
from server.store.sync_targets import Targets
from server.sync.budget import Budget, open_target
from server.sync.targets.pretix.target import Pretix
from tests.rig.applier_rig import SETTINGS


@pytest.fixture
async def targets(redis_url: str) -> AsyncIterator[Targets]:
    async with aclosing(RedisClient(redis_url, Use.WORK)) as redis:
        yield Targets(redis)


async def test_request_waits_for_its_turn(targets: Targets) -> None:
    """After a fifth of a minute's requests the rest are spread evenly, over all processes."""
    budgets = [Budget(replace(SETTINGS, requests_per_minute=600), targets) for _ in range(2)]
    for _ in range(60):
        await budgets[0].pay()
        await budgets[1].pay()
    began = time.monotonic()
    await asyncio.gather(*(one.pay() for one in budgets * 3))

    assert 0.3 < time.monotonic() - began


async def test_target_is_opened_by_its_kind(targets: Targets) -> None:
    """The kind of its settings decides which class it is."""
    target = open_target(replace(SETTINGS, kind="pretix", own={"organizer": "wixorg"}), targets)
    assert isinstance(target, Pretix)
    await target.aclose()
