from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from server.errors import NotStarted
from server.model import EventId
from server.notify.config import HOUR, EventAudience, NotifyConfig
from server.notify.named_events import NamedEvent
from server.notify.sales import Sales
from server.redis.client import RedisClient
from server.store.campaigns import Campaigns
from server.store.definitions import Definitions
from tests.rig.notify_shop import NotifyShop

CONFIG = NotifyConfig(Path("notify.toml"), {}, "")


async def sales(
    shop: NotifyShop, store: RedisClient, name: str, later: float = 0.0, **config: Any
) -> tuple[Sales, NamedEvent]:
    """The sales of an event, so many seconds *later*."""
    definitions = Definitions(store)
    stored = await definitions.event(shop.site, shop.events[name])
    assert stored is not None
    clock = await store.do("TIME")
    now = int(clock[0]) + later
    found = Sales(definitions, Campaigns(store), replace(CONFIG, **config), clock=lambda: now)
    return found, NamedEvent(shop.site, stored, EventAudience(name, push=True))


async def test_what_is_on_sale(notify_shop: NotifyShop, shop_store: RedisClient) -> None:
    """What is on sale is announced with what starts soon after it, and until the window after its start ends."""
    one, gala = await sales(notify_shop, shop_store, "spring-gala")
    found = await one.on_sale(gala, again=False)

    assert found is not None
    assert (("Early bird",), ("Balcony",), True) == (found.on_sale, found.later, found.now)
    assert (notify_shop.tickets["Early bird"], notify_shop.tickets["Balcony"]) == found.ids
    assert (2 * HOUR, "Europe/Berlin", "") == (found.deadline - found.start, found.zone, found.reason)
    assert found.announcement is not None
    assert [True, False] == [ticket.on_sale for ticket in found.announcement.tickets]

    one, gala = await sales(notify_shop, shop_store, "spring-gala", together=60.0)
    found = await one.on_sale(gala, again=False)
    assert found is not None
    assert () == found.later


async def test_sale_that_began_long_ago(notify_shop: NotifyShop, shop_store: RedisClient) -> None:
    """A person may announce what has been on sale for long: the window is then from now on."""
    one, gala = await sales(notify_shop, shop_store, "spring-gala", later=5 * HOUR)
    found = await one.on_sale(gala, again=False)

    assert found is not None
    assert (5 * HOUR + 600) <= found.start - (await early_start(notify_shop, shop_store))
    assert 2 * HOUR == found.deadline - found.start


async def early_start(shop: NotifyShop, store: RedisClient) -> float:
    one, gala = await sales(shop, store, "spring-gala")
    found = await one.on_sale(gala, again=True)
    assert found is not None
    return found.start


async def test_what_was_announced(notify_shop: NotifyShop, shop_store: RedisClient) -> None:
    """What was announced is announced no more, unless it is to be again; a preview is then of that."""
    await notify_shop.opened(shop_store, tickets=tuple(notify_shop.tickets[one] for one in ("Early bird", "Balcony")))
    one, gala = await sales(notify_shop, shop_store, "spring-gala")

    assert await one.on_sale(gala, again=False) is None
    assert await one.planned(gala) is None
    again = await one.on_sale(gala, again=True)
    assert again is not None
    assert again == await one.any(gala)
    assert ("Early bird",) == again.on_sale


async def test_next_start(notify_shop: NotifyShop, shop_store: RedisClient) -> None:
    """The next start is planned with what starts soon after it; what it says is what it will say when it is on sale."""
    one, ball = await sales(notify_shop, shop_store, "autumn-ball")
    assert await one.on_sale(ball, again=True) is None
    found = await one.planned(ball)

    assert found is not None
    assert (("Ball, early",), ("Ball, late",), False) == (found.on_sale, found.later, found.now)
    assert found.announcement is not None
    assert [True, False] == [ticket.on_sale for ticket in found.announcement.tickets]
    assert ("Autumn Ball", "https://www.example.com/event-details/autumn-ball") == (
        found.announcement.title,
        found.announcement.page,
    )
    assert found == await one.any(ball)
    planned = await one.report(ball)
    assert planned is not None
    assert ("autumn-ball", "Autumn Ball", ("Ball, early", "Ball, late"), found.start) == (
        planned.event_name,
        planned.title,
        planned.tickets,
        planned.start,
    )


async def test_start_soon_after_a_campaign_is_planned(notify_shop: NotifyShop, shop_store: RedisClient) -> None:
    """A ticket that no campaign has announced is planned by itself, however soon after another one's start: so the worker opens it."""
    early, late = (notify_shop.tickets[one] for one in ("Ball, early", "Ball, late"))
    one, ball = await sales(notify_shop, shop_store, "autumn-ball")
    planned = await one.planned(ball)
    assert planned is not None
    assert planned.tickets[1].start is not None
    await notify_shop.opened(
        shop_store, event=ball.id, tickets=(early,), start=planned.start, deadline=planned.start + 2 * HOUR
    )

    found = await one.planned(ball)

    assert found is not None
    assert ((late,), planned.tickets[1].start) == (found.ids, found.start)
    assert 0 < found.start - planned.start <= CONFIG.together


async def test_nothing_to_say(notify_shop: NotifyShop, shop_store: RedisClient) -> None:
    """Where no ticket is on sale or will be, there is nothing to say, and that is told."""
    one, ball = await sales(notify_shop, shop_store, "autumn-ball", later=3 * 24 * HOUR)
    assert await one.report(ball) is None
    with pytest.raises(NotStarted, match="nothing to say of autumn-ball: none of its tickets is on sale, or will be"):
        await one.any(ball)

    empty = replace(ball, stored=replace(ball.stored, event=EventId("none")))
    with pytest.raises(NotStarted, match="no ticket of it is known yet"):
        await one.any(empty)
