"""Follows the public channels, as any program can: our own consumer of what we publish.

In: tickets, or none for every tracked one. Out: each counter as it changes, as text. A Redis that goes is waited for;
what changed meanwhile is not told.
"""

import asyncio
import json
from collections.abc import AsyncGenerator, Callable, Collection, Sequence
from contextlib import aclosing

from server.errors import NotStarted, RedisUnavailable
from server.model import SiteId, TicketId
from server.redis.client import RedisClient, Use
from server.redis.listener import Listener
from server.store.keys import channel
from server.store.schedule import Schedule

LOOK_EVERY = 5.0
"""Seconds between two looks for tickets that are new."""
TRY_EVERY = 1.0
"""Seconds between two tries to reach a Redis that went away."""


async def follow_on(
    find: Callable[[], str],
    tickets: Sequence[TicketId],
    told: Callable[[str], None],
    *,
    look_every: float = LOOK_EVERY,
    try_every: float = TRY_EVERY,
) -> AsyncGenerator[str, None]:
    """Follow whatever Redis *find* has the URL of, and go on when it is back; *told* hears of it, a line each.

    Raises NotStarted or RedisUnavailable where it was not there at first.
    """
    there, away = False, False
    while True:
        try:
            async with aclosing(RedisClient(find(), Use.LISTEN)) as redis:
                # It is asked first: a follower says nothing before a counter changes.
                await _sites(Schedule(redis))
                if away:
                    told("Redis is back")
                there, away = True, False
                async with aclosing(follow(redis, tickets, look_every)) as counters:
                    async for counter in counters:
                        yield counter
        except (NotStarted, RedisUnavailable) as error:
            if not there:
                raise
            if not away:
                told(f"Redis is away, this goes on when it is back ({error})")
            away = True
            await asyncio.sleep(try_every)


async def follow(
    redis: RedisClient, tickets: Sequence[TicketId], look_every: float = LOOK_EVERY
) -> AsyncGenerator[str, None]:
    """Yield the JSON of every counter published from now on; raises NotStarted where there is no site."""
    schedule = Schedule(redis)
    async with redis.listener() as listener:
        heard: set[str] = set()
        look_at = 0.0
        while True:
            now = asyncio.get_running_loop().time()
            if now >= look_at:
                look_at = now + look_every
                await _subscribe(listener, schedule, tickets, heard)
            if not heard:
                # There is nothing to listen to yet: the worker has not listed the site.
                await asyncio.sleep(look_every / 10)
                look_at = 0.0
                continue
            message = await listener.receive(min(1.0, look_every))
            if message is not None and message.text is not None:
                yield message.text


async def _subscribe(listener: Listener, schedule: Schedule, tickets: Sequence[TicketId], heard: set[str]) -> None:
    sites = await _sites(schedule)
    wanted = {channel(site, ticket) for site in sites for ticket in tickets or await schedule.tracked(site)}
    new = wanted - heard
    if new:
        await listener.subscribe(*new)
        heard |= new


async def _sites(schedule: Schedule) -> Collection[SiteId]:
    sites = await schedule.sites()
    if not sites:
        raise NotStarted("no site is known in this Redis yet: start `ticket-counter serve` or `worker` on it first")
    return sites


def line(counter: str) -> str:
    """One counter as a line for a person; whatever a name holds, it stays in its line."""
    found = json.loads(counter)
    name = "".join(sign if sign.isprintable() else " " for sign in found["name"] or "")
    left = "" if found["unsold"] is None else f"{found['unsold']} left"
    prices = ", ".join(f"{price['amount']} {price['currency']}" for price in found["prices"][:3])
    return f"{found['ticket']}  {found['state']:<9}  {left:<10}  {name}  {prices}".rstrip()
