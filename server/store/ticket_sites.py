"""Which of some tickets and events a site has, by what was read of it.

In: a site, ids of tickets, ids or slugs of events. Out: an answer for each, at the cost of one round trip and of no call to Wix.
The snapshots are the index: what any version of the server has stored is found, and nothing has to be kept in step with them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

from server.model import EventName, SiteId, TicketId
from server.redis.client import RedisClient
from server.store import scripts
from server.store.keys import Keys


class Has(IntEnum):
    """Whether a site has something; BEFORE: a ticket that Wix deleted, an event that is not published."""

    NEVER = 0
    BEFORE = 1
    NOW = 2


@dataclass(frozen=True, slots=True)
class SiteAnswer:
    """What a site has of the `tickets` and `events` that were asked for, in their order; `complete`: it was listed once."""

    complete: bool
    tickets: tuple[Has, ...]
    events: tuple[Has, ...]


class TicketSites:
    """What sites have."""

    def __init__(self, redis: RedisClient) -> None:
        self.redis = redis
        self.keys = Keys(redis.namespace)

    async def ask(
        self, site: SiteId, tickets: Sequence[TicketId], events: Sequence[EventName] = ()
    ) -> SiteAnswer | None:
        """What the site has of these; None for an unknown site. Raises RedisUnavailable."""
        keys = [self.keys.key(site, "site"), self.keys.key(site, "slugs")]
        keys += [self.keys.key(site, "ticket", ticket) for ticket in tickets]
        answer = await self.redis.run(scripts.HAS, keys, events)
        if answer is None:
            return None
        complete, *found = answer
        has = tuple(map(Has, found))
        return SiteAnswer(complete == 1, has[: len(tickets)], has[len(tickets) :])
