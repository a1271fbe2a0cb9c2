import asyncio
import time

import pytest

from server.model import EventId, SiteId
from server.redis.client import RedisClient
from server.store.notify_events import NotifyEvents
from tests.rig.campaigns import EVENT, SITE


async def test_event_is_switched_on_once(anywhere: RedisClient) -> None:
    """Since when an event is announced is the first time that anyone asked, by Redis's clock."""
    events = NotifyEvents(anywhere)
    first, *others = await asyncio.gather(*(events.switched_on(SITE, EVENT) for _ in range(5)))

    assert first == pytest.approx(time.time(), abs=5)
    assert [first] * 4 == others
    assert first < await events.switched_on(SITE, EventId("other"))


async def test_facts_of_an_event(anywhere: RedisClient) -> None:
    """What is remembered of an event is read as it was written, field by field, until it is forgotten."""
    events = NotifyEvents(anywhere)
    assert {} == await events.facts(SITE, EVENT)

    await events.set(SITE, EVENT, push=True, sign_up=False, title="Gala \ud83c", date_told=1.5)
    await events.set(SITE, EVENT, date_told_at=2.0, title="Ball", date_error=None)
    assert {
        "push": "1",
        "sign_up": "0",
        "title": "Ball",
        "date_told": "1.5",
        "date_told_at": "2.0",
    } == await events.facts(SITE, EVENT)

    await events.set(SITE, EVENT, date_told=None, date_told_at=None)
    assert {"push", "sign_up", "title"} == set(await events.facts(SITE, EVENT))
    assert {} == await events.facts(SiteId("other"), EVENT)


async def test_half_an_emoji_in_a_title(store: RedisClient) -> None:
    """A text that was cut inside an emoji is stored with a replacement for it."""
    await NotifyEvents(store).set(SITE, EVENT, title="Gala \ud83c")

    assert {"title": "Gala \N{REPLACEMENT CHARACTER}"} == await NotifyEvents(store).facts(SITE, EVENT)
