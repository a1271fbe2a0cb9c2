from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import Any

import pytest
from redis.asyncio import Redis

from server.doctor import webhooks
from server.doctor.deployment import Deployment
from server.doctor.finding import Level
from server.model import Hint, SiteId
from server.redis.client import RedisClient, Use
from server.store.refused_webhooks import Refusal, RefusedWebhooks
from server.store.schedule import Schedule
from tests.rig.default_keys import key
from tests.rig.doctor import found_by, levels
from tests.rig.server import SITE
from tests.rig.settings import valid_settings

ORDER = "wix.events.ticketing.events.OrderConfirmed"
"""A type of webhook."""


@asynccontextmanager
async def deployed(redis_url: str) -> AsyncIterator[tuple[Deployment, Schedule]]:
    """A deployment whose site Redis knows."""
    settings = valid_settings(redis_url=redis_url, public_url="https://tickets.example.org")
    async with aclosing(Deployment(settings)) as deployment:
        deployment.redis = RedisClient(redis_url, Use.WORK)
        schedule = Schedule(deployment.redis)
        await schedule.add_site(SiteId(SITE), settings.rules, everything=True)
        yield deployment, schedule


async def test_webhooks_that_came(redis_url: str) -> None:
    """Of a site that hears webhooks the newest types are told, with how long ago each came."""
    async with deployed(redis_url) as (deployment, schedule):
        await schedule.mark(SiteId(SITE), Hint(reason="order"), ORDER)
        (found,) = await found_by(webhooks.check, deployment)

    assert Level.OK is found.level
    assert "OrderConfirmed just now" in found.what


async def test_no_webhook_yet(redis_url: str) -> None:
    """Of a site that has heard none, the cure names the address for Wix and the key."""
    async with deployed(redis_url) as (deployment, _):
        (found,) = await found_by(webhooks.check, deployment)

    assert Level.NOTICE is found.level
    assert "https://tickets.example.org/webhooks/wix" in found.cure
    assert "WIX_PUBLIC_KEY" in found.cure


async def test_stock_that_falls_in_silence(redis_url: str) -> None:
    """Stock that falls while no webhook comes is a fault."""
    async with deployed(redis_url) as (deployment, schedule):
        timing = schedule.timing
        long_ago = 1_000_000
        falls: Any = {
            "falls": timing.silent_falls,
            "falls:first": 1,
            "falls:last": long_ago * 1_000_000,
            "falls:tickets": 9,
        }
        async with Redis.from_url(redis_url) as redis:
            await redis.hset(key(SITE, "heard"), mapping=falls)
        found = await found_by(webhooks.check, deployment)

    assert ["fault"] == levels(found)
    assert "no webhook told of it" in found[0].what


async def test_api_key(redis_url: str) -> None:
    """With an API key it is told that there are no webhooks, and nothing is asked for."""
    settings = valid_settings(redis_url=redis_url, wix_api_key="IST.key", wix_app_id="", wix_app_secret="")
    async with aclosing(Deployment(settings)) as deployment:
        deployment.redis = RedisClient(redis_url, Use.WORK)
        (found,) = await found_by(webhooks.check, deployment)

    assert Level.NOTICE is found.level
    assert "WIX_API_KEY" in found.what


async def test_no_redis() -> None:
    """Without Redis nothing is known of webhooks, and nothing is said."""
    assert [] == await found_by(webhooks.check, Deployment(valid_settings()))


@pytest.mark.parametrize(
    ("level", "cure", "refusal", "heard"),
    [
        ("fault", "copy the public key again", Refusal.OTHER_KEY, False),
        ("notice", "WIX_PUBLIC_KEY was changed", Refusal.OTHER_KEY, True),
        ("fault", "clock", Refusal.WRONG_TIME, True),
    ],
)
async def test_webhooks_that_were_refused(redis_url: str, level: str, cure: str, refusal: Refusal, heard: bool) -> None:
    """A refused webhook is a fault with its cure; another key is only told where webhooks have come with ours."""
    async with deployed(redis_url) as (deployment, schedule):
        if heard:
            await schedule.mark(SiteId(SITE), Hint(reason="order"), ORDER)
        await RefusedWebhooks(schedule.redis).write(refusal)
        found = await found_by(webhooks.check, deployment)

    assert level == found[-1].level
    assert cure in found[-1].cure
    assert "was refused just now" in found[-1].what


async def test_key_that_was_changed(redis_url: str) -> None:
    """Webhooks that were taken before one was refused do not say that the key is right now; one that was taken after it does."""
    async with deployed(redis_url) as (deployment, schedule):
        await schedule.mark(SiteId(SITE), Hint(reason="order"), ORDER)
        await RefusedWebhooks(schedule.redis).write(Refusal.OTHER_KEY)
        before = (await found_by(webhooks.check, deployment))[-1]
        await schedule.mark(SiteId(SITE), Hint(reason="order"), ORDER)
        after = (await found_by(webhooks.check, deployment))[-1]

    assert before.what.endswith("; none was taken since")
    assert before.cure.startswith("if WIX_PUBLIC_KEY was changed")
    assert "WIX_PUBLIC_KEY is right" in after.cure
