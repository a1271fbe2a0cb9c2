"""Follows the public channels, as any program can: our own consumer of what we publish.

In: tickets, or none for every tracked one. Out: each counter as it changes, as text.
"""

import asyncio
import json
from collections.abc import AsyncGenerator, Sequence

from server.errors import NotStarted
from server.model import TicketId
from server.schedule import Schedule
from server.store import Listener, Store, channel

LOOK_EVERY = 5.0
"""Seconds between two looks for tickets that are new."""


async def follow(
    store: Store, tickets: Sequence[TicketId], look_every: float = LOOK_EVERY
) -> AsyncGenerator[str, None]:
    """Yield the JSON of every counter published from now on; raises NotStarted where there is no site."""
    schedule = Schedule(store)
    async with store.listener() as listener:
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
            message = await listener.hear(min(1.0, look_every))
            if message is not None and message.text is not None:
                yield message.text


async def _subscribe(listener: Listener, schedule: Schedule, tickets: Sequence[TicketId], heard: set[str]) -> None:
    sites = await schedule.sites()
    if not sites:
        raise NotStarted("no site is known in this Redis yet: start `ticket-counter serve` or `worker` on it first")
    wanted = {channel(site, ticket) for site in sites for ticket in tickets or await schedule.tracked(site)}
    new = wanted - heard
    if new:
        await listener.subscribe(*new)
        heard |= new


def line(counter: str) -> str:
    """One counter as a line for a person; whatever a name holds, it stays in its line."""
    found = json.loads(counter)
    name = "".join(sign if sign.isprintable() else " " for sign in found["name"] or "")
    left = "" if found["unsold"] is None else f"{found['unsold']} left"
    prices = ", ".join(f"{price['amount']} {price['currency']}" for price in found["prices"][:3])
    return f"{found['ticket']}  {found['state']:<9}  {left:<10}  {name}  {prices}".rstrip()
