"""Follows the public channels, as any program can: an example consumer of what this server publishes.

In: ticket ids, or none for every tracked ticket. Out: each counter as it changes, as text. While Redis is unavailable
it waits and reconnects; changes in that time are not shown.
"""

import asyncio
import json
from collections.abc import AsyncGenerator, Callable, Collection, Sequence
from contextlib import aclosing

from server.errors import NotStarted, RedisUnavailable
from server.model import SiteId, TicketId
from server.redis.client import RedisClient, Use
from server.redis.listener import Listener
from server.redis.namespace import DEFAULT_PREFIX
from server.store.schedule import Schedule

POLL_EVERY = 5.0
"""Seconds between two polls for new tickets."""
RETRY_EVERY = 1.0
"""Seconds between two attempts to reach a Redis that became unavailable."""


async def follow_reconnecting(
    find_url: Callable[[], str],
    tickets: Sequence[TicketId],
    report: Callable[[str], None],
    *,
    prefix: str = DEFAULT_PREFIX,
    poll_every: float = POLL_EVERY,
    retry_every: float = RETRY_EVERY,
) -> AsyncGenerator[str, None]:
    """Follow the Redis whose URL *find_url* gives; *report* gets a line when that goes and when it is back.

    *prefix* is REDIS_PREFIX. Raises NotStarted or RedisUnavailable if it is unavailable at first.
    """
    connected_before, unavailable = False, False
    while True:
        try:
            async with aclosing(RedisClient(find_url(), Use.LISTEN, prefix)) as redis:
                # Asked first, because `follow` yields nothing before a counter changes.
                await _sites(Schedule(redis))
                if unavailable:
                    report("Redis is available again")
                connected_before, unavailable = True, False
                async with aclosing(follow(redis, tickets, poll_every)) as counters:
                    async for counter in counters:
                        yield counter
        except (NotStarted, RedisUnavailable) as error:
            if not connected_before:
                raise
            if not unavailable:
                report(f"Redis is unavailable, waiting until it is back ({error})")
            unavailable = True
            await asyncio.sleep(retry_every)


async def follow(
    redis: RedisClient, tickets: Sequence[TicketId], poll_every: float = POLL_EVERY
) -> AsyncGenerator[str, None]:
    """Yield the JSON of every counter published from now on; raises NotStarted if no site is known."""
    schedule = Schedule(redis)
    async with redis.listener() as listener:
        subscribed: set[str] = set()
        poll_at = 0.0
        while True:
            now = asyncio.get_running_loop().time()
            if now >= poll_at:
                poll_at = now + poll_every
                await _subscribe(listener, schedule, tickets, subscribed)
            if not subscribed:
                # The worker has not listed the site yet, so there is no channel to subscribe to.
                await asyncio.sleep(poll_every / 10)
                poll_at = 0.0
                continue
            message = await listener.receive(min(1.0, poll_every))
            if message is not None and message.text is not None:
                yield message.text


async def _subscribe(listener: Listener, schedule: Schedule, tickets: Sequence[TicketId], subscribed: set[str]) -> None:
    sites = await _sites(schedule)
    wanted = {
        schedule.keys.channel(site, ticket) for site in sites for ticket in tickets or await schedule.tracked(site)
    }
    new = wanted - subscribed
    if new:
        await listener.subscribe(*new)
        subscribed |= new


async def _sites(schedule: Schedule) -> Collection[SiteId]:
    sites = await schedule.sites()
    if not sites:
        raise NotStarted("no site is known in this Redis yet: start `ticket-counter serve` or `worker` on it first")
    return sites


def line(counter: str) -> str:
    """One counter as a line for a person; control characters in a name become blanks."""
    found = json.loads(counter)
    name = "".join(sign if sign.isprintable() else " " for sign in found["name"] or "")
    left = "" if found["unsold"] is None else f"{found['unsold']} left"
    prices = ", ".join(f"{price['amount']} {price['currency']}" for price in found["prices"][:3])
    return f"{found['ticket']}  {found['state']:<9}  {left:<10}  {name}  {prices}".rstrip()
